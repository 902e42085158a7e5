from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from maskgate.datasets.output import MARKER, OutputFolder, outside, place_picture, sha256_of, write_whole
from maskgate.errors import DataError


class TestOutputFolder:
    def test_goes_on_with_the_same_settings_only(self, tmp_path: Path) -> None:
        first = OutputFolder(tmp_path / "out", "split", {"seed": 1, "shares": (0.1, 0.2)})
        assert first.report is None
        first.finish({"pictures": 3})
        again = OutputFolder(tmp_path / "out", "split", {"seed": 1, "shares": (0.1, 0.2)})
        assert again.report == {"pictures": 3}
        with pytest.raises(DataError, match=r"other settings \(seed\)"):
            OutputFolder(tmp_path / "out", "split", {"seed": 2, "shares": (0.1, 0.2)})
        with pytest.raises(DataError, match="of 'maskgate data split'"):
            OutputFolder(tmp_path / "out", "sheet", {"seed": 1, "shares": (0.1, 0.2)})

    def test_refuses_what_is_not_its_own(self, tmp_path: Path) -> None:
        (tmp_path / "photo.jpg").write_bytes(b"")
        with pytest.raises(DataError, match="holds something else; give a new or an empty folder"):
            OutputFolder(tmp_path, "split", {})
        assert not (tmp_path / MARKER).exists()
        with pytest.raises(DataError, match="is a file"):
            OutputFolder(tmp_path / "photo.jpg", "split", {})

    @pytest.mark.parametrize("text", ["not JSON", "[]", "\xff"])
    def test_refuses_a_broken_marker(self, tmp_path: Path, text: str) -> None:
        (tmp_path / MARKER).write_text(text, "latin-1")
        with pytest.raises(DataError, match=r"made-by\.json"):
            OutputFolder(tmp_path, "split", {})

    def test_what_a_kill_leaves_does_not_stand_in_the_way(self, tmp_path: Path) -> None:
        for name in (".made-by.json.0123abcd.tmp", "x/.a.jpg.0123abcd.tmp", "x/.mine.tmp"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / "x").rmdir()
        (tmp_path / ".made-by.json.0123abcd.tmp").write_text("{")
        folder = OutputFolder(tmp_path, "split", {})
        (tmp_path / "x").mkdir()
        for name in (".a.jpg.0123abcd.tmp", ".mine.tmp"):
            (tmp_path / "x" / name).write_text("")
        folder.finish({})
        assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [".mine.tmp", MARKER]
        assert json.loads((tmp_path / MARKER).read_text())["command"] == "data split"


class TestWriting:
    def test_whole_or_not_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "below" / "a.txt"
        write_whole(file, b"old")

        def stop(*places: Path) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", stop)
        with pytest.raises(DataError, match="cannot be written: No space left"):
            write_whole(file, b"new")
        assert file.read_bytes() == b"old"
        assert [p.name for p in file.parent.iterdir()] == ["a.txt"]

    def test_the_same_again_is_not_written(self, tmp_path: Path) -> None:
        write_whole(tmp_path / "a", b"same")
        before = (tmp_path / "a").stat().st_ino
        write_whole(tmp_path / "a", b"same")
        assert (tmp_path / "a").stat().st_ino == before


class TestPlacing:
    def test_copy_and_link(self, tmp_path: Path) -> None:
        source = tmp_path / "a.jpg"
        source.write_bytes(b"picture")
        for placing in ("copy", "link"):
            target = tmp_path / placing / "below" / "a.jpg"
            for _ in range(2):
                place_picture(source, target, placing)  # type: ignore[arg-type]
            assert target.read_bytes() == b"picture"
            assert target.is_symlink() == (placing == "link")

    def test_another_picture_is_not_overwritten(self, tmp_path: Path) -> None:
        for name in ("a.jpg", "b.jpg"):
            (tmp_path / name).write_bytes(name.encode())
        with pytest.raises(DataError, match=r"b\.jpg is there already and is not .*a\.jpg"):
            place_picture(tmp_path / "a.jpg", tmp_path / "b.jpg", "copy")
        assert (tmp_path / "b.jpg").read_bytes() == b"b.jpg"

    def test_missing_picture(self, tmp_path: Path) -> None:
        for placing in ("copy", "link"):
            with pytest.raises(DataError, match="No such file"):
                place_picture(tmp_path / "gone.jpg", tmp_path / "out.jpg", placing)  # type: ignore[arg-type]
        assert list(tmp_path.iterdir()) == []


def test_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [Path("a.jpg"), Path("out/b.jpg"), Path("out2/c.jpg"), tmp_path / "out" / "x" / "d.jpg"]
    assert outside(paths, Path("out")) == [Path("a.jpg"), Path("out2/c.jpg")]


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, example B.1
    assert sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")
    with pytest.raises(DataError, match="cannot be read"):
        sha256_of(tmp_path / "gone")
