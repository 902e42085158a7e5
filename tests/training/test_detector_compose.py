from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from maskgate.training.detector_compose import (
    SMALLEST_BACKGROUND,
    Background,
    ComposedScenes,
    find_background,
)
from maskgate.training.detector_data import DetectorAugmentation, LabelledPicture
from maskgate.training.occlusion.hands import Hand
from maskgate.training.occlusion.paint import Painter

GROUND, SKIN, SURROUNDINGS = (40, 40, 40), (255, 255, 255), (200, 0, 0)
EYE = (0, 0, 255)


def picture(
    folder: Path, name: str, size: tuple[int, int], boxes: list[list[int]], *, label: int = 0,
    ignore: list[list[int]] | None = None, colour: tuple[int, int, int] = SURROUNDINGS,
) -> LabelledPicture:  # fmt: skip
    """``size`` (width, height); faces are white, a blue dot on each left eye."""
    image = np.full((size[1], size[0], 3), colour, np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = SKIN
        cv2.circle(image, (x1 + (x2 - x1) // 4, y1 + (y2 - y1) // 3), (x2 - x1) // 8, EYE, -1)
    file = folder / name
    cv2.imwrite(str(file), image[..., ::-1])
    own = np.array(boxes, np.float32).reshape(-1, 4)
    sides = own[:, 2:] - own[:, :2]
    places = np.array([[0.25, 0.34], [0.75, 0.34], [0.5, 0.55], [0.3, 0.75], [0.7, 0.75]])
    points = own[:, None, :2] + places[None] * sides[:, None]
    return LabelledPicture(
        file, own, points.astype(np.float32), np.ones(len(own), np.bool_),
        np.array(ignore or [], np.float32).reshape(-1, 4), np.full(len(own), label),
    )  # fmt: skip


@pytest.fixture
def background(tmp_path: Path) -> Background:
    plain = picture(tmp_path, "ground.png", (300, 200), [], colour=GROUND)
    return Background(plain, (20, 30, 280, 190))


def near(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(image.astype(int) - colour).max(2) < 70


def test_backgrounds_stay_clear_of_faces_and_doubts(tmp_path: Path) -> None:
    one = picture(tmp_path, "a.png", (400, 300), [[30, 30, 90, 110]], ignore=[[300, 200, 340, 260]])
    sizes = []
    for seed in range(20):
        found = find_background(one, 400, 300, np.random.default_rng(seed))
        if found is None:
            continue
        x1, y1, x2, y2 = found.window
        assert 0 <= x1 < x2 <= 400
        assert 0 <= y1 < y2 <= 300
        assert min(x2 - x1, y2 - y1) >= SMALLEST_BACKGROUND - 1
        for bx1, by1, bx2, by2 in ([30, 30, 90, 110], [300, 200, 340, 260]):
            assert x2 <= bx1 or bx2 <= x1 or y2 <= by1 or by2 <= y1
        sizes.append((x2 - x1) * (y2 - y1))
    assert len(sizes) > 10
    assert np.median(sizes) > 0.15 * 400 * 300


def test_backgrounds_of_pictures_without_room(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    full = picture(tmp_path, "a.png", (200, 200), [[20, 20, 180, 180]])
    assert find_background(full, 200, 200, rng) is None
    empty = picture(tmp_path, "b.png", (150, 120), [])
    found = find_background(empty, 150, 120, rng)
    assert found is not None
    assert found.window == (0, 0, 150, 120)  # nothing is in the way of the whole
    small = picture(tmp_path, "c.png", (150, 90), [])
    assert find_background(small, 150, 90, rng) is None


def test_labels_lie_on_pasted_faces(tmp_path: Path, background: Background) -> None:
    one = picture(tmp_path, "a.png", (200, 200), [[60, 50, 120, 130]], label=2)
    scenes = ComposedScenes([background], [one], [1.0], Painter())
    assert scenes
    a = DetectorAugmentation(side=320, pasted=(3, 8), pasted_sizes=(30, 90), distract=0.0)
    faces = whole = 0
    for seed in range(15):
        sample = scenes.make(a, np.random.default_rng(seed))
        assert sample.image.shape == (320, 320, 3)
        assert set(sample.labels.tolist()) <= {2}
        assert sample.has_landmarks.dtype == np.bool_
        for (x1, y1, x2, y2), points, known in zip(
            sample.boxes, sample.landmarks, sample.has_landmarks, strict=True
        ):
            assert max(x2 - x1, y2 - y1) < 95
            faces += 1
            if not known or min(x1, y1) < 2 or max(x2, y2) > 318:
                continue
            whole += 1
            assert (x2 - x1) / (y2 - y1) == pytest.approx(60 / 80, rel=0.12)
            inside = sample.image[round(y1) + 1 : round(y2) - 1, round(x1) + 1 : round(x2) - 1]
            assert not near(inside, SURROUNDINGS).any()  # the face alone is in the box
            x, y = points[0].round().astype(int)
            blue = sample.image[y, x].astype(int)
            assert blue[2] > blue[0] + 40  # on the eye
        # nothing is white but what is in a box or in a region to ignore
        left = near(sample.image, SKIN)
        for x1, y1, x2, y2 in np.concatenate([sample.boxes, sample.ignore]):
            left[int(y1) - 1 : int(np.ceil(y2)) + 2, int(x1) - 1 : int(np.ceil(x2)) + 2] = False
        assert left.sum() == 0
    assert faces > 40
    assert whole > 30


def test_other_faces_in_a_patch_are_ignored(tmp_path: Path, background: Background) -> None:
    two = picture(tmp_path, "a.png", (200, 200), [[60, 50, 120, 130], [125, 60, 150, 90]])
    scenes = ComposedScenes([background], [two], [1.0], Painter())
    assert scenes.faces[0].tolist() == [0, 1]  # both are large enough to be pasted
    a = DetectorAugmentation(side=320, pasted=(3, 6), pasted_sizes=(60, 60), distract=0.0)
    samples = [scenes.make(a, np.random.default_rng(seed)) for seed in range(8)]
    assert sum(len(s.ignore) for s in samples) > 8


def test_what_cannot_be_pasted(tmp_path: Path, background: Background) -> None:
    small = picture(tmp_path, "a.png", (100, 100), [[10, 10, 25, 30]])
    empty = picture(tmp_path, "b.png", (100, 100), [])
    assert not ComposedScenes([background], [small, empty], [1.0, 1.0], Painter())
    assert not ComposedScenes([], [small], [1.0], Painter())
    medium = picture(tmp_path, "c.png", (100, 100), [[10, 10, 40, 40]])
    scenes = ComposedScenes([background], [small, medium, empty], [1.0, 1.0, 1.0], Painter())
    a = DetectorAugmentation(side=200, pasted=(2, 4), pasted_sizes=(100, 120), distract=0.0)
    for seed in range(5):  # it would have to be enlarged by more than 1.6
        assert len(scenes.make(a, np.random.default_rng(seed)).boxes) == 0


def test_hands_are_no_faces(tmp_path: Path, background: Background) -> None:
    hand = Hand(np.full((40, 30, 3), (0, 255, 0), np.uint8), np.ones((40, 30), np.float32))
    one = picture(tmp_path, "a.png", (200, 200), [[60, 50, 120, 130]])
    scenes = ComposedScenes([background], [one], [1.0], Painter(hands=[hand]))
    green = []
    for distract in (1.0, 0.0):
        a = DetectorAugmentation(side=256, pasted=(1, 2), pasted_sizes=(20, 30), distract=distract)
        samples = [scenes.make(a, np.random.default_rng(seed)) for seed in range(6)]
        green.append(sum(int(near(s.image, (0, 200, 0)).sum()) for s in samples))
        assert all(len(s.boxes) <= 2 for s in samples)
    assert green[0] > 400
    assert green[1] == 0


def test_same_lots_give_the_same_scene(tmp_path: Path, background: Background) -> None:
    one = picture(tmp_path, "a.png", (200, 200), [[60, 50, 120, 130]], label=1)
    scenes = ComposedScenes([background], [one], [1.0], Painter())
    a = DetectorAugmentation(side=160, occlude=0.7)
    first, second, other = (scenes.make(a, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.boxes, second.boxes)
    assert not np.array_equal(first.image, other.image)


def test_bare_faces_are_covered_and_say_so(tmp_path: Path, background: Background) -> None:
    one = picture(tmp_path, "a.png", (200, 200), [[60, 50, 120, 130]], label=1)
    scenes = ComposedScenes([background], [one], [1.0], Painter())
    labels: list[int] = []
    for occlude in (0.0, 1.0):
        a = DetectorAugmentation(
            side=256, pasted=(3, 6), pasted_sizes=(30, 60), occlude=occlude, covers=(1.0, 0.0, 0.0)
        )
        found = [scenes.make(a, np.random.default_rng(seed)).labels.tolist() for seed in range(4)]
        labels.append(*{label for some in found for label in some})
    assert labels == [1, 0]
