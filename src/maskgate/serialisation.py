"""Verdicts as JSON: the object that the command line prints for a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from maskgate.types import LABELS, Label, Verdict, Verdicts

_TEN_THOUSAND = 10_000


def verdicts_to_json(verdicts: Verdicts, path: str | None = None) -> dict[str, Any]:
    """One picture's object, of plain values.

    Pixels, degrees and milliseconds have one decimal, scores and probabilities four. Rounded
    probabilities still sum to 1. What is not finite becomes None.

    Args:
        verdicts: of the picture.
        path: what the picture is called; the object has no ``path`` where None.
    """
    return _named(path) | {
        "width": verdicts.width,
        "height": verdicts.height,
        "faces": [_face(verdict) for verdict in verdicts],
        "milliseconds": {step: _round(ms, 1) for step, ms in asdict(verdicts.milliseconds).items()},
        "error": None,
    }


def error_to_json(error: str, path: str | None = None) -> dict[str, Any]:
    """The object of a picture that cannot be read: the same keys, with None for what nobody knows."""
    return _named(path) | {
        "width": None,
        "height": None,
        "faces": [],
        "milliseconds": None,
        "error": error,
    }


def to_line(content: Mapping[str, Any]) -> str:
    """``content`` as one line of JSON with its line feed.

    It is ASCII, and so passes through pipes and files of any encoding; file names that are not
    text in the system's encoding come out as they went in.
    """
    return json.dumps(content, allow_nan=False) + "\n"


def _named(path: str | None) -> dict[str, Any]:
    return {} if path is None else {"path": path}


def _face(verdict: Verdict) -> dict[str, Any]:
    return {
        "box": [_round(v, 1) for v in verdict.box],
        "score": _round(verdict.score, 4),
        "landmarks": [[_round(x, 1), _round(y, 1)] for x, y in verdict.landmarks],
        "roll": _round(verdict.roll, 1),
        "label": str(verdict.label),
        "uncertain": verdict.uncertain,
        "probabilities": _round_probabilities(verdict.probabilities),
    }


def _round(value: float, digits: int) -> float | None:
    # + 0.0 turns -0.0 into 0.0
    return round(float(value), digits) + 0.0 if math.isfinite(value) else None


def _round_probabilities(probabilities: Mapping[Label, float]) -> dict[str, float | None]:
    """Four decimals; what rounding down leaves of 1 goes to those that lost most by it."""
    values = [probabilities[label] for label in LABELS]
    if not _sum_to_one(values):  # another distribution's classifier: nothing to be kept
        return {str(label): _round(p, 4) for label, p in zip(LABELS, values, strict=True)}
    parts = [p * _TEN_THOUSAND for p in values]
    whole = [math.floor(part) for part in parts]
    most_lost = sorted(range(len(parts)), key=lambda i: whole[i] - parts[i])
    for i in most_lost[: _TEN_THOUSAND - sum(whole)]:
        whole[i] += 1
    return {str(label): n / _TEN_THOUSAND for label, n in zip(LABELS, whole, strict=True)}


def _sum_to_one(values: Iterable[float]) -> bool:
    values = list(values)
    return all(0 <= v <= 1 for v in values) and abs(sum(values) - 1) < 0.5 / _TEN_THOUSAND
