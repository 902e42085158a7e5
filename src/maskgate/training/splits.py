"""Which faces are learnt from, which decide between epochs, and which only judge the result."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskgate.errors import DataError
from maskgate.training.crops import FaceCrops
from maskgate.training.grouping import difference_hash, group_duplicates, merge_groups
from maskgate.training.recipe import SIDES, Source

TRAINING, VALIDATION, TEST = range(3)
"""Places in :data:`~maskgate.training.recipe.SIDES`."""


def split_faces(
    crops: FaceCrops, sources: Sequence[Source], validation: float, test: float, seed: int
) -> NDArray[np.int64]:
    """``(N,)`` side of each face: TRAINING, VALIDATION or TEST.

    Pictures that are near-duplicates, and those that their source keeps together, are on one side.
    The side depends on a hash of what is kept together, or else of the group's first file name, so
    that new pictures move no old ones, but for a near-duplicate that comes before them or joins two
    groups. A source that names its side has all its pictures there, and near-duplicates follow it.

    Args:
        validation, test: shares of the groups, together under 1.

    Raises :class:`~maskgate.errors.DataError` where they are not.
    """
    if not (validation >= 0 and test >= 0 and validation + test < 1):
        raise DataError(f"validation {validation} and test {test} leave nothing to learn from; give less")
    names, places, groups = group_pictures(crops)
    keys = [_together(n, sources[int(crops.sources[i])]) for n, i in zip(names, places, strict=True)]
    groups = merge_groups(groups, keys)
    sides = assign_sides(names, groups, validation, test, seed, keys)
    for group, place in zip(groups, places, strict=True):
        fixed = sources[int(crops.sources[place])].side
        if fixed:
            sides[groups == group] = SIDES.index(fixed)
    of_picture = dict(zip(names, sides, strict=True))
    return np.array([of_picture[name] for name in crops.pictures], np.int64)


def group_pictures(crops: FaceCrops) -> tuple[list[str], list[int], NDArray[np.intp]]:
    """Names of the pictures, sorted; the place of each one's first face; and ``(N,)`` numbers of the
    groups of near-duplicates."""
    first = {name: i for i, name in reversed(list(enumerate(crops.pictures)))}
    names = sorted(first)
    places = [first[name] for name in names]
    return names, places, group_duplicates(np.stack([difference_hash(crops.images[i]) for i in places]))


def _together(picture: str, source: Source) -> str:
    """A key that pictures share which their source keeps together; empty where it does not."""
    if source.together == "source":
        return source.path
    return str(Path(picture).parent) if source.together == "folder" else ""


def assign_sides(
    names: Sequence[str], groups: NDArray[np.intp], validation: float, test: float, seed: int,
    keys: Sequence[str] | None = None,
) -> NDArray[np.int64]:  # fmt: skip
    """``(N,)`` sides of pictures in groups, by a hash of each group's first picture: of its key (as
    :func:`merge_groups` takes them) where it has one, else of its file name."""
    lot: dict[int, float] = {}
    for name, group, key in zip(names, groups, keys or [""] * len(names), strict=True):
        if int(group) not in lot:
            # not of a kept folder's first file: that has the same name in every folder
            digest = hashlib.sha256(f"{seed}/{key or Path(name).name}".encode()).digest()
            lot[int(group)] = int.from_bytes(digest[:4], "big") / 2**32
    lots = np.array([lot[int(g)] for g in groups])
    sides = np.full(len(names), TRAINING, np.int64)
    sides[lots < validation + test] = TEST
    sides[lots < validation] = VALIDATION
    return sides
