from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from maskgate.errors import ImageFormatError, InputError
from maskgate.images import EXTENSIONS, encode_image, read_image, write_image


@pytest.mark.parametrize("fmt", ["PNG", "BMP", "TIFF", "png"])
def test_lossless_formats_keep_every_pixel(astronaut, fmt: str) -> None:
    with Pillow.open(io.BytesIO(encode_image(astronaut, fmt))) as picture:
        assert picture.format == fmt.upper()
        np.testing.assert_array_equal(np.asarray(picture), astronaut)


@pytest.mark.parametrize("fmt", ["JPEG", "WEBP"])
def test_lossy_formats_stay_close(astronaut, fmt: str) -> None:
    data = encode_image(astronaut, fmt)
    with Pillow.open(io.BytesIO(data)) as picture:
        assert picture.format == fmt
        error = np.asarray(picture).astype(float) - astronaut
    assert np.sqrt((error**2).mean()) < 6
    assert len(data) < astronaut.size / 5


def test_wrong_formats_and_arrays_are_refused(astronaut) -> None:
    with pytest.raises(InputError, match="format is 'GIF'; choose from BMP, JPEG"):
        encode_image(astronaut, "GIF")
    with pytest.raises(InputError, match="dtype float64"):
        encode_image(astronaut / 255, "PNG")


def test_a_size_that_the_format_cannot_hold() -> None:
    with pytest.raises(ImageFormatError, match=r"20000×1 pixels cannot be saved as WEBP"):
        encode_image(np.zeros((1, 20_000, 3), np.uint8), "WEBP")


@pytest.mark.parametrize("extension", sorted(EXTENSIONS))
def test_the_extension_chooses_the_format(astronaut, tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"picture{extension.upper()}"
    write_image(path, astronaut[:50, :70])
    with Pillow.open(path) as picture:
        assert (picture.format, picture.size) == (EXTENSIONS[extension], (70, 50))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_file_that_was_there_is_replaced(astronaut, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    write_image(path, astronaut)
    np.testing.assert_array_equal(read_image(path), astronaut)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_permissions_are_those_of_any_new_file(astronaut, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", astronaut[:5])
    (tmp_path / "plain").touch()
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", ["a.gif", "a", "a.txt"])
def test_other_extensions_are_refused(astronaut, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"its name must end in one of \.jpg"):
        write_image(tmp_path / name, astronaut)


def test_what_cannot_be_written_leaves_nothing_behind(
    astronaut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"none.a\.png cannot be written: No such file"):
        write_image(tmp_path / "none" / "a.png", astronaut[:5])

    folder = tmp_path / "folder.png"
    folder.mkdir()
    with pytest.raises(InputError, match=r"folder\.png cannot be written"):
        write_image(folder, astronaut[:5])

    old = tmp_path / "old.png"
    old.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="No space left"):
        write_image(old, astronaut[:5])
    assert old.read_bytes() == b"old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder.png", "old.png"]
