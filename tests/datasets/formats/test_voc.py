from __future__ import annotations

import codecs
from dataclasses import replace
from pathlib import Path
from xml.dom import minidom

import pytest

from maskgate.datasets.annotations import AnnotatedSet
from maskgate.datasets.formats.voc import is_voc, read_voc, whole_pixels, write_voc
from maskgate.errors import DataError

KAGGLE = """<annotation>
    <folder>images</folder>
    <filename>c.jpg</filename>
    <size><width>50</width><height>50</height><depth>3</depth></size>
    <segmented>0</segmented>
    <object>
        <name>with_mask</name>
        <pose>Unspecified</pose><truncated>0</truncated><occluded>0</occluded><difficult>0</difficult>
        <bndbox><xmin>5</xmin><ymin>10</ymin><xmax>20</xmax><ymax>31</ymax></bndbox>
    </object>
    <object><name> without_mask </name><difficult>1</difficult>
        <bndbox><ymin>1.5</ymin><xmin>2</xmin><ymax>8.25</ymax><xmax>9</xmax></bndbox>
    </object>
</annotation>"""
"""As the public mask sets have it; made up."""


@pytest.fixture
def voc(scenes: AnnotatedSet, tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    (folder / "annotations").mkdir()
    (folder / "annotations" / "c.xml").write_text(KAGGLE)
    return folder


def test_reads_a_file_by_hand(voc: Path) -> None:
    assert is_voc(voc)
    (picture,) = read_voc(voc).pictures
    assert (str(picture.name), picture.width, picture.height) == ("c.jpg", 50, 50)
    assert [(a.label, a.box, a.ignore) for a in picture.annotations] == [
        ("with_mask", (5, 10, 20, 31), False),
        ("without_mask", (2, 1.5, 9, 8.25), True),
    ]
    (from_one,) = read_voc(voc, from_one=True).pictures
    assert from_one.annotations[0].box == (4, 9, 20, 31)  # 16 × 22 pixels, the last ones included


def test_what_is_written(scenes: AnnotatedSet, tmp_path: Path) -> None:
    for from_one, corners in ((False, ["600", "0", "640", "33"]), (True, ["601", "1", "640", "33"])):
        write_voc(scenes, tmp_path / "out", from_one=from_one)
        document = minidom.parse(str(tmp_path / "out" / "Annotations" / "a.xml"))

        def text(name: str, place: int, document: minidom.Document = document) -> str:
            return str(document.getElementsByTagName(name)[place].firstChild.data)  # type: ignore[union-attr]

        assert [text(n, 0) for n in ("filename", "width", "height", "depth")] == ["a.jpg", "640", "480", "3"]
        assert [text(name, 1) for name in ("xmin", "ymin", "xmax", "ymax")] == corners
        assert [text("name", i) for i in range(3)] == ["mask", "no_mask", "mask"]
        assert [text("difficult", i) for i in range(3)] == ["0", "0", "1"]
    assert (tmp_path / "out" / "Annotations" / "more" / "b.xml").is_file()


@pytest.mark.parametrize("from_one", [False, True])
def test_reads_what_it_wrote_to_the_pixel(scenes: AnnotatedSet, tmp_path: Path, from_one: bool) -> None:
    folder = tmp_path / "set"
    write_voc(scenes, folder, from_one=from_one)
    again = read_voc(folder, from_one=from_one)
    assert again.labels == scenes.labels
    rounded = {
        p.name: [
            replace(a, box=tuple(float(v) for v in whole_pixels(a.box, p)))  # type: ignore[arg-type]
            for a in p.annotations
        ]
        for p in scenes.pictures
    }
    assert {p.name: list(p.annotations) for p in again.pictures} == rounded
    assert {p.name: p.path for p in again.pictures} == {p.name: p.path for p in scenes.pictures}


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        ((0.4, 0.5, 9.5, 9.4), (0, 1, 10, 9)),
        ((3.1, 3.1, 3.2, 3.2), (3, 3, 4, 4)),
        ((49.7, 49.6, 50, 50), (49, 49, 50, 50)),
    ],
)
def test_rounding(scenes: AnnotatedSet, box: tuple[float, ...], pixels: tuple[int, ...]) -> None:
    assert whole_pixels(box, scenes.pictures[2]) == pixels  # type: ignore[arg-type]


BROKEN = [
    ("<annotation>", "<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>", "has a DOCTYPE"),
    ("</annotation>", "", "no well-formed XML"),
    ("annotation>", "notes>", "has the root <notes>"),
    ("<name>with_mask</name>", "", "object 1 has no name"),
    ("<xmin>5</xmin>", "", r"object 1 has bndbox/xmin None"),
    ("<xmin>5</xmin>", "<xmin>five</xmin>", r"object 1 has bndbox/xmin 'five'"),
    ("<xmax>20</xmax>", "<xmax>nan</xmax>", r"object 1 has bndbox/xmax 'nan'"),
    ("<xmax>20</xmax>", "<xmax>5</xmax>", "object 1 has an empty box"),
    ("<xmax>9</xmax>", "<xmax>90</xmax>", "object 2 has a box .* outside its picture of 50×50 pixels"),
    ("<width>50</width>", "<width>60</width>", "size/width is 60, but .*c.jpg has 50 pixels"),
    ("<width>50</width>", "<width>x</width>", "size/width 'x'"),
]


@pytest.mark.parametrize(("old", "new", "words"), BROKEN)
def test_errors_name_file_and_field(voc: Path, old: str, new: str, words: str) -> None:
    assert old in KAGGLE
    (voc / "annotations" / "c.xml").write_text(KAGGLE.replace(old, new))
    with pytest.raises(DataError, match=r"c\.xml.* ?" + words):
        read_voc(voc)


def test_missing_pictures_and_folders(voc: Path) -> None:
    (voc / "annotations" / "d.xml").write_text(KAGGLE.replace("c.jpg", "d.jpg"))
    with pytest.raises(DataError, match=r"d\.xml: filename is 'd\.jpg', but .*d\.jpg is missing"):
        read_voc(voc)
    (voc / "annotations" / "d.xml").write_text(KAGGLE)
    with pytest.raises(DataError, match=r"d\.xml: filename c\.jpg is the picture of .*c\.xml too"):
        read_voc(voc)
    (voc / "images").rename(voc / "pictures")
    with pytest.raises(DataError, match="is no Pascal VOC set"):
        read_voc(voc)


def test_what_tools_leave(voc: Path) -> None:
    """Windows folders in ``filename``, sizes of 0, a byte order mark; UTF-16 is refused."""
    file = voc / "annotations" / "c.xml"
    text = KAGGLE.replace("c.jpg", "C:\\work\\c.jpg").replace(">50<", ">0<")
    file.write_bytes(codecs.BOM_UTF8 + text.encode())
    assert read_voc(voc).counts.total() == 2
    file.write_text(KAGGLE.replace("c.jpg", "other.jpg"))  # falls back on the file's own name
    assert read_voc(voc).pictures[0].path.name == "c.jpg"
    file.write_bytes(KAGGLE.encode("utf-16"))
    with pytest.raises(DataError, match="not XML in UTF-8"):
        read_voc(voc)


def test_two_pictures_of_one_stem(scenes: AnnotatedSet, tmp_path: Path) -> None:
    first = scenes.pictures[0]
    twin = replace(first, name=first.name.with_suffix(".png"))
    with pytest.raises(DataError, match=r"a\.png and a\.jpg would share a\.xml"):
        write_voc(AnnotatedSet(scenes.labels, (first, twin)), tmp_path / "out")
