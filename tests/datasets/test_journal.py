from __future__ import annotations

from pathlib import Path

import pytest

from maskgate.datasets.journal import INDEX, SOURCES, Journal
from maskgate.errors import DataError


def filled(folder: Path) -> Journal:
    journal = Journal(folder)
    journal.add("aa", {"source": "a.jpg"}, [{"crop": "1"}, {"crop": "2"}])
    journal.add("bb", {"source": "b.jpg"}, [])
    journal.add("cc", {"source": "c.jpg"}, [{"crop": "3"}])
    return journal


def test_reads_what_it_wrote(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    again = Journal(tmp_path)
    assert again.made == journal.made == [
        {"crop": "1", "sha256": "aa"}, {"crop": "2", "sha256": "aa"}, {"crop": "3", "sha256": "cc"},
    ]  # fmt: skip
    assert list(again.sources) == ["aa", "bb", "cc"]
    assert "bb" in again
    assert "dd" not in again


@pytest.mark.parametrize("file", [INDEX, SOURCES])
def test_every_place_of_a_kill(tmp_path: Path, file: str) -> None:
    """A file cut anywhere gives a journal of the sources that were done, with all their lines."""
    whole = filled(tmp_path)
    index, sources = (tmp_path / INDEX).read_bytes(), (tmp_path / SOURCES).read_bytes()
    last_source = sources[: sources.rindex(b"\n", 0, -1) + 1]
    last_made = index[: index.rindex(b"\n", 0, -1) + 1]
    if file == INDEX:  # the kill came while the last source's lines were written
        states = [(index[:n], last_source) for n in range(len(last_made), len(index) + 1)]
    else:
        states = [(index, sources[:n]) for n in range(len(last_source), len(sources))]
    for made, done in states:
        (tmp_path / INDEX).write_bytes(made)
        (tmp_path / SOURCES).write_bytes(done)
        journal = Journal(tmp_path)
        assert list(journal.sources) == ["aa", "bb"]
        assert journal.made == whole.made[:2]
        journal.add("cc", {"source": "c.jpg"}, [{"crop": "3"}])
        assert ((tmp_path / INDEX).read_bytes(), (tmp_path / SOURCES).read_bytes()) == (index, sources)


@pytest.mark.parametrize("line", ["{", "[]", '{"crop": "1"}'])
def test_damage_in_the_middle(tmp_path: Path, line: str) -> None:
    filled(tmp_path)
    text = (tmp_path / INDEX).read_text().splitlines()
    (tmp_path / INDEX).write_text("\n".join([text[0], line, text[2], ""]))
    with pytest.raises(DataError, match=r"index\.jsonl: line 2 is no JSON object"):
        Journal(tmp_path)
