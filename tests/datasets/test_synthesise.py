from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from maskgate.datasets.synthesise import Kind, SynthesisSettings, make_painter, synthesise
from maskgate.detection import Detector
from maskgate.errors import DataError, InputError, MaskGateError
from maskgate.evaluation.coco import read_scenes
from maskgate.images import read_image, write_image
from maskgate.training.occlusion.paint import Painter
from maskgate.types import Faces, Label

Tree = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def pictures(tmp_path: Path, astronaut: np.ndarray) -> list[Path]:
    """The astronaut, her face alone, two of her, and nobody."""
    images = {
        "one": astronaut[:400],
        "tight": astronaut[40:190, 160:290],
        "two": np.hstack([astronaut[:300, 100:350], astronaut[:300, 100:350][:, ::-1]]),
        "none": astronaut[380:, :300],
    }
    for name, image in images.items():
        write_image(tmp_path / f"{name}.png", np.ascontiguousarray(image))
    return [tmp_path / f"{name}.png" for name in images]


def index(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "index.jsonl").read_text().splitlines()]


def test_kinds_and_labels() -> None:
    assert {kind: kind.label for kind in Kind} == {
        Kind.MASK: Label.MASK,
        Kind.INCORRECT: Label.INCORRECT,
        Kind.COVERED: Label.NO_MASK,
        Kind.BARE: Label.NO_MASK,
    }


def test_folders(pictures: list[Path], tmp_path: Path, detector: Detector, tree: Tree) -> None:
    output = tmp_path / "out"
    settings = SynthesisSettings(count=6, kinds=tuple(Kind))
    result = synthesise(pictures, output, detector, Painter(), settings)
    assert (result.sources, result.faces, result.failures) == (4, 6 * (1 + 1 + 2), ())
    lines = index(output)
    files = {name for name in tree(output) if name.endswith(".jpg")}
    assert files == {line["picture"] for line in lines}
    assert {line["kind"] for line in lines} == set(Kind)
    for line in lines:
        assert line["picture"].split("/")[0] == line["label"] == Kind(line["kind"]).label
    bare = [read_image(output / line["picture"]) for line in lines if line["kind"] == "bare"]
    masked = [line for line in lines if line["kind"] == "mask" and Path(line["source"]).name == "one.png"]
    crop = read_image(output / masked[0]["picture"])
    same = next(image for image in bare if image.shape == crop.shape)
    change = np.abs(crop.astype(int) - same).mean(2)
    size = len(crop)
    lower, upper = slice(size // 2, 3 * size // 4), slice(0, size // 4)
    middle = slice(3 * size // 8, 5 * size // 8)
    assert change[lower, middle].mean() > 20  # mouth and chin are under cloth
    assert change[upper].mean() < 3  # the hair is as it was, but for JPEG
    box = masked[0]["box"]
    found = detector.detect([same])[0].boxes[0]
    assert max(box[2:]) - min(box[:2]) == pytest.approx(float(max(found[2:] - found[:2])), rel=0.1)


def test_scenes(pictures: list[Path], tmp_path: Path, detector: Detector) -> None:
    output = tmp_path / "out"
    settings = SynthesisSettings("coco", count=2, smallest=0)
    synthesise(pictures, output, detector, Painter(), settings)
    scenes = read_scenes(output)
    assert [len(scene) for scene in scenes] == [1, 1, 1, 1, 2, 2]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(output / "annotations.json"))
    assert len(coco.getAnnIds()) == 8 == len(index(output))
    plain = detector.detect([read_image(pictures[0])])[0].boxes
    for scene in scenes[:2]:
        assert scene.boxes == pytest.approx(plain, abs=0.02)
        assert read_image(scene.path).shape == (400, 512, 3)
    bare = read_image(pictures[2]).astype(int)
    for scene in scenes[4:]:
        painted = read_image(scene.path)
        for x1, y1, x2, y2 in scene.boxes.astype(int):
            assert np.abs(painted[(y1 + y2) // 2 : y2, x1:x2] - bare[(y1 + y2) // 2 : y2, x1:x2]).mean() > 5


def test_neither_order_nor_stops_nor_other_pictures_matter(
    pictures: list[Path], tmp_path: Path, detector: Detector, tree: Tree
) -> None:
    class Stops:
        name = detector.name
        left = 1

        def detect(self, images: Any) -> list[Faces]:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return detector.detect(images)

    settings = SynthesisSettings("coco", count=2)
    synthesise(pictures, tmp_path / "whole", detector, Painter(), settings)
    whole = tree(tmp_path / "whole")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            synthesise(pictures, tmp_path / "parts", Stops(), Painter(), settings)
    synthesise([*pictures, tmp_path / "parts"], tmp_path / "parts", detector, Painter(), settings)
    assert tree(tmp_path / "parts") == whole
    synthesise(pictures, tmp_path / "parts", Stops(), Painter(), settings)  # finished: nothing is looked at
    assert tree(tmp_path / "parts") == whole
    synthesise(pictures[:1:-1], tmp_path / "other", detector, Painter(), settings)
    other = {name: data for name, data in tree(tmp_path / "other").items() if name.endswith(".jpg")}
    assert len(other) == 2
    assert other.items() <= whole.items()
    synthesise(pictures, tmp_path / "seed", detector, Painter(), SynthesisSettings("coco", count=2, seed=1))
    assert tree(tmp_path / "seed").keys() == whole.keys()
    assert tree(tmp_path / "seed")["index.jsonl"] != whole["index.jsonl"]


def test_pictures_that_fail(pictures: list[Path], tmp_path: Path, detector: Detector) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"?")
    sources = [tmp_path / "bad.jpg", tmp_path / "gone.jpg", pictures[0]]
    result = synthesise(sources, tmp_path / "out", detector, Painter(), SynthesisSettings())
    assert result.faces == 1
    assert ["bad.jpg" in result.failures[0], "gone.jpg" in result.failures[1]] == [True, True]


def test_other_settings_do_not_mix(pictures: list[Path], tmp_path: Path, detector: Detector) -> None:
    synthesise(pictures[:1], tmp_path / "out", detector, Painter(), SynthesisSettings())
    with pytest.raises(DataError, match=r"other settings \(seed\)"):
        synthesise(pictures[:1], tmp_path / "out", detector, Painter(), SynthesisSettings(seed=1))
    for wrong in ({"count": 0}, {"margin": 9.0}, {"kinds": ()}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            SynthesisSettings(**wrong)  # type: ignore[arg-type]


def test_painter_of_folders(tmp_path: Path) -> None:
    assert make_painter(None, None) == Painter()
    (tmp_path / "hands").mkdir()
    photograph = np.full((120, 100, 3), 250, np.uint8)
    photograph[30:100, 30:70] = (200, 150, 120)
    write_image(tmp_path / "hands" / "a.png", photograph)
    painter = make_painter(None, tmp_path / "hands")
    assert (len(painter.hands), len(painter.templates)) == (1, 0)
    (tmp_path / "empty").mkdir()
    for folders in ((tmp_path / "empty", None), (None, tmp_path / "empty")):
        with pytest.raises(MaskGateError, match="empty"):
            make_painter(*folders)


def test_painter_of_shared_data(shared: Path) -> None:
    if not (shared / "data" / "mask-templates" / "masks.cfg").is_file():
        pytest.skip("needs the mask templates")
    assert len(make_painter(shared / "data" / "mask-templates", None).templates) > 10
