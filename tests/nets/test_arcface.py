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


@pytest.mark.parametrize("margin", [0.2, 0.5, 1.0])
def test_past_the_last_angle_it_is_a_line_that_still_falls(margin: float) -> None:
    head = ArcFaceHead(2, 2, scale=10.0, margin=margin)
    head.weight.data[:] = torch.tensor([[1.0, 0], [0, 1]])
    angles = torch.linspace(math.pi - margin - 0.1, math.pi, 200)
    embeddings = torch.stack([angles.cos(), angles.sin()], 1)
    with torch.inference_mode():
        own = head(embeddings, torch.zeros(200, dtype=torch.long))[:, 0].numpy()
    beyond = angles.numpy() > math.pi - margin + 1e-3
    wanted = 10 * (np.cos(angles.numpy()) - margin * math.sin(margin))
    assert own[beyond] == pytest.approx(wanted[beyond], abs=1e-4)
    assert (np.diff(own) < 2e-5).all()
    assert own[beyond].max() < own[~beyond].min()


def test_without_a_margin_it_is_a_scaled_cosine() -> None:
    torch.manual_seed(2)
    head = ArcFaceHead(7, 4, scale=12.0, margin=0.0)
    embeddings, people = torch.randn(9, 7), torch.randint(0, 4, (9,))
    cosine = torch.nn.functional.cosine_similarity(embeddings[:, None], head.weight[None], dim=2)
    torch.testing.assert_close(head(embeddings, people), 12 * cosine, atol=1e-5, rtol=1e-5)


def test_angles_are_exact_under_autocast() -> None:
    torch.manual_seed(3)
    head = ArcFaceHead(64, 10)
    embeddings, people = torch.randn(8, 64), torch.arange(8)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        mixed = head(embeddings, people)
    with torch.inference_mode():
        assert torch.equal(mixed, head(embeddings, people))


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_gradients_are_finite_at_the_ends(margin: float) -> None:
    head = ArcFaceHead(2, 2, margin=margin)
    head.weight.data[:] = torch.tensor([[1.0, 0], [0, 1]])  # with these the cosines are exactly ±1
    embeddings = torch.tensor([[3.0, 0], [-3, 0]], requires_grad=True)
    assert head.cosines(embeddings)[:, 0].tolist() == [1, -1]
    torch.nn.functional.cross_entropy(head(embeddings, torch.tensor([0, 0])), torch.tensor([0, 0])).backward()
    assert torch.isfinite(embeddings.grad).all()
    assert torch.isfinite(head.weight.grad).all()
