"""The filter against the textbook's, written with whole matrices, and against what it should find."""

from __future__ import annotations

import numpy as np
import pytest

from maskgate.streams.motion import BoxFilter


class Textbook:
    """One Kalman filter over all eight numbers, by the equations of any textbook (Joseph's form)."""

    def __init__(self, box: np.ndarray) -> None:
        z = self.centred(box)
        scale = np.sqrt(z[2] * z[3])
        self.mean = np.concatenate([z, np.zeros(4)])
        spread = np.array([0.05, 0.05, 0.07, 0.07, 4.0, 2.0, 0.5, 0.5]) * scale
        self.covariance = np.diag(spread**2)
        self.measure = np.hstack([np.eye(4), np.zeros((4, 4))])

    @staticmethod
    def centred(box: np.ndarray) -> np.ndarray:
        return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]])

    def predict(self, dt: float) -> None:
        fade = np.exp(-dt)
        step = np.kron([[1, 1 - fade], [0, fade]], np.eye(4))
        scale = np.sqrt(self.mean[2] * self.mean[3])
        density = np.diag((np.array([6.0, 4.0, 1.0, 1.0]) * scale) ** 2)
        noise = np.kron([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]], density)
        self.mean = step @ self.mean
        self.covariance = step @ self.covariance @ step.T + noise

    def update(self, box: np.ndarray) -> None:
        z = self.centred(box)
        noise = np.diag((np.array([0.05, 0.05, 0.07, 0.07]) * np.sqrt(z[2] * z[3])) ** 2)
        spread = self.measure @ self.covariance @ self.measure.T + noise
        gain = self.covariance @ self.measure.T @ np.linalg.inv(spread)
        left = np.eye(8) - gain @ self.measure
        self.mean = self.mean + gain @ (z - self.measure @ self.mean)
        self.covariance = left @ self.covariance @ left.T + gain @ noise @ gain.T


def test_it_is_the_textbooks_filter() -> None:
    random = np.random.default_rng(1)
    box = np.array([100, 80, 160, 155], np.float32)
    mine, theirs = BoxFilter(box), Textbook(box.astype(float))
    for i in range(60):
        dt = float(random.uniform(0.01, 0.3))
        box = (box + random.normal(4, 3, 4)).astype(np.float32)
        mine.predict(dt)
        theirs.predict(dt)
        if i % 7:
            mine.update(box)
            theirs.update(box.astype(float))
        assert Textbook.centred(mine.box) == pytest.approx(theirs.mean[:4], rel=1e-6)
        assert mine.velocity == pytest.approx(theirs.mean[4:], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("rate", [5.0, 25.0])
def test_a_steady_walk_is_learnt_at_any_frame_rate(rate: float) -> None:
    random = np.random.default_rng(2)
    start = np.array([50.0, 50, 110, 130])
    speed = np.array([120.0, 15, 120, 15])
    track = BoxFilter(start.astype(np.float32))
    for i in range(1, int(2 * rate)):
        track.predict(1 / rate)
        track.update((start + speed * i / rate + random.normal(0, 1, 4)).astype(np.float32))
    assert track.velocity[:2] == pytest.approx([120, 15], abs=25)


def test_an_unseen_face_comes_to_rest() -> None:
    track = BoxFilter(np.array([0, 0, 50, 50], np.float32))
    for i in range(1, 20):
        track.predict(0.04)
        track.update(np.array([4 * i, 0, 50 + 4 * i, 50], np.float32))
    before = track.box[0]
    track.predict(1.0)
    assert track.velocity[0] == pytest.approx(100 * np.exp(-1), rel=0.2)
    track.predict(60.0)
    assert track.box[0] - before == pytest.approx(100, rel=0.2)
    assert np.isfinite(track.box).all()
