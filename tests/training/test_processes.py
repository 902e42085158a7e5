from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from maskgate.training.processes import Processes, joined_processes  # noqa: E402

PROGRAM = """
import os, sys, torch
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
        self.model[0].requires_grad_(epoch > 0)  # as a gradual strategy does
    def loss(self, model, batch):
        return nn.functional.cross_entropy(model(batch[0]), batch[1]), {}
    def evaluate(self, model):
        return {"loss": 5.0}

def stop():  # the first process alone is told to, after so many steps
    stop.calls += 1
    return os.environ.get("RANK", "0") == "0" and stop.calls == int(sys.argv[2])

stop.calls = 0
settings = LoopSettings(epochs=9, batch=8, warm_up=2, rate=0.02, bfloat16=False, workers=0, patience=3)
train(Task(), settings, RunFolder(Path(sys.argv[1]), {}), seed=1, quiet=True, stop=stop)
"""

BOTH = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def start(folder: Path, *before: str, stop: int = 0) -> subprocess.CompletedProcess[str]:
    (folder.parent / "program.py").write_text(PROGRAM)
    command = [sys.executable, *before, str(folder.parent / "program.py"), str(folder), str(stop)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    """Also where they are stopped in the second epoch, and go on."""
    for name, before, stop in (("one", (), 0), ("two", BOTH, 6), ("two", BOTH, 0)):
        done = start(tmp_path / name, *before, stop=stop)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / name / "model.safetensors").exists() == (stop == 0)
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
