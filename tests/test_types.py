from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgate.errors import InputError
from maskgate.types import LABELS, Faces, Label, Milliseconds, Verdicts


def some_faces(n: int) -> Faces:
    rng = np.random.default_rng(n)
    return Faces(rng.uniform(0, 99, (n, 4)), np.linspace(0.9, 0.5, n), rng.uniform(0, 99, (n, 5, 2)))


def face_with_eyes(left: tuple[float, float], right: tuple[float, float]) -> Faces:
    points = np.zeros((1, 5, 2), np.float32)
    points[0, :2] = left, right
    return Faces(np.zeros((1, 4), np.float32), np.ones(1, np.float32), points)


def verdicts(probabilities: Any, threshold: float = 0.5, **fields: Any) -> Verdicts:
    n = len(probabilities)
    spec: dict[str, Any] = {"uncertain": np.zeros(n, np.bool_), "faces": some_faces(n)}
    return Verdicts(width=100, height=80, probabilities=probabilities, threshold=threshold, **(spec | fields))


class TestFaces:
    def test_plain_lists_become_arrays(self) -> None:
        faces = Faces([[1, 2, 3, 4]], [0.5], [[[0, 1]] * 5])  # type: ignore[arg-type, list-item]
        assert (faces.boxes.shape, faces.scores.shape, faces.landmarks.shape) == ((1, 4), (1,), (1, 5, 2))
        assert faces.boxes.dtype == faces.scores.dtype == faces.landmarks.dtype == np.float32
        assert len(faces) == 1

    @pytest.mark.parametrize(
        ("field", "shape"),
        [
            ("boxes", (2, 5)), ("boxes", (4,)), ("boxes", (2, 4, 1)), ("boxes", (3, 4)),
            ("scores", (3,)), ("scores", (2, 1)), ("scores", ()),
            ("landmarks", (2, 10)), ("landmarks", (2, 5, 3)), ("landmarks", (1, 5, 2)),
        ],
    )  # fmt: skip
    def test_shapes_that_do_not_agree(self, field: str, shape: tuple[int, ...]) -> None:
        arrays = {"boxes": np.zeros((2, 4)), "scores": np.zeros(2), "landmarks": np.zeros((2, 5, 2))}
        with pytest.raises(InputError, match=r"^\w+ has shape \(.*\), wanted \(.*\)") as caught:
            Faces(**(arrays | {field: np.zeros(shape)}))  # type: ignore[arg-type]
        if field != "boxes" or shape != (3, 4):  # three boxes are fine, the scores are then too few
            assert str(caught.value).startswith(f"{field} has shape {shape}")

    @pytest.mark.parametrize("boxes", [[[1, 2, 3, 4], [5, 6]], [["a", "b", "c", "d"]], [[None] * 4, {}]])
    def test_what_is_no_array_of_numbers(self, boxes: Any) -> None:
        with pytest.raises(InputError, match=r"^boxes cannot be made an array of numbers: "):
            Faces(boxes, np.zeros(1, np.float32), np.zeros((1, 5, 2), np.float32))

    def test_empty(self) -> None:
        faces = Faces.empty()
        assert len(faces) == 0
        assert faces.roll.shape == (0,)
        assert len(faces.select([])) == 0

    def test_nothing_of_it_can_be_changed(self) -> None:
        faces = some_faces(2)
        for array in (faces.boxes, faces.scores, faces.landmarks):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1
        with pytest.raises(FrozenInstanceError):
            faces.scores = np.zeros(2, np.float32)  # type: ignore[misc]

    def test_the_callers_arrays_stay_his(self) -> None:
        boxes, scores, points = (np.ones(s, np.float32) for s in ((2, 4), (2,), (2, 5, 2)))
        faces = Faces(boxes, scores, points)
        for array in (boxes, scores, points):
            array[...] = 7
        for array in (faces.boxes, faces.scores, faces.landmarks):
            np.testing.assert_array_equal(array, np.ones_like(array))

    @pytest.mark.parametrize(
        ("index", "order"),
        [
            ([2, 0], [2, 0]),
            ([], []),
            ([1, 1], [1, 1]),
            ([-1], [2]),
            ([True, False, True], [0, 2]),
            (np.array([False, True, False]), [1]),
            (np.zeros(3, np.bool_), []),
            (np.array([1, 2], np.intp), [1, 2]),
        ],
    )
    def test_select(self, index: Any, order: list[int]) -> None:
        faces = some_faces(3)
        chosen = faces.select(index)
        assert len(chosen) == len(order)
        for row, i in enumerate(order):
            np.testing.assert_array_equal(chosen.boxes[row], faces.boxes[i])
            np.testing.assert_array_equal(chosen.landmarks[row], faces.landmarks[i])
            assert chosen.scores[row] == faces.scores[i]

    @pytest.mark.parametrize(
        ("left", "right", "roll"),
        [
            ((10, 20), (30, 20), 0),
            ((10, 20), (30, 40), 45),  # y points down: the right eye is lower
            ((10, 20), (30, 0), -45),
            ((10, 20), (10, 50), 90),
            ((10, 20), (10, 5), -90),
            ((30, 20), (10, 20), 180),  # upside down
            ((30, 20), (10, 40), 135),
            ((30, 20), (10, 0), -135),
            ((0, 0), (math.sqrt(3), 1), 30),
            ((5, 5), (5, 5), 0),
        ],
    )
    def test_roll(self, left: tuple[float, float], right: tuple[float, float], roll: float) -> None:
        assert face_with_eyes(left, right).roll[0] == pytest.approx(roll, abs=1e-4)

    @given(*[st.floats(-1000, 1000, width=32)] * 4)
    def test_roll_stays_in_range(self, ax: float, ay: float, bx: float, by: float) -> None:
        assert -180 <= face_with_eyes((ax, ay), (bx, by)).roll[0] <= 180

    def test_roll_of_each_face(self) -> None:
        points = np.zeros((2, 5, 2), np.float32)
        points[:, 1] = [1, 1], [1, -1]
        faces = Faces(np.zeros((2, 4), np.float32), np.zeros(2, np.float32), points)
        assert faces.roll.dtype == np.float32
        np.testing.assert_allclose(faces.roll, [45, -45])

    def test_a_whole_picture_is_one_upright_face(self) -> None:
        faces = Faces.whole_picture(200, 100)
        np.testing.assert_array_equal(faces.boxes, [[0, 0, 200, 100]])
        np.testing.assert_array_equal(faces.scores, [0])
        np.testing.assert_array_equal(faces.roll, [0])
        left, right, nose, left_mouth, right_mouth = faces.landmarks[0]
        assert left[0] < nose[0] < right[0]
        assert left_mouth[0] < nose[0] < right_mouth[0]
        assert 0 < left[1] == right[1] < nose[1] < left_mouth[1] == right_mouth[1] < 100
        # mirror images: the face looks straight ahead
        assert left[0] + right[0] == left_mouth[0] + right_mouth[0] == 2 * nose[0] == 200


class TestLabels:
    def test_order_and_spelling(self) -> None:
        assert [str(label) for label in LABELS] == ["mask", "no_mask", "incorrect"]

    def test_violations(self) -> None:
        assert [label.violation for label in LABELS] == [False, True, True]


class TestVerdicts:
    @pytest.mark.parametrize(
        ("probabilities", "threshold", "label"),
        [
            ((0.6, 0.3, 0.1), 0.5, "mask"),
            ((0.5, 0.5, 0.0), 0.5, "mask"),  # reaching it is enough
            ((0.4, 0.35, 0.25), 0.5, "no_mask"),  # mask is the likeliest, and does not reach it
            ((0.4, 0.25, 0.35), 0.5, "incorrect"),
            ((0.2, 0.7, 0.1), 0.2, "mask"),  # reaches a low threshold though another one is likelier
            ((0.2, 0.4, 0.4), 0.5, "no_mask"),  # equal: the plainer answer
            ((0.89, 0.0, 0.11), 0.9, "incorrect"),
        ],
    )
    def test_labels(self, probabilities: tuple[float, ...], threshold: float, label: str) -> None:
        # powers of two where the threshold is met exactly, so that float32 keeps the tie
        found = verdicts([probabilities], np.float32(threshold))
        assert found.labels == [Label(label)]
        assert found[0].label is Label(label)

    @given(
        st.lists(st.tuples(*[st.floats(0.01, 1)] * 3), min_size=0, max_size=8),
        st.floats(0.01, 0.99),
    )
    def test_labels_never_contradict_the_two_class_answer(
        self, rows: list[tuple[float, ...]], threshold: float
    ) -> None:
        p = np.array(rows, np.float32).reshape(-1, 3)
        p /= p.sum(1, keepdims=True)
        found = verdicts(p, threshold)
        for (mask, no_mask, incorrect), label in zip(p, found.labels, strict=True):
            if label is Label.MASK:
                assert mask >= threshold
            else:
                assert mask < threshold
                assert (no_mask >= incorrect) == (label is Label.NO_MASK)

    def test_one_face(self) -> None:
        faces = some_faces(2)
        p = [[0.75, 0.125, 0.125], [0.25, 0.25, 0.5]]
        found = verdicts(p, faces=faces, uncertain=[False, True])
        first, second = found
        assert (first.label, second.label) == (Label.MASK, Label.INCORRECT)
        assert (first.uncertain, second.uncertain) == (False, True)
        assert second.probabilities == {Label.MASK: 0.25, Label.NO_MASK: 0.25, Label.INCORRECT: 0.5}
        assert second.probabilities["incorrect"] == 0.5  # type: ignore[index]
        np.testing.assert_array_equal(second.box, faces.boxes[1])
        np.testing.assert_array_equal(second.landmarks, faces.landmarks[1])
        assert second.score == pytest.approx(0.5)
        assert second.roll == pytest.approx(float(faces.roll[1]))
        assert type(second.score) is type(second.roll) is float
        assert type(second.uncertain) is bool
        assert found[-1].label is second.label
        with pytest.raises(IndexError):
            found[2]

    def test_no_face(self) -> None:
        found = verdicts(np.zeros((0, 3)))
        assert len(found) == 0
        assert list(found) == found.labels == []

    @pytest.mark.parametrize("shape", [(1, 3), (2, 2), (3,), (2, 3, 1)])
    def test_probabilities_of_another_shape(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(InputError, match=r"^probabilities has shape .*, wanted \(2, 3\)"):
            verdicts(np.zeros(shape), faces=some_faces(2), uncertain=[False, True])

    @pytest.mark.parametrize("uncertain", [[True], True, [[True], [False]], [True] * 3])
    def test_uncertain_of_another_shape(self, uncertain: Any) -> None:
        with pytest.raises(InputError, match=r"^uncertain has shape .*, wanted \(2,\)"):
            verdicts(np.full((2, 3), 1 / 3), uncertain=uncertain)

    def test_nothing_of_it_can_be_changed(self) -> None:
        p, uncertain = np.full((2, 3), 1 / 3, np.float32), np.zeros(2, np.bool_)
        found = verdicts(p, uncertain=uncertain)
        p[...], uncertain[...] = 0, True
        assert found.probabilities.min() > 0.3
        assert not found.uncertain.any()
        for array in (found.probabilities, found.uncertain):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1
        with pytest.raises(FrozenInstanceError):
            found.threshold = 0.1  # type: ignore[misc]
        with pytest.raises(FrozenInstanceError):
            found[0].label = Label.MASK  # type: ignore[misc]


def test_milliseconds_in_all() -> None:
    assert Milliseconds(1, 2, 3, 4).total == 10
    assert Milliseconds().total == 0
