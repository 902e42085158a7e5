from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from maskgate.training.grouping import difference_hash, group_duplicates, held_out


def apart(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.unpackbits(a ^ b).sum())


def test_hash_by_hand() -> None:
    image = np.tile(np.arange(17, dtype=np.uint8) * 10, (16, 1))  # brighter to the right everywhere
    assert difference_hash(image).tolist() == [255] * 32
    assert difference_hash(image[:, ::-1].copy()).tolist() == [0] * 32
    image[3, 5] = 0  # one pixel darker than its left neighbour
    assert apart(difference_hash(image), np.full(32, 255, np.uint8)) == 1


@pytest.mark.parametrize("size", [(512, 512), (300, 280), (90, 96), (700, 700)])
@pytest.mark.parametrize("quality", [40, 90])
def test_copies_of_a_picture_are_near(astronaut: np.ndarray, size: tuple[int, int], quality: int) -> None:
    small = cv2.resize(astronaut, size, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    copy = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    hashes = np.stack([difference_hash(astronaut), difference_hash(np.ascontiguousarray(copy))])
    assert apart(*hashes) <= 24
    groups = group_duplicates(hashes)
    assert groups[0] == groups[1]


def test_different_pictures_are_far(astronaut: np.ndarray) -> None:
    mirrored = np.ascontiguousarray(astronaut[:, ::-1])
    pictures = [astronaut, mirrored, astronaut[:256, 128:384].copy(), data.coffee(), data.rocket()]
    hashes = [difference_hash(p) for p in pictures]
    for i in range(len(hashes)):
        for j in range(i):
            assert apart(hashes[i], hashes[j]) > 40
    assert len(set(group_duplicates(np.stack(hashes)).tolist())) == len(hashes)


def slow_groups(hashes: np.ndarray, distance: int) -> list[set[int]]:
    """Connected parts, by walking from each picture."""
    left = set(range(len(hashes)))
    groups = []
    while left:
        todo = [left.pop()]
        group = set(todo)
        while todo:
            here = todo.pop()
            for other in sorted(left):
                if apart(hashes[here], hashes[other]) <= distance:
                    left.discard(other)
                    group.add(other)
                    todo.append(other)
        groups.append(group)
    return groups


@given(st.lists(st.binary(min_size=2, max_size=2), max_size=25), st.integers(0, 6))
@settings(max_examples=80, deadline=None)
def test_groups_are_the_connected_parts(codes: list[bytes], distance: int) -> None:
    hashes = np.array([list(c) for c in codes], np.uint8).reshape(-1, 2)
    groups = group_duplicates(hashes, distance)
    found = {frozenset(np.flatnonzero(groups == g).tolist()) for g in set(groups.tolist())}
    assert found == {frozenset(g) for g in slow_groups(hashes, distance)}


@given(st.lists(st.integers(0, 8), min_size=1, max_size=60), st.floats(0, 1), st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_no_group_is_split(members: list[int], share: float, seed: int) -> None:
    files = [Path(f"a/{i}.jpg") for i in range(len(members))]
    out = held_out(files, np.array(members, np.intp), share, seed)
    for group in set(members):
        assert len({bool(o) for o, m in zip(out, members, strict=True) if m == group}) == 1


@pytest.mark.parametrize("share", [0.0, 0.12, 0.5, 1.0])
def test_share_that_is_held_out(share: float) -> None:
    files = [Path(f"{i:05}.jpg") for i in range(4000)]
    out = held_out(files, np.arange(4000), share, 3)
    assert out.dtype == np.bool_
    assert out.mean() == pytest.approx(share, abs=0.02)


def test_split_depends_on_the_seed_and_not_on_other_pictures() -> None:
    files = [Path(f"{i}.jpg") for i in range(400)]
    all_of_them = held_out(files, np.arange(400), 0.3, 1)
    assert np.array_equal(held_out(files[::3], np.arange(134), 0.3, 1), all_of_them[::3])
    assert not np.array_equal(held_out(files, np.arange(400), 0.3, 2), all_of_them)
