"""WIDER FACE folders (Yang et al. 2016): pictures, boxes, attributes, landmarks and subsets.

Three kinds of files circulate, and a folder may have any of them:

* ``wider_face_<split>.mat``: the official annotations, cells of events of pictures of boxes;
* ``wider_face_<split>_bbx_gt.txt``: the same as text, ``x y w h`` and six attributes a face;
* ``label.txt``: RetinaFace's, ``x y w h`` and, for training, five points ``x y flag`` and a blur.

Boxes are stored as corner and size, in pixels; the second corner is the first plus the size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maskgate.errors import DataError
from maskgate.evaluation.face_pictures import UNKNOWN, FacePicture, without_landmarks

Split = Literal["train", "val"]

SUBSETS = ("easy", "medium", "hard")
"""Official subsets of the validation split; each has its own list of faces that count."""

ATTRIBUTES = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")
_SPLIT_FOLDERS = (".", "wider_face_split", "ground_truth", "eval_tools/ground_truth")
_LABELS = "label.txt"
_POINTS = 15
"""Numbers of five points with their flags."""


def is_wider(folder: Path, split: Split = "val") -> bool:
    """Does the folder look like WIDER FACE: annotations of the split by one of their names?"""
    return any(_find(folder, name) for name in (_mat_name(split), _text_name(split))) or bool(
        _find_labels(folder, split)
    )


def read_wider(folder: str | Path, split: Split = "val") -> list[FacePicture]:
    """The pictures of a split, in the order of its annotations.

    Boxes and attributes come from the ``.mat`` file or else from ``..._bbx_gt.txt`` or else from
    ``label.txt``; landmarks from ``label.txt`` where it is there, joined by equal boxes. The files are
    looked for in ``folder`` itself and in ``wider_face_split/``, ``ground_truth/`` and
    ``eval_tools/ground_truth/``, ``label.txt`` in ``folder`` and in ``<split>/``; the pictures in
    ``WIDER_<split>/images/``, ``<split>/images/`` and ``images/``.

    Faces that are marked invalid, and boxes without area, are ``ignore``.

    Raises :class:`~maskgate.errors.DataError` naming the file and place that is missing or malformed, and
    ``ModuleNotFoundError`` where a ``.mat`` is to be read without SciPy.
    """
    folder = Path(folder)
    images = _images(folder, split)
    labels = _find_labels(folder, split)
    mat, text = _find(folder, _mat_name(split)), _find(folder, _text_name(split))
    if mat:
        pictures = read_wider_mat(mat, images)
    elif text:
        pictures = read_wider_text(text, images)
    elif labels:
        return read_label_text(labels, images)
    else:
        raise DataError(
            f"{folder} has no annotations of WIDER FACE; put {_mat_name(split)} or {_text_name(split)} into "
            f"{folder / 'wider_face_split'}, or {_LABELS} into {folder / split}"
        )
    return _join_landmarks(pictures, read_label_text(labels, images)) if labels else pictures


def read_label_text(file: Path, images: Path) -> list[FacePicture]:
    """RetinaFace's ``label.txt``: ``# EVENT/file.jpg``, then a line a face.

    A line has 4 numbers, ``x y w h``, or these and five times ``x y flag``, and may end in one more, a
    blur from 0 to 1, which is left out. Points with a flag under 0 are not annotated; 0 is a visible one and
    1 a hidden one.

    Args:
        file: to read.
        images: folder that the names begin in.

    Raises :class:`~maskgate.errors.DataError` naming the line.
    """
    pictures: list[FacePicture] = []
    name: str | None = None
    rows: list[list[float]] = []
    for number, line in enumerate([*_lines(file), "# "], 1):
        if line.startswith("#"):
            if name is not None:
                pictures.append(_labelled_picture(_picture(images, name, file, number), rows))
            name, rows = line[1:].strip(), []
        elif line.strip():
            if name is None:
                raise DataError(f"{file}: line {number} comes before the first '# EVENT/file.jpg'; add one")
            rows.append(_numbers(file, number, line, (4, 5, 4 + _POINTS, 4 + _POINTS + 1)))
    if not pictures:
        raise DataError(f"{file} lists no picture; a picture begins with a line '# EVENT/file.jpg'")
    return pictures


def read_wider_text(file: Path, images: Path) -> list[FacePicture]:
    """The official text: ``EVENT/file.jpg``, the number of faces, then a line a face.

    A line is ``x y w h blur expression illumination invalid occlusion pose``. A picture with 0 faces
    is followed by one line of zeros. Arguments and errors as for :func:`read_label_text`.
    """
    pictures = []
    lines = iter(enumerate(_lines(file), 1))
    for number, line in lines:
        if not line.strip():
            continue
        path = _picture(images, line.strip(), file, number)
        number, line = next(lines, (number + 1, ""))
        if not line.strip().isdecimal():
            raise DataError(f"{file}: line {number} is {line.strip()!r}; wanted the number of faces")
        count = int(line)
        rows: list[list[float]] = []
        for _ in range(max(count, 1)):
            number, line = next(lines, (number + 1, ""))
            rows.append(_numbers(file, number, line, (len(rows[0]),) if rows else (4, 10)))
        pictures.append(_official_picture(path, np.array(rows, np.float64)[:count]))
    if not pictures:
        raise DataError(f"{file} lists no picture; give WIDER FACE's own file")
    return pictures


def read_wider_mat(file: Path, images: Path) -> list[FacePicture]:
    """The official ``wider_face_<split>.mat`` (MATLAB 5 to 7). Arguments and errors as for
    :func:`read_label_text`; needs SciPy."""
    content = _load_mat(file, ("event_list", "file_list", "face_bbx_list"))
    pictures = []
    for e, i, event, name in _mat_names(file, content):
        path = _picture(images, f"{event}/{name}.jpg", file, None)
        sizes = _cell(file, content, "face_bbx_list", e, i).astype(np.float64).reshape(-1, 4)
        columns = [sizes]
        for attribute in ATTRIBUTES:
            key = f"{attribute}_label_list"
            if key not in content:
                break
            values = _cell(file, content, key, e, i).astype(np.float64).reshape(-1, 1)
            if len(values) != len(sizes):
                raise DataError(
                    f"{file}: {key} of {event}/{name} has {len(values)} values for {len(sizes)} boxes"
                )
            columns.append(values)
        pictures.append(_official_picture(path, np.concatenate(columns, 1)))
    return pictures


def read_subsets(folder: str | Path, pictures: Sequence[FacePicture]) -> dict[str, list[NDArray[np.bool_]]]:
    """Which faces count in the official subsets: by subset ``(N,)`` bool for each picture.

    Reads ``wider_{easy,medium,hard}_val.mat``, whose lists give the places, from 1, of the faces that count.
    Empty where none of the three files is there.

    Args:
        folder: as for :func:`read_wider`.
        pictures: of :func:`read_wider`, read from the ``.mat`` or the official text.

    Raises :class:`~maskgate.errors.DataError` where one or two are missing, or the files are of other
    pictures.
    """
    folder = Path(folder)
    files = {name: _find(folder, f"wider_{name}_val.mat") for name in SUBSETS}
    if not any(files.values()):
        return {}
    place = {(p.path.parent.name, p.path.stem): i for i, p in enumerate(pictures)}
    subsets = {}
    for subset, file in files.items():
        if file is None:
            raise DataError(
                f"{folder} lacks wider_{subset}_val.mat; put it beside those of the other subsets"
            )
        content = _load_mat(file, ("event_list", "file_list", "gt_list"))
        counted = [np.zeros(len(p), np.bool_) for p in pictures]
        for e, i, event, name in _mat_names(file, content):
            if (event, name) not in place:
                raise DataError(f"{file} has {event}/{name}, which the annotations in {folder} lack")
            chosen = _cell(file, content, "gt_list", e, i).astype(np.int64).ravel() - 1
            own = counted[place[event, name]]
            if len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(own):
                raise DataError(f"{file}: gt_list of {event}/{name} names faces beyond its {len(own)} boxes")
            own[chosen] = True
        subsets[subset] = counted
    return subsets


def _mat_name(split: Split) -> str:
    return f"wider_face_{split}.mat"


def _text_name(split: Split) -> str:
    return f"wider_face_{split}_bbx_gt.txt"


def _find(folder: Path, name: str) -> Path | None:
    return next(
        (folder / below / name for below in _SPLIT_FOLDERS if (folder / below / name).is_file()), None
    )


def _find_labels(folder: Path, split: Split) -> Path | None:
    return next((file for file in (folder / split / _LABELS, folder / _LABELS) if file.is_file()), None)


def _images(folder: Path, split: Split) -> Path:
    places = [folder / f"WIDER_{split}" / "images", folder / split / "images", folder / "images"]
    for place in places:
        if place.is_dir():
            return place
    raise DataError(f"{folder} has no pictures; put them into {places[0]}")


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as text: {error}") from error


def _numbers(file: Path, number: int, line: str, counts: tuple[int, ...]) -> list[float]:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        values = []
    if len(values) not in counts or not np.isfinite(values).all():
        wanted = " or ".join(map(str, counts))
        raise DataError(f"{file}: line {number} is {line.strip()[:60]!r}; wanted {wanted} numbers")
    return values


def _picture(images: Path, name: str, file: Path, number: int | None) -> Path:
    where = f"{file}: line {number}" if number else str(file)
    relative = PurePosixPath(name)
    if not name or relative.is_absolute() or ".." in relative.parts or "\0" in name:
        raise DataError(f"{where} names the picture {name!r}; wanted EVENT/file.jpg")
    path = images / relative
    if not path.is_file():
        raise DataError(f"{where} names {name}, but {path} is missing")
    return path


def _official_picture(path: Path, rows: NDArray[np.float64]) -> FacePicture:
    """From ``(N, 4)`` corners and sizes, or ``(N, 10)`` with the attributes."""
    boxes = _corners(rows[:, :4])
    attributes = (
        {name: rows[:, 4 + i].astype(np.int64) for i, name in enumerate(ATTRIBUTES)}
        if rows.shape[1] == 4 + len(ATTRIBUTES)
        else {}
    )
    ignore = _without_area(boxes)
    if "invalid" in attributes:
        ignore = ignore | (attributes["invalid"] != 0)
    return FacePicture(path, boxes, without_landmarks(len(boxes)), ignore, _unknown(len(boxes)), attributes)


def _labelled_picture(path: Path, rows: list[list[float]]) -> FacePicture:
    boxes = _corners(np.array([row[:4] for row in rows], np.float64).reshape(-1, 4))
    landmarks = without_landmarks(len(rows))
    for face, row in zip(landmarks, rows, strict=True):
        if len(row) >= 4 + _POINTS:
            points = np.array(row[4 : 4 + _POINTS], np.float32).reshape(5, 3)
            known = points[:, 2] >= 0
            face[known] = points[known, :2]
    return FacePicture(path, boxes, landmarks, _without_area(boxes), _unknown(len(rows)))


def _corners(sizes: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.concatenate([sizes[:, :2], sizes[:, :2] + sizes[:, 2:]], 1).astype(np.float32)


def _without_area(boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(((boxes[:, 2:] - boxes[:, :2]) <= 0).any(1), np.bool_)


def _unknown(count: int) -> NDArray[np.int64]:
    return np.full(count, UNKNOWN, np.int64)


def _join_landmarks(pictures: Sequence[FacePicture], labelled: Sequence[FacePicture]) -> list[FacePicture]:
    """The pictures with the landmarks that another file has for equal boxes."""
    points = {
        (p.path, tuple(np.rint(box))): landmarks
        for p in labelled
        for box, landmarks in zip(p.boxes, p.landmarks, strict=True)
    }
    nothing = without_landmarks(1)[0]
    return [
        replace(
            p,
            landmarks=np.array(
                [points.get((p.path, tuple(np.rint(box))), nothing) for box in p.boxes], np.float32
            ).reshape(-1, 5, 2),
        )
        for p in pictures
    ]


def _load_mat(file: Path, names: tuple[str, ...]) -> Mapping[str, Any]:
    from scipy.io import loadmat

    try:
        content: dict[str, Any] = loadmat(file)
    except NotImplementedError as error:
        raise DataError(f"{file} is MATLAB 7.3; save it with -v7") from error
    except Exception as error:  # a damaged file raises nearly anything
        raise DataError(f"{file} cannot be read as MATLAB's: {error}") from error
    for name in names:
        if name not in content:
            raise DataError(f"{file} has no {name!r}; give WIDER FACE's own file")
    return content


def _mat_names(file: Path, content: Mapping[str, Any]) -> Iterator[tuple[int, int, str, str]]:
    """Places and names of the events and their pictures."""
    try:
        for e, event in enumerate(content["event_list"].ravel()):
            for i, name in enumerate(content["file_list"].ravel()[e].ravel()):
                yield e, i, str(event.item()), str(name.item())
    except (AttributeError, IndexError, ValueError) as error:
        raise DataError(f"{file}: its lists of events and pictures are not WIDER FACE's") from error


def _cell(file: Path, content: Mapping[str, Any], key: str, event: int, picture: int) -> NDArray[Any]:
    try:
        return np.asarray(content[key].ravel()[event].ravel()[picture])
    except (AttributeError, IndexError) as error:
        raise DataError(f"{file}: {key} is shorter than its list of pictures") from error
