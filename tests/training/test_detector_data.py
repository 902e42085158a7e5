from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from maskgate.detection.anchors import make_anchors  # noqa: E402
from maskgate.detection.retinaface import RetinaFaceSettings  # noqa: E402
from maskgate.errors import DataError  # noqa: E402
from maskgate.training import detector_data  # noqa: E402
from maskgate.training.detector_data import (  # noqa: E402
    DetectorAugmentation,
    DetectorDataset,
    LabelledPicture,
    detection_settings,
)
from maskgate.training.detector_targets import match_anchors  # noqa: E402
from maskgate.training.detector_views import Sample  # noqa: E402
from maskgate.training.occlusion.paint import Painter  # noqa: E402
from maskgate.types import Label  # noqa: E402

GROUND, SKIN, REGION = (70, 70, 70), (255, 255, 255), (120, 0, 120)
DOTS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]
MIRRORED = [1, 0, 2, 4, 3]


def draw(folder: Path, *, bare: bool = False) -> LabelledPicture:
    """A picture with a face of 120×140 pixels, a dot of its own colour on each landmark, and a
    region to ignore."""
    image = np.full((320, 400, 3), GROUND, np.uint8)
    box, region = [100, 80, 220, 220], [280, 200, 360, 260]
    image[box[1] : box[3], box[0] : box[2]] = SKIN
    image[region[1] : region[3], region[0] : region[2]] = REGION
    points = [[130, 120], [190, 120], [160, 155], [135, 190], [185, 190]]
    for (x, y), colour in zip(points, DOTS, strict=True):
        cv2.circle(image, (x, y), 9, colour, -1, cv2.LINE_AA)
    file = folder / "dots.png"
    cv2.imwrite(str(file), image[..., ::-1])
    return LabelledPicture(
        file, np.array([box], np.float32), np.array([points], np.float32), np.ones(1, np.bool_),
        np.array([region], np.float32), np.full(1, 1 if bare else -1),
    )  # fmt: skip


def near(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(image.astype(int) - colour).max(2) < 60


def edges_of(mask: np.ndarray) -> list[int]:
    """x1, y1, x2, y2 of the largest connected part."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    x, y, w, h, _ = stats[1 + stats[1:, cv2.CC_STAT_AREA].argmax()].tolist()
    return [x, y, x + w, y + h]


@pytest.fixture
def plain_light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Geometry alone, so that colours tell where things went."""
    for name in ("vary_light", "vary_sharpness"):
        monkeypatch.setattr(detector_data, name, lambda image, rng: image)


def dataset(
    picture: LabelledPicture, a: DetectorAugmentation, painter: Painter | None = None, seed: int = 1
) -> DetectorDataset:
    return DetectorDataset([picture], [1.0], 100, a, painter, seed)


@pytest.mark.usefixtures("plain_light")
@pytest.mark.parametrize(
    "augmentation",
    [
        DetectorAugmentation(side=256, whole=1.0, mosaic=0.0, tilt=0.0),
        DetectorAugmentation(side=256, whole=0.0, mosaic=0.0, tilt=0.0, face_sizes=(25, 60)),  # shrunk first
        DetectorAugmentation(
            side=320, whole=0.0, mosaic=0.0, tilt=0.0, face_sizes=(90, 300)
        ),  # up to 2.2 times
    ],
    ids=["whole", "small", "large"],
)
def test_labels_stay_on_the_pixels(tmp_path: Path, augmentation: DetectorAugmentation) -> None:
    data = dataset(draw(tmp_path), augmentation)
    seen = mirrored = regions = 0
    for seed in range(40):
        sample = data.sample(np.random.default_rng(seed))
        assert sample.image.shape == (augmentation.side, augmentation.side, 3)
        assert len(sample.boxes) == 1  # the chosen face is always in view
        corners = sample.image[[0, 0, -1, -1], [0, -1, 0, -1]][None]
        if any(near(corners, c).any() for c in [*DOTS, REGION, SKIN]):
            continue  # a fill of the colour that is looked for
        dots = [np.argwhere(near(sample.image, c))[:, ::-1].mean(0) for c in DOTS]
        scale = float(sample.boxes[0, 2] - sample.boxes[0, 0]) / 120
        slack = 1.0 + 0.5 * max(scale, 1)
        turned = dots[0][0] > dots[1][0]
        mirrored += turned
        wanted = np.array(dots)[MIRRORED] if turned else np.array(dots)
        assert np.abs(sample.landmarks[0] - wanted).max() < slack
        assert sample.has_landmarks[0]
        face = near(sample.image, SKIN)
        for colour in DOTS:
            face |= near(sample.image, colour)
        assert np.abs(sample.boxes[0] - edges_of(face)).max() < slack + 0.5
        region = near(sample.image, REGION)
        if region.sum() > 60:
            regions += 1
            assert np.abs(sample.ignore - edges_of(region)).max(1).min() < slack + 0.5
        seen += 1
    assert seen >= 30
    assert 8 < mirrored < 30
    assert augmentation.whole == 0 or regions == seen


@pytest.mark.usefixtures("plain_light")
@pytest.mark.parametrize("sizes", [(40, 60), (100, 160)], ids=["shrunk first", "at once"])
def test_labels_turn_with_the_pixels(tmp_path: Path, sizes: tuple[float, float]) -> None:
    a = DetectorAugmentation(side=320, whole=0.0, mosaic=0.0, tilt=1.0, tilt_degrees=45, face_sizes=sizes)
    data = dataset(draw(tmp_path), a)
    angles = []
    for seed in range(60):
        sample = data.sample(np.random.default_rng(seed))
        if not len(sample.boxes) or not sample.has_landmarks[0]:
            continue
        found = [near(sample.image, c) for c in DOTS]
        if any(edges_of(f)[0] == 0 or f.sum() > 4000 for f in found):
            continue  # a fill of that colour
        dots = np.array([np.argwhere(f)[:, ::-1].mean(0) for f in found])
        if np.linalg.det([dots[1] - dots[0], dots[2] - dots[0]]) < 0:  # mirrored
            dots = dots[MIRRORED]
        assert np.abs(sample.landmarks[0] - dots).max() < 2
        across = sample.landmarks[0, 1] - sample.landmarks[0, 0]
        angle = np.arctan2(across[1], across[0])
        angles.append(np.degrees(angle))
        # the face is a rectangle of 120 × 140, its eyes are 60 apart; boxes are half-way to an ellipse's
        scale = float(np.hypot(*across)) / 60
        cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
        width = (120 * cos + 140 * sin + np.hypot(120 * cos, 140 * sin)) / 2 * scale
        height = (120 * sin + 140 * cos + np.hypot(120 * sin, 140 * cos)) / 2 * scale
        x1, y1, x2, y2 = sample.boxes[0]
        if min(x1, y1) > 0 and max(x2, y2) < 320:
            assert (x2 - x1, y2 - y1) == pytest.approx((width, height), abs=0.5)
    assert len(angles) > 25
    assert min(angles) < -25
    assert max(angles) > 25


@pytest.mark.usefixtures("plain_light")
def test_mosaic_moves_labels_with_their_quarter(tmp_path: Path) -> None:
    data = dataset(draw(tmp_path), DetectorAugmentation(side=400, whole=1.0, mosaic=1.0, tilt=0.0))
    for seed in range(10):
        sample = data.sample(np.random.default_rng(seed))
        quarters = set()
        for box, points in zip(sample.boxes, sample.landmarks, strict=True):
            quarters.add((box[0] >= 200, box[1] >= 200))
            nose = points[2].round().astype(int)
            assert near(sample.image[nose[1] - 2 : nose[1] + 2, nose[0] - 2 : nose[0] + 2], DOTS[2]).any()
        assert len(quarters) == len(sample.boxes) == 4


def test_item_is_the_sample_as_the_network_wants_it(tmp_path: Path) -> None:
    a = DetectorAugmentation(side=128)
    data = dataset(draw(tmp_path), a, seed=9)
    data.epoch = 2
    x, kind, boxes, landmarks, has, labels = data[5]
    sample = data.sample(np.random.default_rng((9, 2, 5)))
    assert x.dtype == torch.float32
    rgb = (x.numpy().transpose(1, 2, 0) + np.array([104, 117, 123], np.float32))[..., ::-1]
    assert np.array_equal(rgb.round().astype(np.uint8), sample.image)
    wanted = match_anchors(
        make_anchors(128, 128, a.anchors), sample.boxes, sample.landmarks, sample.has_landmarks, sample.ignore
    )
    for got, want in zip(
        (kind, boxes, landmarks, has),
        (wanted.kind, wanted.boxes, wanted.landmarks, wanted.has_landmarks),
        strict=True,
    ):
        assert np.array_equal(got.numpy(), want)
    own = [sample.labels[f] if k == 1 else -1 for k, f in zip(wanted.kind, wanted.faces, strict=True)]
    assert labels.tolist() == own


def test_item_depends_on_seed_epoch_and_index_alone(tmp_path: Path) -> None:
    picture = draw(tmp_path, bare=True)
    a = DetectorAugmentation(side=128)
    first, second = (dataset(picture, a, Painter(), seed=4) for _ in range(2))
    forward = [first[i] for i in range(6)]
    backward = [second[i] for i in reversed(range(6))][::-1]
    for one, other in zip(forward, backward, strict=True):
        assert all(torch.equal(p, q) for p, q in zip(one, other, strict=True))
    second.epoch = 1
    other_seed = dataset(picture, a, Painter(), seed=5)
    for i in range(6):
        assert not torch.equal(forward[i][0], second[i][0])
        assert not torch.equal(forward[i][0], other_seed[i][0])
        assert i == 0 or not torch.equal(forward[i][0], forward[0][0])


@pytest.mark.usefixtures("plain_light")
@pytest.mark.parametrize("rows", [2, 3, 4])
def test_mosaics_of_more_rows_have_smaller_faces(tmp_path: Path, rows: int) -> None:
    a = DetectorAugmentation(side=400, whole=1.0, mosaic=1.0, mosaic_rows=(rows,), tilt=0.0)
    sample = dataset(draw(tmp_path), a).sample(np.random.default_rng(1))
    assert len(sample.boxes) == rows * rows
    # a picture of 400 pixels is shown in a tile, at 0.6 to 1 of its size; the face in it is 140 high
    heights = sample.boxes[:, 3] - sample.boxes[:, 1]
    assert (heights / 140 * rows > 0.59).all()
    assert (heights / 140 * rows < 1.01).all()


class Scenes:
    """A plain colour, and no faces."""

    COLOUR = (9, 200, 30)

    def background(self, side: int, rng: np.random.Generator) -> np.ndarray:
        return np.full((side, side, 3), self.COLOUR, np.uint8)

    def make(self, a: DetectorAugmentation, rng: np.random.Generator) -> Sample:
        none = np.zeros((0, 4), np.float32)
        return Sample(
            self.background(a.side, rng), none, np.zeros((0, 5, 2), np.float32), np.zeros(0, np.bool_),
            np.zeros(0, np.int64),
        )  # fmt: skip


@pytest.mark.usefixtures("plain_light")
def test_backgrounds_fill_what_a_picture_leaves(tmp_path: Path) -> None:
    a = DetectorAugmentation(side=256, whole=1.0, mosaic=0.0, tilt=0.0, backdrop=1.0)
    data = DetectorDataset([draw(tmp_path)], [1.0], 9, a, None, 0, scenes=Scenes())
    for seed in range(6):
        sample = data.sample(np.random.default_rng(seed))
        filled = (sample.image == Scenes.COLOUR).all(2)
        assert filled.mean() > 0.2  # the picture is 4:3, the square is not
        x1, y1, x2, y2 = sample.boxes[0].round().astype(int)
        assert not filled[y1:y2, x1:x2].any()
    a = replace(a, backdrop=0.0)
    never = DetectorDataset([draw(tmp_path)], [1.0], 9, a, None, 0, scenes=Scenes())
    assert not (never.sample(np.random.default_rng(0)).image == Scenes.COLOUR).all(2).any()


@pytest.mark.parametrize(
    ("share", "scenes", "least", "most"), [(0.5, True, 8, 32), (0.5, False, 0, 0), (1.0, True, 40, 40)]
)
def test_share_of_composed_scenes(tmp_path: Path, share: float, scenes: bool, least: int, most: int) -> None:
    a = DetectorAugmentation(side=128, whole=1.0, mosaic=0.3, compose=share, backdrop=0.0, tilt=0.0)
    data = DetectorDataset([draw(tmp_path)], [1.0], 9, a, None, 0, scenes=Scenes() if scenes else None)
    composed = sum(not len(data.sample(np.random.default_rng(seed)).boxes) for seed in range(40))
    assert least <= composed <= most


@pytest.mark.usefixtures("plain_light")
@pytest.mark.parametrize("bare", [True, False])
def test_only_bare_faces_are_covered(tmp_path: Path, bare: bool) -> None:
    a = DetectorAugmentation(side=256, whole=1.0, mosaic=0.0, occlude=1.0, tilt=0.0)
    data = dataset(draw(tmp_path, bare=bare), a, Painter())
    free = 0
    for seed in range(20):
        image = data.sample(np.random.default_rng(seed)).image
        free += all(near(image, DOTS[k]).sum() > 20 for k in (3, 4))  # both mouth corners in view
    assert free == 20 if not bare else free < 8


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_what_is_drawn_changes_the_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mosaic: float
) -> None:
    a = DetectorAugmentation(
        side=256, whole=1.0, mosaic=mosaic, occlude=0.6, tilt=0.0, covers=(0.5, 0.2, 0.3)
    )
    data = dataset(draw(tmp_path, bare=True), a, Painter())
    given: list[int] = []

    def cover(self: Painter, image: np.ndarray, landmarks: np.ndarray, rng: object, shares: object) -> object:
        assert shares == (0.5, 0.2, 0.3)
        given.append(len(given) % 2)
        return image, (Label.MASK, Label.INCORRECT)[given[-1]]

    monkeypatch.setattr(Painter, "cover_any", cover)
    seen = [data.sample(np.random.default_rng(seed)).labels.tolist() for seed in range(12)]
    assert all(len(labels) == (4 if mosaic else 1) for labels in seen)
    flat = [label for labels in seen for label in labels]
    # those left bare keep their label
    assert [label for label in flat if label != 1] == [(0, 2)[lot] for lot in given]
    assert 0 < len(given) < len(flat)
    assert data.pictures[0].labels.tolist() == [1]  # the next sample begins anew


def test_weights_say_how_often_a_picture_is_drawn(tmp_path: Path) -> None:
    picture = draw(tmp_path)
    two = [picture, replace(picture, path=tmp_path / "gone.png")]
    a = DetectorAugmentation(side=64, mosaic=0.0)
    never = DetectorDataset(two, [1.0, 0.0], 30, a, None, 0)
    assert all(len(never[i]) == 6 for i in range(30))
    sometimes = DetectorDataset(two, [1.0, 1.0], 30, a, None, 0)
    with pytest.raises(DataError, match=r"gone\.png cannot be read"):
        [sometimes[i] for i in range(30)]


class TestDetectionSettings:
    def test_fields_of_the_recipe(self) -> None:
        own = detection_settings(
            {"augmentation": {"anchors": [[8, 16], [32, 64], [128, 256]]},
             "detection": {"score": 0.6, "enlarge_to": 640, "enlarge": 2}}
        )  # fmt: skip
        assert own == RetinaFaceSettings(
            anchors=((8, 16), (32, 64), (128, 256)), score=0.6, enlarge_to=640, enlarge=2
        )
        assert detection_settings({}) == RetinaFaceSettings()

    @pytest.mark.parametrize(
        ("table", "message"),
        [({"skore": 0.5}, "unknown field 'skore'"),
         ({"score": "high"}, "score = 'high'"),
         ({"score": 1.5}, "between 0 and 1"),
         ({"anchors": [[8]]}, r"anchors in \[augmentation\]")],
    )  # fmt: skip
    def test_what_cannot_be(self, table: dict[str, object], message: str) -> None:
        with pytest.raises(DataError, match=message):
            detection_settings({"detection": table})
