"""Near-duplicate pictures, so that no split has one on either side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def difference_hash(image: NDArray[np.uint8], side: int = 16) -> NDArray[np.uint8]:
    """``side²`` bits, packed: is each pixel of the shrunken grey picture darker than its right
    neighbour?"""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (side + 1, side), interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.packbits(small[:, 1:] > small[:, :-1])


def group_duplicates(hashes: NDArray[np.uint8], distance: int = 24) -> NDArray[np.intp]:
    """``(N,)`` group numbers of ``(N, B)`` packed hashes: connected by Hamming distances up to
    ``distance``."""
    n = len(hashes)
    parent = np.arange(n)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for i in range(n - 1):
        apart = np.bitwise_count(hashes[i + 1 :] ^ hashes[i]).sum(1, dtype=np.int64)
        for j in np.flatnonzero(apart <= distance):
            parent[root(int(i + 1 + j))] = root(i)
    return np.array([root(i) for i in range(n)], np.intp)


def merge_groups(groups: NDArray[np.intp], keys: Sequence[str]) -> NDArray[np.intp]:
    """``(N,)`` group numbers in which items of one key are in one group too; an empty key binds
    nothing."""
    merged = groups.copy()
    by_key: dict[str, int] = {}
    for i, key in enumerate(keys):
        if not key:
            continue
        if key in by_key:
            merged[merged == merged[i]] = merged[by_key[key]]
        else:
            by_key[key] = i
    return merged


def held_out(files: Sequence[Path], groups: NDArray[np.intp], share: float, seed: int) -> NDArray[np.bool_]:
    """``(N,)`` True for the validation pictures: whole groups, drawn by the hash of the group's
    first file name, so that adding pictures moves no other one across."""
    first: dict[int, str] = {}
    for file, group in zip(files, groups, strict=True):
        first.setdefault(int(group), file.name)
    out = []
    for group in groups:
        digest = hashlib.sha256(f"{seed}/{first[int(group)]}".encode()).digest()
        out.append(int.from_bytes(digest[:4], "big") / 2**32 < share)
    return np.array(out, np.bool_)
