from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from skimage.color import rgb2gray
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestCentroid

from maskgate import MaskGate
from maskgate.alignment import CropSpec
from maskgate.classification import Classifier, create_classifier
from maskgate.classification.pca import (
    Eigenfaces,
    PCAClassifier,
    eigenfaces_from_bytes,
    eigenfaces_to_bytes,
    grey_vectors,
)
from maskgate.errors import InputError, ModelCorruptError
from maskgate.models import InputSpec, ModelCard, RuntimeOptions

AddModel = Callable[..., ModelCard]
SIZE, K = 8, 5
OPTIONS = RuntimeOptions(threads=1)


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3)).astype(np.uint8)


def made(seed: int = 0) -> Eigenfaces:
    """Random values of the right shapes."""
    rng = np.random.default_rng(seed)
    arrays = (
        rng.normal(size=SIZE * SIZE), np.linalg.qr(rng.normal(size=(SIZE * SIZE, K)))[0].T,
        rng.uniform(1, 3, K), rng.normal(size=(3, K)), rng.normal(size=(3, K)), rng.normal(size=3),
    )  # fmt: skip
    return Eigenfaces(*(np.asarray(a, np.float32) for a in arrays))


def test_vectors_are_grey_with_mean_0_and_deviation_1() -> None:
    crops = noise(4)
    vectors = grey_vectors(crops)
    assert (vectors.shape, vectors.dtype) == ((4, SIZE * SIZE), np.float32)
    # 0.299, 0.587, 0.114: the weights of broadcast television, which JPEG has too
    grey = (crops.reshape(4, -1, 3) @ np.array([0.299, 0.587, 0.114])).round()
    wanted = (grey - grey.mean(1, keepdims=True)) / grey.std(1, keepdims=True)
    np.testing.assert_allclose(vectors, wanted, atol=0.03)
    assert np.corrcoef(vectors[0], rgb2gray(crops[0]).ravel())[0, 1] > 0.98
    assert (grey_vectors(np.full((1, SIZE, SIZE, 3), 77, np.uint8)) == 0).all()
    assert grey_vectors(crops[:0]).shape == (0, SIZE * SIZE)


def test_brighter_is_the_same() -> None:
    crops = noise(3) // 4
    np.testing.assert_allclose(grey_vectors(crops * 2 + 30), grey_vectors(crops), atol=0.06)


def fitted(crops: np.ndarray, labels: np.ndarray) -> tuple[Eigenfaces, PCA]:
    pca = PCA(K, whiten=True, svd_solver="full").fit(grey_vectors(crops))
    whitened = pca.transform(grey_vectors(crops))
    centres = np.stack([whitened[labels == k].mean(0) for k in range(3)])
    arrays = (
        pca.mean_, pca.components_, np.sqrt(pca.explained_variance_), centres, np.zeros((3, K)), np.zeros(3)
    )  # fmt: skip
    return Eigenfaces(*(np.asarray(a, np.float32) for a in arrays)), pca


def test_projections_are_those_of_scikit_learn() -> None:
    crops = noise(40)
    eigenfaces, pca = fitted(crops, np.arange(40) % 3)
    others = noise(7, seed=1)
    np.testing.assert_allclose(eigenfaces.project(others), pca.transform(grey_vectors(others)), atol=1e-4)
    assert (len(eigenfaces), eigenfaces.size) == (K, SIZE)


def test_nearest_mean_is_that_of_scikit_learn() -> None:
    crops, labels = noise(60), np.arange(60) % 3
    eigenfaces, _ = fitted(crops, labels)
    nearest = NearestCentroid().fit(eigenfaces.project(crops), labels)
    z = eigenfaces.project(noise(200, seed=1))
    scores = eigenfaces.scores(z, "nearest-mean")
    assert scores.argmax(1).tolist() == nearest.predict(z).tolist()
    # differences of scores are those of half the squared distances
    squared = ((z[:, None] - eigenfaces.centres[None]) ** 2).sum(2)
    np.testing.assert_allclose(
        scores[:, 0] - scores[:, 1], (squared[:, 1] - squared[:, 0]) / 2, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("rule", ["nearest-mean", "linear"])
def test_probabilities(rule: Any) -> None:
    eigenfaces, crops = made(), noise(9)
    classifier = PCAClassifier(eigenfaces, CropSpec("five-point", SIZE), rule, temperature=2.0)
    assert isinstance(classifier, Classifier)
    p = classifier.classify(crops)
    assert (p.shape, p.dtype) == ((9, 3), np.float32)
    z = (grey_vectors(crops) - eigenfaces.mean) @ eigenfaces.components.T / eigenfaces.deviations
    for row, own in zip(p, z, strict=True):  # one by one, as a definition has it
        if rule == "linear":
            scores = eigenfaces.weights @ own + eigenfaces.bias
        else:
            scores = np.array([-0.5 * ((own - centre) ** 2).sum() for centre in eigenfaces.centres])
        powers = np.exp(scores / 2)
        np.testing.assert_allclose(row, powers / powers.sum(), rtol=2e-3, atol=1e-6)
    assert classifier.classify(crops[:0]).shape == (0, 3)


@pytest.mark.parametrize("rule", ["nearest-mean", "linear"])
def test_a_label_that_no_face_had(rule: Any) -> None:
    eigenfaces = made()
    centres, bias = eigenfaces.centres.copy(), eigenfaces.bias.copy()
    centres[2], bias[2] = np.nan, -np.inf
    without = replace(eigenfaces, centres=centres, bias=bias)
    p = PCAClassifier(without, CropSpec("five-point", SIZE), rule).classify(noise(9))
    whole = PCAClassifier(eigenfaces, CropSpec("five-point", SIZE), rule).classify(noise(9))
    assert (p[:, 2] == 0).all()
    np.testing.assert_allclose(p[:, :2], whole[:, :2] / whole[:, :2].sum(1, keepdims=True), rtol=1e-4)


@pytest.mark.parametrize(
    "crops", [noise(2)[0], noise(2)[..., :1], noise(2)[:, :4], noise(2).astype(np.float32)]
)
def test_crops_of_another_shape_or_type(crops: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"^crops are .*; give uint8 \(N, 8, 8, 3\)"):
        PCAClassifier(made(), CropSpec("five-point", SIZE)).classify(crops)


def test_crop_and_eigenfaces_of_other_sizes() -> None:
    with pytest.raises(InputError, match="the eigenfaces are of 8 pixels and crops of 16"):
        PCAClassifier(made(), CropSpec("five-point", 16))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"mean": np.zeros(63)}, "mean"),
        ({"components": np.zeros(64)}, "components"),
        ({"components": np.full((K, 64), np.nan)}, "components"),
        ({"components": np.zeros((K, 63)), "mean": np.zeros(63)}, "fill no square"),
        ({"deviations": np.zeros(K)}, "deviations"),
        ({"deviations": np.ones(K - 1)}, "deviations"),
        ({"centres": np.full((3, K), np.nan)}, "centres"),
        ({"weights": np.zeros((2, K))}, "weights"),
        ({"bias": np.array([0, np.nan, 0])}, "bias"),
        ({"bias": np.full(3, -np.inf)}, "bias"),
    ],
)
def test_arrays_that_do_not_agree(changes: dict[str, np.ndarray], named: str) -> None:
    with pytest.raises(InputError, match=named):
        replace(made(), **{k: v.astype(np.float32) for k, v in changes.items()})


class TestFile:
    def test_arrays_come_back(self) -> None:
        data = eigenfaces_to_bytes(made())
        assert data == eigenfaces_to_bytes(made())
        back = eigenfaces_from_bytes(data)
        for f in fields(Eigenfaces):
            assert np.array_equal(getattr(back, f.name), getattr(made(), f.name)), f.name

    def test_what_is_no_file_of_arrays(self) -> None:
        lone, pickled, part = io.BytesIO(), io.BytesIO(), io.BytesIO()
        np.save(lone, np.zeros(3))
        np.savez(pickled, **{f.name: np.array([{}], object) for f in fields(Eigenfaces)})
        np.savez(part, mean=np.zeros(4))
        whole = eigenfaces_to_bytes(made())
        broken = [b"", b"text", whole[: len(whole) // 2], *(b.getvalue() for b in (lone, pickled, part))]
        for data in broken:
            with pytest.raises(InputError, match=r"^these are no arrays of eigenfaces"):
                eigenfaces_from_bytes(data)


CARD: dict[str, Any] = {
    "task": "classification",
    "architecture": "pca",
    "classes": ("mask", "no_mask", "incorrect"),
    "input": InputSpec(SIZE, SIZE, "RGB", layout="NHWC"),
    "settings": {
        "crop": {"kind": "five-point", "size": SIZE, "margin": 1.0}, "threshold": 0.4, "rule": "linear",
        "temperature": 1.5,
    },
}  # fmt: skip


class TestCard:
    def test_a_classifier_of_a_card(self, add_model: AddModel, astronaut: np.ndarray) -> None:
        add_model("mine", eigenfaces_to_bytes(made()), **CARD)
        classifier = create_classifier("mine", OPTIONS)
        assert (classifier.name, classifier.threshold) == ("mine", 0.4)
        assert classifier.crop == CropSpec("five-point", SIZE, 1.0)
        same = PCAClassifier(made(), classifier.crop, "linear", 0.4, 1.5)
        np.testing.assert_array_equal(classifier.classify(noise(4)), same.classify(noise(4)))
        (verdict,) = MaskGate(classifier="mine", threads=1)(astronaut)
        assert sum(verdict.probabilities.values()) == pytest.approx(1)

    @pytest.mark.parametrize(
        ("settings", "named"),
        [
            ({"rule": "nearest"}, "'settings.rule'"),
            ({"rule": None}, "'settings.rule'"),
            ({"temperature": 0}, "'settings.temperature'"),
            ({"temperature": "1"}, "'settings.temperature'"),
            ({"treshold": 0.2}, "'settings.treshold'"),
            ({"crop": {"kind": "five-point", "size": 16, "margin": 1.0}}, "'input'"),
        ],
    )
    def test_a_card_that_does_not_fit(
        self, add_model: AddModel, settings: dict[str, Any], named: str
    ) -> None:
        fields = CARD | {"settings": CARD["settings"] | settings}
        add_model("mine", eigenfaces_to_bytes(made()), **fields)
        with pytest.raises(ModelCorruptError) as caught:
            create_classifier("mine", OPTIONS)
        assert named in str(caught.value)
        assert "mine.json" in str(caught.value)

    def test_a_file_that_does_not_fit(self, add_model: AddModel) -> None:
        crop = {"kind": "five-point", "size": 16, "margin": 1.0}
        fields = {
            "input": InputSpec(16, 16, "RGB", layout="NHWC"),
            "settings": CARD["settings"] | {"crop": crop},
        }
        add_model("other", eigenfaces_to_bytes(made()), **(CARD | fields))
        add_model("none", b"no arrays", **CARD)
        for name in ("other", "none"):
            with pytest.raises(ModelCorruptError, match=f"{name}.onnx holds no eigenfaces of its card"):
                create_classifier(name, OPTIONS)
