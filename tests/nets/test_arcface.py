from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from maskgate.nets.arcface import ArcFaceHead  # noqa: E402


def slow(
    embeddings: np.ndarray, centres: np.ndarray, people: list[int], scale: float, margin: float
) -> np.ndarray:
    """Angles by acos, one at a time."""
    out = np.zeros((len(embeddings), len(centres)))
    for i, e in enumerate(embeddings):
        for j, c in enumerate(centres):
            cosine = float(e @ c / np.linalg.norm(e) / np.linalg.norm(c))
            angle = math.acos(max(-1.0, min(1.0, cosine)))
            if j == people[i]:
                beyond = angle + margin >= math.pi
                cosine = cosine - margin * math.sin(margin) if beyond else math.cos(angle + margin)
            out[i, j] = scale * cosine
    return out


@pytest.mark.parametrize("margin", [0.0, 0.3, 0.5])
def test_against_angles(margin: float) -> None:
    torch.manual_seed(1)
    head = ArcFaceHead(6, 5, scale=30.0, margin=margin)
    embeddings = torch.randn(40, 6)
    embeddings[0] = -head.weight[2].detach()  # opposite its own centre: beyond the last angle
    people = [2, *np.random.default_rng(0).integers(0, 5, 39).tolist()]
    with torch.inference_mode():
        scores = head(embeddings, torch.tensor(people)).numpy()
    wanted = slow(embeddings.numpy(), head.weight.detach().numpy(), people, 30.0, margin)
    assert scores == pytest.approx(wanted, abs=2e-3)


def test_the_own_score_falls_all_the_way() -> None:
    head = ArcFaceHead(2, 2)
    head.weight.data[:] = torch.tensor([[1.0, 0], [0, 1]])
    angles = torch.linspace(0, math.pi, 181)
    embeddings = torch.stack([angles.cos(), angles.sin()], 1)
    with torch.inference_mode():
        own = head(embeddings, torch.zeros(181, dtype=torch.long))[:, 0]
    assert (own.diff() < 1e-3).all()


def test_gradients_are_finite_at_the_ends() -> None:
    head = ArcFaceHead(2, 2)
    embeddings = torch.stack([head.weight[0], -head.weight[0]]).detach().requires_grad_()
    torch.nn.functional.cross_entropy(head(embeddings, torch.tensor([0, 0])), torch.tensor([0, 0])).backward()
    assert torch.isfinite(embeddings.grad).all()
    assert torch.isfinite(head.weight.grad).all()
