from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskgate.training.occlusion import paint
from maskgate.training.occlusion.hands import Hand
from maskgate.training.occlusion.masks import Wearing
from maskgate.training.occlusion.paint import Painter
from maskgate.training.occlusion.templates import MaskTemplate
from maskgate.types import Label

HAND = Hand(np.full((40, 30, 3), 120, np.uint8), np.ones((40, 30), np.float32))
TEMPLATE = MaskTemplate(
    "t",
    np.full((60, 90, 4), 255, np.uint8),
    np.array([[5, 5], [45, 1], [85, 5], [12, 45], [45, 58], [78, 45]], np.float32),
)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is drawn, in order; it is drawn for all that."""
    names: list[str] = []

    def record(name: str) -> None:
        real = getattr(paint, name)

        def draw(*args: Any, **options: Any) -> Any:
            wearing = [str(a) for a in args if isinstance(a, Wearing)]
            over = ["over_mouth"] if options.get("over_mouth") else []
            names.append(" ".join([name, *wearing, *over]))
            return real(*args, **options)

        monkeypatch.setattr(paint, name, draw)

    for name in (
        "draw_mask",
        "wear_template",
        "lay_hand",
        "draw_scarf",
        "draw_beard",
        "draw_object",
        "draw_hair",
        "draw_head",
        "draw_glasses",
        "hang_mask",
        "hold_mask",
    ):
        record(name)
    return names


def shares(drawn: list[str]) -> dict[str, float]:
    return {name: drawn.count(name) / len(drawn) for name in sorted(set(drawn))}


def repeat(painter: Painter, method: str, portrait: Any, count: int = 300, **options: Any) -> None:
    rng = np.random.default_rng(0)
    image, points = portrait.image[::4, ::4].copy(), portrait.landmarks / 4
    for _ in range(count):
        out = getattr(painter, method)(image, points, **options, rng=rng)
        out = out[0] if method == "cover_any" else out
        assert (out.shape, out.dtype) == (image.shape, np.uint8)


def test_masks(portrait: Any, drawn: list[str]) -> None:
    repeat(Painter(templates=[TEMPLATE]), "mask", portrait, wearing=Wearing.RIGHT)
    drawn[:] = [name for name in drawn if name != "draw_glasses"]
    assert shares(drawn) == pytest.approx({"draw_mask right": 0.55, "wear_template right": 0.45}, abs=0.09)
    drawn.clear()
    repeat(Painter(), "mask", portrait, 20, wearing=Wearing.CHIN)
    drawn[:] = [name for name in drawn if name != "draw_glasses"]
    assert shares(drawn) == {"draw_mask chin": 1}


def test_wrong_masks(portrait: Any, drawn: list[str]) -> None:
    repeat(Painter(), "wrong_mask", portrait)
    glasses = drawn.count("draw_glasses") / 300
    assert glasses == pytest.approx(0.08, abs=0.05)
    found = shares([name for name in drawn if name != "draw_glasses"])
    wanted = {
        "draw_mask nose_out": 0.475,
        "draw_mask mouth_out": 0.14,
        "draw_mask chin": 0.33,
        "hang_mask": 0.05,
    }
    assert found == pytest.approx(wanted, abs=0.09)


def test_covers_that_are_no_mask(portrait: Any, drawn: list[str]) -> None:
    repeat(Painter(hands=[HAND]), "bare_cover", portrait)
    counts = {name: drawn.count(name) / 300 for name in set(drawn)}
    whole = 0.5 + 0.16 + 0.18 + 0.1 + 0.06 + 0.04 + 0.08
    assert counts["lay_hand"] == pytest.approx(0.5 / whole, abs=0.09)
    assert counts["draw_object"] == pytest.approx(0.16 / whole, abs=0.07)
    scarves = counts["draw_scarf"] + counts["draw_scarf over_mouth"]
    assert scarves == pytest.approx(0.18 / whole, abs=0.07)
    assert counts["draw_beard"] == pytest.approx(0.1 / whole, abs=0.06)
    assert counts["draw_glasses"] == pytest.approx(0.08, abs=0.05)
    drawn.clear()
    repeat(Painter(), "bare_cover", portrait)
    counts = {name: drawn.count(name) / 300 for name in set(drawn)}
    kinds = {
        "draw_beard",
        "draw_scarf",
        "draw_scarf over_mouth",
        "draw_object",
        "draw_hair",
        "draw_head",
        "hold_mask",
    }
    assert set(counts) == kinds | {"draw_glasses"}
    assert counts["draw_object"] == pytest.approx(0.16 / 0.62, abs=0.08)


def test_covers_for_the_detector(portrait: Any, drawn: list[str]) -> None:
    repeat(Painter(hands=[HAND]), "cover_any", portrait)
    found = {name: drawn.count(name) / 300 for name in set(drawn)}
    assert found["draw_mask right"] == pytest.approx(0.6, abs=0.09)
    assert sum(v for k, v in found.items() if "mask" in k and k != "hold_mask") == pytest.approx(
        0.75, abs=0.08
    )
    assert found["lay_hand"] == pytest.approx(0.14, abs=0.07)


@pytest.mark.parametrize("method", ["wrong_mask", "bare_cover", "cover_any"])
def test_draws_repeat(portrait: Any, method: str) -> None:
    painter = Painter([TEMPLATE], [HAND])
    for seed in range(6):
        one, two = (
            getattr(painter, method)(portrait.image, portrait.landmarks, np.random.default_rng(seed))
            for _ in range(2)
        )
        if method == "cover_any":
            (one, first), (two, again) = one, two
            assert first == again
        assert np.array_equal(one, two)


@pytest.mark.parametrize(
    ("shares", "label", "drawing"),
    [
        ((1.0, 0.0, 0.0), Label.MASK, "draw_mask right"),
        ((0.0, 1.0, 0.0), Label.INCORRECT, "draw_mask nose_out"),
        ((0.0, 0.0, 1.0), Label.NO_MASK, "draw_object"),
    ],
)
def test_label_of_what_is_drawn(
    portrait: Any, drawn: list[str], shares: tuple[float, float, float], label: Label, drawing: str
) -> None:
    rng = np.random.default_rng(3)
    image, points = portrait.image[::4, ::4].copy(), portrait.landmarks / 4
    given = {Painter().cover_any(image, points, rng, shares)[1] for _ in range(30)}
    assert given == {label}
    assert drawing in drawn
    masks = {name for name in drawn if name.startswith(("draw_mask", "hang_mask"))}
    assert ("draw_mask right" in masks) == (label is Label.MASK)
    assert bool(masks) == (label is not Label.NO_MASK)
