from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from maskgate.datasets.annotations import AnnotatedSet
from maskgate.datasets.formats.yolo import is_yolo, read_yolo, write_yolo
from maskgate.errors import DataError


def test_numbers_by_hand(scenes: AnnotatedSet, tmp_path: Path) -> None:
    assert write_yolo(scenes, tmp_path / "out") == 1  # the crowd
    lines = (tmp_path / "out" / "labels" / "a.txt").read_text().splitlines()
    # (10 + 110) / 2 / 640, (20 + 220) / 2 / 480, 100 / 640, 200 / 480
    assert [float(v) for v in lines[0].split()] == pytest.approx([0, 0.09375, 0.25, 0.15625, 0.4166666667])
    # (600.25 + 640) / 2 / 640, 33.125 / 2 / 480, 39.75 / 640, 33.125 / 480
    assert [float(v) for v in lines[1].split()] == pytest.approx(
        [1, 0.9689453125, 0.0345052083, 0.062109375, 0.0690104167]
    )
    assert len(lines) == 2
    assert (tmp_path / "out" / "labels" / "more" / "b.txt").read_text().split() == [
        "2", "0.5000000000", "0.5000000000", "1.0000000000", "1.0000000000",
    ]  # fmt: skip
    assert (tmp_path / "out" / "labels" / "c.txt").read_text() == ""
    assert (tmp_path / "out" / "classes.txt").read_text() == "mask\nno_mask\nincorrect\n"
    assert '  1: "no_mask"\n' in (tmp_path / "out" / "data.yaml").read_text()


def test_reads_what_it_wrote(scenes: AnnotatedSet, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write_yolo(scenes, folder)
    assert is_yolo(folder)
    again = read_yolo(folder)
    assert again.labels == scenes.labels
    wanted = {p.name: [a for a in p.annotations if not a.ignore] for p in scenes.pictures}
    for picture in again.pictures:
        assert [a.label for a in picture.annotations] == [a.label for a in wanted[picture.name]]
        for found, original in zip(picture.annotations, wanted[picture.name], strict=True):
            assert found.box == pytest.approx(original.box, abs=1e-6)


@pytest.fixture
def yolo(scenes: AnnotatedSet, tmp_path: Path) -> Path:
    write_yolo(scenes, tmp_path / "set")
    return tmp_path / "set"


@pytest.mark.parametrize(
    "text",
    [
        "train: x\nnames: ['mask', \"no_mask\",\n  incorrect]\nnc: 3\n",
        "names:\n  - mask\n  - no_mask # a comment\n  - 'incorrect'\nnc: 3\n",
        "nc: 3\nnames:\n  0: mask\n  1: no_mask\n  2: incorrect\n",
    ],
)
def test_classes_of_yaml(yolo: Path, text: str) -> None:
    (yolo / "classes.txt").unlink()
    (yolo / "data.yaml").write_text(text)
    assert read_yolo(yolo).labels == ("mask", "no_mask", "incorrect")


def test_own_yaml_is_read(yolo: Path) -> None:
    labels = read_yolo(yolo).labels
    (yolo / "classes.txt").unlink()
    assert read_yolo(yolo).labels == labels


BROKEN = [
    ("3 0.5 0.5 0.1 0.1", "line 1 has class 3; give a number from 0 to 2"),
    ("-1 0.5 0.5 0.1 0.1", "line 1 has class -1"),
    ("mask 0.5 0.5 0.1 0.1", "line 1 has class mask"),
    ("0 0.5 0.5 0.1", "line 1 has 4 fields"),
    ("\n0 0.5 0.5 0.1 0.1 0.9", "line 2 has 6 fields"),
    ("0 0.5 0.5 0.1 x", "line 1 has '0.5 0.5 0.1 x'; give four numbers"),
    ("0 0.5 0.5 nan 0.1", "line 1 has .*give four numbers"),
    ("0 0.5 0.5 0 0.1", "line 1 has an empty box"),
    ("0 0.98 0.5 0.1 0.1", "line 1 has a box .* outside its picture of 640×480 pixels"),
    ("0 320 240 100 100", "line 1 has a box .* outside its picture"),
]


@pytest.mark.parametrize(("line", "words"), BROKEN)
def test_errors_name_file_and_line(yolo: Path, line: str, words: str) -> None:
    (yolo / "labels" / "a.txt").write_text(line + "\n")
    with pytest.raises(DataError, match=r"a\.txt: " + words):
        read_yolo(yolo)


def test_missing_parts(yolo: Path) -> None:
    (yolo / "labels" / "gone.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DataError, match=r"gone\.txt has no picture of its name"):
        read_yolo(yolo)
    (yolo / "labels" / "gone.txt").unlink()
    (yolo / "labels" / "c.txt").unlink()
    assert [p.annotations for p in read_yolo(yolo).pictures if p.name.name == "c.jpg"] == [()]
    (yolo / "classes.txt").write_text("mask\n\nincorrect\n")
    with pytest.raises(DataError, match=r"classes\.txt has an empty line"):
        read_yolo(yolo)
    (yolo / "classes.txt").unlink()
    (yolo / "data.yaml").write_text("nc: 3\n")
    with pytest.raises(DataError, match=r"data\.yaml has no list 'names'"):
        read_yolo(yolo)
    (yolo / "data.yaml").unlink()
    with pytest.raises(DataError, match=r"has no classes\.txt and no data\.yaml"):
        read_yolo(yolo)
    (yolo / "images").rename(yolo / "pictures")
    with pytest.raises(DataError, match="is no YOLO set"):
        read_yolo(yolo)


def test_what_the_format_cannot_hold(scenes: AnnotatedSet, tmp_path: Path) -> None:
    first = scenes.pictures[0]
    twin = replace(first, name=first.name.with_suffix(".png"))
    with pytest.raises(DataError, match=r"a\.png and a\.jpg would share a\.txt"):
        write_yolo(AnnotatedSet(scenes.labels, (first, twin)), tmp_path / "out")
    with pytest.raises(DataError, match="is no plain text of one line"):
        write_yolo(scenes.rename({"mask": "two\nlines"}), tmp_path / "out")


def test_no_classes(yolo: Path) -> None:
    (yolo / "classes.txt").write_text("")
    with pytest.raises(DataError, match=r"line 1 has class 0; give no boxes where there are no classes"):
        read_yolo(yolo)
    for file in (yolo / "labels").rglob("*.txt"):
        file.write_text("")
    assert read_yolo(yolo).counts == {}
