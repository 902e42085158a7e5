from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maskgate.datasets.annotations import AnnotatedSet, Annotation
from maskgate.datasets.formats.coco import write_coco
from maskgate.datasets.sheet import Entry, SheetSettings, colour_of, draw_sheet, make_sheets, read_entries
from maskgate.drawing import COLOURS
from maskgate.errors import DataError, InputError
from maskgate.images import read_image, write_image
from maskgate.types import Label

Tree = Callable[[Path], dict[str, bytes]]
SMALL = SheetSettings(columns=3, rows=2, cell=64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight plain pictures, each in a colour of its own, wide ones among them."""
    root = tmp_path / "in"
    for i in range(8):
        label = ("mask", "no_mask")[i % 2]
        (root / label).mkdir(parents=True, exist_ok=True)
        image = np.full((40, 80 if i < 4 else 40, 3), (30 * i, 255 - 30 * i, 128), np.uint8)
        write_image(root / label / f"{i}.png", image)
    return root


def places(output: Path) -> list[dict[str, str]]:
    with (output / "sheets.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_picture_is_where_the_table_says(folder: Path, tmp_path: Path) -> None:
    sheets = make_sheets(read_entries(folder), tmp_path / "out", SMALL)
    assert [file.name for file in sheets.files] == ["sheet-001.jpg", "sheet-002.jpg"]
    rows = places(tmp_path / "out")
    assert [row["file"] for row in rows] == [
        f"{('mask', 'no_mask')[i % 2]}/{i}.png" for i in (0, 2, 4, 6, 1, 3, 5, 7)
    ]
    pages = {file.name: read_image(file) for file in sheets.files}
    height, width = pages["sheet-001.jpg"].shape[:2]
    for row in rows:
        i = int(Path(row["file"]).stem)
        x = (int(row["column"]) - 0.5) / 3 * width
        y = (int(row["row"]) - 1) * height / 2 + 36
        assert pages[row["sheet"]][int(y), int(x)].tolist() == pytest.approx(
            [30 * i, 255 - 30 * i, 128], abs=6
        )
        assert row["label"] == row["file"].split("/")[0]
    assert pages["sheet-002.jpg"].shape[0] < height  # one row


def test_label_is_drawn_in_its_colour(folder: Path) -> None:
    page, failures = draw_sheet(read_entries(folder)[:1], SMALL)
    assert failures == []
    caption = page[70:82, 5:20].reshape(-1, 3)
    assert (caption == COLOURS[Label.MASK]).all(1).mean() > 0.3
    assert (caption.max(1) < 60).any()  # letters
    assert colour_of("training/incorrect") == COLOURS[Label.INCORRECT]
    assert colour_of("scarf") not in COLOURS.values()


def test_labels_of_a_table(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("file,label,note\nno_mask/1.png,incorrect,x\nmask/0.png,mask,\nmask/gone.png,mask,\n")
    entries = read_entries(folder, table)
    assert [(e.name, e.label) for e in entries] == [
        ("no_mask/1.png", "incorrect"), ("mask/0.png", "mask"), ("mask/gone.png", "mask"),
    ]  # fmt: skip
    sheets = make_sheets(entries, tmp_path / "out", SMALL)
    assert len(sheets.failures) == 1
    assert "gone.png" in sheets.failures[0]
    assert len(make_sheets(entries, tmp_path / "out", SMALL).failures) == 1  # said again
    for text, words in (
        ("file\na.png\n", "line 2 has no 'file' or no 'label'"),
        ("file,label\n", "no pictures"),
    ):
        table.write_text(text)
        with pytest.raises(DataError, match=words):
            read_entries(folder, table)


def test_boxes_of_coco(scenes: AnnotatedSet, tmp_path: Path) -> None:
    write_coco(scenes, tmp_path / "set")
    entries = read_entries(tmp_path / "set")
    assert [(e.name, e.label) for e in entries] == [
        ("c.jpg", ""), ("more/b.png", "incorrect"), ("a.jpg", "mask, no_mask"),
    ]  # fmt: skip
    page, _ = draw_sheet(entries[2:], SheetSettings(1, 1, 320))
    left, top, scale = 4, 4 + (320 - 240) // 2, 0.5
    x1, y1, x2, y2 = (round(v * scale) for v in scenes.pictures[0].annotations[0].box)
    for x, y in ((left + (x1 + x2) // 2, top + y1), (left + x1, top + (y1 + y2) // 2)):
        assert tuple(page[y, x]) == COLOURS[Label.MASK]
    assert tuple(page[top + (y1 + y2) // 2, left + (x1 + x2) // 2]) != COLOURS[Label.MASK]


def test_a_region_is_shown_larger_and_cut_at_the_edge(scenes: AnnotatedSet, tmp_path: Path) -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[:50, 150:] = 255
    write_image(tmp_path / "x.png", image)
    box = Annotation("mask", (150.0, 10.0, 190.0, 40.0))
    entry = Entry(tmp_path / "x.png", "x.png", "mask", (box,), (100.0, -40.0, 240.0, 100.0))
    page, _ = draw_sheet([entry], SheetSettings(1, 1, 200))
    shown = page[4:204, 4:204]  # 100 x 100 pixels at twice their size
    assert shown[90, 190].tolist() == [255, 255, 255]
    assert shown[90, 50].tolist() == shown[150, 190].tolist() == [0, 0, 0]
    for x, y in ((100, 50), (180, 50), (140, 20), (140, 80)):
        assert tuple(shown[y, x]) == COLOURS[Label.MASK]
    outside = Entry(tmp_path / "x.png", "x.png", "mask", (), (300.0, 300.0, 320.0, 320.0))
    assert draw_sheet([outside], SMALL)[1] == []


def test_only_what_has_changed_is_drawn_again(folder: Path, tmp_path: Path, tree: Tree) -> None:
    output = folder / "sheets"  # also inside the folder: sheets are no pictures of it

    def stamps() -> dict[str, int]:
        return {p.name: p.stat().st_ino for p in output.iterdir()}

    make_sheets(read_entries(folder), output, SMALL)
    before = stamps()
    make_sheets(read_entries(folder), output, SMALL)
    assert stamps() == before
    (folder / "no_mask" / "7.png").rename(folder / "mask" / "7.png")
    (folder / "no_mask" / "5.png").unlink()
    (folder / "no_mask" / "3.png").unlink()
    make_sheets(read_entries(folder), output, SMALL)
    assert sorted(tree(output)) == ["made-by.json", "sheet-001.jpg", "sheets.csv"]
    assert stamps()["sheet-001.jpg"] != before["sheet-001.jpg"]
    assert len(places(output)) == 6


def test_refusals(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds something else"):
        make_sheets(read_entries(folder), folder, SMALL)
    with pytest.raises(InputError, match="cells of 32 to 2048 pixels"):
        SheetSettings(cell=8)
    with pytest.raises(InputError, match="is too large"):
        SheetSettings(100, 100, 256)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="without pictures"):
        read_entries(tmp_path / "empty")
