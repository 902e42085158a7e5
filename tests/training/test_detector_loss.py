from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from maskgate.training.detector_loss import DetectorLoss  # noqa: E402


def slow(
    settings: DetectorLoss,
    outputs: list[np.ndarray],
    kind: np.ndarray,
    targets: list[np.ndarray],
    has: np.ndarray,
) -> dict[str, float]:
    """The three parts of the loss by plain loops."""
    loc, scores, points = outputs
    classes = box = landmark = 0.0
    faces = marked = 0

    def smooth(a: np.ndarray, b: np.ndarray) -> float:
        return sum(0.5 * d * d if abs(d) < 1 else abs(d) - 0.5 for d in (a - b).tolist())

    for n in range(len(kind)):
        negatives = []
        own = 0
        for a in range(kind.shape[1]):
            bare, face = scores[n, a].tolist()
            norm = math.log(math.exp(bare) + math.exp(face))
            if kind[n, a] == 1:
                own += 1
                classes += norm - face
                box += smooth(loc[n, a], targets[0][n, a])
                if has[n, a]:
                    marked += 1
                    landmark += smooth(points[n, a], targets[1][n, a])
            elif kind[n, a] == 0:
                negatives.append(norm - bare)
        faces += own
        negatives.sort(reverse=True)
        classes += sum(negatives[: max(settings.negatives * own, settings.least_negatives)])
    return {
        "classes": classes / max(faces, 1),
        "boxes": box / max(faces, 1),
        "landmarks": landmark / max(marked, 1),
    }


def inputs(seed: int, anchors: int, shares: tuple[float, float, float]) -> tuple[list[np.ndarray], ...]:
    rng = np.random.default_rng(seed)
    outputs = [rng.normal(0, 2, (3, anchors, w)).astype(np.float32) for w in (4, 2, 10)]
    kind = rng.choice([-1, 0, 1], (3, anchors), p=shares).astype(np.int8)
    targets = [rng.normal(0, 2, (3, anchors, w)).astype(np.float32) for w in (4, 10)]
    has = (kind == 1) & (rng.random((3, anchors)) < 0.6)
    return outputs, [kind], targets, [has]


@pytest.mark.parametrize("settings", [DetectorLoss(), DetectorLoss(3, 0), DetectorLoss(7, 4, 1.0, 0.5)])
@pytest.mark.parametrize("shares", [(0.2, 0.7, 0.1), (0.0, 0.98, 0.02), (0.1, 0.2, 0.7), (0.3, 0.7, 0.0)])
def test_equals_plain_loops(settings: DetectorLoss, shares: tuple[float, float, float]) -> None:
    outputs, (kind,), targets, (has,) = inputs(3, 150, shares)
    kind[0] = np.where(kind[0] == 1, 0, kind[0])  # a picture without faces
    has[0] = False
    wanted = slow(settings, outputs, kind, targets, has)
    t = torch.from_numpy
    total, parts = settings(
        (t(outputs[0]), t(outputs[1]), t(outputs[2])), t(kind), t(targets[0]), t(targets[1]), t(has)
    )
    assert parts == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    weighted = wanted["classes"] + settings.box_weight * wanted["boxes"]
    assert total.item() == pytest.approx(weighted + settings.landmark_weight * wanted["landmarks"], rel=1e-4)


def test_gradient_reaches_only_what_counts() -> None:
    outputs, (kind,), targets, (has,) = inputs(5, 80, (0.3, 0.6, 0.1))
    leaves = [torch.from_numpy(o).requires_grad_() for o in outputs]
    t = torch.from_numpy
    total, _ = DetectorLoss(3, 0)(tuple(leaves), t(kind), t(targets[0]), t(targets[1]), t(has))
    total.backward()
    moved = [leaf.grad.abs().sum(2).numpy() > 0 for leaf in leaves]
    assert (moved[0] == (kind == 1)).all()
    assert (moved[2] == has).all()
    assert not moved[1][kind == -1].any()
    assert moved[1][kind == 1].all()
    for n in range(3):
        assert moved[1][n][kind[n] == 0].sum() == min(3 * (kind[n] == 1).sum(), (kind[n] == 0).sum())


def test_labels_by_plain_loops() -> None:
    """Background against faces, and labels where they are known, are the cross-entropy of four classes."""
    outputs, (kind,), targets, (has,) = inputs(4, 60, (0.2, 0.6, 0.2))
    rng = np.random.default_rng(1)
    judged = rng.normal(0, 2, (3, 60, 3)).astype(np.float32)
    labels = rng.integers(-1, 3, (3, 60))
    settings = DetectorLoss(7, 4, label_weight=0.5)
    wanted = slow(settings, outputs, kind, targets, has)
    own, known = 0.0, 0
    for n in range(3):
        for a in range(60):
            if kind[n, a] == 1 and labels[n, a] >= 0:
                z = judged[n, a].tolist()
                own += math.log(sum(map(math.exp, z))) - z[labels[n, a]]
                known += 1
    wanted["labels"] = own / known
    t = torch.from_numpy
    arguments = (t(kind), t(targets[0]), t(targets[1]), t(has), t(labels))
    total, parts = settings((*map(t, outputs), t(judged)), *arguments)
    assert parts == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    rest = wanted["classes"] + settings.box_weight * wanted["boxes"] + wanted["landmarks"]
    assert total.item() == pytest.approx(rest + 0.5 * wanted["labels"], rel=1e-4)
    # a network without labels is as it was
    plain, _ = settings(tuple(map(t, outputs)), *arguments)
    assert plain.item() == pytest.approx(rest, rel=1e-4)


@pytest.mark.parametrize("known", [True, False])
def test_a_face_of_unknown_label_teaches_all_but_the_labels(known: bool) -> None:
    outputs, (kind,), targets, (has,) = inputs(5, 80, (0.3, 0.6, 0.1))
    leaves = [torch.from_numpy(o).requires_grad_() for o in outputs]
    judged = torch.zeros(3, 80, 3, requires_grad=True)
    labels = np.where(np.arange(80) % 2, 2, -1)[None].repeat(3, 0) if known else np.full((3, 80), -1)
    t = torch.from_numpy
    arguments = (t(kind), t(targets[0]), t(targets[1]), t(has), t(labels))
    total, parts = DetectorLoss(3, 0)((*leaves, judged), *arguments)
    total.backward()
    moved = [leaf.grad.abs().sum(2).numpy() > 0 for leaf in (*leaves, judged)]
    assert (moved[0] == (kind == 1)).all()
    assert moved[1][kind == 1].all()
    assert (moved[2] == has).all()
    assert (moved[3] == ((kind == 1) & (labels >= 0))).all()
    assert parts["labels"] == pytest.approx(math.log(3) if known else 0)
