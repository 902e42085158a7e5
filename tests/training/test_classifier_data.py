from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from maskgate.alignment import CropSpec  # noqa: E402
from maskgate.errors import DataError  # noqa: E402
from maskgate.training import classifier_data  # noqa: E402
from maskgate.training.classifier_data import (  # noqa: E402
    INCORRECT,
    MASK,
    NO_MASK,
    ClassifierAugmentation,
    ClassifierDataset,
    draw_view,
    paint,
    still_view,
)
from maskgate.training.crops import SIDE, FaceCrops, cut_face  # noqa: E402
from maskgate.training.occlusion.paint import Painter  # noqa: E402
from maskgate.types import LABELS, Faces  # noqa: E402


def stripes(labels: list[int], sources: list[int] | None = None) -> FaceCrops:
    """Crops each of one grey value, 3 times its place, with landmarks of an upright face."""
    n = len(labels)
    images = np.repeat(np.arange(n, dtype=np.uint8) * 3, SIDE * SIDE * 3).reshape(n, SIDE, SIDE, 3)
    points = np.array([[62, 70], [98, 70], [80, 90], [65, 108], [95, 108]], np.float32)
    return FaceCrops(
        images, np.repeat(points[None], n, 0), np.array(labels), np.array(sources or [0] * n),
        np.full(n, 60, np.float32), [f"{i}.jpg" for i in range(n)],
    )  # fmt: skip


def turned(picture: np.ndarray, face: Faces, angle: float) -> tuple[np.ndarray, Faces]:
    """The picture turned about the face, and the face in it."""
    x1, y1, x2, y2 = face.boxes[0].tolist()
    matrix = cv2.getRotationMatrix2D(((x1 + x2) / 2, (y1 + y2) / 2), -angle, 1)
    image = cv2.warpAffine(picture, matrix, picture.shape[1::-1], flags=cv2.INTER_CUBIC)
    points = face.landmarks[0] @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(image, np.uint8), Faces(face.boxes, face.scores, points[None].astype(np.float32))


class TestViews:
    @pytest.mark.parametrize("angle", [0, 30, -75, 160])
    @pytest.mark.parametrize("scale", [0.25, 0.6, 1.0, 2.5])
    @pytest.mark.parametrize(("margin", "size"), [(1.35, 112), (1.6, 96)])
    def test_still_view_is_what_inference_cuts(
        self,
        astronaut: np.ndarray,
        astronaut_face: Faces,
        angle: float,
        scale: float,
        margin: float,
        size: int,
    ) -> None:
        """Cut with room for training and seen still, or cut at once: the same picture."""
        picture, face = turned(astronaut, astronaut_face, angle)
        wide = (round(512 * scale), round(512 * scale))
        picture = cv2.resize(picture, wide, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        face = Faces(face.boxes * scale, face.scores, face.landmarks * scale)
        trained = still_view(cut_face(picture, face)[0], margin, size)
        used = CropSpec("rotate", size, margin).cut(picture, face)[0]
        assert (trained.shape, trained.dtype) == (used.shape, used.dtype)

        def smooth(image: np.ndarray) -> np.ndarray:
            return cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.5)

        difference = np.abs(smooth(trained) - smooth(used))
        # a shift by one pixel, or a scale off by 2 %, is more than twice as far
        assert difference.mean() < 1.2
        shifted = np.abs(smooth(np.roll(trained, 1, 1)) - smooth(used))[:, 4:-4]
        assert shifted.mean() > 2 * difference[:, 4:-4].mean()
        larger = still_view(cut_face(picture, face)[0], margin * 1.03, size)
        assert np.abs(smooth(larger) - smooth(used)).mean() > 1.5 * difference.mean()

    def test_drawn_views_scatter_about_the_still_one(self) -> None:
        crop = np.zeros((SIDE, SIDE, 3), np.uint8)
        for at in ((60, 70), (100, 70)):
            cv2.circle(crop, at, 5, (255, 255, 255), -1)
        still = still_view(crop, 1.35, 112)
        centre = np.argwhere(still[..., 0] > 100).mean(0)
        rng = np.random.default_rng(0)
        views = [draw_view(crop, 1.35, 112, rng, any_angle=0.0) for _ in range(200)]
        assert all(v.shape == (112, 112, 3) and v.dtype == np.uint8 for v in views)
        spots = [np.argwhere(v[..., 0] > 100) for v in views]
        centres = np.array([s.mean(0) for s in spots])
        assert np.median(centres, 0) == pytest.approx(centre, abs=1.5)
        assert 2 < centres.std(0).mean() < 8  # 3.5 % of 112, and some from turning
        reach = [np.ptp(s[:, 1]) for s in spots]
        assert np.median(reach) == pytest.approx(np.ptp(np.argwhere(still[..., 0] > 100)[:, 1]), rel=0.08)
        angles = []
        for v in views:
            _, parts, _, centroids = cv2.connectedComponentsWithStats((v[..., 0] > 100).astype(np.uint8))
            if parts.max() == 2:
                d = centroids[2] - centroids[1]
                d = d if d[0] > 0 else -d
                angles.append(np.degrees(np.arctan2(d[1], d[0])))
        assert len(angles) > 190
        assert np.std(angles) == pytest.approx(7, rel=0.35)

    def test_they_stray_and_grow_as_told(self) -> None:
        crop = np.zeros((SIDE, SIDE, 3), np.uint8)
        cv2.circle(crop, (SIDE // 2, SIDE // 2), 12, (255, 255, 255), -1)

        def drawn(shift: float, zoom: float) -> tuple[float, float]:
            rng = np.random.default_rng(4)
            spots = [
                np.argwhere(draw_view(crop, 1.35, 112, rng, 0.0, shift, zoom)[..., 0] > 100)
                for _ in range(300)
            ]
            areas = np.log([len(s) for s in spots]) / 2  # the log of the scale
            return float(np.std([s.mean(0) for s in spots], 0).mean()), float(areas.std())

        # about its middle a turn moves the disc by little
        assert drawn(0.0, 0.0) == pytest.approx((0, 0), abs=0.5)
        assert drawn(0.05, 0.16) == pytest.approx((0.05 * 112, 0.16), rel=0.12)

    def test_any_angle(self) -> None:
        crop = np.zeros((SIDE, SIDE, 3), np.uint8)
        crop[40:70, 72:88] = 255  # above the middle
        rng = np.random.default_rng(1)
        below = [
            np.argwhere(draw_view(crop, 1.35, 112, rng, any_angle=1.0)[..., 0] > 100)[:, 0].mean() > 56
            for _ in range(100)
        ]
        assert 30 < sum(below) < 70


class TestDataset:
    def test_shares_of_the_classes(self) -> None:
        a = ClassifierAugmentation(shares=(0.5, 0.3, 0.2), drawn_masks=0, drawn_wrong=0, covered=0)
        data = ClassifierDataset(stripes([MASK, NO_MASK, INCORRECT, NO_MASK]), 0, a, Painter(), 0)
        rng = np.random.default_rng(0)
        labels = [data.sample(rng)[1] for _ in range(1500)]
        assert np.bincount(labels, minlength=3) / 1500 == pytest.approx([0.5, 0.3, 0.2], abs=0.04)

    def test_classes_are_in_the_order_of_labels(self) -> None:
        assert [str(LABELS[k]) for k in (MASK, NO_MASK, INCORRECT)] == ["mask", "no_mask", "incorrect"]

    @pytest.mark.parametrize(
        ("evenness", "wanted"),
        [(0.0, 1 / 10), (1.0, 1 / 2), (0.5, 1 / 4)],
        ids=["each-crop", "each-source", "half"],
    )
    def test_evenness(self, monkeypatch: pytest.MonkeyPatch, evenness: float, wanted: float) -> None:
        """One crop of the first source, nine of the second: the first one's share of the draws."""
        for name in ("vary_light", "vary_sharpness"):
            monkeypatch.setattr(classifier_data, name, lambda image, rng: image)
        monkeypatch.setattr(classifier_data, "_cover_corner", lambda view, rng: view)
        a = ClassifierAugmentation(
            shares=(1, 0, 0), drawn_masks=0, recoloured=0, hooded=0, neighbours=0, evenness=evenness
        )
        crops = stripes([MASK] * 10 + [NO_MASK, INCORRECT], [0] + [1] * 9 + [0, 0])
        crops.images[0] = 255
        data = ClassifierDataset(crops, 0, a, Painter(), 0)
        rng = np.random.default_rng(0)
        first = [data.sample(rng)[0][56, 56, 0] == 255 for _ in range(600)]
        assert np.mean(first) == pytest.approx(wanted, abs=0.05)

    @pytest.mark.parametrize("label", [MASK, NO_MASK, INCORRECT])
    @pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
    def test_share_that_is_painted(self, monkeypatch: pytest.MonkeyPatch, label: int, share: float) -> None:
        painted: list[int] = []

        def count(crop: np.ndarray, landmarks: np.ndarray, label: int, *rest: object) -> np.ndarray:
            painted.append(label)
            return crop

        monkeypatch.setattr(classifier_data, "paint", count)
        shares = tuple(float(k == label) for k in range(3))
        a = ClassifierAugmentation(
            shares=shares, drawn_masks=share, drawn_wrong=share, covered=share, size=64
        )  # type: ignore[arg-type]
        data = ClassifierDataset(stripes([MASK, NO_MASK, INCORRECT]), 0, a, Painter(), 0)
        rng = np.random.default_rng(0)
        for _ in range(300):
            assert data.sample(rng)[1] == label
        assert len(painted) / 300 == pytest.approx(share, abs=0.09)
        assert set(painted) <= {label}

    def test_only_bare_faces_of_some_size_with_landmarks_are_painted(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: set[int] = set()

        def note(crop: np.ndarray, *rest: object) -> np.ndarray:
            seen.add(int(crop[0, 0, 0]) // 3)
            return crop

        monkeypatch.setattr(classifier_data, "paint", note)
        crops = stripes([MASK, NO_MASK, NO_MASK, NO_MASK, INCORRECT, NO_MASK])
        crops.landmarks[2] = np.nan
        crops.sizes[3] = 23
        a = ClassifierAugmentation(drawn_masks=1, drawn_wrong=1, covered=1, size=64)
        data = ClassifierDataset(crops, 0, a, Painter(), 0)
        rng = np.random.default_rng(0)
        for _ in range(60):
            data.sample(rng)
        assert seen == {1, 5}

    def test_item_depends_on_seed_epoch_and_index_alone(self) -> None:
        crops = stripes([MASK, NO_MASK, INCORRECT, NO_MASK])
        crops.images[:] = np.random.default_rng(0).integers(0, 256, crops.images.shape)
        a = ClassifierAugmentation()
        one, two = (ClassifierDataset(crops, 20, a, Painter(), 7) for _ in range(2))
        assert len(one) == 20
        forward = [one[i] for i in range(12)]
        backward = [two[i] for i in reversed(range(12))][::-1]
        for (x, label), (y, other) in zip(forward, backward, strict=True):
            assert torch.equal(x, y)
            assert torch.equal(label, other)
            assert (x.shape, x.dtype, label.dtype) == ((3, 112, 112), torch.uint8, torch.int64)
        two.epoch = 1
        other_seed = ClassifierDataset(crops, 20, a, Painter(), 8)
        assert not any(torch.equal(forward[i][0], two[i][0]) for i in range(12))
        assert not any(torch.equal(forward[i][0], other_seed[i][0]) for i in range(12))

    def test_item_is_the_sample_with_channels_first(self) -> None:
        data = ClassifierDataset(
            stripes([MASK, NO_MASK, INCORRECT]), 9, ClassifierAugmentation(size=80), Painter(), 2
        )
        data.epoch = 3
        image, label = data.sample(np.random.default_rng((2, 3, 4)))
        x, y = data[4]
        assert np.array_equal(x.numpy().transpose(1, 2, 0), image)
        assert int(y) == label

    def test_weights_of_single_crops(self, monkeypatch: pytest.MonkeyPatch) -> None:
        crops = stripes([MASK] * 4 + [NO_MASK, INCORRECT])
        a = ClassifierAugmentation(shares=(1, 0, 0), drawn_masks=0)
        data = ClassifierDataset(crops, 0, a, Painter(), 0, weights=np.array([0, 0, 1, 0, 1, 1.0]))
        index, weight = data._pools[MASK]
        assert dict(zip(index.tolist(), weight.tolist(), strict=True)) == {0: 0, 1: 0, 2: 1, 3: 0}


def test_paint_makes_the_class_it_is_asked_for(astronaut: np.ndarray, astronaut_face: Faces) -> None:
    """A mask hides nose and mouth; a wrong one leaves the nose; a cover is none, yet changes it."""
    crop, points = cut_face(astronaut, astronaut_face)
    nose, mouth = points[2].round().astype(int), points[3:].mean(0).round().astype(int)

    def change(label: int, at: np.ndarray, seed: int) -> float:
        out = paint(crop, points, label, Painter(), np.random.default_rng(seed)).astype(float)
        part = np.s_[at[1] - 2 : at[1] + 3, at[0] - 2 : at[0] + 3]
        return float(np.abs(out - crop)[part].mean())

    hidden = [
        [change(label, at, s) for s in range(100)] for label in (MASK, INCORRECT) for at in (nose, mouth)
    ]
    right_nose, right_mouth, wrong_nose, _ = (np.median(h) for h in hidden)
    assert right_nose > 15
    assert right_mouth > 15
    assert wrong_nose < 5
    assert max(change(NO_MASK, mouth, s) for s in range(25)) > 15


def test_sizes_of_the_view_follow_the_settings() -> None:
    a = replace(ClassifierAugmentation(), size=72)
    data = ClassifierDataset(stripes([MASK, NO_MASK, INCORRECT]), 1, a, Painter(), 0)
    assert data[0][0].shape == (3, 72, 72)


class TestClassesThatNobodyHas:
    """A folder of two classes is what most people have."""

    def test_it_is_drawn(self) -> None:
        data = ClassifierDataset(stripes([MASK, NO_MASK]), 0, ClassifierAugmentation(size=64), Painter(), 0)
        rng = np.random.default_rng(0)
        assert {data.sample(rng)[1] for _ in range(60)} == {MASK, NO_MASK, INCORRECT}

    def test_it_is_left_out(self) -> None:
        a = ClassifierAugmentation(size=64, shares=(0.5, 0.5, 0.0), drawn_wrong=0.0)
        data = ClassifierDataset(stripes([MASK, NO_MASK]), 0, a, Painter(), 0)
        rng = np.random.default_rng(0)
        assert {data.sample(rng)[1] for _ in range(60)} == {MASK, NO_MASK}

    @pytest.mark.parametrize(
        ("labels", "drawn_wrong", "missing"),
        [([MASK, NO_MASK], 0.0, "incorrect"), ([MASK, INCORRECT], 0.45, "no_mask"), ([MASK], 1.0, "no_mask")],
    )
    def test_it_can_not_be_made(self, labels: list[int], drawn_wrong: float, missing: str) -> None:
        a = ClassifierAugmentation(size=64, drawn_wrong=drawn_wrong)
        with pytest.raises(DataError, match=rf"labelled {missing}; add some, or put 0 in its place"):
            ClassifierDataset(stripes(labels), 0, a, Painter(), 0)
