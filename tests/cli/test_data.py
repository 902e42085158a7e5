"""``maskgate data``: words in, files and one sentence out. What the files hold is tested beside the code."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskgate.datasets.annotations import AnnotatedPicture, AnnotatedSet, Annotation
from maskgate.datasets.formats.coco import write_coco
from maskgate.images import read_image, write_image

Call = Callable[..., Any]
GREEN, RED, BLUE = (40, 220, 40), (220, 40, 40), (40, 40, 220)
pytestmark = pytest.mark.usefixtures("toys")


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def video(paint: Call) -> Path:
    """Three seconds, green for two and red for one."""
    frames = [paint(f"frame{i}.png", (10 + i, 20, 60, GREEN if i < 8 else RED)) for i in range(12)]
    writer = cv2.VideoWriter("street.avi", cv2.VideoWriter_fourcc(*"MJPG"), 4, (160, 120))
    for frame in frames:
        writer.write(np.ascontiguousarray(read_image(frame)[..., ::-1]))
        frame.unlink()
    writer.release()
    return Path("street.avi")


@pytest.fixture
def labelled(paint: Call) -> Path:
    for i in range(12):
        label, colour = (("mask", GREEN), ("no_mask", RED))[i % 2]
        paint(f"labelled/{label}/{i}.png", (5 + 3 * i, 90 - 7 * i, 25 + i, colour))
    return Path("labelled")


class TestCollect:
    def test_presorts_pictures_and_videos(self, call: Call, paint: Call, video: Path) -> None:
        paint("in/a.png", (10, 20, 50, GREEN), (90, 20, 45, BLUE))
        paint("in/b.png", (10, 20, 30, RED))  # too small
        words = ["data", "collect", "in", video, "--output", "faces", "--presort", "--distance", "256"]
        result = call(*words)
        assert (result.status, result.out, result.err) == (0, "3 faces of 3 sources in faces\n", "")
        lines = [json.loads(line) for line in Path("faces/index.jsonl").read_text().splitlines()]
        assert [(line["source"], line["label"]) for line in lines] == [
            ("in/a.png", "mask"), ("in/a.png", "incorrect"), ("street.avi", "mask"),
        ]  # fmt: skip
        assert {p.parent.name for p in Path("faces/presorted").rglob("*.jpg")} == {"mask", "incorrect"}
        before = tree(Path("faces"))
        assert call(*words).out == result.out
        assert tree(Path("faces")) == before

    def test_options_reach_the_detector(self, call: Call, paint: Call) -> None:
        paint("a.png", (10, 20, 50, GREEN), (90, 20, 45, BLUE))
        words = ["data", "collect", "a.png", "--detector", "squares", "--score", "0.47", "--smallest", "1"]
        assert call(*words, "--output", "faces", "--cut", "surroundings", "--margin", "1").out.startswith(
            "1 face "
        )
        (crop,) = Path("faces/unlabelled").iterdir()
        assert read_image(crop).shape == (50, 50, 3)

    def test_failures_and_wrong_calls(self, call: Call, paint: Call) -> None:
        paint("a.png", (10, 20, 50, GREEN))
        Path("bad.jpg").write_text("?")
        result = call("data", "collect", "a.png", "bad.jpg", "--output", "faces")
        assert (result.status, result.out) == (1, "1 face of 1 source in faces\n")
        assert result.err.startswith("maskgate: bad.jpg is not a picture")
        for words, sentence in (
            (["a.png", "--output", "."], "holds something else"),
            (["a.png", "--output", "faces", "--margin", "1.5"], "other settings (margin)"),
            (["a.png", "--output", "new", "--every", "0"], "every is 0.0"),
            (["folder*", "--output", "new"], "folder*"),
        ):
            result = call("data", "collect", *words)
            assert (result.status, result.out) == (2, "")
            assert result.err.startswith("maskgate: ")
            assert sentence in result.err
            assert result.err.count("\n") == 1
        assert not Path("new").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize(
    "words", [["collect"], ["synthesise", "--form", "coco", "--count", "2"], ["synthesise", "--count", "2"]]
)
def test_killed_and_started_again(
    spawn: Call, call: Call, paint: Call, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    for i in range(12):
        paint(f"in/{i:02}.png", (10, 20, 50 + i, GREEN))
    assert call("data", *words, "in", "--output", "whole").status == 0
    monkeypatch.setenv("TOY_SECONDS", "0.1")
    for count in (3, 6):
        process = spawn("data", *words, "in", "--output", "parts")
        deadline = time.monotonic() + 60
        while len(list(Path("parts").rglob("*.jpg"))) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert len(list(Path("parts").rglob("*.jpg"))) < len(list(Path("whole").rglob("*.jpg")))
    monkeypatch.delenv("TOY_SECONDS")
    assert call("data", *words, "in", "--output", "parts").status == 0
    assert tree(Path("parts")) == tree(Path("whole"))


def test_dedupe(call: Call, paint: Call) -> None:
    paint("in/a.png", (10, 20, 50, GREEN))
    paint("in/b.png", (20, 40, 100, GREEN), size=(320, 240))
    paint("in/c.png", (90, 60, 50, RED))
    result = call("data", "dedupe", "in", "--format", "jsonl")
    assert result.lines == [{"best": "in/b.png", "others": ["in/a.png"]}]
    assert "in/a.png" in call("data", "dedupe", "in", "--format", "table").out
    before = tree(Path("in"))
    result = call("data", "dedupe", "in", "--move", "away")
    assert result.lines == [{"best": "in/b.png", "others": ["in/a.png"]}]
    assert (result.status, result.err) == (0, "maskgate: 1 picture moved to away\n")
    assert sorted(tree(Path("in"))) == ["b.png", "c.png"]
    again = call("data", "dedupe", "in", "--move", "away")
    assert (again.out, again.err) == ("", "maskgate: 0 pictures moved to away\n")
    assert call("data", "dedupe", "--undo", "away").out == "1 picture moved back from away\n"
    assert tree(Path("in")) == before
    for words, sentence in (
        ([], "no input is given"),
        (["in", "--undo", "away"], "give it alone"),
        (["in", "--move", "in/away"], "lies in in"),
        (["in", "--distance", "300"], "--distance is 300"),
    ):
        result = call("data", "dedupe", *words)
        assert result.status == 2
        assert sentence in result.err


def test_split(call: Call, labelled: Path) -> None:
    shares = ["--validation", "0.3", "--test", "0.3"]
    result = call("data", "split", labelled, "--csv", "split.csv", *shares)
    assert (result.status, result.err) == (0, "")
    cells = [line.split() for line in result.out.splitlines()]
    assert cells[0] == ["split", "mask", "no_mask"]
    assert sum(int(n) for row in cells[2:] for n in row[1:]) == 12
    assert call("data", "split", labelled, "--output", "out", "--pictures", "link", *shares).out == result.out
    assert Path("out/split.csv").read_bytes() == Path("split.csv").read_bytes()
    pictures = list(Path("out").rglob("*.png"))
    assert len(pictures) == 12
    assert all(p.is_symlink() for p in pictures)
    for words, sentence in (
        ([labelled], "one of the arguments --csv --output is required"),
        ([labelled, "--csv", "a.csv", "--output", "b"], "not allowed with"),
        ([labelled, "--csv", "a.csv", "--test", "1"], "leave nothing for training"),
        (["gone", "--csv", "a.csv"], "gone is not a folder"),
        ([labelled, "--output", labelled / "out"], "lies in labelled"),
    ):
        result = call("data", "split", *words)
        assert result.status == 2
        assert sentence in result.err


def test_a_picture_between_two_sides_is_said(call: Call, labelled: Path) -> None:
    call("data", "split", labelled, "--csv", "split.csv")
    rows = Path("split.csv").read_text().splitlines()
    rows[1] = ",".join([*rows[1].split(",")[:2], "test", "a"])
    Path("labelled/mask/copy.png").write_bytes((labelled / rows[1].split(",")[0]).read_bytes())
    Path("split.csv").write_text("\n".join([*rows, "mask/copy.png,mask,validation,b", ""]))
    Path("labelled/mask/third.png").write_bytes(Path("labelled/mask/copy.png").read_bytes())
    result = call("data", "split", labelled, "--csv", "split.csv")
    assert result.status == 0
    assert result.err.startswith("maskgate: 1 new picture went to training")
    assert "mask/third.png" in result.err


def test_synthesise(call: Call, paint: Call) -> None:
    paint("in/a.png", (20, 20, 80, (200, 150, 120)))
    words = ["data", "synthesise", "in", "--kinds", "mask", "bare", "mask", "--count", "4", "--output", "out"]
    result = call(*words)
    assert (result.status, result.out, result.err) == (0, "4 faces of 1 picture in out\n", "")
    kinds = [json.loads(line)["kind"] for line in Path("out/index.jsonl").read_text().splitlines()]
    assert set(kinds) == {"mask", "bare"}
    for more, sentence in (
        (["--kinds", "scarf"], "'scarf'"),
        (["--templates", "in"], "masks.cfg is missing"),
        (["--count", "0"], "at least 1"),
    ):
        result = call(*words, *more)
        assert result.status == 2
        assert sentence in result.err


def test_sheet(call: Call, labelled: Path) -> None:
    result = call(
        "data", "sheet", labelled, "--output", "sheets", "--columns", "4", "--rows", "2", "--cell", "48"
    )
    assert (result.status, result.out) == (0, "sheets/sheet-001.jpg\nsheets/sheet-002.jpg\n")
    assert read_image("sheets/sheet-001.jpg").shape[1] == 4 * 52 + 4
    Path("labels.csv").write_text("file,label\nmask/0.png,mask\nmask/gone.png,mask\n")
    result = call("data", "sheet", labelled, "--csv", "labels.csv", "--output", "some")
    assert result.status == 1
    assert "gone.png does not exist" in result.err
    assert call("data", "sheet", labelled, "--output", "x", "--cell", "5").status == 2


@pytest.fixture
def photos(tmp_path: Path, astronaut: np.ndarray) -> None:
    """A bare face before ten backgrounds of noise, in photos/ and street.avi."""
    folder = tmp_path / "docs"
    (folder / "photos").mkdir(parents=True)
    writer = cv2.VideoWriter(str(folder / "street.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 1, (400, 320))
    y, x = np.ogrid[:320, :400]
    person = ((x - 174) / 75) ** 2 + ((y - 115) / 100) ** 2 <= 1
    for i in range(10):
        coarse = np.random.default_rng(i).integers(0, 256, (8, 10, 3)).astype(np.uint8)
        background = np.asarray(cv2.resize(coarse, (400, 320), interpolation=cv2.INTER_NEAREST), np.uint8)
        image = np.where(person[..., None], astronaut[:320, 50:450], background)
        write_image(folder / "photos" / f"{i}.png", image)
        writer.write(np.ascontiguousarray(image[..., ::-1]))
    writer.release()


class TestPage:
    """docs/data.md runs as printed."""

    text = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text("utf-8")

    def test_commands(self, tmp_path: Path, photos: None) -> None:
        commands = "".join(
            re.findall(r"^```bash\n(.*?)^```", self.text, re.MULTILINE | re.DOTALL)
        ).splitlines()
        assert len(commands) == 10
        program = "import sys; from maskgate.cli import main; sys.exit(main(sys.argv[1:]))"
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MASKGATE_MODELS")}
        for command in commands:
            words = shlex.split(command)
            assert words[0] == "maskgate"
            run = subprocess.run(
                [sys.executable, "-c", program, *words[1:]], cwd=tmp_path / "docs", env=environment,
                capture_output=True, text=True,
            )  # fmt: skip
            assert run.returncode == 0, run.stderr
        assert {p.name for p in (tmp_path / "docs").iterdir()} >= {
            "faces",
            "sheets",
            "split",
            "painted",
            "scenes-coco",
        }
        index = (tmp_path / "docs" / "faces" / "index.jsonl").read_text().splitlines()
        fields = set(json.loads(index[0]))
        table = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*?) \|", self.text, re.MULTILINE))))
        assert fields <= table
        assert {json.loads(line)["source"] for line in index} >= {"photos/0.png", "street.avi"}


def test_convert(call: Call, paint: Call) -> None:
    from pathlib import PurePosixPath

    path = paint("set/images/a.png", (10, 20, 50, GREEN))
    boxes = (Annotation("with_mask", (10, 20, 60, 70)), Annotation("without_mask", (80, 20, 100, 50), True))
    picture = AnnotatedPicture(path, PurePosixPath("a.png"), 160, 120, boxes)
    write_coco(AnnotatedSet(("with_mask", "without_mask"), (picture,)), Path("set"))
    names = ["--rename", "with_mask=mask", "without_mask=no_mask"]
    result = call("data", "convert", "set", "--to", "yolo", "--output", "yolo", *names)
    assert (result.status, result.out) == (0, "1 picture in yolo: 1 mask\n")
    assert result.err.startswith("maskgate: 1 box is left out")
    assert Path("yolo/labels/a.txt").read_text().startswith("0 0.21875")  # (10 + 60) / 2 / 160
    result = call("data", "convert", "set", "--to", "voc", "--output", "voc", "--pictures", "link")
    assert (result.status, result.out, result.err) == (
        0,
        "1 picture in voc: 1 with_mask, 1 without_mask\n",
        "",
    )
    assert Path("voc/JPEGImages/a.png").is_symlink()
    for words, sentence in (
        (["set", "--to", "yolo", "--output", "x", "--rename", "mask"], "'mask' is not of the form OLD=NEW"),
        (["set", "--to", "yolo", "--output", "x", "--rename", "mask=m"], "no label is named 'mask'"),
        (["set", "--to", "yolo", "--output", "x", "--from", "voc"], "is no Pascal VOC set"),
        (["set", "--output", "x"], "--to"),
        (["set", "--to", "voc", "--output", "yolo"], "other settings"),
    ):
        result = call("data", "convert", *words)
        assert (result.status, result.out) == (2, "")
        assert sentence in result.err
    assert not Path("x").exists()
