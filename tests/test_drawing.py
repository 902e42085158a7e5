"""Drawn pictures, judged by their pixels and by where tags may be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from maskgate.drawing import COLOURS, WORDS, blur_faces, draw_verdicts
from maskgate.errors import InputError
from maskgate.types import LABELS, Faces, Label, Verdicts

P = {Label.MASK: (0.9, 0.06, 0.04), Label.NO_MASK: (0.05, 0.92, 0.03), Label.INCORRECT: (0.1, 0.2, 0.7)}
PLACES = np.array([[0.3, 0.38], [0.7, 0.38], [0.5, 0.58], [0.34, 0.77], [0.66, 0.77]])


def judged(
    size: tuple[int, int], *boxes: tuple[float, float, float, float], labels: str = "", unsure: bool = False
) -> Verdicts:
    """Verdicts on a picture of (width, height); labels by their first letters, ``mask`` unless given."""
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    points = corners[:, None, :2] + PLACES * (corners[:, 2:] - corners[:, :2])[:, None]
    faces = Faces(corners, np.full(len(corners), 0.9), points)
    kinds = {"m": Label.MASK, "n": Label.NO_MASK, "i": Label.INCORRECT}
    rows = [P[kinds[letter]] for letter in labels or "m" * len(corners)]
    return Verdicts(*size, faces, np.array(rows).reshape(-1, 3), np.full(len(corners), unsure), threshold=0.5)


def grey(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(H, W) bool."""
    return (before != after).any(2)


def is_colour(pixels: np.ndarray, label: Label, tolerance: int = 2) -> np.ndarray:
    return np.abs(pixels.astype(int) - COLOURS[label]).max(-1) <= tolerance


THIN = 25
"""Tolerance on lines of one pixel, which blend with their dark rim."""


def test_no_faces_give_an_identical_copy() -> None:
    image = noise(30, 20)
    drawn = draw_verdicts(image, judged((30, 20)))
    np.testing.assert_array_equal(drawn, image)
    assert not np.shares_memory(drawn, image)


def test_the_picture_itself_is_not_drawn_on(astronaut: np.ndarray) -> None:
    image = astronaut.copy()
    drawn = draw_verdicts(image, judged((512, 512), (170, 65, 278, 210)))
    np.testing.assert_array_equal(image, astronaut)
    assert (drawn.shape, drawn.dtype) == (image.shape, image.dtype)
    assert changed(image, drawn).any()


@pytest.mark.parametrize("letter", "mni")
def test_the_box_is_outlined_in_its_labels_colour(letter: str) -> None:
    label = next(label for label in LABELS if label.startswith(letter))
    image = grey(320, 320)
    drawn = draw_verdicts(image, judged((320, 320), (100, 120, 200, 240), labels=letter))
    # the middle of each side, and what lies well inside and outside
    for x, y in ((100, 180), (200, 180), (150, 240)):
        assert is_colour(drawn[y, x], label, THIN)
    for x, y in ((110, 180), (190, 180), (150, 225), (90, 180), (210, 180), (150, 250)):
        assert (drawn[y, x] == 128).all()
    # solid: all of a side but the rounded corners
    assert is_colour(drawn[130:231, 100], label, THIN).all()


def test_uncertain_boxes_are_dashed() -> None:
    drawn = draw_verdicts(grey(320, 320), judged((320, 320), (100, 120, 200, 240), unsure=True))
    side = is_colour(drawn[130:231, 100], Label.MASK, THIN)
    assert 0.3 < side.mean() < 0.7
    assert ndimage.label(side)[1] >= 3


def test_landmarks_are_marked() -> None:
    drawn = draw_verdicts(grey(320, 320), judged((320, 320), (100, 120, 200, 240)))
    for x, y in PLACES * (100, 120) + (100, 120):
        assert (drawn[round(y), round(x)] == 255).all()


def test_nothing_else_is_touched() -> None:
    """One box in a large picture: pixels change at its outline, its landmarks and one tag."""
    image, box = noise(640, 480), (200, 150, 330, 310)
    marked = changed(image, draw_verdicts(image, judged((640, 480), box)))
    y, x = np.mgrid[:480, :640]
    x1, y1, x2, y2 = box
    inside = (x > x1 + 5) & (x < x2 - 5) & (y > y1 + 5) & (y < y2 - 5)
    points = PLACES * (130, 160) + (x1, y1)
    near_a_point = (np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1]) < 7).any(-1)
    assert not (marked & inside & ~near_a_point).any()
    outside = (x < x1 - 5) | (x > x2 + 5) | (y < y1 - 5) | (y > y2 + 5)
    parts, count = ndimage.label(marked & outside)
    assert count == 1, "more than a tag outside the box"
    rows, columns = ndimage.find_objects(parts)[0]
    assert rows.stop <= y1, "a lone face has its tag above"
    assert (columns.stop - columns.start) * (rows.stop - rows.start) < 0.02 * 640 * 480


def tags(drawn: np.ndarray, label: Label) -> list[tuple[slice, slice]]:
    """Places of the areas filled with the label's colour: tags with their letters as holes."""
    filled = ndimage.binary_opening(is_colour(drawn, label), np.ones((2, 7)))
    filled = ndimage.binary_closing(np.pad(filled, 12), np.ones((12, 12)))[12:-12, 12:-12]
    filled = ndimage.binary_opening(filled, np.ones((8, 8)))
    return [place for place in ndimage.find_objects(ndimage.label(filled)[0]) if place]


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 60, 80), (260, 0, 320, 80), (0, 240, 60, 320), (260, 240, 320, 320),  # corners
        (-40, 100, 60, 200), (260, 100, 360, 200), (100, -50, 200, 40), (100, 290, 200, 400),  # over edges
        (0, 0, 320, 320), (-50, -50, 370, 370),  # everything
    ],
)  # fmt: skip
def test_tags_and_lines_stay_in_the_picture(box: tuple[float, float, float, float]) -> None:
    """Drawn on a picture with a border around it, a tag that left the picture would be cut off."""
    drawn = draw_verdicts(grey(320, 320), judged((320, 320), box, labels="n"))
    (place,) = tags(drawn, Label.NO_MASK)
    free = draw_verdicts(grey(960, 960), judged((960, 960), (300, 300, 420, 460), labels="n"))
    assert place[1].stop - place[1].start > 50, "no room for 'no mask 92%'"
    assert place[0].stop - place[0].start >= 12
    # the tag's ink: as many letters as where there is room on all sides
    letters = ndimage.label(~is_colour(drawn[place], Label.NO_MASK), np.ones((3, 3)))[1]
    (wide,) = tags(free, Label.NO_MASK)
    unhindered = ndimage.label(~is_colour(free[wide], Label.NO_MASK), np.ones((3, 3)))[1]
    assert letters >= 5
    assert unhindered >= 5
    # the outline runs along the edge where the box reaches over it
    lines = is_colour(drawn, Label.NO_MASK, THIN)
    lines[place] = False
    edges = {0: lines[:, :2], 1: lines[:2], 2: lines[:, -2:], 3: lines[-2:]}
    for side, edge in edges.items():
        reaches = box[side] <= 0 if side < 2 else box[side] >= 320
        assert edge.any() == reaches, side


def test_tags_keep_off_other_faces_and_tags() -> None:
    boxes = (200, 100, 280, 200), (200, 210, 280, 310), (290, 100, 370, 200), (290, 210, 370, 310)
    drawn = draw_verdicts(grey(640, 480), judged((640, 480), *boxes, labels="nnnn"))
    places = tags(drawn, Label.NO_MASK)
    assert len(places) == 4, "tags cover each other"
    for rows, columns in places:
        for x1, y1, x2, y2 in boxes:
            over_x = min(columns.stop, x2) - max(columns.start, x1)
            over_y = min(rows.stop, y2) - max(rows.start, y1)
            assert min(over_x, over_y) <= 3


def test_what_the_tag_says_depends_on_the_verdict() -> None:
    def tag(**options: object) -> bytes:
        return draw_verdicts(grey(320, 320), judged((320, 320), (100, 120, 200, 240), **options))[
            :118
        ].tobytes()  # type: ignore[arg-type]

    assert len({tag(labels="m"), tag(labels="n"), tag(labels="i"), tag(labels="m", unsure=True)}) == 4


def test_colours_and_words_for_every_label() -> None:
    assert set(COLOURS) == set(WORDS) == set(LABELS)

    def luminance(rgb: tuple[int, int, int]) -> float:
        # WCAG 2.1, relative luminance
        c = np.array(rgb) / 255
        return float(
            np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
        )

    for colour in COLOURS.values():
        assert (luminance(colour) + 0.05) / (luminance((16, 16, 16)) + 0.05) >= 4.5, (
            "letters are hard to read"
        )


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 50), (50, 1), (16, 16), (40, 12)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    width, height = size
    image = grey(width, height)
    drawn = draw_verdicts(image, judged(size, (0, 0, width, height), (-1, -1, 1, 1), labels="ni"))
    assert drawn.shape == image.shape
    assert changed(image, drawn).any()


def test_boxes_that_cannot_be_drawn_are_passed_over() -> None:
    image = grey(100, 80)
    outside = (200, 10, 260, 60), (-50, -50, -10, -10), (30, 30, 30, 50), (50, 50, 40, 60)
    np.testing.assert_array_equal(draw_verdicts(image, judged((100, 80), *outside)), image)
    nowhere = Faces(np.full((1, 4), np.nan), np.ones(1), np.full((1, 5, 2), np.nan))
    verdicts = Verdicts(100, 80, nowhere, np.array([P[Label.MASK]]), np.array([False]), 0.5)
    np.testing.assert_array_equal(draw_verdicts(image, verdicts), image)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.lists(st.tuples(*[st.floats(-400, 700, width=32)] * 4, st.sampled_from("mni")), max_size=5),
    st.booleans(),
)
def test_any_boxes_in_any_picture(
    width: int, height: int, found: list[tuple[float, float, float, float, str]], unsure: bool
) -> None:
    verdicts = judged(
        (width, height), *(row[:4] for row in found), labels="".join(row[4] for row in found), unsure=unsure
    )
    image = noise(width, height)
    drawn = draw_verdicts(image, verdicts)
    assert (drawn.shape, drawn.dtype) == (image.shape, np.uint8)
    # far from all boxes and where no tag reaches, nothing changes
    if not found:
        np.testing.assert_array_equal(drawn, image)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (grey(20, 10), "verdicts are of a 10×20 picture and image is 20×10"),
        (np.zeros((20, 10)), "image is grey"),
        (np.zeros((20, 10, 3)), "dtype float64"),
    ],
)
def test_wrong_pictures(image: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        draw_verdicts(image, judged((10, 20)))


class TestBlur:
    BOX = (170, 65, 278, 210)

    def blurred(self, image: np.ndarray, *boxes: tuple[float, float, float, float]) -> np.ndarray:
        size = image.shape[1], image.shape[0]
        return blur_faces(image, judged(size, *boxes).faces)

    def test_the_face_goes_and_the_rest_stays(self, astronaut: np.ndarray) -> None:
        blurred = self.blurred(astronaut, self.BOX)
        x1, y1, x2, y2 = self.BOX
        # the ellipse 1.4 times the box holds it but for its corners
        y, x = np.mgrid[:512, :512]
        inside = (
            ((x + 0.5 - (x1 + x2) / 2) / (0.7 * (x2 - x1))) ** 2
            + ((y + 0.5 - (y1 + y2) / 2) / (0.7 * (y2 - y1))) ** 2
        ) <= 1  # fmt: skip
        moved = changed(astronaut, blurred)
        assert not (moved & ~inside).any()
        assert moved[inside].mean() > 0.95
        # what tells faces apart is gone: detail finer than the cells
        before, after = (ndimage.laplace(p[100:200, 190:260].mean(2)) for p in (astronaut, blurred))
        assert np.abs(after).mean() < 0.1 * np.abs(before).mean()

    def test_blurring_keeps_no_pixel_order(self) -> None:
        """Faces that differ in detail only come out alike."""
        a, b = grey(200, 200), grey(200, 200)
        a[::2], b[1::2] = 160, 160
        left, right = (self.blurred(p, (50, 50, 150, 150))[60:140, 60:140].astype(int) for p in (a, b))
        assert np.abs(left - right).max() <= 4

    def test_boxes_over_and_beyond_the_edge(self, astronaut: np.ndarray) -> None:
        for box in ((-50, -50, 40, 40), (480, 480, 700, 600), (0, 0, 512, 512)):
            assert changed(astronaut, self.blurred(astronaut, box)).any()
        for box in ((600, 0, 700, 90), (-90, -90, -40, -40), (50, 50, 50, 90), (float("nan"), 0, 9, 9)):
            np.testing.assert_array_equal(self.blurred(astronaut, box), astronaut)

    def test_no_faces(self, astronaut: np.ndarray) -> None:
        np.testing.assert_array_equal(self.blurred(astronaut), astronaut)
