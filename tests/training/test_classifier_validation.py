from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import softmax as scipy_softmax
from sklearn.metrics import log_loss, roc_auc_score

torch = pytest.importorskip("torch")

from maskgate.nets.classifier import FaceClassifier  # noqa: E402
from maskgate.nets.face_resnet import BLOCKS, FaceResNet  # noqa: E402
from maskgate.training.classifier_data import (  # noqa: E402
    INCORRECT,
    MASK,
    NO_MASK,
    ClassifierAugmentation,
    still_view,
)
from maskgate.training.classifier_validation import (  # noqa: E402
    ValidationFaces,
    logits_of,
    validation_faces,
)
from maskgate.training.crops import FaceCrops  # noqa: E402
from maskgate.training.occlusion.hands import Hand  # noqa: E402
from maskgate.training.occlusion.paint import Painter  # noqa: E402

SMALL = ClassifierAugmentation(size=64)

MakeCrops = Callable[..., FaceCrops]


class TestFigures:
    def faces(self) -> tuple[ValidationFaces, np.ndarray]:
        rng = np.random.default_rng(0)
        labels, kinds = rng.integers(0, 3, 300), rng.integers(0, 3, 300)
        logits = rng.normal(0, 1.5, (300, 3))
        logits[np.arange(300), labels] += 1.5
        return ValidationFaces(
            np.zeros((300, 2, 2, 3), np.uint8), labels, kinds, np.ones(300, np.float32)
        ), logits

    @pytest.mark.parametrize(("temperature", "threshold"), [(1.0, 0.5), (2.5, 0.3)])
    def test_against_scikit_learn(self, temperature: float, threshold: float) -> None:
        faces, logits = self.faces()
        p = scipy_softmax(logits / temperature, axis=1)
        figures = faces.figures(p, threshold)
        real = faces.kinds == 0
        two = real & (faces.labels != INCORRECT)
        assert figures["loss"] == pytest.approx(log_loss(faces.labels[real], p[real], labels=[0, 1, 2]))
        assert figures["roc_auc"] == pytest.approx(roc_auc_score(faces.labels[two] == MASK, p[two, 0]))
        called = p[:, 0] >= threshold

        def share(kind: int, label: int) -> float:
            of = (faces.kinds == kind) & (faces.labels == label)
            return sum(bool(c) for c, o in zip(called, of, strict=True) if o) / int(of.sum())

        assert figures["recall_mask"] == pytest.approx(share(0, MASK))
        assert figures["recall_no_mask"] == pytest.approx(1 - share(0, NO_MASK))
        assert figures["incorrect_flagged"] == pytest.approx(1 - share(0, INCORRECT))
        assert figures["drawn_incorrect_flagged"] == pytest.approx(1 - share(1, INCORRECT))
        assert figures["covered_called_mask"] == pytest.approx(share(1, NO_MASK))
        assert figures["hand_called_mask"] == pytest.approx(called[faces.kinds == 2].mean())
        right = [c == (label == MASK) for c, label in zip(called[two], faces.labels[two], strict=True)]
        assert figures["accuracy"] == pytest.approx(np.mean(right))

    def test_share_of_nothing_is_nan(self) -> None:
        faces = ValidationFaces(
            np.zeros((2, 2, 2, 3), np.uint8), np.array([0, 1]), np.zeros(2, int), np.ones(2)
        )
        figures = faces.figures(np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1]]))
        assert (figures["accuracy"], figures["roc_auc"]) == (1, 1)
        assert np.isnan(figures["incorrect_flagged"])
        assert np.isnan(figures["hand_called_mask"])


class TestValidationFaces:
    def hands(self) -> list[Hand]:
        return [Hand(np.full((90, 60, 3), 150, np.uint8), np.ones((90, 60), np.float32))]

    def test_all_crops_are_seen_still_and_bare_ones_drawn_on_too(self, noise_crops: MakeCrops) -> None:
        crops = noise_crops([MASK, NO_MASK, INCORRECT, NO_MASK, NO_MASK, NO_MASK])
        crops.landmarks[3] = np.nan  # cannot be drawn on
        crops.sizes[4] = 20  # neither can this
        faces = validation_faces(crops, Painter(), self.hands(), SMALL, seed=3)
        assert faces.views.shape == (6 + 2 * 3, 64, 64, 3)
        assert faces.kinds.tolist() == [0] * 6 + [1, 1, 2] * 2
        assert faces.labels.tolist() == crops.labels.tolist() + [NO_MASK, INCORRECT, NO_MASK] * 2
        stills = [still_view(c, SMALL.margin, 64) for c in crops.images]
        assert np.array_equal(faces.views[:6], np.stack(stills))
        for views in (faces.views[6:9], faces.views[9:]):
            bare = [s for s in stills if np.array_equal(s[:6], views[2][:6])]  # the forehead stays
            assert len(bare) == 1
            assert all((view != bare[0]).any() for view in views)

    def test_same_seed_same_views(self, noise_crops: MakeCrops) -> None:
        crops = noise_crops([MASK, NO_MASK, INCORRECT, NO_MASK])
        one, two, other = (
            validation_faces(crops, Painter(), self.hands(), SMALL, seed=s).views for s in (1, 1, 2)
        )
        assert np.array_equal(one, two)
        assert not np.array_equal(one, other)

    def test_limit(self, noise_crops: MakeCrops) -> None:
        crops = noise_crops([MASK, INCORRECT] + [NO_MASK] * 5)
        faces = validation_faces(crops, Painter(), [], SMALL, seed=1, limit=2)
        assert np.bincount(faces.kinds).tolist() == [7, 4]


def test_logits_in_batches_equal_those_at_once() -> None:
    torch.manual_seed(0)
    net = FaceClassifier(FaceResNet(BLOCKS[:1]), dropout=0.5).train()
    views = np.random.default_rng(0).integers(0, 256, (7, 64, 64, 3), dtype=np.uint8)
    logits = logits_of(net, views, batch=3)
    with torch.inference_mode():
        wanted = net.eval()(torch.from_numpy(views).permute(0, 3, 1, 2).float()).numpy()
    assert logits.dtype == np.float64
    assert logits == pytest.approx(wanted, abs=1e-4)
