from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from maskgate.errors import InputError
from maskgate.studies.perturbations import FaceView
from maskgate.studies.surroundings import AS_IT_IS, BACKGROUNDS, Occluders, background, head_cover
from maskgate.training.occlusion.geometry import FaceFrame
from maskgate.training.occlusion.glasses import draw_glasses
from maskgate.training.occlusion.hands import Hand, lay_hand
from maskgate.types import LABELS, Label

MASK, BARE, WRONG = (LABELS.index(x) for x in (Label.MASK, Label.NO_MASK, Label.INCORRECT))


@pytest.fixture
def view() -> FaceView:
    """A bare face, 60 pixels between the eyes, with another picture in blue."""
    image = np.full((320, 300, 3), (205, 160, 135), np.uint8)
    image += np.random.default_rng(0).integers(0, 9, image.shape, dtype=np.uint8)
    landmarks = np.array([[120, 120], [180, 120], [150, 153], [125, 180], [175, 180]], np.float32)
    other = np.full((50, 80, 3), (0, 0, 200), np.uint8)
    return FaceView(image, np.array([100, 80, 200, 225], np.float32), landmarks, BARE, other=other)


@pytest.fixture
def hand() -> Hand:
    return Hand(np.full((200, 100, 3), (180, 120, 100), np.uint8), np.ones((200, 100), np.float32), 1)


def lot(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def change_at(view: FaceView, other: FaceView, place: tuple[float, float]) -> float:
    """Mean change around face coordinates."""
    frame = FaceFrame.from_landmarks(view.landmarks)
    assert frame is not None
    x, y = frame.to_pixels(np.array([place]))[0].round().astype(int).tolist()
    part = np.s_[y - 2 : y + 3, x - 2 : x + 3]
    return float(np.abs(other.image[part].astype(float) - view.image[part]).mean())


CHIN, EYE, FOREHEAD, CHEST = (0.0, 1.7), (-1.0, 0.0), (0.0, -0.4), (0.0, 3.0)


def test_names_depend_on_hands(hand: Hand) -> None:
    assert set(Occluders([hand]).names) - set(Occluders().names) == {"hand", "hand at the mask"}
    assert Occluders().names[0] == AS_IT_IS


def test_what_suits_which_label(view: FaceView, hand: Hand) -> None:
    occluders = Occluders([hand])
    drawn = {
        label: {name for name in occluders.names if occluders(replace(view, label=label), name, lot())}
        for label in (MASK, BARE, WRONG)
    }
    both = {AS_IT_IS, "glasses", "hood"}
    assert drawn[MASK] == {*both, "hand at the mask"}
    assert drawn[BARE] == {*both, "beard", "head in front", "object", "hand"}
    assert drawn[WRONG] == both


def test_drawn_where_it_belongs(view: FaceView, hand: Hand) -> None:
    occluders = Occluders([hand])

    def mean_change(name: str, place: tuple[float, float]) -> float:
        views = [occluders(view, name, lot(seed)) for seed in range(6)]
        return float(np.mean([change_at(view, v, place) for v in views if v is not None]))

    assert mean_change("beard", CHIN) > 20 > 1 > mean_change("beard", EYE)
    assert mean_change("glasses", EYE) > 15 > 1 > mean_change("glasses", CHIN)
    assert mean_change("hood", CHEST) > 20 > 1 > mean_change("hood", FOREHEAD)
    for name in ("head in front", "object", "hand"):
        assert mean_change(name, CHIN) > 1 > mean_change(name, FOREHEAD)


def test_same_as_what_training_draws(view: FaceView, hand: Hand) -> None:
    glasses = Occluders()(view, "glasses", lot(3))
    assert glasses is not None
    np.testing.assert_array_equal(glasses.image, draw_glasses(view.image, view.landmarks, lot(3)))
    touched = Occluders([hand])(replace(view, label=MASK), "hand at the mask", lot(3))
    assert touched is not None
    rng = lot(3)
    rng.integers(1)  # which hand
    expected = lay_hand(view.image, view.landmarks, hand, rng, touching=True)
    np.testing.assert_array_equal(touched.image, expected)


def test_occluders_want_landmarks(view: FaceView) -> None:
    unknown = replace(view, landmarks=np.full((5, 2), np.nan, np.float32))
    flat = replace(view, landmarks=np.full((5, 2), 100, np.float32))
    for name in Occluders().names:
        assert Occluders()(unknown, name, lot()) is None
        assert Occluders()(flat, name, lot()) is None


def test_wrong_names(view: FaceView) -> None:
    with pytest.raises(InputError, match="nothing named 'hand' can be drawn; the names are as it is, gla"):
        Occluders()(view, "hand", lot())
    with pytest.raises(InputError, match="no background 'sky'"):
        background(view, "sky", lot())


def test_head_cover_is_an_ellipse(view: FaceView) -> None:
    cover = head_cover(view)
    assert cover.sum() == pytest.approx(np.pi * 60 * 0.65 * 145, rel=0.02)
    y, x = np.mgrid[:320, :300]

    def middle(cover: np.ndarray) -> np.ndarray:
        return np.array([(cover * x).sum(), (cover * y).sum()]) / cover.sum()

    np.testing.assert_allclose(middle(cover), [150, 152.5 - 0.05 * 145], atol=0.5)
    # the right eye lower: the hair is to the right
    around = (view.landmarks - 150) @ np.array([[0, 1], [-1, 0]]) + 150
    lying = replace(view, landmarks=around.astype(np.float32))
    assert lying.roll == pytest.approx(90)
    np.testing.assert_allclose(middle(head_cover(lying)), [150 + 0.05 * 145, 152.5], atol=0.5)


def test_the_face_stays_before_each_background(view: FaceView) -> None:
    for name in BACKGROUNDS[1:]:
        changed = background(view, name, lot())
        assert changed is not None
        np.testing.assert_array_equal(changed.image[110:190, 120:180], view.image[110:190, 120:180])
        assert np.abs(changed.image[:40].astype(int) - view.image[:40]).mean() > 1
        assert changed.box is view.box


def test_backgrounds_by_hand(view: FaceView) -> None:
    corner = np.s_[:30, :30]
    mean = view.image[80:225, 100:200].reshape(-1, 3).mean(0)
    expected = {"plain": [128] * 3, "low contrast": np.round(mean), "another picture": [0, 0, 200]}
    for name, colour in expected.items():
        changed = background(view, name, lot())
        assert changed is not None
        assert np.abs(changed.image[corner] - np.asarray(colour)).max() <= 1, name
    noisy, blurred = (background(view, name, lot()) for name in ("noisy", "blurred"))
    assert noisy is not None
    assert blurred is not None
    assert noisy.image[corner].std() > 50
    assert blurred.image[corner].std(axis=(0, 1)).max() < 1 < view.image[corner].std(axis=(0, 1)).min()


def test_backgrounds_that_cannot_be_or_change_nothing(view: FaceView) -> None:
    assert background(replace(view, other=None), "another picture", lot()) is None
    assert background(view, AS_IT_IS, lot()) is view
