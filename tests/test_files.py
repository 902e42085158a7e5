from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from maskgate.files import plain, write_atomic, write_json


def test_written_as_given(tmp_path: Path) -> None:
    write_atomic(tmp_path / "new" / "a.bin", b"\x00\xff")
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"\x00\xff"
    write_json(tmp_path / "a.json", {"b": [1, None], "where": Path("x")})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": [\n    1,\n    null\n  ],\n  "where": "x"\n}\n'
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.json", "new"]


def test_a_place_that_cannot_be_written_keeps_nothing_half(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomic(tmp_path / "a", b"data")
    assert [f.name for f in tmp_path.iterdir()] == ["a"]


def test_kill_before_the_rename_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "figures.json"
    write_json(file, {"a": 1})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(file, b"half")
    assert json.loads(file.read_text()) == {"a": 1}
    assert [f.name for f in tmp_path.iterdir()] == ["figures.json"]


def test_values_that_json_can_hold() -> None:
    value = {1: [np.float32(0.5), np.int64(3), float("nan")], "b": (float("inf"), True, None, "x")}
    assert plain(value) == {"1": [0.5, 3, None], "b": [None, True, None, "x"]}
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == plain(value)
