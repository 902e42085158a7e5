from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgate.serialisation import error_to_json, to_line, verdicts_to_json
from maskgate.types import Faces, Milliseconds, Verdicts


def one_face(probabilities: tuple[float, float, float] = (0.97, 0.01, 0.02), **fields: Any) -> Verdicts:
    """The face of the example in docs/cli.md and README.md."""
    values: dict[str, Any] = {
        "box": [10.1, 20.0, 110.5, 140.2],
        "score": 0.998,
        "landmarks": [[33.0, 60.1], [80.2, 61.0], [57.4, 88.3], [37.0, 110.9], [76.8, 111.4]],
    } | fields
    faces = Faces(
        np.array([values["box"]], np.float32),
        np.array([values["score"]], np.float32),
        np.array([values["landmarks"]], np.float32),
    )
    return Verdicts(
        640, 480, faces, np.array([probabilities], np.float32), np.array([False]), 0.4,
        Milliseconds(3.1, 12.04, 0.2, 4.36),
    )  # fmt: skip


def test_the_documented_object() -> None:
    line = to_line(verdicts_to_json(one_face(), "a.jpg"))
    assert line == (
        '{"path": "a.jpg", "width": 640, "height": 480, '
        '"faces": [{"box": [10.1, 20.0, 110.5, 140.2], "score": 0.998, '
        '"landmarks": [[33.0, 60.1], [80.2, 61.0], [57.4, 88.3], [37.0, 110.9], [76.8, 111.4]], '
        '"roll": 1.1, "label": "mask", "uncertain": false, '
        '"probabilities": {"mask": 0.97, "no_mask": 0.01, "incorrect": 0.02}}], '
        '"milliseconds": {"decode": 3.1, "detect": 12.0, "align": 0.2, "classify": 4.4}, "error": null}\n'
    )


def test_without_a_path_and_without_faces() -> None:
    empty = Verdicts(3, 2, Faces.empty(), np.zeros((0, 3)), np.zeros(0, bool), 0.5)
    assert verdicts_to_json(empty) == {
        "width": 3,
        "height": 2,
        "faces": [],
        "milliseconds": {"decode": 0, "detect": 0, "align": 0, "classify": 0},
        "error": None,
    }


def test_an_error_has_the_same_keys() -> None:
    failed = error_to_json("a.jpg does not exist", "a.jpg")
    assert list(failed) == list(verdicts_to_json(one_face(), "a.jpg"))
    assert (failed["path"], failed["faces"], failed["error"]) == ("a.jpg", [], "a.jpg does not exist")
    assert "path" not in error_to_json("image is empty")


@given(st.tuples(*[st.floats(0, 1, width=32)] * 3).filter(lambda t: sum(t) > 1e-3))
def test_rounded_probabilities_sum_to_one(powers: tuple[float, float, float]) -> None:
    exact = np.array(powers, np.float32) / np.float32(sum(powers))
    rounded = verdicts_to_json(one_face(tuple(exact)))["faces"][0]["probabilities"]
    assert list(rounded) == ["mask", "no_mask", "incorrect"]
    values = np.array(list(rounded.values()))
    assert sum(values) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(values, exact, atol=1.01e-4)
    assert all(len(str(v)) <= 6 for v in values)


def test_certainty_is_kept() -> None:
    rounded = verdicts_to_json(one_face((1, 0, 0)))["faces"][0]["probabilities"]
    assert rounded == {"mask": 1, "no_mask": 0, "incorrect": 0}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_becomes_null(value: float) -> None:
    odd = one_face((value, 0.3, 0.2), box=[value, 1, 2, 3], score=value, landmarks=np.full((5, 2), np.nan))
    (face,) = json.loads(to_line(verdicts_to_json(odd)))["faces"]
    assert face["box"] == [None, 1, 2, 3]
    assert face["score"] is None
    assert face["landmarks"] == [[None, None]] * 5
    assert face["probabilities"] == {"mask": None, "no_mask": 0.3, "incorrect": 0.2}
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_line({"x": value})


def test_no_negative_zero() -> None:
    face = one_face(box=[-0.01, 0, 5, 5], landmarks=[[0, 1], [4, 1 - 1e-9], [2, 2], [0, 3], [4, 3]])
    assert "-0.0" not in to_line(verdicts_to_json(face))


@pytest.mark.parametrize("name", ["Maß\u2028.jpg", 'a"b\\c\n.jpg', "not-utf-8-\udcff.jpg", "\U0001f637.png"])
def test_a_line_is_one_line_of_ascii_and_keeps_names(name: str) -> None:
    line = to_line(error_to_json(f"{name} does not exist", name))
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line)["path"] == name
