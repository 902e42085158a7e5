from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from skimage import data

from maskgate.classification import create_classifier
from maskgate.classification.resnet import ResNetClassifier, combine, second_looks
from maskgate.errors import InputError
from maskgate.models import RuntimeOptions


@pytest.fixture(scope="module")
def classifier() -> ResNetClassifier:
    """The one that ships."""
    made = create_classifier(None, RuntimeOptions(threads=1))
    assert isinstance(made, ResNetClassifier)
    return made


@pytest.fixture(scope="module")
def crops(astronaut: np.ndarray, classifier: ResNetClassifier) -> np.ndarray:
    """(5, S, S, 3): a face, its mirror image, and things that are no faces."""
    side = (classifier.crop.size, classifier.crop.size)
    face = cv2.resize(astronaut[50:200, 150:300], side)
    other = [cv2.resize(picture, side) for picture in (data.coffee(), data.chelsea(), data.rocket())]
    return np.stack([face, face[:, ::-1], *other])


def test_rows_are_probabilities(classifier: ResNetClassifier, crops: np.ndarray) -> None:
    p = classifier.classify(crops)
    assert p.shape == (5, 3)
    assert p.dtype == np.float32
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
    assert (p[:2, 1] > 0.9).all()  # a bare face, either way round


def test_a_crop_does_not_depend_on_its_batch(classifier: ResNetClassifier, crops: np.ndarray) -> None:
    together = classifier.classify(crops)
    alone = np.concatenate([classifier.classify(crop[None]) for crop in crops])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_many_faces_go_in_parts(classifier: ResNetClassifier, crops: np.ndarray) -> None:
    class Counting:
        """Passes calls on to the session and notes their sizes."""

        def __init__(self) -> None:
            self.sizes: list[int] = []

        def get_inputs(self) -> object:
            return classifier.session.get_inputs()

        def run(self, names: object, inputs: dict[str, np.ndarray]) -> object:
            (batch,) = inputs.values()
            self.sizes.append(len(batch))
            return classifier.session.run(names, inputs)

    session = Counting()
    parts = ResNetClassifier(session, classifier.crop, batch=2)  # type: ignore[arg-type]
    alone = ResNetClassifier(classifier.session, classifier.crop).classify(crops)
    np.testing.assert_allclose(parts.classify(crops), alone, atol=1e-5)
    assert session.sizes == [2, 2, 1]


def test_unsure_faces_are_looked_at_again(classifier: ResNetClassifier, crops: np.ndarray) -> None:
    once = ResNetClassifier(classifier.session, classifier.crop)
    first = once.classify(crops).astype(float)
    order = np.sort(first.max(1))
    sure = float(order[1] + order[2]) / 2  # above two of the five
    twice = ResNetClassifier(classifier.session, classifier.crop, sure=sure).classify(crops)
    for i in range(5):
        wanted = first[i]
        if wanted.max() < sure:
            views = second_looks(crops[i : i + 1])
            answers = [first[i], *(once.classify(view)[0].astype(float) for view in views)]
            products = [math.prod(p) ** 0.25 for p in zip(*answers, strict=True)]
            wanted = np.array(products) / sum(products)
        np.testing.assert_allclose(twice[i], wanted, atol=1e-5)
    always = ResNetClassifier(classifier.session, classifier.crop, sure=1.0)
    np.testing.assert_allclose(always.classify(crops), always.classify(crops[:, :, ::-1]), atol=0.02)


def test_second_looks(crops: np.ndarray) -> None:
    mirrored, further, both = second_looks(crops)
    np.testing.assert_array_equal(mirrored, crops[:, :, ::-1])
    np.testing.assert_array_equal(both, further[:, :, ::-1])
    assert (further[0, 0] == further[0, 3]).all()  # the rim goes on
    y, x = np.mgrid[:112, :112]
    slope = np.repeat((x + y)[..., None], 3, 2).astype(np.uint8)
    wanted = ((x - 55.5) / 0.88 + 55.5) + ((y - 55.5) / 0.88 + 55.5)
    got = second_looks(slope[None])[1][0, 8:104, 8:104, 0]
    assert np.abs(got - wanted[8:104, 8:104]).max() < 1


def test_combining_by_hand() -> None:
    out = combine([np.array([[0.8, 0.1, 0.1]]), np.array([[0.2, 0.4, 0.4]])])
    np.testing.assert_allclose(out, [[0.5, 0.25, 0.25]], rtol=1e-6)  # roots of 0.16, 0.04, 0.04


def test_views_need_not_be_contiguous(classifier: ResNetClassifier, crops: np.ndarray) -> None:
    mirrored = crops[:, :, ::-1]
    copied = classifier.classify(mirrored.copy())
    np.testing.assert_array_equal(classifier.classify(mirrored), copied)


def test_no_crop_gives_no_row(classifier: ResNetClassifier, crops: np.ndarray) -> None:
    assert classifier.classify(crops[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 79, 80, 3), np.uint8),
        np.zeros((80, 80, 3), np.uint8),
        np.zeros((1, 3, 80, 80), np.uint8),
        np.full((1, 80, 80, 3), np.nan, np.float32),
    ],
)
def test_other_crops_are_refused(classifier: ResNetClassifier, wrong: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"^crops are .* give uint8 \(N, 80, 80, 3\)$"):
        classifier.classify(wrong)
