from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tqdm")

from maskgate.errors import DataError
from maskgate.training.crops import (
    MARGIN,
    SIDE,
    UNKNOWN,
    FaceCrops,
    _with_landmarks,
    cut_face,
    cut_faces,
    main_face,
    read_corrections,
)
from maskgate.training.recipe import Source
from maskgate.types import LABELS, Faces, Label

MASK, NO_MASK, INCORRECT = (LABELS.index(label) for label in (Label.MASK, Label.NO_MASK, Label.INCORRECT))


def faces(*boxes: list[float], scores: list[float] | None = None) -> Faces:
    """Faces of those boxes, landmarks where an average face has them."""
    array = np.array(boxes, np.float32).reshape(-1, 4)
    places = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    points = array[:, None, :2] + places * (array[:, None, 2:] - array[:, None, :2])
    return Faces(array, np.array(scores or [1.0] * len(array), np.float32), points)


class TestCutFace:
    def test_upright_face_by_hand(self) -> None:
        """A face of 40×80 pixels: 160 pixels of the picture become 160 of the crop."""
        rng = np.random.default_rng(0)
        image = cv2.GaussianBlur(rng.integers(0, 256, (300, 300, 3), dtype=np.uint8), (0, 0), 2)
        face = faces([110.5, 80.5, 150.5, 160.5])  # centre 130.5, 120.5
        crop, landmarks = cut_face(image, face)
        assert crop.shape == (SIDE, SIDE, 3)
        assert np.abs(crop.astype(int) - image[41:201, 51:211]).max() <= 1
        assert landmarks == pytest.approx(face.landmarks[0] - [51, 41], abs=1e-3)

    @pytest.mark.parametrize("roll", [-170, -60, 0, 25, 90])
    def test_landmarks_lie_on_their_pixels_and_the_eyes_are_level(self, roll: float) -> None:
        turn = cv2.getRotationMatrix2D((200, 200), -roll, 1)
        upright = faces([150, 140, 250, 260]).landmarks[0]
        points = (upright @ turn[:, :2].T + turn[:, 2]).astype(np.float32)
        image = np.zeros((400, 400, 3), np.uint8)
        colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]
        for point, colour in zip(points, colours, strict=True):
            centre = [round(float(v) * 16) for v in point]
            cv2.circle(image, (centre[0], centre[1]), 4 * 16, colour, -1, cv2.LINE_AA, 4)
        low, high = points.min(0) - 25, points.max(0) + 25
        face = Faces(np.array([[*low, *high]], np.float32), np.ones(1, np.float32), points[None])
        crop, landmarks = cut_face(image, face)
        assert landmarks[0, 1] == pytest.approx(landmarks[1, 1], abs=0.01)
        assert landmarks[0, 0] < landmarks[1, 0]
        assert landmarks[3, 1] > landmarks[2, 1] > landmarks[0, 1]
        for point, colour in zip(landmarks, colours, strict=True):
            seen = np.argwhere(np.abs(crop.astype(int) - colour).max(2) < 90)[:, ::-1].mean(0)
            assert seen == pytest.approx(point, abs=1.0)

    def test_face_without_landmarks_is_not_turned(self) -> None:
        image = np.random.default_rng(1).integers(0, 256, (120, 120, 3), dtype=np.uint8)
        known = faces([30, 30, 70, 80])
        bare = Faces(known.boxes, known.scores, np.full((1, 5, 2), np.nan, np.float32))
        crop, landmarks = cut_face(image, bare)
        assert np.array_equal(crop, cut_face(image, known)[0])
        assert np.isnan(landmarks).all()

    def test_box_fills_half_of_the_crop(self) -> None:
        image = np.zeros((400, 400, 3), np.uint8)
        image[100:220, 150:270] = 255
        crop, _ = cut_face(image, faces([150, 100, 270, 220]))
        y, x = np.nonzero(crop[..., 0] > 127)
        quarter = SIDE * (1 - 1 / MARGIN) / 2
        for edge in (x.min(), y.min(), SIDE - 1 - x.max(), SIDE - 1 - y.max()):
            assert edge == pytest.approx(quarter, abs=1)


class TestMainFace:
    def test_large_counts_as_well_as_sure(self) -> None:
        three = faces([0, 0, 20, 20], [50, 0, 110, 50], [0, 50, 30, 80], scores=[0.99, 0.6, 0.9])
        assert main_face(three).boxes.tolist() == [[50, 0, 110, 50]]  # 0.6 · 60 against 20 and 27

    def test_doubtful_faces_do_not_count(self) -> None:
        two = faces([0, 0, 200, 200], [0, 0, 20, 20], scores=[0.3, 0.36])
        assert main_face(two).boxes.tolist() == [[0, 0, 20, 20]]
        assert len(main_face(two.select([0]))) == 0
        assert len(main_face(Faces.empty())) == 0


class TestWithLandmarks:
    def test_matched_box_and_landmarks_are_the_found_ones(self) -> None:
        drawn = np.array([[0, 0, 40, 40], [100, 100, 140, 140], [200, 0, 240, 40]], np.float32)
        found = faces([102, 100, 142, 140], [220, 0, 260, 40], [4, 2, 42, 42], scores=[0.9, 0.8, 0.31])
        out = _with_landmarks(drawn, found)
        assert out.boxes.tolist() == [[4, 2, 42, 42], [102, 100, 142, 140], [200, 0, 240, 40]]
        assert np.array_equal(out.landmarks[:2], found.landmarks[[2, 0]])
        assert np.isnan(out.landmarks[2]).all()  # IoU 1/3: another face

    def test_unsure_face_is_no_match(self) -> None:
        drawn = np.array([[0, 0, 40, 40]], np.float32)
        out = _with_landmarks(drawn, faces([1, 0, 41, 40], scores=[0.29]))
        assert out.boxes.tolist() == drawn.tolist()
        assert np.isnan(out.landmarks).all()

    @pytest.mark.parametrize("count", [0, 2])
    def test_nothing_drawn_or_found(self, count: int) -> None:
        drawn = np.zeros((count, 4), np.float32)
        drawn[:, 2:] = 9
        assert len(_with_landmarks(drawn, Faces.empty())) == count
        assert len(_with_landmarks(drawn[:0], faces([0, 0, 9, 9]))) == 0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A scene of three boxes, photographs of two labels, and one without labels."""
    rng = np.random.default_rng(3)
    for name in ("scene/images/a", "photos/worn/1", "photos/worn/2", "photos/bare/3", "airport/4"):
        file = tmp_path / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), rng.integers(0, 256, (120, 160, 3), dtype=np.uint8))
    boxes = [
        ([10, 10, 40, 50], 1, 0),
        ([80, 20, 30, 30], 2, 0),
        ([120, 60, 30, 40], 1, 1),
        ([0, 90, 12, 9], 1, 0),
    ]
    (tmp_path / "scene" / "annotations.json").write_text(json.dumps({
        "images": [{"id": 1, "file_name": "a.png", "width": 160, "height": 120}],
        "categories": [{"id": 1, "name": "mask"}, {"id": 2, "name": "no_mask"}],
        "annotations": [
            {"id": i, "image_id": 1, "bbox": box, "category_id": category, "iscrowd": crowd}
            for i, (box, category, crowd) in enumerate(boxes)
        ],
    }))  # fmt: skip
    return tmp_path


SOURCES = [
    Source("scene", "scenes"),
    Source("photos", "photos", labels={"worn": "mask", "bare": "no_mask"}),
    Source("airport", "photos", confident=0.9),
]
FOUND = {
    "scene/images/a.png": faces([12, 10, 50, 60]),
    "photos/worn/1.png": faces([20, 20, 60, 70], [100, 20, 120, 40]),
    "photos/worn/2.png": Faces.empty(),
    "photos/bare/3.png": faces([30, 30, 70, 80]),
    "airport/4.png": faces([0, 0, 30, 30], [60, 60, 90, 90], [100, 0, 130, 30], scores=[0.9, 0.81, 0.79]),
}


def cut(
    data: Path, corrections: Mapping[str, Label | None] | None = None, sources: list[Source] = SOURCES
) -> FaceCrops:
    return cut_faces(sources, data, FOUND, corrections or {})


class TestCutFaces:
    def test_every_kind_of_source(self, data: Path) -> None:
        crops = cut(data)
        rows = list(
            zip(crops.pictures, crops.labels.tolist(), crops.sources.tolist(), crops.sizes, strict=True)
        )
        assert rows == [
            ("scene/images/a.png", MASK, 0, 50),  # matched: the found face's box
            ("scene/images/a.png", NO_MASK, 0, 30),  # the crowd is left out, and what is under 14 px
            ("photos/bare/3.png", NO_MASK, 1, 50),
            ("photos/worn/1.png", MASK, 1, 50),  # the main face alone; no face was found in 2.png
            ("airport/4.png", UNKNOWN, 2, 30),
            ("airport/4.png", UNKNOWN, 2, 30),
        ]
        assert crops.images.shape == (6, SIDE, SIDE, 3)
        assert np.isnan(crops.landmarks).any((1, 2)).tolist() == [False, True, False, False, False, False]
        picture = cv2.imread(str(data / "photos/bare/3.png"))[..., ::-1].copy()
        wanted, points = cut_face(picture, FOUND["photos/bare/3.png"])
        assert np.array_equal(crops.images[2], wanted)
        assert np.array_equal(crops.landmarks[2], points)

    def test_corrections(self, data: Path) -> None:
        crops = cut(data, {"photos/worn/1.png": Label.INCORRECT, "photos/bare/3.png": None})
        photos = crops.select(crops.sources == 1)
        assert (photos.pictures, photos.labels.tolist()) == (["photos/worn/1.png"], [INCORRECT])

    def test_faces_that_are_known_to_be_bare(self, data: Path) -> None:
        crops = cut(data, sources=[replace(SOURCES[2], bare=(".",))])
        assert crops.labels.tolist() == [NO_MASK, NO_MASK]

    def test_no_face_at_all(self, data: Path) -> None:
        with pytest.raises(DataError, match="no face was found in any picture"):
            cut(data, dict.fromkeys(FOUND, None))

    def test_folder_without_a_label(self, data: Path) -> None:
        source = replace(SOURCES[1], labels={"worn": "mask"})
        with pytest.raises(
            DataError, match=r"bare/3\.png lies in no folder that the labels of source photos"
        ):
            cut(data, sources=[source])

    def test_picture_that_is_none(self, data: Path) -> None:
        (data / "photos/bare/3.png").write_bytes(b"no picture")
        with pytest.raises(DataError, match=r"3\.png cannot be read as a picture"):
            cut(data)

    def test_select(self, data: Path) -> None:
        crops = cut(data)
        for index in (np.array([4, 0]), crops.sizes == 30):
            some = crops.select(index)
            places = np.flatnonzero(index).tolist() if index.dtype == np.bool_ else index.tolist()
            assert some.pictures == [crops.pictures[i] for i in places]
            assert np.array_equal(some.images, crops.images[places])
            assert some.sizes.tolist() == crops.sizes[places].tolist()


class TestCorrections:
    def write(self, folder: Path, text: str) -> Path:
        file = folder / "c.csv"
        file.write_text(text, encoding="utf-8")
        return file

    def test_read(self, tmp_path: Path) -> None:
        file = self.write(
            tmp_path, 'picture,label,why\na/1.jpg,,a scarf\nb,2.jpg,x\n"c,3.jpg",incorrect,"nose, out"\n'
        )
        with pytest.raises(DataError, match="line 3"):
            read_corrections(file)
        file = self.write(tmp_path, 'picture,label,why\na/1.jpg,,a scarf\n"c,3.jpg",incorrect,"nose, out"\n')
        assert read_corrections(file) == {"a/1.jpg": None, "c,3.jpg": Label.INCORRECT}
        assert read_corrections(self.write(tmp_path, "picture,label,why\n")) == {}

    @pytest.mark.parametrize("row", ["a.jpg,masked,x", "a.jpg", ",mask,x"])
    def test_wrong_line(self, tmp_path: Path, row: str) -> None:
        file = self.write(tmp_path, f"picture,label,why\nb.jpg,mask,fine\n{row}\n")
        with pytest.raises(DataError, match=r"c\.csv, line 3: want picture,label,why"):
            read_corrections(file)

    def test_wrong_heading(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="line 2"):
            read_corrections(self.write(tmp_path, "file,label\na.jpg,mask\n"))

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"none\.csv cannot be read"):
            read_corrections(tmp_path / "none.csv")
        (tmp_path / "latin.csv").write_bytes(b"picture,label,why\n\xe9.jpg,mask,x\n")
        with pytest.raises(DataError, match="is not UTF-8"):
            read_corrections(tmp_path / "latin.csv")
