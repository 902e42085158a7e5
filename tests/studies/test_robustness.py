from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from maskgate import MaskGate
from maskgate.alignment import CropSpec
from maskgate.errors import DataError, InputError
from maskgate.evaluation.coco import Scene
from maskgate.studies.factors import Factor, standard_factors
from maskgate.studies.perturbations import FaceView
from maskgate.studies.robustness import Method, measure_robustness
from maskgate.studies.robustness_results import RobustnessReport, Track
from maskgate.types import LABELS, Faces, Image, Label

MASK, BARE, WRONG = (LABELS.index(x) for x in (Label.MASK, Label.NO_MASK, Label.INCORRECT))
FACTORS = {factor.name: factor for factor in standard_factors()}


class Bright:
    """Calls mask what is bright; counts the crops that it is asked about."""

    name = "bright"
    threshold = 0.5
    crop = CropSpec("rotate", 16, 1.0)

    def __init__(self) -> None:
        self.asked = 0

    def classify(self, crops: Image) -> NDArray[np.float32]:
        self.asked += len(crops)
        bright = crops[:, 4:-4, 4:-4].mean((1, 2, 3)) / 255
        return np.stack([bright, 1 - bright, np.zeros_like(bright)], 1).astype(np.float32)


class Blobs:
    """Finds what stands out from black, and no landmarks."""

    name = "blobs"

    def detect(self, images: Sequence[Image]) -> list[Faces]:
        found = []
        for image in images:
            bright = (image.max(2) > 30).astype(np.uint8)
            stats = cv2.connectedComponentsWithStats(bright)[2][1:]
            boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, area in stats if area > 50], np.float32)
            n = len(boxes)
            found.append(
                Faces(boxes.reshape(-1, 4), np.ones(n, np.float32), np.full((n, 5, 2), np.nan, np.float32))
            )
        return found


@pytest.fixture
def scenes(tmp_path: Path) -> list[Scene]:
    """Twelve black pictures: an upright grey oval each, bright for a mask, dim for none or a wrong one."""
    made = []
    for n in range(12):
        label = (MASK, BARE, BARE, WRONG)[n % 4]
        image = np.zeros((120, 140, 3), np.uint8)
        x, y = 60 + n, 60
        cv2.ellipse(image, (x, y), (20, 25), 0, 0, 360, (200,) * 3 if label == MASK else (80,) * 3, -1)
        path = tmp_path / f"{n}.png"
        cv2.imwrite(str(path), image)
        box = np.array([[x - 20, y - 25, x + 21, y + 26]], np.float32)
        made.append(Scene(path, 140, 120, box, np.array([label], np.int64), np.zeros(1, np.bool_)))
    return made


@pytest.fixture
def method() -> Method:
    return Method(Bright(), MaskGate(Blobs(), Bright()))


def rows(report: RobustnessReport, factor: str, track: Track = "faces", method: str = "toy") -> dict:  # type: ignore[type-arg]
    curve = next(c for c in report.curves if (c.track, c.factor, c.method) == (track, factor, method))
    return {point.level: point for point in curve.points}


def test_a_judge_of_brightness_falls_where_it_must(scenes: list[Scene], method: Method) -> None:
    report = measure_robustness(
        {"toy": method}, scenes, Blobs(), factors=[FACTORS["exposure"], FACTORS["roll"]], pictures=0
    )
    assert (report.faces, report.pictures, report.without_landmarks) == (12, 0, 12)
    by_stops = rows(report, "exposure")
    for stops, point in by_stops.items():
        # 200 and 80 against half of 255, when both are multiplied by 2 ** (stops / 2.2)
        gain = 2 ** (stops / 2.2)
        mask_right, bare_right = 200 * gain > 127.5, 80 * gain < 127.5
        assert (point.recall_mask, point.recall_no_mask) == (mask_right, bare_right), stops
        assert point.incorrect_flagged == bare_right
        assert point.accuracy == pytest.approx((3 * mask_right + 6 * bare_right) / 9)
        assert point.change == pytest.approx(point.accuracy - 1)
        assert (point.faces, point.judged, point.face_recall) == (12, 9, 1)
        assert point.unperturbed["accuracy"] == 1
    assert {point.accuracy for point in rows(report, "roll").values()} == {1.0}
    low, high = by_stops[-8].intervals["accuracy"]
    assert 0 < low < 6 / 9 < high < 1


def test_end_to_end_without_landmarks(scenes: list[Scene], method: Method) -> None:
    factors = [FACTORS[name] for name in ("exposure", "size", "cover from a side", "occluders", "yaw")]
    report = measure_robustness({"toy": method}, scenes, Blobs(), factors=factors)
    assert report.pictures == 12
    lost = rows(report, "exposure", "pictures")[-6]
    # 200 becomes 30 and 80 becomes 12: none stands out any more
    assert (lost.face_recall, lost.judged) == (0, 0)
    assert np.isnan(lost.accuracy)
    assert lost.unperturbed["face_recall"] == 1
    dim = rows(report, "exposure", "pictures")[-2]
    assert (dim.face_recall, dim.recall_mask, dim.recall_no_mask) == (1, 0, 1)
    size = rows(report, "size", "pictures")
    assert {size[level].face_recall for level in (16, 24, 32)} == {1.0}
    assert (size[64].faces, np.isnan(size[64].accuracy)) == (0, True)  # the faces are 41 pixels wide
    assert list(size) == [16, 24, 32, 64, 128]
    # nobody knows where to draw, or where the face looks
    for name in ("occluders", "yaw"):
        assert {point.faces for point in rows(report, name).values()} == {0}


def test_methods_are_asked_for_what_they_can(scenes: list[Scene], method: Method) -> None:
    report = measure_robustness(
        {"one": Method(classifier=Bright()), "whole": Method(gate=method.gate), "both": method},
        scenes, Blobs(), factors=[FACTORS["blur"]],
    )  # fmt: skip
    assert [(curve.track, curve.method) for curve in report.curves] == [
        ("faces", "one"), ("faces", "both"), ("pictures", "whole"), ("pictures", "both"),
    ]  # fmt: skip


def test_the_same_seed_gives_the_same(scenes: list[Scene], method: Method) -> None:
    def measure(seed: int) -> str:
        factors = [FACTORS["noise"], FACTORS["half in shadow"]]
        report = measure_robustness(
            {"toy": method}, scenes, Blobs(), factors=factors, faces=9, pictures=3, seed=seed
        )
        return json.dumps(report.to_json()["curves"], allow_nan=False)

    assert measure(3) == measure(3) != measure(4)


def test_each_face_has_one_lot(scenes: list[Scene]) -> None:
    """Levels differ in the size of the change only, and other faces beside it do not matter."""
    drawn: dict[int, set[int]] = {}

    def draw(view: FaceView, level: float, rng: np.random.Generator) -> FaceView:
        drawn.setdefault(view.picture, set()).add(int(rng.integers(10**9)))
        return view

    lottery = Factor("lottery", 3, "", (1, 2, 3), (), draw)
    for faces in (12, 5):
        measure_robustness({"toy": Method(Bright())}, scenes, Blobs(), factors=[lottery], faces=faces)
    assert [len(lots) for lots in drawn.values()] == [1] * 12
    assert len(set.union(*drawn.values())) == 12


def test_what_does_not_change_is_not_asked_again(scenes: list[Scene]) -> None:
    toy = Bright()
    measure_robustness({"toy": Method(toy)}, scenes, Blobs(), factors=[FACTORS["colour balance"]])
    assert toy.asked == 7 * 12  # six levels, and the faces as they are


def test_curves_are_kept(scenes: list[Scene], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def measure(toy: Bright, fingerprint: str = "a", seed: int = 0, faces: int = 12) -> str:
        report = measure_robustness(
            {"toy": Method(toy, fingerprint=fingerprint)}, scenes, Blobs(), factors=[FACTORS["noise"]],
            keep=tmp_path / "kept", seed=seed, faces=faces, progress=lambda *step: seen.append(step),
        )  # fmt: skip
        return repr(report)

    first, again = Bright(), Bright()
    assert measure(first) == measure(again)
    assert (first.asked, again.asked) == (7 * 12, 0)
    assert seen == [(k, 7) for k in range(1, 8)] * 2
    for other in ({"fingerprint": "b"}, {"seed": 1}, {"faces": 11}):
        toy = Bright()
        measure(toy, **other)  # type: ignore[arg-type]
        assert toy.asked
    changed = Bright()
    changed.threshold = 0.4
    measure(changed)
    assert changed.asked
    for file in (tmp_path / "kept").iterdir():
        file.write_text("broken")
    mended = Bright()
    measure(mended)
    assert mended.asked


def test_wrong_calls(scenes: list[Scene], method: Method) -> None:
    with pytest.raises(InputError, match="neither a classifier nor a gate"):
        Method()
    with pytest.raises(InputError, match="at least one method"):
        measure_robustness({}, scenes, Blobs())
    with pytest.raises(InputError, match="at least one method and one factor"):
        measure_robustness({"toy": method}, scenes, Blobs(), factors=[])
    for wrong in ({"faces": 0}, {"pictures": -1}):
        with pytest.raises(InputError, match="give at least 1 and 0"):
            measure_robustness({"toy": method}, scenes, Blobs(), **wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no face"):
        measure_robustness({"toy": method}, [], Blobs())


def test_what_ships_on_a_real_face(astronaut: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "astronaut.png"
    cv2.imwrite(str(path), astronaut[..., ::-1])
    box = np.array([[172, 62, 276, 184]], np.float32)
    scene = Scene(path, 512, 512, box, np.array([BARE], np.int64), np.zeros(1, np.bool_))
    gate = MaskGate(threads=1)
    few: list[Factor] = [
        Factor("roll", 1, "degrees", (-30, 0, 30), (-30, 30), FACTORS["roll"].perturb),
        Factor("size", 5, "pixels", (24, 100), (24, 100), FACTORS["size"].perturb),
        Factor("exposure", 3, "stops", (-30, -1), (-30, -1), FACTORS["exposure"].perturb),
    ]
    report = measure_robustness({"toy": Method(gate.classifier, gate)}, [scene], gate.detector, factors=few)
    assert report.without_landmarks == 0
    tracks: tuple[Track, ...] = ("faces", "pictures")
    for track in tracks:
        for name in ("roll", "size"):
            for point in rows(report, name, track).values():
                assert (point.face_recall, point.recall_no_mask) == (1, 1), (track, name, point.level)
    black, dim = rows(report, "exposure", "pictures").values()
    assert (black.face_recall, dim.face_recall, dim.accuracy) == (0, 1, 1)
