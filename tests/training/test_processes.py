from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from maskgate.training.processes import Processes, joined_processes  # noqa: E402

PROGRAM = """
import sys, torch
from pathlib import Path
from torch import nn
from maskgate.training.loop import LoopSettings, train
from maskgate.training.runs import RunFolder

class Data:
    epoch = 0
    def __len__(self):
        return 32
    def __getitem__(self, index):
        g = torch.Generator().manual_seed(1000 * self.epoch + index)
        x = torch.randn(6, generator=g)
        return x, (x.sum() > 0).long()

class Task:
    def __init__(self):
        torch.manual_seed(3)
        self.model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
        self.dataset = Data()
    def begin_epoch(self, epoch):
        pass
    def loss(self, model, batch):
        return nn.functional.cross_entropy(model(batch[0]), batch[1]), {}
    def evaluate(self, model):
        return {"loss": 5.0}

settings = LoopSettings(epochs=9, batch=8, warm_up=2, rate=0.02, bfloat16=False, workers=0, patience=3)
train(Task(), settings, RunFolder(Path(sys.argv[1]), {}), seed=1, quiet=True)
"""


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    both = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, command in (("one", [sys.executable]), ("two", both)):
        run = subprocess.run(
            [*command, str(tmp_path / "program.py"), str(tmp_path / name)], capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, atol=1e-5, rtol=1e-4)
    rows = [(tmp_path / name / "curves.csv").read_text().splitlines() for name in ("one", "two")]
    assert len(rows[0]) == len(rows[1]) == 1 + 4  # both lose patience after the fourth epoch


def test_alone() -> None:
    with joined_processes() as processes:
        assert processes == Processes()
        assert processes.first
        assert processes.agree(True)
        assert not processes.agree(False)
        net = torch.nn.Linear(1, 1)
        assert processes.wrap(net) is net
