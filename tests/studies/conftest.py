"""Made-up runs of a study."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from maskgate.studies.results import Predictions, StudyRun


def made_up(count: int, skill: float, seed: int = 0) -> Predictions:
    """Faces whose truth depends on ``count`` alone; ``skill`` is how far the right score stands out."""
    truth = np.random.default_rng(count).choice(3, count, p=[0.5, 0.4, 0.1]).astype(np.int64)
    scores = np.random.default_rng(seed).normal(size=(count, 3))
    scores[np.arange(count), truth] += skill
    p = np.exp(scores)
    return Predictions(truth, p / p.sum(1, keepdims=True), np.arange(count, dtype=np.int64) // 2)


@pytest.fixture
def predictions() -> Callable[..., Predictions]:
    return made_up


@pytest.fixture
def study_run() -> Callable[..., StudyRun]:
    def make(
        start: str = "imagenet", architecture: str = "resnet18", skill: float = 3.0, **changes: object
    ) -> StudyRun:
        seed = int(changes.pop("seed", 0))  # type: ignore[call-overload]
        epochs = tuple(
            {"epoch": float(e), "seconds": 10.0 + e, "train_loss": 1 / e, "val_loss": 1 / (skill * e),
             "val_accuracy": 1 - 0.4 / (skill * e)}
            for e in range(1, 6)
        )  # fmt: skip
        values: dict[str, object] = {
            "start": start, "start_description": f"weights of {start}", "architecture": architecture,
            "strategy": "finetune", "seed": seed, "parameters": 1000, "non_commercial": start == "arcface",
            "epochs": epochs, "threshold": 0.4, "train": made_up(300, 6, seed),
            "test": made_up(400, skill, seed),
            "cross": made_up(350, skill - 0.5, seed),
        }  # fmt: skip
        return StudyRun(**(values | changes))  # type: ignore[arg-type]

    return make
