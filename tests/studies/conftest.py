"""Made-up runs of a study."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from maskgate.studies.answers import TestAnswers
from maskgate.studies.comparison_results import MethodResult, Speed
from maskgate.studies.results import Predictions, StudyRun
from maskgate.types import LABELS, Label

COMPARED_TRUTH = (0, 0, 0, 1, 1, 2)
"""Of a comparison's faces: three masks, two bare faces, a wrongly worn one."""


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


def compared_answers(p_mask: list[float], found: list[bool] | None = None, false: int = 0) -> TestAnswers:
    """A picture a face, but for the last two, which share one."""
    p = np.array(p_mask)
    rest = (1 - p) / 2
    faces = Predictions(np.array(COMPARED_TRUTH), np.stack([p, rest, rest], 1), np.array([0, 1, 2, 3, 4, 4]))
    hits = np.ones(6, np.bool_) if found is None else np.array(found)
    return TestAnswers(faces, hits, false, pictures=5)


def compared_method(name: str = "pca", finds: tuple[Label, ...] = LABELS, **changes: object) -> MethodResult:
    made = {
        ("test", "given"): compared_answers([0.9, 0.8, 0.3, 0.4, 0.1, 0.7]),
        ("test", "pictures"): compared_answers(
            [0.9, 0.0, 0.3, 0.4, 0.6, 0.2], [True, False, True, True, True, True], false=2
        ),
    }
    values: dict[str, object] = {
        "name": name, "title": name.upper(), "models": ("a", "b"), "bytes": 2_500_000, "finds": finds,
        "threshold": 0.5, "answers": made, "speed": Speed(12.34, 1.234),
    }  # fmt: skip
    return MethodResult(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def answers() -> Callable[..., TestAnswers]:
    """Answers about six faces, given P(mask) and which were found."""
    return compared_answers


@pytest.fixture
def result() -> Callable[..., MethodResult]:
    """A compared method with a test on given faces, and one end to end."""
    return compared_method
