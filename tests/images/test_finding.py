from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from maskgate.errors import InputError
from maskgate.images import find_images


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of empty files, which is the working directory."""
    for name in (
        "b.jpg",
        "a.PNG",
        "notes.txt",
        ".hidden.jpg",
        "deep/c.tiff",
        "deep/er/d.webp",
        "deep/er/e.jpeg",
        ".cache/f.jpg",
        "odd[1].jpg",
        "empty/readme.md",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "folder.jpg").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(paths: list[Path]) -> list[str]:
    return [path.as_posix() for path in paths]


ALL = ["a.PNG", "b.jpg", "deep/c.tiff", "deep/er/d.webp", "deep/er/e.jpeg", "odd[1].jpg"]


@pytest.mark.usefixtures("tree")
def test_a_folder_is_searched_recursively_and_sorted() -> None:
    assert names(find_images(["."])) == ALL


def test_an_absolute_folder_gives_absolute_paths(tree: Path) -> None:
    assert find_images([tree]) == [tree / name for name in ALL]


@pytest.mark.usefixtures("tree")
def test_order_is_that_of_the_inputs_and_each_file_comes_once() -> None:
    assert names(find_images(["deep/er", "b.jpg", ".", Path("./deep/../b.jpg")])) == [
        "deep/er/d.webp",
        "deep/er/e.jpeg",
        "b.jpg",
        "a.PNG",
        "deep/c.tiff",
        "odd[1].jpg",
    ]


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["b.jpg", "odd[1].jpg"]),
        ("**/*", ALL),
        ("**", ALL),
        ("deep/**/*.??????", []),
        ("deep/**/[de].*", ["deep/er/d.webp", "deep/er/e.jpeg"]),
        ("./?.jpg", ["b.jpg"]),
    ],
)
def test_globs(pattern: str, expected: list[str]) -> None:
    if not expected:
        with pytest.raises(InputError, match="matches no picture"):
            find_images([pattern])
    else:
        assert names(find_images([pattern])) == expected


def test_absolute_globs(tree: Path) -> None:
    assert find_images([f"{tree}/**/*.webp"]) == [tree / "deep/er/d.webp"]


@pytest.mark.usefixtures("tree")
def test_a_file_with_signs_of_a_glob_in_its_name_is_a_file() -> None:
    assert names(find_images(["odd[1].jpg"])) == ["odd[1].jpg"]


@pytest.mark.usefixtures("tree")
def test_what_is_named_outright_is_kept_even_if_it_is_missing_hidden_or_no_picture() -> None:
    given = ["missing.jpg", "notes.txt", ".hidden.jpg"]
    assert names(find_images(given)) == given


@pytest.mark.usefixtures("tree")
def test_nothing_to_find_is_an_error() -> None:
    with pytest.raises(InputError, match=r"^empty is a folder without pictures"):
        find_images(["b.jpg", "empty"])
    with pytest.raises(InputError, match=r"^\*\.gif matches no picture"):
        find_images(["*.gif"])
    with pytest.raises(InputError, match="an input is empty"):
        find_images([""])
    assert find_images([]) == []


def test_other_extensions_only_where_they_are_asked_for(tree: Path) -> None:
    (tree / "street.MP4").write_bytes(b"")
    assert names(find_images(["."])) == ALL
    assert names(find_images([".", "*.MP4"], also=[".mp4"])) == [*ALL, "street.MP4"]
    assert names(find_images(["*.MP4"], also=[".mp4"])) == ["street.MP4"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_to_files_count_and_loops_of_folders_end(tree: Path) -> None:
    (tree / "deep/loop").symlink_to(tree, target_is_directory=True)
    (tree / "z.jpg").symlink_to(tree / "b.jpg")
    (tree / "broken.jpg").symlink_to(tree / "nowhere.jpg")
    assert names(find_images(["."])) == [*ALL, "z.jpg"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_in_a_folder_are_left_out(tree: Path) -> None:
    os.mkfifo(tree / "pipe.jpg")
    assert names(find_images(["."])) == ALL


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_an_error(tree: Path) -> None:
    (tree / "deep").chmod(0)
    try:
        with pytest.raises(InputError, match="cannot be listed"):
            find_images(["."])
    finally:
        (tree / "deep").chmod(0o755)
