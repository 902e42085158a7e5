from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from maskgate.detection.boxes import iou  # noqa: E402
from maskgate.detection.cascade import cut_windows  # noqa: E402
from maskgate.errors import DataError  # noqa: E402
from maskgate.images import write_image  # noqa: E402
from maskgate.training.cascade_data import (  # noqa: E402
    DROPPED,
    MASKED,
    OTHER,
    PART,
    MaskedPicture,
    WindowCounts,
    WindowDataset,
    Windows,
    collect_windows,
    label_windows,
    near_windows,
    random_windows,
    read_pictures,
)
from maskgate.training.recipe import Source  # noqa: E402
from maskgate.types import Faces, Label  # noqa: E402

NONE = np.zeros((0, 4), np.float32)


def boxes(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def picture(masked: np.ndarray = NONE, bare: np.ndarray = NONE, ignore: np.ndarray = NONE) -> MaskedPicture:
    return MaskedPicture(Path("a.png"), "a.png", masked, bare, ignore)


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)


def faces(rows: np.ndarray, scores: list[float]) -> Faces:
    return Faces(rows, np.array(scores, np.float32), np.zeros((len(rows), 5, 2), np.float32))


class TestReading:
    def test_scenes(self, tmp_path: Path) -> None:
        folder = tmp_path / "scenes"
        save(folder / "images" / "a.png", np.zeros((80, 100, 3), np.uint8))
        drawn = [
            (1, [10, 10, 20, 20], 0), (2, [40, 10, 20, 20], 0), (3, [70, 10, 20, 20], 0),
            (1, [10, 50, 20, 20], 1), (1, [50, 50, 6, 8], 0),
        ]  # fmt: skip
        content = {
            "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 80}],
            "categories": [
                {"id": i + 1, "name": name} for i, name in enumerate(("mask", "no_mask", "incorrect"))
            ],
            "annotations": [
                {"id": i, "image_id": 1, "category_id": c, "bbox": b, "iscrowd": crowd}
                for i, (c, b, crowd) in enumerate(drawn)
            ],
        }  # fmt: skip
        (folder / "annotations.json").write_text(json.dumps(content))
        # the second is the first face drawn, the others are new: one is doubtful, one hardly anything
        found = faces(boxes([60, 60, 70, 70], [11, 11, 31, 31], [80, 60, 90, 70]), [0.9, 0.9, 0.1])
        (own,) = read_pictures([Source("scenes", "scenes")], tmp_path, {"scenes/images/a.png": found}, {})
        assert own.name == "scenes/images/a.png"
        np.testing.assert_array_equal(own.masked, boxes([10, 10, 30, 30]))
        np.testing.assert_array_equal(own.bare, boxes([40, 10, 60, 30]))
        # worn wrongly, a crowd, tiny, and a face found that nobody drew
        wanted = boxes([70, 10, 90, 30], [10, 50, 30, 70], [50, 50, 56, 58], [60, 60, 70, 70])
        np.testing.assert_array_equal(own.ignore, wanted)

    def test_photographs(self, tmp_path: Path) -> None:
        found = {}
        for name in ("m/a", "n/b", "n/c", "n/d", "n/e", "i/f"):
            save(tmp_path / "photos" / f"{name}.png", np.zeros((80, 100, 3), np.uint8))
            found[f"photos/{name}.png"] = faces(boxes([0, 0, 40, 40], [60, 60, 80, 80]), [0.9, 0.9])
        found["photos/n/d.png"] = Faces.empty()
        labels = {"m": "mask", "n": "no_mask", "i": "incorrect"}
        corrections = {"photos/n/c.png": Label.MASK, "photos/n/e.png": None}
        own = read_pictures([Source("photos", "photos", labels=labels)], tmp_path, found, corrections)
        counts = {p.path.stem: (len(p.masked), len(p.bare), len(p.ignore)) for p in own}
        # the smaller face may be anything
        assert counts == {"a": (1, 0, 1), "b": (0, 1, 1), "c": (1, 0, 1), "f": (0, 0, 2)}
        with pytest.raises(DataError, match="in no folder that the labels of source photos name"):
            read_pictures([Source("photos", "photos", labels={"m": "mask"})], tmp_path, found, {})

    def test_photographs_of_bare_people(self, tmp_path: Path) -> None:
        save(tmp_path / "groups" / "a.png", np.zeros((80, 100, 3), np.uint8))
        rows = boxes([0, 0, 40, 40], [60, 60, 80, 80], [60, 0, 80, 20])
        found = {"groups/a.png": faces(rows, [0.9, 0.85, 0.5])}
        (own,) = read_pictures([Source("groups", "photos", bare=(".",))], tmp_path, found, {})
        np.testing.assert_array_equal(own.bare, rows[:2])
        np.testing.assert_array_equal(own.ignore, rows[2:])  # hardly sure to be a face
        assert read_pictures([Source("groups", "photos")], tmp_path, found, {}) == []
        assert read_pictures([Source("groups", "crops", bare=(".",))], tmp_path, found, {}) == []


class TestLabels:
    def test_by_overlap(self) -> None:
        own = picture(boxes([20, 20, 40, 40]), bare=boxes([60, 20, 80, 40]))
        windows = boxes(
            [20, 20, 40, 40], [23, 20, 43, 40], [27, 20, 47, 40], [30, 20, 50, 40], [36, 20, 56, 40],
            [60, 20, 80, 40],
        )  # fmt: skip
        kinds, offsets = label_windows(windows, own)
        overlap = [1, 17 / 23, 13 / 27, 10 / 30, 4 / 36, 0]
        np.testing.assert_allclose(iou(windows, own.masked)[:, 0], overlap, atol=1e-6)
        assert kinds.tolist() == [MASKED, MASKED, PART, DROPPED, OTHER, OTHER]
        np.testing.assert_allclose(offsets[1], [-3 / 20, 0, -3 / 20, 0], atol=1e-6)
        np.testing.assert_allclose(offsets[2], [-7 / 20, 0, -7 / 20, 0], atol=1e-6)
        assert (offsets[3:] == 0).all()

    def test_what_nobody_speaks_for(self) -> None:
        own = picture(boxes([20, 20, 40, 40]), ignore=boxes([25, 25, 45, 45], [80, 80, 84, 84]))
        windows = boxes(
            [20, 20, 40, 40], [60, 60, 80, 80], [40, 25, 60, 45], [70, 70, 110, 110], [44, 44, 64, 64]
        )
        kinds, _ = label_windows(windows, own)
        # a masked face stays one; a window within reach of an ignored face, or around one, is left out
        assert kinds.tolist() == [MASKED, OTHER, OTHER, DROPPED, OTHER]
        closer, _ = label_windows(boxes([36, 25, 56, 45]), own)
        assert closer.tolist() == [DROPPED]

    def test_without_faces(self) -> None:
        assert label_windows(boxes([0, 0, 9, 9]), picture())[0].tolist() == [OTHER]
        kinds, offsets = label_windows(NONE, picture(boxes([0, 0, 9, 9])))
        assert (kinds.shape, offsets.shape) == ((0,), (0, 4))


class TestDrawing:
    def test_near(self) -> None:
        rng = np.random.default_rng(0)
        face = boxes([100, 100, 140, 150])
        windows = near_windows(face, 200, 0.2, rng)
        sides = windows[:, 2:] - windows[:, :2]
        assert (sides[:, 0] == sides[:, 1]).all()
        assert 0.8 * 45 - 1 <= sides.min() < 40 < 50 < sides.max() <= 1.25 * 45 + 1
        apart = (windows[:, :2] + windows[:, 2:]) / 2 - [120, 125]
        assert 5 < np.abs(apart).max() <= 0.2 * 45 + 1
        kinds, _ = label_windows(windows, picture(face))
        assert (kinds == MASKED).mean() > 0.3
        assert np.isin(kinds, (MASKED, PART)).mean() > 0.8
        assert near_windows(NONE, 5, 0.2, rng).shape == (0, 4)

    def test_anywhere(self) -> None:
        windows = random_windows(200, 90, 300, np.random.default_rng(0))
        sides = windows[:, 2] - windows[:, 0]
        assert 12 <= sides.min() < 15
        assert 80 < sides.max() <= 90
        assert (windows >= -1).all()
        assert (windows <= [201, 91, 201, 91]).all()
        assert random_windows(5, 5, 3, np.random.default_rng(0)).shape == (3, 4)


@pytest.fixture
def scene(tmp_path: Path) -> MaskedPicture:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (120, 160, 3)).astype(np.uint8)
    save(tmp_path / "a.png", image)
    return MaskedPicture(tmp_path / "a.png", "a.png", boxes([20, 20, 50, 50]), boxes([90, 30, 120, 60]), NONE)


class TestCollecting:
    def test_the_first_networks_windows(self, scene: MaskedPicture) -> None:
        windows = collect_windows([scene, scene], 12, WindowCounts(9, 20, 5), 3, quiet=True)
        assert windows.images.shape == (len(windows), 12, 12, 3)
        kinds = [(windows.kinds == k).sum() for k in (OTHER, MASKED, PART)]
        assert all(kinds)
        assert sum(kinds) <= 2 * (9 + 3 + 4 + 20)
        again = collect_windows([scene, scene], 12, WindowCounts(9, 20, 5), 3, quiet=True)
        assert np.array_equal(again.images, windows.images)
        other = collect_windows([scene, scene], 12, WindowCounts(9, 20, 5), 4, quiet=True)
        assert not np.array_equal(other.kinds, windows.kinds) or not np.array_equal(
            other.images, windows.images
        )

    def test_hard_ones_come_from_the_networks_before(self, scene: MaskedPicture) -> None:
        wrong = boxes(*[[100 + i, 70, 124 + i, 94] for i in range(8)])
        right = boxes([22, 20, 52, 50])
        counts = WindowCounts(3, 20, 5)
        windows = collect_windows(
            [scene], 24, counts, 3, lambda _: np.concatenate([wrong, right]), quiet=True
        )
        image = np.asarray(__import__("maskgate.images").images.read_image(scene.path))
        cut = cut_windows(image, wrong, 24)
        have = [bool((windows.images == w).all((1, 2, 3)).any()) for w in cut]
        assert have == [True] * 5 + [False] * 3  # the best five
        hit = (windows.images == cut_windows(image, right, 24)[0]).all((1, 2, 3))
        assert windows.kinds[hit].tolist() == [MASKED]
        np.testing.assert_allclose(windows.offsets[hit][0], [-2 / 30, 0, -2 / 30, 0], atol=1e-6)

    def test_nothing_to_learn(self, scene: MaskedPicture) -> None:
        without = MaskedPicture(scene.path, "a", NONE, scene.bare, NONE)
        with pytest.raises(DataError, match="no window of 12 pixels shows a masked face"):
            collect_windows([without], 12, WindowCounts(), 0, quiet=True)
        full = MaskedPicture(scene.path, "a", scene.masked, NONE, boxes([0, 0, 160, 120]))
        with pytest.raises(DataError, match="shows anything else"):
            collect_windows([full], 12, WindowCounts(), 0, quiet=True)

    def test_windows_come_back_from_a_file(self, scene: MaskedPicture, tmp_path: Path) -> None:
        windows = collect_windows([scene], 12, WindowCounts(), 0, quiet=True)
        windows.save(tmp_path / "w.npz")
        back = Windows.load(tmp_path / "w.npz")
        for name in ("images", "kinds", "offsets"):
            assert np.array_equal(getattr(back, name), getattr(windows, name)), name
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "w.npz"]


class TestDataset:
    def windows(self) -> Windows:
        images = np.zeros((6, 12, 12, 3), np.uint8)
        images[:, :, :6] = np.arange(6)[:, None, None, None] * 20 + 100  # bright at the left
        kinds = np.array([MASKED, MASKED, PART, OTHER, OTHER, OTHER], np.int8)
        offsets = np.zeros((6, 4), np.float32)
        offsets[:3] = [0.1, 0.2, 0.3, 0.4]
        return Windows(images, kinds, offsets)

    def test_items_depend_on_seed_epoch_and_place_alone(self) -> None:
        one, two = (WindowDataset(self.windows(), 50, (0.3, 0.2, 0.5), 1) for _ in range(2))
        two[49]
        for a, b in zip(one[7], two[7], strict=True):
            assert torch.equal(a, b)
        two.epoch = 1
        assert any(not torch.equal(one[i][0], two[i][0]) for i in range(5))
        assert len(one) == 50

    def test_shares(self) -> None:
        dataset = WindowDataset(self.windows(), 400, (0.3, 0.2, 0.5), 1)
        kinds = np.array([int(dataset[i][1]) for i in range(400)])
        shares = [(kinds == k).mean() for k in (MASKED, PART, OTHER)]
        np.testing.assert_allclose(shares, [0.3, 0.2, 0.5], atol=0.07)
        own = self.windows()
        own.kinds[2] = OTHER
        without = WindowDataset(own, 100, (0.3, 0.2, 0.5), 1)
        assert {int(without[i][1]) for i in range(100)} == {MASKED, OTHER}

    def test_mirrored_with_their_offsets(self) -> None:
        dataset = WindowDataset(self.windows(), 60, (1, 0, 0), 1)
        seen = set()
        for i in range(60):
            image, kind, offsets = dataset[i]
            assert (image.shape, image.dtype, int(kind)) == ((3, 12, 12), torch.uint8, MASKED)
            halves = image.float().mean((0, 1))
            mirrored = bool(halves[6:].mean() > halves[:6].mean())
            wanted = [-0.3, 0.2, -0.1, 0.4] if mirrored else [0.1, 0.2, 0.3, 0.4]
            np.testing.assert_allclose(offsets, wanted, atol=1e-6)
            seen.add(mirrored)
        assert seen == {True, False}
