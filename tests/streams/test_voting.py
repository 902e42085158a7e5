"""Votes: counted by hand, against a plain reference, and by what must hold whatever comes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgate.streams.voting import Ballot, Quorum, vote_weight
from maskgate.types import Label, Verdict

MASK, NO, INCORRECT = Label.MASK, Label.NO_MASK, Label.INCORRECT
QUORUM = Quorum(5, 0.0)


def cast(
    ballot: Ballot, labels: Any, weight: float = 1.0, quorum: Quorum = QUORUM, start: float = 0.0
) -> list[Any]:
    """Votes at 10 a second; the label that holds after each."""
    held = []
    for i, label in enumerate(labels):
        p = {one: 0.9 if one is label else 0.05 for one in Label}
        ballot.add(label, p, weight, start + i / 10, quorum)
        held.append(ballot.verdict.label if ballot.verdict else None)
    return held


def make_verdict(box: Any = (100, 100, 200, 200), p: Any = (0.97, 0.02, 0.01), **fields: Any) -> Verdict:
    probabilities = dict(zip(Label, p, strict=True))
    label = max(probabilities, key=lambda one: probabilities[one])
    values = {"score": 0.99, "uncertain": False} | fields
    return Verdict(
        np.array(box, np.float32),
        values["score"],
        np.zeros((5, 2)),
        0,
        label,
        probabilities,
        values["uncertain"],
    )


class TestWeight:
    def test_a_clear_face_is_a_whole_vote(self) -> None:
        assert vote_weight(make_verdict(), 640, 480) == 1

    @pytest.mark.parametrize(
        ("fields", "weight"),
        [
            ({"box": (0, 0, 26, 100)}, 0.5),  # 26 is in the middle of 12 and 40 pixels
            ({"box": (0, 0, 10, 10)}, 0.0),
            ({"score": 0.6}, 0.5),
            ({"p": (0.7, 0.2, 0.1)}, 0.5),
            ({"p": (0.3, 0.4, 0.3)}, 0.5),  # P(violation) is 0.7
            ({"uncertain": True}, 0.25),
            ({"box": (-50, 100, 50, 200)}, 0.5),  # half of it is in the picture
            ({"box": (700, 0, 800, 100)}, 0.0),
            ({"box": (float("nan"), 0, 10, 10)}, 0.0),
            ({"score": 0.6, "uncertain": True}, 0.125),
        ],
    )
    def test_what_takes_off(self, fields: Any, weight: float) -> None:
        assert vote_weight(make_verdict(**fields), 640, 480) == pytest.approx(weight, abs=1e-5)


class TestBallot:
    def test_five_clear_frames_confirm(self) -> None:
        assert cast(Ballot(), [MASK] * 6) == [None] * 4 + [MASK] * 2

    def test_half_votes_take_twice_as_long(self) -> None:
        assert cast(Ballot(), [MASK] * 11, 0.5) == [None] * 9 + [MASK] * 2

    def test_seconds_hold_a_quick_camera_back(self) -> None:
        assert cast(Ballot(), [MASK] * 9, quorum=Quorum(5, 0.7)) == [None] * 7 + [MASK] * 2

    def test_confidence_and_votes(self) -> None:
        ballot = Ballot()
        for i, p in enumerate((0.6, 0.8, 0.9)):
            ballot.add(MASK, {MASK: p, NO: 1 - p, INCORRECT: 0.0}, 1.0, i / 10, Quorum(3, 0))
        assert ballot.verdict is not None
        assert ballot.verdict.votes == 3
        assert ballot.verdict.confidence == pytest.approx((0.6 + 0.8 + 0.9) / 3, abs=0.002)

    def test_a_change_takes_five_frames_more_than_speak_against_it(self) -> None:
        ballot = Ballot()
        cast(ballot, [MASK] * 20)
        # four, less two, and three more make five
        assert cast(ballot, [NO] * 4 + [MASK] * 2 + [NO] * 4) == [MASK] * 8 + [NO] * 2

    def test_kinds_of_violation_that_take_turns_are_a_violation(self) -> None:
        assert cast(Ballot(), [NO, INCORRECT, NO, INCORRECT, NO, NO])[-1] is NO

    def test_one_kind_of_violation_can_become_the_other(self) -> None:
        ballot = Ballot()
        cast(ballot, [NO] * 9)
        assert cast(ballot, [INCORRECT] * 6) == [NO] * 4 + [INCORRECT] * 2

    def test_a_face_seen_now_and_then_confirms_nothing(self) -> None:
        ballot = Ballot()
        for i in range(200):
            if i % 3 == 0:
                cast(ballot, [NO], start=i / 10)
            else:
                ballot.miss()
        assert ballot.verdict is None

    def test_gaps_do_not_end_what_holds(self) -> None:
        ballot = Ballot()
        cast(ballot, [NO] * 5)
        for _ in range(100):
            ballot.miss()
        assert ballot.verdict is not None

    @given(st.lists(st.sampled_from(list(Label)), min_size=0, max_size=60), st.sampled_from(list(Label)))
    def test_one_bad_frame_changes_nothing(self, bad_at: list[Label], good: Label) -> None:
        """However often one comes, with five good ones in between."""
        ballot = Ballot()
        cast(ballot, [good] * 5)
        labels = [label for bad in bad_at for label in [bad, *[good] * 5]]
        assert set(cast(ballot, labels)) <= {good}

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=80), st.integers(1, 9))
    def test_sides_change_as_in_a_plain_cumulative_sum(
        self, votes: list[tuple[bool, int]], frames: int
    ) -> None:
        """Page's sum over whole numbers: a quarter is 1, so that nothing is rounded."""
        ballot = Ballot()
        side: bool | None = None
        lead = {False: 0, True: 0}
        for i, (violation, quarters) in enumerate(votes):
            cast(ballot, [NO if violation else MASK], quarters / 4, Quorum(frames, 0), i / 10)
            if side is None or side != violation:
                lead[violation] += quarters
            if side is None or side == violation:
                lead[not violation] = max(0, lead[not violation] - quarters)
            if side != violation and quarters and lead[violation] >= 4 * frames:
                side, lead = violation, {False: 0, True: 0}
            held = None if ballot.verdict is None else ballot.verdict.label.violation
            assert held is side

    @given(st.permutations([MASK, NO] * 10))
    def test_as_many_for_as_against_never_confirm_more_than_their_runs(self, labels: list[Label]) -> None:
        ballot = Ballot()
        held = cast(ballot, labels, quorum=Quorum(11, 0))
        assert held == [None] * 20
