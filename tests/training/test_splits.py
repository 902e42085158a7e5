from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskgate.errors import DataError
from maskgate.training.classifier_data import NO_MASK
from maskgate.training.crops import FaceCrops, cut_face
from maskgate.training.grouping import merge_groups
from maskgate.training.recipe import SIDES, Source
from maskgate.training.splits import TEST, TRAINING, VALIDATION, assign_sides, split_faces
from maskgate.types import Faces

SOURCES = [Source("a", "crops"), Source("b", "crops")]

MakeCrops = Callable[..., FaceCrops]


class TestSplits:
    def test_copies_of_a_face_are_held_out_together(
        self, astronaut: np.ndarray, astronaut_face: Faces, noise_crops: MakeCrops
    ) -> None:
        face, _ = cut_face(astronaut, astronaut_face)
        crops = noise_crops([NO_MASK] * 60)
        for i in range(0, 60, 3):  # a third of them: the same face, lighter and lighter
            crops.images[i] = np.clip(face.astype(int) + i // 2, 0, 255)
        out = split_faces(crops, SOURCES, 0.4, 0.0, 3) == VALIDATION
        assert len(set(out[::3].tolist())) == 1
        assert 0.1 < np.delete(out, np.s_[::3]).mean() < 0.7

    def test_faces_of_a_picture_stay_together(self, noise_crops: MakeCrops) -> None:
        crops = noise_crops([NO_MASK] * 40)
        crops.pictures[:] = [f"{i // 2}.jpg" for i in range(40)]
        out = split_faces(crops, SOURCES, 0.5, 0.0, 1) == VALIDATION
        assert np.array_equal(out[::2], out[1::2])
        assert 0.1 < out.mean() < 0.9

    def test_named_sides_and_sources_kept_together(self, noise_crops: MakeCrops) -> None:
        crops = noise_crops([NO_MASK] * 90)
        crops.sources[30:60], crops.sources[60:] = 1, 2
        crops.pictures[:] = [f"{'abc'[i // 30]}/{i % 6}/{i}.jpg" for i in range(90)]
        sources = [Source("a", "crops", together="folder"), Source("b", "crops", together="source"),
                   Source("c", "crops", side="test")]  # fmt: skip
        sides = split_faces(crops, sources, 0.3, 0.3, 5)
        for i in range(6):
            assert len(set(sides[i:30:6].tolist())) == 1
        assert len(set(sides[:30].tolist())) > 1
        assert len(set(sides[30:60].tolist())) == 1
        assert (sides[60:] == TEST).all()

    def test_a_copy_follows_the_named_side(self, noise_crops: MakeCrops) -> None:
        crops = noise_crops([NO_MASK] * 40)
        crops.sources[20:] = 1
        crops.images[:20] = crops.images[20:]
        sources = [Source("a", "crops"), Source("b", "crops", side="validation")]
        assert (split_faces(crops, sources, 0.1, 0.1, 2) == VALIDATION).all()

    @pytest.mark.parametrize(("validation", "test"), [(0.5, 0.5), (1.2, 0), (-0.1, 0.2)])
    def test_shares_that_leave_nothing(self, validation: float, test: float, noise_crops: MakeCrops) -> None:
        with pytest.raises(DataError, match="leave nothing to learn from"):
            split_faces(noise_crops([NO_MASK] * 3), SOURCES, validation, test, 0)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(0, 99))
def test_groups_never_straddle_and_new_pictures_move_none(groups: list[int], seed: int) -> None:
    names = [f"{i}.jpg" for i in range(len(groups))]
    sides = assign_sides(names, np.array(groups), 0.3, 0.3, seed)
    for group in set(groups):
        assert len({int(s) for s, g in zip(sides, groups, strict=True) if g == group}) == 1
    more = assign_sides([*names, "new.jpg"], np.array([*groups, 10]), 0.3, 0.3, seed)
    assert np.array_equal(more[:-1], sides)


def test_shares_are_about_right_and_a_test_share_moves_no_validation_picture() -> None:
    names = [f"{i}.jpg" for i in range(4000)]
    groups = np.arange(4000)
    sides = assign_sides(names, groups, 0.2, 0.1, 3)
    shares = np.bincount(sides, minlength=3) / 4000
    assert shares[VALIDATION] == pytest.approx(0.2, abs=0.03)
    assert shares[TEST] == pytest.approx(0.1, abs=0.02)
    assert shares[TRAINING] == pytest.approx(0.7, abs=0.03)
    without = assign_sides(names, groups, 0.2, 0.0, 3)
    assert np.array_equal(without == VALIDATION, sides == VALIDATION)


def test_keys_join_groups() -> None:
    merged = merge_groups(np.array([0, 1, 2, 3, 1]), ["", "x", "x", "", ""])
    assert merged[1] == merged[2] == merged[4]
    assert len(set(merged.tolist())) == 3


@st.composite
def collections(draw: st.DrawFn) -> tuple[list[str], list[int], list[Source]]:
    """Names of pictures, which picture each shows, and their sources: pictures of one number are copies."""
    together = [draw(st.sampled_from(["", "folder", "source"])) for _ in range(3)]
    sources = [Source(f"s{k}", "crops", together=how) for k, how in enumerate(together)]
    count = draw(st.integers(2, 30))
    names, shown = [], []
    for i in range(count):
        source, folder = draw(st.integers(0, 2)), draw(st.integers(0, 2))
        names.append(f"s{source}/f{folder}/{i:02}.jpg")
        shown.append(draw(st.integers(0, 19)))
    return names, shown, sources


def of(names: list[str], shown: list[int]) -> FaceCrops:
    """Noise that differs by the number shown, one face a picture."""
    images = np.stack([np.random.default_rng(k).integers(0, 256, (32, 32, 3), np.uint8) for k in shown])
    n = len(names)
    return FaceCrops(
        images, np.zeros((n, 5, 2), np.float32), np.ones(n, np.int64),
        np.array([int(name[1]) for name in names]), np.full(n, 60, np.float32), names,
    )  # fmt: skip


def bound(names: list[str], shown: list[int], sources: list[Source]) -> list[set[int]]:
    """Slowly: sets of pictures that are joined by being copies or by their source's wish."""
    sets = [{i} for i in range(len(names))]
    for i in range(len(names)):
        for j in range(i):
            one, other = sources[int(names[i][1])], sources[int(names[j][1])]
            same_source = one is other and one.together == "source"
            same_folder = one is other and one.together == "folder" and names[i][:5] == names[j][:5]
            if shown[i] == shown[j] or same_source or same_folder:
                joined = sets[i] | sets[j]
                for k in joined:
                    sets[k] = joined
    return sets


@settings(max_examples=60, deadline=None)
@given(collections(), st.integers(0, 20))
def test_what_is_bound_is_on_one_side(made: tuple[list[str], list[int], list[Source]], seed: int) -> None:
    names, shown, sources = made
    sides = split_faces(of(names, shown), sources, 0.3, 0.3, seed)
    for group in bound(names, shown, sources):
        assert len({int(sides[i]) for i in group}) == 1


@settings(max_examples=60, deadline=None)
@given(collections(), st.integers(0, 20), st.data())
def test_new_pictures_move_no_old_ones(
    made: tuple[list[str], list[int], list[Source]], seed: int, data: st.DataObject
) -> None:
    """Not even those that come first in a folder which is kept together."""
    names, shown, sources = made
    before = split_faces(of(names, shown), sources, 0.3, 0.3, seed)
    count = data.draw(st.integers(1, 5))
    more = [f"s{data.draw(st.integers(0, 2))}/f{data.draw(st.integers(0, 2))}/!{i}.jpg" for i in range(count)]
    after = split_faces(of([*names, *more], [*shown, *range(100, 100 + count)]), sources, 0.3, 0.3, seed)
    # a group's first picture decides; where copies join folders a new first one may come from the other
    free = [len({names[i][:5] for i in group}) == 1 for group in bound(names, shown, sources)]
    assert np.array_equal(after[: len(names)][free], before[free])


def test_folders_of_equal_file_names_have_lots_of_their_own() -> None:
    names = [f"s0/person{k}/{i}.jpg" for k in range(60) for i in range(2)]
    sources = [Source("s0", "crops", together="folder")]
    sides = split_faces(of(names, list(range(120))), sources, 0.25, 0.25, 1)
    assert np.array_equal(sides[::2], sides[1::2])
    shares = np.bincount(sides, minlength=3) / 120
    assert shares[[VALIDATION, TEST]] == pytest.approx([0.25, 0.25], abs=0.15)


@settings(max_examples=40, deadline=None)
@given(collections(), st.sampled_from(["training", "validation", "test"]), st.integers(0, 20))
def test_a_named_side_wins(made: tuple[list[str], list[int], list[Source]], side: str, seed: int) -> None:
    names, shown, sources = made
    sources[0] = replace(sources[0], side=side)
    sides = split_faces(of(names, shown), sources, 0.3, 0.3, seed)
    for group in bound(names, shown, sources):
        if any(names[i].startswith("s0") for i in group):
            assert {SIDES[sides[i]] for i in group} == {side}
