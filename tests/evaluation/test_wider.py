"""Reading of WIDER FACE's files: all three kinds of them say the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskgate.errors import DataError
from maskgate.evaluation.face_pictures import UNKNOWN, FacePicture
from maskgate.evaluation.wider import (
    is_wider,
    read_label_text,
    read_subsets,
    read_wider,
    read_wider_mat,
    read_wider_text,
)

EVENTS: dict[str, dict[str, list[tuple[Any, ...]]]] = {
    "0--Parade": {
        "0_Parade_1": [
            (10, 20, 30, 40, 2, 0, 1, 0, 1, 0, "easy", "medium", "hard"),
            (50, 60, 7, 8, 1, 1, 0, 0, 2, 1, "hard"),
            (90, 10, 5, 6, 0, 0, 0, 1, 0, 0),  # invalid
            (70, 10, 0, 6, 0, 0, 0, 0, 0, 0),  # no area
        ],
        "0_Parade_2": [],
    },
    "1--Handshaking": {"1_Handshaking_3": [(1, 2, 3, 4, 0, 0, 0, 0, 0, 0, "medium", "hard")]},
}
LABELS = """# 0--Parade/0_Parade_1.jpg
10 20 30 40 15 35 0.0 30 34 0.0 22 45 1.0 17 50 0.0 29 51 0.0 0.82
50 60 7 8 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 0.1
# 1--Handshaking/1_Handshaking_3.jpg
1 2 3 4
"""
POINTS = np.array([[15, 35], [30, 34], [22, 45], [17, 50], [29, 51]], np.float32)


@pytest.fixture
def folder(write_wider: Callable[..., Path]) -> Path:
    made = write_wider(EVENTS)
    for event, pictures in EVENTS.items():
        images = made / "WIDER_val" / "images" / event
        images.mkdir(parents=True)
        for name in pictures:
            (images / f"{name}.jpg").write_bytes(b"")  # no picture is opened
    return made


def check(pictures: list[FacePicture], folder: Path) -> None:
    """What stands in EVENTS."""
    images = folder / "WIDER_val" / "images"
    assert [p.path.relative_to(images).as_posix() for p in pictures] == [
        "0--Parade/0_Parade_1.jpg", "0--Parade/0_Parade_2.jpg", "1--Handshaking/1_Handshaking_3.jpg"
    ]  # fmt: skip
    first, empty, last = pictures
    assert first.boxes.dtype == np.float32
    wanted = [[10, 20, 40, 60], [50, 60, 57, 68], [90, 10, 95, 16], [70, 10, 70, 16]]
    np.testing.assert_array_equal(first.boxes, wanted)
    assert first.ignore.tolist() == [False, False, True, True]
    assert first.labels.tolist() == [UNKNOWN] * 4
    assert {name: values.tolist() for name, values in first.attributes.items()} == {
        "blur": [2, 1, 0, 0], "expression": [0, 1, 0, 0], "illumination": [1, 0, 0, 0],
        "invalid": [0, 0, 1, 0], "occlusion": [1, 2, 0, 0], "pose": [0, 1, 0, 0],
    }  # fmt: skip
    assert (len(empty), empty.boxes.shape, empty.landmarks.shape) == (0, (0, 4), (0, 5, 2))
    np.testing.assert_array_equal(last.boxes, [[1, 2, 4, 6]])
    assert not first.boxes.flags.writeable


def test_the_mat_file_and_the_text_say_the_same(folder: Path) -> None:
    images, split = folder / "WIDER_val" / "images", folder / "wider_face_split"
    check(read_wider_mat(split / "wider_face_val.mat", images), folder)
    check(read_wider_text(split / "wider_face_val_bbx_gt.txt", images), folder)


@pytest.mark.parametrize("gone", [(), ("wider_face_val.mat",)])
def test_the_folder_is_read_from_what_there_is(folder: Path, gone: tuple[str, ...]) -> None:
    for name in gone:
        (folder / "wider_face_split" / name).unlink()
    assert is_wider(folder)
    check(read_wider(folder), folder)


def test_subsets_name_the_faces_that_count(folder: Path) -> None:
    subsets = read_subsets(folder, read_wider(folder))
    assert {name: [own.tolist() for own in counted] for name, counted in subsets.items()} == {
        "easy": [[True, False, False, False], [], [False]],
        "medium": [[True, False, False, False], [], [True]],
        "hard": [[True, True, False, False], [], [True]],
    }


def test_subsets_beside_the_official_evaluation(folder: Path) -> None:
    """Where people have them who have run that."""
    ground = folder / "eval_tools" / "ground_truth"
    ground.mkdir(parents=True)
    for file in (folder / "wider_face_split").glob("*.mat"):
        shutil.move(file, ground)
    assert set(read_subsets(folder, read_wider(folder))) == {"easy", "medium", "hard"}


def test_no_subsets_and_some(folder: Path) -> None:
    pictures = read_wider(folder)
    split = folder / "wider_face_split"
    (split / "wider_hard_val.mat").unlink()
    with pytest.raises(DataError, match=r"lacks wider_hard_val\.mat"):
        read_subsets(folder, pictures)
    for name in ("easy", "medium"):
        (split / f"wider_{name}_val.mat").unlink()
    assert read_subsets(folder, pictures) == {}


def test_subsets_of_other_pictures(folder: Path) -> None:
    with pytest.raises(DataError, match=r"has 1--Handshaking/1_Handshaking_3, which the annotations"):
        read_subsets(folder, read_wider(folder)[:2])


def test_landmarks_come_from_label_txt(folder: Path) -> None:
    (folder / "val").mkdir()
    (folder / "val" / "label.txt").write_text(LABELS)
    pictures = read_wider(folder)
    check(pictures, folder)
    np.testing.assert_array_equal(pictures[0].landmarks[0], POINTS)
    assert np.isnan(pictures[0].landmarks[1:]).all()
    assert pictures[0].has_landmarks.tolist() == [True, False, False, False]


def test_label_txt_alone(folder: Path) -> None:
    shutil.rmtree(folder / "wider_face_split")
    assert not is_wider(folder)
    (folder / "label.txt").write_text(LABELS)
    assert is_wider(folder)
    first, last = read_wider(folder)
    np.testing.assert_array_equal(first.boxes, [[10, 20, 40, 60], [50, 60, 57, 68]])
    assert first.has_landmarks.tolist() == [True, False]
    np.testing.assert_array_equal(last.boxes, [[1, 2, 4, 6]])
    assert not last.attributes


def test_the_training_split(folder: Path) -> None:
    shutil.copytree(folder / "WIDER_val" / "images", folder / "train" / "images")
    (folder / "train" / "label.txt").write_text(LABELS)
    assert len(read_wider(folder, "train")) == 2
    assert read_wider(folder, "train")[0].path.parent.parent == folder / "train" / "images"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("1 2 3 4", r"line 1 comes before the first '# EVENT/file\.jpg'"),
        ("# 0--Parade/0_Parade_1.jpg\n1 2 3", r"line 2 is '1 2 3'; wanted 4 or 5 or 19 or 20 numbers"),
        ("# 0--Parade/0_Parade_1.jpg\n1 2 3 nan", "line 2 is '1 2 3 nan'"),
        ("# 0--Parade/0_Parade_1.jpg\n1 2 3 x", "line 2 is '1 2 3 x'"),
        ("# 0--Parade/gone.jpg\n1 2 3 4", r"names 0--Parade/gone\.jpg, but .* is missing"),
        ("# ../secret.jpg", r"names the picture '\.\./secret\.jpg'"),
        ("", "lists no picture"),
    ],
)
def test_malformed_label_txt(folder: Path, lines: str, said: str) -> None:
    file = folder / "label.txt"
    file.write_text(lines)
    with pytest.raises(DataError, match=said):
        read_label_text(file, folder / "WIDER_val" / "images")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("0--Parade/0_Parade_1.jpg\nmany", "line 2 is 'many'; wanted the number of faces"),
        ("0--Parade/0_Parade_1.jpg", "line 2 is ''; wanted the number of faces"),
        ("0--Parade/0_Parade_1.jpg\n2\n1 2 3 4 0 0 0 0 0 0", "line 4 is ''; wanted 10 numbers"),
        (
            "0--Parade/0_Parade_1.jpg\n2\n1 2 3 4 0 0 0 0 0 0\n1 2 3 4",
            "line 4 is '1 2 3 4'; wanted 10 numbers",
        ),
        ("", "lists no picture"),
    ],
)
def test_malformed_text(folder: Path, lines: str, said: str) -> None:
    file = folder / "some.txt"
    file.write_text(lines)
    with pytest.raises(DataError, match=said):
        read_wider_text(file, folder / "WIDER_val" / "images")


def test_malformed_mat_files(folder: Path) -> None:
    from scipy.io import loadmat, savemat

    images, split = folder / "WIDER_val" / "images", folder / "wider_face_split"
    file = split / "wider_face_val.mat"
    content = {k: v for k, v in loadmat(file).items() if not k.startswith("__")}
    pictures = read_wider(folder)
    savemat(split / "wider_easy_val.mat", {k: content[k] for k in ("event_list", "file_list")})
    with pytest.raises(DataError, match="has no 'gt_list'"):
        read_subsets(folder, pictures)
    savemat(split / "wider_easy_val.mat", {**content, "gt_list": content["face_bbx_list"]})
    with pytest.raises(DataError, match="names faces beyond its 4 boxes"):
        read_subsets(folder, pictures)
    savemat(file, content | {"blur_label_list": content["face_bbx_list"]})
    with pytest.raises(DataError, match="blur_label_list of 0--Parade/0_Parade_1 has 16 values for 4 boxes"):
        read_wider_mat(file, images)
    savemat(file, content | {"face_bbx_list": content["face_bbx_list"][:1]})
    with pytest.raises(DataError, match="face_bbx_list is shorter than its list of pictures"):
        read_wider_mat(file, images)
    savemat(file, content | {"file_list": np.zeros((0, 0))})
    with pytest.raises(DataError, match="events and pictures are not WIDER FACE's"):
        read_wider_mat(file, images)
    file.write_bytes(b"no such thing")
    with pytest.raises(DataError, match="cannot be read as MATLAB's"):
        read_wider_mat(file, images)


def test_folders_that_lack_something(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no pictures; put them into"):
        read_wider(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r"has no annotations of WIDER FACE; put wider_face_val\.mat"):
        read_wider(tmp_path)
