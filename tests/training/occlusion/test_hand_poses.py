from __future__ import annotations

import numpy as np
import pytest

from maskgate.training.occlusion.hand_poses import HandPose, draw_pose, place_hands


@pytest.mark.parametrize("compact", [False, True])
def test_poses_suit_the_hand(compact: bool) -> None:
    rng = np.random.default_rng(0)
    poses = [draw_pose(compact, rng) for _ in range(300)]
    assert HandPose.TOUCHING not in poses
    assert (HandPose.FIST in poses) == compact
    assert (HandPose.FINGERS in poses) == (not compact)
    assert all(poses.count(pose) > 25 for pose in set(poses))


@pytest.mark.parametrize("pose", list(HandPose))
@pytest.mark.parametrize("compact", [False, True])
def test_wrists_come_from_below_or_the_side(pose: HandPose, compact: bool) -> None:
    both = []
    for seed in range(100):
        places = place_hands(pose, compact, np.random.default_rng(seed))
        assert len(places) == (2 if pose is HandPose.TWO else 1)
        for place in places:
            assert abs(place.angle) < 110
            assert 0 < place.anchor < 1
            assert 0.4 < place.y < 2.2
            assert 3 < place.length < 6.2
            both.append(place.angle > 0)
        if pose is HandPose.TWO:
            assert places[0].x * places[1].x < 0
            # each hand leans inward
            assert all(place.x * place.angle < 0 for place in places)
    assert 0.3 < np.mean(both) < 0.7
