from __future__ import annotations

import math

import numpy as np
import pytest

from maskgate.errors import InputError
from maskgate.evaluation.landmarks import landmark_errors, summarise_errors

FACE = np.array([[30, 40], [80, 40], [55, 60], [38, 80], [72, 80]], np.float32)
"""Eyes 50 pixels apart."""


def test_on_paper() -> None:
    # one point off by (3, 4): 5 pixels, a fifth of that on average, over 50
    found = FACE.copy()
    found[2] += (3, 4)
    np.testing.assert_allclose(landmark_errors(found[None], FACE[None]), [5 / 5 / 50])
    # all off by 10 pixels: 0.2, whatever the direction
    np.testing.assert_allclose(landmark_errors(FACE[None] + np.float32([6, -8]), FACE[None]), [0.2])


def test_the_scale_of_the_picture_does_not_matter() -> None:
    found = FACE + np.random.default_rng(0).normal(0, 3, FACE.shape).astype(np.float32)
    (one,), (three,) = (
        landmark_errors(found[None], FACE[None]),
        landmark_errors(3 * found[None], 3 * FACE[None]),
    )
    assert one == pytest.approx(three, rel=1e-5)


def test_faces_that_cannot_be_measured() -> None:
    profile, hidden = FACE.copy(), FACE.copy()
    profile[1] = profile[0]
    hidden[4] = np.nan
    truth = np.stack([profile, hidden, FACE])
    errors = landmark_errors(np.stack([FACE, FACE, FACE]), truth)
    np.testing.assert_array_equal(errors, [np.nan, np.nan, 0])
    assert summarise_errors(errors).faces == 1


def test_summary() -> None:
    own = summarise_errors(np.array([0.02, 0.04, np.nan, 0.1, 0.24]))
    assert (own.faces, own.mean, own.median, own.failed) == (4, pytest.approx(0.1), pytest.approx(0.07), 0.25)
    nothing = summarise_errors(np.array([np.nan]))
    assert nothing.faces == 0
    assert math.isnan(nothing.mean)


def test_other_shapes() -> None:
    with pytest.raises(InputError, match=r"landmarks are \(N, 5, 2\) each"):
        landmark_errors(FACE, FACE)
