"""Every kind of bad input costs one sentence, and what is good goes on."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from maskgate.images import encode_image
from maskgate.models import InputSpec, ModelCard
from maskgate.types import LABELS

Call = Callable[..., Any]
RED = (220, 40, 40)
CROP = {"kind": "rotate", "size": 16, "margin": 1.5}


def png_header(width: int, height: int) -> bytes:
    """A PNG that states this size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def write_gif(path: Path) -> None:
    frames = [Pillow.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def write_half_a_jpeg(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3)).astype(np.uint8)
    data = encode_image(noise, "JPEG")
    path.write_bytes(data[: len(data) // 2])


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing.jpg": (lambda path: None, "does not exist"),
    "text.jpg": (lambda path: path.write_text("not a picture at all"), "is not a picture"),
    "truncated.jpg": (write_half_a_jpeg, "is truncated"),
    "huge.png": (lambda path: path.write_bytes(png_header(60_000, 60_000)), "is 60000×60000 pixels"),
    "animated.gif": (write_gif, "is a GIF file"),
    "empty.png": (lambda path: path.write_bytes(b""), "is empty"),
}


@pytest.mark.usefixtures("toys")
class TestFiles:
    @pytest.mark.parametrize("command", ["detect", "classify"])
    @pytest.mark.parametrize("name", BAD_FILES)
    def test_one_error_and_the_rest_goes_on(self, call: Call, paint: Call, command: str, name: str) -> None:
        paint("a.png", (10, 20, 50, RED))
        paint("b.png", (10, 20, 50, RED))
        write, message = BAD_FILES[name]
        write(Path(name))
        result = call(command, "a.png", name, "b.png")
        first, bad, last = result.lines
        assert (result.status, result.err) == (1, "")
        assert [first["path"], bad["path"], last["path"]] == ["a.png", name, "b.png"]
        assert [len(first["faces"]), len(last["faces"])] == [1, 1]
        assert list(bad) == list(first)
        assert bad["faces"] == []
        assert bad["error"].startswith(f"{name} ")
        assert message in bad["error"]
        assert "\n" not in bad["error"]

    def test_alone(self, call: Call, paint: Call) -> None:
        paint("a.png")
        result = call("detect", "missing.jpg")
        assert result.status == 1
        assert [line["error"] for line in result.lines] == ["missing.jpg does not exist"]

    def test_one_pixel_is_a_picture(self, call: Call, paint: Call) -> None:
        paint("one.png", (0, 0, 1, RED), size=(1, 1))
        (line,) = call("detect", "one.png", "--annotate", "drawn").lines
        assert (line["width"], line["height"], line["faces"], line["error"]) == (1, 1, [], None)
        result = call("classify", "one.png")
        assert result.status == 0
        assert result.lines[0]["faces"][0]["box"] == [0, 0, 1, 1]
        assert result.lines[0]["faces"][0]["uncertain"] is True

    @pytest.mark.parametrize("given", ["folder", "*.jpg", ""])
    def test_no_pictures(self, call: Call, paint: Call, given: str) -> None:
        paint("a.png")
        Path("folder").mkdir()
        (Path("folder") / "notes.txt").write_text("")
        result = call("detect", "a.png", given)
        assert (result.status, result.out) == (2, "")
        assert result.err.startswith(f"maskgate: {given or 'an input'} ")
        assert result.err.count("\n") == 1


class TestCalls:
    @pytest.mark.usefixtures("toys")
    @pytest.mark.parametrize(
        ("words", "named"),
        [
            (["--detector", "nobody"], "there is no detection model 'nobody'; choose from: "),
            (["--classifier", "nobody"], "there is no classification model 'nobody'; choose from: "),
            (["--score", "2"], "score is 2.0"),
            (["--score", "nan"], "score is nan"),
            (["--threshold", "0"], "threshold is 0.0"),
            (["--threshold", "high"], "argument --threshold: invalid float value: 'high'"),
            (["--threads", "0"], "threads is 0"),
            (["--threads", "2.5"], "argument --threads: invalid int value"),
            (["--device", "tpu"], "argument --device: invalid choice: 'tpu'"),
            (["--format", "xml"], "argument --format: invalid choice: 'xml'"),
            (["--thresh", "0.5"], "unrecognized arguments: --thresh"),
        ],
    )
    def test_wrong_options(self, call: Call, paint: Call, words: list[str], named: str) -> None:
        paint("a.png", (10, 20, 50, RED))
        result = call("detect", "a.png", "--output", "out.jsonl", "--annotate", "drawn", *words)
        assert (result.status, result.out) == (2, "")
        assert result.err.startswith("maskgate")
        assert named in result.err
        assert result.err.count("\n") == 1
        assert [path.name for path in Path().iterdir()] == ["a.png"], "the call left something behind"

    @pytest.mark.parametrize("words", [[], ["recognise"], ["detect"], ["models"], ["evaluate", "scenes"]])
    def test_what_is_no_call(self, call: Call, words: list[str]) -> None:
        result = call(*words)
        assert (result.status, result.out) == (2, "")
        assert result.err.count("\n") == 1
        assert "--help" in result.err

    @pytest.mark.usefixtures("toys")
    @pytest.mark.parametrize("option", ["--detector", "--classifier"])
    def test_corrupted_weights(
        self, call: Call, paint: Call, add_model: Callable[..., ModelCard], option: str
    ) -> None:
        paint("a.png")
        kind = {"task": "classification", "architecture": "face_resnet", "classes": LABELS}
        spec = {
            "input": InputSpec(16, 16, "RGB", layout="NHWC"),
            "settings": {"crop": CROP, "threshold": 0.4},
        }
        card = add_model("mine", b"a network", **(kind | spec if option == "--classifier" else {}))
        card.path.write_bytes(b"a netwerk")
        result = call("detect", "a.png", option, "mine")
        assert (result.status, result.out) == (2, "")
        assert "mine.onnx of model 'mine' are not those of its card" in result.err
        assert result.err.count("\n") == 1
        card.path.unlink()
        result = call("detect", "a.png", option, "mine")
        assert (result.status, result.out) == (2, "")
        assert "mine.onnx of model 'mine' cannot be read" in result.err
        assert result.err.count("\n") == 1
