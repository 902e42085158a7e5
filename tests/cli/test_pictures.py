"""detect and classify: what goes in, what comes out, in which order, with which status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskgate.images import read_image, write_image

BLUE, GREEN, RED = (40, 40, 220), (40, 220, 40), (220, 40, 40)
KEYS = ["path", "width", "height", "faces", "milliseconds", "error"]
FACE_KEYS = ["box", "score", "landmarks", "roll", "label", "uncertain", "probabilities"]

Call = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("toys")


def test_a_line_a_picture(call: Call, paint: Call) -> None:
    paint("a.png", (10, 20, 50, GREEN), (80, 30, 40, RED), (130, 5, 25, BLUE))
    result = call("detect", "a.png")
    (line,) = result.lines
    assert result.status == 0
    assert result.err == ""
    assert list(line) == KEYS
    assert (line["path"], line["width"], line["height"], line["error"]) == ("a.png", 160, 120, None)
    assert [face["label"] for face in line["faces"]] == ["mask", "no_mask", "incorrect"]
    assert [face["box"] for face in line["faces"]] == [[10, 20, 60, 70], [80, 30, 120, 70], [130, 5, 155, 30]]
    assert [face["score"] for face in line["faces"]] == [0.5, 0.4, 0.25]
    assert all(list(face) == FACE_KEYS for face in line["faces"])
    assert line["faces"][0]["landmarks"] == [[25, 39], [45, 39], [35, 49], [27, 58.5], [43, 58.5]]
    assert list(line["milliseconds"]) == ["decode", "detect", "align", "classify"]
    assert line["milliseconds"]["decode"] > 0


def test_pictures_folders_and_globs_in_the_order_given(call: Call, paint: Call) -> None:
    for name in ("z.png", "folder/b.png", "folder/below/c.png", "folder/a.png", "g1.png", "g2.png"):
        paint(name)
    Path("folder/notes.txt").write_text("no picture")
    result = call("detect", "z.png", "folder", "g*.png", "folder/a.png")
    assert [line["path"] for line in result.lines] == [
        "z.png", "folder/a.png", "folder/b.png", "folder/below/c.png", "g1.png", "g2.png",
    ]  # fmt: skip
    assert result.status == 0


def test_options_of_the_models(call: Call, paint: Call) -> None:
    paint("a.png", (10, 20, 50, GREEN), (80, 30, 40, (150, 160, 40)))
    assert [f["label"] for f in call("detect", "a.png").lines[0]["faces"]] == ["mask", "mask"]
    strict = call("detect", "a.png", "--threshold", "0.7", "--threads", "1", "--device", "cpu")
    assert [f["label"] for f in strict.lines[0]["faces"]] == ["mask", "no_mask"]
    assert len(call("detect", "a.png", "--score", "0.45").lines[0]["faces"]) == 1
    named = call("detect", "a.png", "--detector", "squares", "--classifier", "colours")
    assert len(named.lines[0]["faces"]) == 2


def test_classify_gives_one_face_each(call: Call, paint: Call) -> None:
    paint("found.png", (20, 10, 90, GREEN), (120, 10, 15, RED))
    write_image("whole.png", np.full((50, 40, 3), (90, 20, 20), np.uint8))  # too dark for the toy
    found, whole = call("classify", "found.png", "whole.png").lines
    assert [list(line) for line in (found, whole)] == [KEYS, KEYS]
    (face,), (crop,) = found["faces"], whole["faces"]
    assert (face["box"], face["label"]) == ([20, 10, 110, 100], "mask")
    assert (crop["box"], crop["score"], crop["label"]) == ([0, 0, 40, 50], 0, "no_mask")
    assert found["milliseconds"]["decode"] > 0


class TestTable:
    def test_rows_and_sums(self, call: Call, paint: Call) -> None:
        paint("a.png", (10, 20, 50, GREEN), (80, 30, 40, RED), (130, 5, 15, BLUE))
        paint("none.png")
        Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
        result = call("detect", "a.png", "none.png", "broken.png", "gone.jpg", "--format", "table")
        assert result.status == 1
        assert "\x1b" not in result.out
        rows = [line.split() for line in result.out.splitlines() if line]
        assert rows[0] == ["picture", "label", "P", "score", "box", "note"]
        assert rows[2] == ["a.png", "mask", "0.91", "0.50", "10,20", "to", "60,70"]
        assert rows[3][:2] == ["no", "mask"]
        assert rows[4][0] == "incorrect"
        assert rows[4][-1] == "uncertain"
        assert rows[5] == ["none.png", "no", "face", "found"]
        assert rows[6][:3] == ["broken.png", "error", "is"]
        assert rows[7] == ["gone.jpg", "error", "does", "not", "exist"]
        assert result.out.splitlines()[-1] == (
            "4 pictures, 3 faces: 1 mask, 1 no mask, 1 incorrect; 1 uncertain; 2 pictures could not be read"
        )

    def test_names_cannot_steer_the_terminal(self, call: Call, paint: Call) -> None:
        paint("[red]a\x1b[31m\n.png", (10, 20, 50, GREEN))
        result = call("detect", ".", "--format", "table")
        assert "[red]a\\x1b[31m .png" in result.out
        assert "\x1b" not in result.out

    def test_long_names_stay_whole_where_there_is_no_terminal(self, call: Call, paint: Call) -> None:
        name = "n" * 200 + ".png"
        paint(name, (10, 20, 50, GREEN))
        assert f"{name}  mask" in call("detect", name, "--format", "table").out


class TestOutput:
    def test_file_holds_what_would_be_printed(self, call: Call, paint: Call) -> None:
        paint("a.png", (10, 20, 50, GREEN))
        result = call("detect", "a.png", "--output", "new/folder/faces.jsonl")
        assert (result.status, result.out) == (0, "")
        (line,) = Path("new/folder/faces.jsonl").read_text("utf-8").splitlines()
        (printed,) = call("detect", "a.png").lines
        assert json.loads(line) | {"milliseconds": 0} == printed | {"milliseconds": 0}
        call("detect", "a.png", "--format", "table", "--output", "new/folder/faces.jsonl")
        assert "1 face: 1 mask" in Path("new/folder/faces.jsonl").read_text("utf-8")
        assert [path.name for path in Path("new/folder").iterdir()] == ["faces.jsonl"]

    def test_nothing_is_half_written(self, call: Call, paint: Call) -> None:
        paint("a.png", (10, 20, 50, GREEN))
        Path("faces.jsonl").write_text("old")
        Path("drawn/a.png").mkdir(parents=True)  # in the way of the drawn picture
        result = call("detect", "a.png", "--output", "faces.jsonl", "--annotate", "drawn")
        assert result.status == 2
        assert "drawn/a.png cannot be written" in result.err
        assert Path("faces.jsonl").read_text() == "old"
        assert {path.name for path in Path().iterdir()} == {"a.png", "faces.jsonl", "drawn"}

    def test_devices_and_links_stay_what_they_are(self, call: Call, paint: Call) -> None:
        paint("a.png", (10, 20, 50, GREEN))
        assert call("detect", "a.png", "--output", "/dev/null").status == 0
        assert Path("/dev/null").is_char_device()
        Path("link").symlink_to("target")
        assert call("detect", "a.png", "--output", "link").status == 0
        assert Path("link").is_symlink()
        assert json.loads(Path("target").read_text())["path"] == "a.png"

    @pytest.mark.parametrize("place", [".", "a.png/out.jsonl"])
    def test_a_place_where_no_file_can_be(self, call: Call, paint: Call, place: str) -> None:
        paint("a.png")
        result = call("detect", "a.png", "--output", place)
        assert result.status == 2
        assert result.err.startswith(f"maskgate: {place} ")
        assert result.err.count("\n") == 1

    def test_a_picture_is_not_overwritten(self, call: Call, paint: Call) -> None:
        path = paint("a.png", (10, 20, 50, GREEN))
        before = path.read_bytes()
        assert call("detect", "a.png", "--output", "./a.png").status == 2
        assert path.read_bytes() == before


class TestAnnotate:
    def test_drawn_copies(self, call: Call, paint: Call) -> None:
        paint("in/a.png", (10, 20, 50, GREEN))
        paint("in/none.png")
        (Path("in") / "broken.jpg").write_bytes(b"nothing")
        result = call("detect", "in", "--annotate", "new/drawn")
        assert result.status == 1
        assert sorted(path.name for path in Path("new/drawn").iterdir()) == ["a.png", "none.png"]
        plain, drawn = read_image("in/a.png"), read_image("new/drawn/a.png")
        assert drawn.shape == plain.shape
        assert (drawn[40, 10] != plain[40, 10]).any()
        np.testing.assert_array_equal(read_image("new/drawn/none.png"), read_image("in/none.png"))

    def test_equal_names_get_numbers(self, call: Call, paint: Call) -> None:
        for i, name in enumerate(["one/a.png", "three/A.png", "two/a-2.png", "two/a.png"]):
            paint(name, size=(50 + i, 40))
        call("detect", "one", "three", "two", "--annotate", "drawn")
        widths = {path.name: read_image(path).shape[1] for path in Path("drawn").iterdir()}
        assert widths == {"a.png": 50, "A-2.png": 51, "a-2-2.png": 52, "a-3.png": 53}

    def test_a_name_that_is_no_pictures(self, call: Call, paint: Call) -> None:
        paint("a.png").rename("camera.dat")
        call("detect", "camera.dat", "--annotate", "drawn")
        assert [path.name for path in Path("drawn").iterdir()] == ["camera.dat.png"]

    def test_too_large_for_its_format(self, call: Call, paint: Call) -> None:
        # TIFF by content, WebP by name, which holds 16,383 pixels a side
        paint("long.tiff", size=(16400, 2)).rename("long.webp")
        assert call("detect", "long.webp", "--annotate", "drawn").status == 0
        assert [path.name for path in Path("drawn").iterdir()] == ["long.webp.png"]

    @pytest.mark.parametrize("folder", ["in", "in/../in", "link"])
    def test_a_picture_is_not_overwritten(self, call: Call, paint: Call, folder: str) -> None:
        path = paint("in/a.png", (10, 20, 50, GREEN))
        Path("link").symlink_to("in")
        before = path.read_bytes()
        result = call("detect", "in", "--annotate", folder)
        assert result.status == 2
        assert "is one of the pictures to read" in result.err
        assert path.read_bytes() == before

    def test_a_file_in_the_folders_place(self, call: Call, paint: Call) -> None:
        paint("a.png")
        result = call("detect", "a.png", "--annotate", "a.png")
        assert result.status == 2
        assert result.err.startswith("maskgate: a.png cannot be made a folder")
