from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from maskgate.errors import DataError  # noqa: E402
from maskgate.training.loop import LoopSettings, train  # noqa: E402
from maskgate.training.runs import RunFolder  # noqa: E402

SETTINGS = LoopSettings(epochs=2, batch=4, warm_up=3, bfloat16=False, workers=0, rate=1e-2, head=("head.",),
                        head_rate=3.0, average=0.9)  # fmt: skip
STEPS = 5  # an epoch of 22 samples in batches of 4


class Noise:
    """Samples that depend on the epoch and the index alone: is the mean above 0?"""

    epoch = 0

    def __len__(self) -> int:
        return 22

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(1000 * self.epoch + index)
        x = torch.randn(3, 8, 8, generator=generator)
        return x, (x.mean() > 0).long()


class Net(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.dropout(self.body(x).mean((2, 3))))
        return y


class Killed(BaseException):
    """In the place of a signal that ends the process."""


class Sums:
    """A task; ``kill`` is the step, from 1, in which the process dies (inside the loss)."""

    def __init__(
        self, dropout: float = 0.0, kill: int | None = None, kill_in_evaluation: bool = False
    ) -> None:
        torch.manual_seed(5)
        self.model: nn.Module = Net(dropout)
        self.dataset = Noise()
        self.kill, self.kill_in_evaluation, self.step = kill, kill_in_evaluation, 0

    def begin_epoch(self, epoch: int) -> None:
        pass

    def loss(self, model: nn.Module, batch: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        self.step += 1
        if self.step == self.kill:
            raise Killed
        scores = model(batch[0])
        loss = nn.functional.cross_entropy(scores, batch[1])
        return loss, {"accuracy": (scores.argmax(1) == batch[1]).float().mean().item()}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        if self.kill_in_evaluation:
            raise Killed
        return {"bias": model.get_parameter("head.bias")[0].item()}


def stop_after(steps: int) -> Callable[[], bool]:
    calls = iter(range(1, 10_000))
    return lambda: next(calls) >= steps


def run(folder: Path, task: Any, settings: LoopSettings = SETTINGS, stop: int = 10_000) -> nn.Module:
    own = RunFolder(folder, {"seed": 3})
    return train(task, settings, own, seed=3, quiet=True, stop=stop_after(stop))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "curves.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in csv.DictReader(file)]


def assert_same(one: Path, other: Path) -> None:
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert (one / "figures.json").read_bytes() == (other / "figures.json").read_bytes()
    states = [torch.load(f / "checkpoint.pt", weights_only=True) for f in (one, other)]
    assert states[0]["steps"] == states[1]["steps"] == 2 * STEPS
    for key, value in states[0]["model"].items():
        assert torch.equal(value, states[1]["model"][key]), key
    assert sorted(f.name for f in one.iterdir()) == sorted(f.name for f in other.iterdir())


@pytest.mark.parametrize("at", [1, 4, STEPS, STEPS + 2, 2 * STEPS])
def test_stopped_run_goes_on_to_the_same_bits(tmp_path: Path, at: int) -> None:
    run(tmp_path / "whole", Sums())
    run(tmp_path / "parts", Sums(), stop=at)
    if at < 2 * STEPS:
        assert not (tmp_path / "parts" / "model.safetensors").exists()
    run(tmp_path / "parts", Sums())
    assert_same(tmp_path / "whole", tmp_path / "parts")
    whole, parts = rows(tmp_path / "whole"), rows(tmp_path / "parts")
    assert [row["epoch"] for row in parts] == ["1", "2"]
    assert [row["val_bias"] for row in parts] == [row["val_bias"] for row in whole]
    if at % STEPS == 0:
        assert parts == whole


@pytest.mark.parametrize("step", [3, STEPS + 1, STEPS + 4])
@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["checkpoint-each-step", "checkpoint-each-epoch"])
def test_killed_run_goes_on_to_the_same_bits(tmp_path: Path, step: int, seconds: float) -> None:
    settings = replace(SETTINGS, checkpoint_seconds=seconds)
    run(tmp_path / "whole", Sums(), settings)
    with pytest.raises(Killed):
        run(tmp_path / "parts", Sums(kill=step), settings)
    again = Sums()
    run(tmp_path / "parts", again, settings)
    lost = 1 if seconds == 0 else (step - 1) % STEPS + 1
    assert again.step == 2 * STEPS - (step - lost)
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_run_killed_while_it_is_validated_loses_no_row(tmp_path: Path) -> None:
    settings = replace(SETTINGS, checkpoint_seconds=0.0)
    run(tmp_path / "whole", Sums(), settings)
    with pytest.raises(Killed):
        run(tmp_path / "parts", Sums(kill_in_evaluation=True), settings)
    run(tmp_path / "parts", Sums(), settings)
    assert_same(tmp_path / "whole", tmp_path / "parts")
    assert [row["epoch"] for row in rows(tmp_path / "parts")] == ["1", "2"]


def test_stopped_run_with_dropout_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    run(tmp_path / "whole", Sums(dropout=0.5))
    run(tmp_path / "parts", Sums(dropout=0.5), stop=STEPS + 2)
    run(tmp_path / "parts", Sums(dropout=0.5))
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    run(tmp_path, Sums())
    before = (tmp_path / "model.safetensors").read_bytes(), rows(tmp_path)
    again = Sums()
    run(tmp_path, again)
    assert again.step == 0
    assert ((tmp_path / "model.safetensors").read_bytes(), rows(tmp_path)) == before


def test_worker_process_makes_the_same_samples(tmp_path: Path) -> None:
    run(tmp_path / "inside", Sums())
    cv2.setNumThreads(2)
    cv2.GaussianBlur(np.zeros((2000, 2000), np.uint8), (9, 9), 3)  # its threads run when the worker is forked
    run(tmp_path / "worker", Sums(), replace(SETTINGS, workers=1))
    assert_same(tmp_path / "inside", tmp_path / "worker")


def test_what_a_run_leaves(tmp_path: Path) -> None:
    model = run(tmp_path, Sums())
    kept = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(kept[k], v) for k, v in model.state_dict().items())
    assert json.loads((tmp_path / "figures.json").read_text()) == {"bias": kept["head.bias"][0].item()}
    assert [list(row) for row in rows(tmp_path)] == [
        ["epoch", "train_loss", "train_accuracy", "val_bias"]
    ] * 2
    left = [
        "checkpoint.pt",
        "curves.csv",
        "figures.json",
        "model.safetensors",
        "settings.json",
        "tensorboard",
    ]
    assert sorted(f.name for f in tmp_path.iterdir()) == left


def test_loss_goes_down(tmp_path: Path) -> None:
    run(tmp_path, Sums(), replace(SETTINGS, epochs=40, head=(), rate=0.05))
    losses = [float(row["train_loss"]) for row in rows(tmp_path)]
    assert losses[-1] < 0.5 * losses[0]


class Slope:
    """loss = sum of the parameters: Adam's step is the learning rate itself, which shows."""

    def __init__(self) -> None:
        self.model: nn.Module = nn.Module()
        for name in ("body", "head"):
            self.model.add_module(name, nn.Module())
            self.model.get_submodule(name).register_parameter("w", nn.Parameter(torch.zeros(2)))
        self.dataset = Noise()
        self.seen: list[tuple[float, float]] = []

    def values(self, model: nn.Module) -> tuple[float, float]:
        return model.get_parameter("body.w")[0].item(), model.get_parameter("head.w")[0].item()

    def begin_epoch(self, epoch: int) -> None:
        pass

    def loss(self, model: nn.Module, batch: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        self.seen.append(self.values(model))
        return model.get_parameter("body.w").sum() + model.get_parameter("head.w").sum(), {}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {}


def test_schedule_head_rate_and_average(tmp_path: Path) -> None:
    task, decay = Slope(), 0.9
    settings = replace(SETTINGS, decay=0.0, average=decay, epochs=4, warm_up=6)
    model = train(task, settings, RunFolder(tmp_path, {}), seed=0, quiet=True)
    task.seen.append(task.values(task.model))
    total = 4 * STEPS
    rates = [0.01 * (i + 1) / 6 for i in range(6)]
    for i in range(total - 6):
        rates.append(0.01 * (0.01 + 0.99 * (1 + math.cos(math.pi * i / (total - 6))) / 2))
    average = [0.0, 0.0]
    body = head = 0.0
    for i, rate in enumerate(rates):
        body, head = body - rate, head - 3 * rate
        assert task.seen[i + 1] == pytest.approx((body, head), rel=1e-4)
        new = [body, head]
        average = new if i == 0 else [decay * a + (1 - decay) * b for a, b in zip(average, new, strict=True)]
    assert task.values(model) == pytest.approx(average, rel=1e-4)


def test_gradients_are_clipped_together(tmp_path: Path) -> None:
    task = Slope()
    seen: list[float] = []
    settings = replace(SETTINGS, epochs=1, clip=0.5, decay=0.0)
    original = torch.optim.AdamW.step

    def step(self: Any, *args: Any) -> Any:
        seen.append(float(sum((p.grad**2).sum() for g in self.param_groups for p in g["params"]) ** 0.5))
        return original(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        train(task, settings, RunFolder(tmp_path, {}), seed=0, quiet=True)
    assert seen == pytest.approx([0.5] * STEPS, rel=1e-3)  # without: 2


def test_too_few_samples_for_a_batch(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="22 samples fills no batch of 23"):
        run(tmp_path, Sums(), replace(SETTINGS, batch=23))


class Worsening(Sums):
    """Its validation loss is best after the first epoch."""

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {"loss": 1.0 + self.dataset.epoch}


@pytest.mark.parametrize("patience", [1, 2])
def test_patience(tmp_path: Path, patience: int) -> None:
    settings = replace(SETTINGS, epochs=9, patience=patience)
    run(tmp_path / "a", Worsening(), settings)
    assert [row["epoch"] for row in rows(tmp_path / "a")] == [str(e + 1) for e in range(1 + patience)]
    assert (tmp_path / "a" / "model.safetensors").exists()
    run(tmp_path / "b", Worsening(), settings, stop=STEPS)  # gone on with, it keeps count
    run(tmp_path / "b", Worsening(), settings)
    assert rows(tmp_path / "b") == rows(tmp_path / "a")
    run(tmp_path / "a", Worsening(), settings)  # nor does it begin again
    assert len(rows(tmp_path / "a")) == 1 + patience


class Scripted(Sums):
    """Its validation losses are given."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.losses = losses

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {"loss": self.losses[self.dataset.epoch]}


@pytest.mark.parametrize(
    ("losses", "patience", "epochs"),
    [
        ([5, 6, 4, 4.5, 3, 3, 3.5, 1], 2, 7),  # an equal one is no better
        ([5, 6, 4, 4.5, 3, 3, 3.5, 1], 3, 8),
        ([5, 6, 7, 8, 9, 9, 9, 9], 0, 8),  # 0 is for ever
        ([math.nan] * 8, 2, 2),
    ],
)
def test_a_lower_loss_gives_patience_back(
    tmp_path: Path, losses: list[float], patience: int, epochs: int
) -> None:
    settings = replace(SETTINGS, epochs=8, patience=patience)
    run(tmp_path, Scripted(losses), settings)
    assert [row["epoch"] for row in rows(tmp_path)] == [str(e + 1) for e in range(epochs)]


@pytest.mark.parametrize("at", [STEPS + 2, 2 * STEPS, 3 * STEPS + 1, 4 * STEPS])
def test_a_stopped_run_loses_patience_at_the_same_bits(tmp_path: Path, at: int) -> None:
    losses = [5.0, 4.0, 4.5, 4.5, 1.0, 1.0]
    settings = replace(SETTINGS, epochs=6, patience=2)
    run(tmp_path / "whole", Scripted(losses), settings)
    run(tmp_path / "parts", Scripted(losses), settings, stop=at)
    run(tmp_path / "parts", Scripted(losses), settings)
    models = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("whole", "parts")]
    assert models[0] == models[1]
    kept = [torch.load(tmp_path / n / "checkpoint.pt", weights_only=True) for n in ("whole", "parts")]
    assert [(k["steps"], k["best"], k["worse"]) for k in kept] == [(4 * STEPS, 4.0, 2)] * 2
    assert [float(row["val_loss"]) for row in rows(tmp_path / "parts")] == losses[:4]


def test_patience_needs_a_loss(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has patience, but this training's validation gives no loss"):
        run(tmp_path, Sums(), replace(SETTINGS, patience=1))
