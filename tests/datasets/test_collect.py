from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from maskgate import MaskGate
from maskgate.datasets.collect import CollectSettings, collect_faces
from maskgate.detection import Detector
from maskgate.errors import DataError, InputError
from maskgate.images import read_image, write_image
from maskgate.types import Faces

Tree = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def pictures(tmp_path: Path, astronaut: np.ndarray) -> list[Path]:
    """The astronaut, a second smaller beside her mirror image, and nobody."""
    pair = np.hstack([astronaut[:300, 100:350], astronaut[:300, 100:350][:, ::-1]])
    paths = [tmp_path / "in" / name for name in ("one.png", "two.png", "none.png")]
    paths[0].parent.mkdir()
    for path, image in zip(paths, (astronaut, pair, astronaut[300:]), strict=True):
        write_image(path, np.ascontiguousarray(image))
    return paths


@pytest.fixture
def video(tmp_path: Path, astronaut: np.ndarray) -> Path:
    """The astronaut drifts to the right for three seconds, then her mirror image stands for two."""
    path = tmp_path / "in.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 4, (512, 512))
    for i in range(20):
        frame = np.roll(astronaut, 2 * i, 1) if i < 12 else astronaut[:, ::-1]
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def index(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "index.jsonl").read_text().splitlines()]


def test_pictures(pictures: list[Path], tmp_path: Path, detector: Detector, astronaut: np.ndarray) -> None:
    output = tmp_path / "out"
    result = collect_faces(pictures, output, detector, CollectSettings())
    assert (result.sources, result.faces, result.failures) == (3, 3, ())
    lines = index(output)
    assert [Path(line["source"]).name for line in lines] == ["one.png", "two.png", "two.png"]
    assert sorted(p.name for p in (output / "unlabelled").iterdir()) == sorted(
        Path(line["crop"]).name for line in lines
    )
    first, box = lines[0], detector.detect([astronaut])[0].boxes[0]
    assert first["box"] == pytest.approx(box.tolist(), abs=0.06)
    assert first["sha256"] == hashlib.sha256(pictures[0].read_bytes()).hexdigest()
    assert first["seconds"] is None
    for line in lines:  # the face is in the middle, half as large as the crop, and upright
        crop = read_image(output / line["crop"])
        found = detector.detect([crop])[0]
        side = crop.shape[0]
        assert (found.boxes[0, :2] + found.boxes[0, 2:]) / 2 == pytest.approx([side / 2] * 2, abs=side / 16)
        assert max(found.boxes[0, 2:] - found.boxes[0, :2]) == pytest.approx(side / 2, rel=0.1)
        assert abs(float(found.roll[0])) < 8
        with Pillow.open(output / line["crop"]) as picture:
            assert picture.format == "JPEG"


def test_neighbouring_frames_give_a_face_once(video: Path, tmp_path: Path, detector: Detector) -> None:
    # its roll is found to a degree or two, and that turns the upright crop
    collect_faces([video], tmp_path / "out", detector, CollectSettings(every=0.5, distance=48))
    assert [line["seconds"] for line in index(tmp_path / "out")] == [0, 3]
    collect_faces([video], tmp_path / "all", detector, CollectSettings(every=0.5, distance=0))
    assert len(index(tmp_path / "all")) >= 6  # every frame that is not the same to the bit


def test_two_faces_alike_in_one_frame_are_two(
    tmp_path: Path, astronaut: np.ndarray, detector: Detector
) -> None:
    path = tmp_path / "twins.avi"
    twins = np.hstack([astronaut[:300, 100:350]] * 2)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 4, twins.shape[1::-1])
    for _ in range(8):
        writer.write(np.ascontiguousarray(twins[..., ::-1]))
    writer.release()
    collect_faces([path], tmp_path / "out", detector, CollectSettings())
    assert [line["seconds"] for line in index(tmp_path / "out")] == [0, 0]


def test_the_same_call_again_does_nothing(
    pictures: list[Path], video: Path, tmp_path: Path, detector: Detector, tree: Tree
) -> None:
    output = tmp_path / "out"
    collect_faces([*pictures, video], output, detector, CollectSettings())
    before = tree(output)
    moved = next((output / "unlabelled").iterdir())
    (output / "mask").mkdir()
    moved.rename(output / "mask" / moved.name)  # a person has labelled it
    copy = pictures[0].with_name("copy.png")
    copy.write_bytes(pictures[0].read_bytes())
    seen: list[int] = []
    result = collect_faces(
        [*pictures, copy, video, output], output, detector, CollectSettings(), show=seen.append
    )
    assert result.failures == ()
    after = tree(output)
    assert after.pop(f"mask/{moved.name}") == before.pop(f"unlabelled/{moved.name}")
    assert after == before
    assert seen == sorted(seen)


def test_stopped_anywhere_it_comes_to_the_same(
    pictures: list[Path], video: Path, tmp_path: Path, detector: Detector, tree: Tree
) -> None:
    class Stops:
        name = detector.name

        def __init__(self, calls: int) -> None:
            self.left = calls

        def detect(self, images: Any) -> list[Faces]:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return detector.detect(images)

    sources, settings = [*pictures, video], CollectSettings(every=1.0)
    collect_faces(sources, tmp_path / "whole", detector, settings)
    for calls in range(8):
        with pytest.raises(KeyboardInterrupt):
            collect_faces(sources, tmp_path / "parts", Stops(calls % 5), settings)
        if calls == 7:
            collect_faces(sources, tmp_path / "parts", detector, settings)
    assert tree(tmp_path / "parts") == tree(tmp_path / "whole")


def test_presorted_by_the_classifier(pictures: list[Path], tmp_path: Path, detector: Detector) -> None:
    gate = MaskGate(detector, threads=1)
    collect_faces(pictures[:1], tmp_path / "out", detector, CollectSettings(), presort=gate.classify)
    (line,) = index(tmp_path / "out")
    assert line["label"] == "no_mask" == gate(pictures[0])[0].label
    assert line["crop"].startswith("presorted/no_mask/")
    assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert (tmp_path / "out" / line["crop"]).is_file()


def test_sources_that_fail_are_tried_again(pictures: list[Path], tmp_path: Path, detector: Detector) -> None:
    bad, gone = tmp_path / "bad.mp4", tmp_path / "gone.jpg"
    bad.write_bytes(b"?")
    result = collect_faces([bad, gone, pictures[0]], tmp_path / "out", detector, CollectSettings())
    assert (result.sources, result.faces) == (1, 1)
    assert ["bad.mp4" in result.failures[0], "gone.jpg" in result.failures[1]] == [True, True]
    gone.write_bytes(pictures[1].read_bytes())
    result = collect_faces([bad, gone, pictures[0]], tmp_path / "out", detector, CollectSettings())
    assert (result.sources, result.faces, len(result.failures)) == (2, 3, 1)


def test_other_settings_do_not_mix(pictures: list[Path], tmp_path: Path, detector: Detector) -> None:
    collect_faces(pictures[:1], tmp_path / "out", detector, CollectSettings())
    with pytest.raises(DataError, match=r"other settings \(margin\)"):
        collect_faces(pictures[:1], tmp_path / "out", detector, CollectSettings(margin=1.5))
    with pytest.raises(DataError, match=r"other settings \(score\)"):
        collect_faces(pictures[:1], tmp_path / "out", detector, CollectSettings(), models={"score": 0.9})


@pytest.mark.parametrize(
    ("field", "value"),
    [("margin", 0.5), ("smallest", -1.0), ("every", 0.0), ("distance", 300), ("every", float("nan"))],
)
def test_settings_out_of_range(field: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{field} is {value}"):
        CollectSettings(**{field: value})  # type: ignore[arg-type]
