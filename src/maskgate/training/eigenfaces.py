"""Eigenfaces fitted with scikit-learn: how many, and which rule decides, is chosen on validation.

The study that this repeats (Ejaz et al. 2019, as the paper cites it) does not say which crop, which
treatment of light and how many components. Here faces are those of the classifier's recipe, with their
mirror images, on the same sides of the same split, aligned by their five landmarks: turning them upright
alone leaves eyes and mouths in different places, and of held-out faces one in four is then taken wrongly,
not one in six. Drawn masks and hands, which the network also learns from, are left out. Labels count
alike in the linear rule, whatever their number of faces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from maskgate.alignment import CropSpec
from maskgate.classification.pca import Eigenfaces, Rule, eigenfaces_to_bytes, grey_vectors
from maskgate.classification.softmax import softmax
from maskgate.errors import DataError
from maskgate.files import plain, write_atomic, write_json
from maskgate.training.calibration import fit_temperature, fit_threshold, negative_log_likelihood
from maskgate.training.classifier_setup import ClassifierData, Places, prepare_faces
from maskgate.training.classifier_validation import ValidationFaces
from maskgate.training.crops import MARGIN, SIDE, FaceCrops
from maskgate.training.recipe import build
from maskgate.training.runs import RunFolder
from maskgate.types import LABELS, Faces, Image

RULES: tuple[Rule, ...] = get_args(Rule)

_OF_NETWORKS = (
    "architecture", "start", "starts", "strategy", "storage", "distil", "loop", "augmentation", "occlusion",
)  # fmt: skip
"""Fields of a classifier's recipe that say nothing about eigenfaces."""

_OF_DRAWN_FACES = ("drawn_incorrect_flagged", "covered_called_mask", "hand_called_mask")


@dataclass(frozen=True)
class EigenfaceSettings:
    """``[eigenfaces]`` of a recipe.

    Attributes:
        size: side of the crops in pixels, at least 8.
        components: the numbers to choose from.
        penalty: above 0, of the linear rule's squared weights, against the sum over all faces.
    """

    size: int = 48
    components: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 1024)
    penalty: float = 10.0

    def __post_init__(self) -> None:
        if self.size < 8 or self.penalty <= 0:
            raise DataError("[eigenfaces] wants a size of at least 8 pixels and a penalty above 0")

    @property
    def crop(self) -> CropSpec:
        """How faces are cut."""
        return CropSpec("five-point", self.size, 1.0)


@dataclass(frozen=True, eq=False)
class FittedEigenfaces:
    """What came out best on the validation faces.

    Attributes:
        eigenfaces: with the chosen number of components.
        rule: the chosen one.
        temperature, threshold: fitted on the validation faces.
        explained: ``(M,)`` share of the variance along each component, M the largest number tried.
        selection: a row a number of components and rule: what validation says.
    """

    eigenfaces: Eigenfaces
    rule: Rule
    temperature: float
    threshold: float
    explained: NDArray[np.float64]
    selection: list[dict[str, Any]]

    def probabilities(self, views: Image) -> NDArray[np.float64]:
        """``(N, 3)`` of ``(N, S, S, 3)`` uint8 crops."""
        scores = self.eigenfaces.scores(self.eigenfaces.project(views), self.rule)
        return softmax(scores, self.temperature)


def fit_eigenfaces(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], views: Image, truth: NDArray[np.int64],
    settings: EigenfaceSettings,
) -> FittedEigenfaces:  # fmt: skip
    """Fits on some faces and chooses by the least error (cross-entropy) on others.

    Args:
        vectors: ``(N, S²)`` as :func:`~maskgate.classification.pca.grey_vectors` makes them.
        labels: ``(N,)`` places in LABELS.
        views: ``(M, S, S, 3)`` uint8 crops to choose by.
        truth: ``(M,)`` their labels.

    Raises :class:`~maskgate.errors.DataError` where the faces have one label only, or are fewer than
    the smallest number of components.
    """
    kinds = np.unique(labels)
    if len(kinds) < 2:
        raise DataError("all faces to learn from have the same label; add faces of another one")
    limit = min(len(vectors) - 1, vectors.shape[1])
    numbers = sorted(k for k in set(settings.components) if 0 < k <= limit)
    if not numbers:
        raise DataError(
            f"{len(vectors)} faces of {vectors.shape[1]} pixels give at most {limit} eigenfaces; "
            "put smaller numbers into [eigenfaces] components"
        )
    # exact, and the same for the same faces: the covariance of pixels is small, however many faces
    pca = PCA(numbers[-1], svd_solver="covariance_eigh").fit(vectors)
    deviations = np.sqrt(np.maximum(pca.explained_variance_, 1e-9))
    projections = (vectors - pca.mean_) @ pca.components_.T / deviations
    candidates: list[tuple[float, FittedEigenfaces]] = []
    rows: list[dict[str, Any]] = []
    for k in numbers:
        mean, components, along = (
            np.asarray(a, np.float32) for a in (pca.mean_, pca.components_[:k], deviations[:k])
        )
        rules = _rules(projections[:, :k], labels, settings.penalty)
        eigenfaces = Eigenfaces(mean, components, along, *rules)
        found = eigenfaces.project(views)
        for rule in RULES:
            scores = eigenfaces.scores(found, rule)
            temperature = fit_temperature(scores, truth)
            probabilities = softmax(scores, temperature)
            threshold = fit_threshold(probabilities[:, 0], truth)
            loss = negative_log_likelihood(scores, truth, temperature)
            right = probabilities.argmax(1) == truth
            rows.append(
                {"components": k, "rule": rule, "loss": loss, "accuracy": float(right.mean()),
                 "temperature": temperature, "threshold": threshold}
            )  # fmt: skip
            explained = np.asarray(pca.explained_variance_ratio_, np.float64)
            fitted = FittedEigenfaces(eigenfaces, rule, temperature, threshold, explained, rows)
            candidates.append((loss, fitted))
    return min(candidates, key=lambda pair: pair[0])[1]


def _rules(
    projections: NDArray[np.float32], labels: NDArray[np.int64], penalty: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Centres, weights and bias of :class:`Eigenfaces`."""
    n, k = len(LABELS), projections.shape[1]
    centres = np.full((n, k), np.nan, np.float32)
    weights, bias = np.zeros((n, k), np.float32), np.full(n, -np.inf, np.float32)
    for label in np.unique(labels):
        centres[label] = projections[labels == label].mean(0)
    linear = LogisticRegression(C=1 / penalty, class_weight="balanced", max_iter=1000)
    linear.fit(projections, labels)
    two = len(linear.classes_) == 2  # then scikit-learn has one row: the second label against the first
    rows = np.concatenate([0 * linear.coef_, linear.coef_]) if two else linear.coef_
    starts = np.concatenate([0 * linear.intercept_, linear.intercept_]) if two else linear.intercept_
    weights[linear.classes_], bias[linear.classes_] = rows, starts
    return centres, weights, bias


def aligned_faces(crops: FaceCrops, spec: CropSpec) -> ValidationFaces:
    """The cut faces once more, as ``spec`` wants them; nothing is drawn on."""
    low, high = SIDE * (1 - 1 / MARGIN) / 2, SIDE * (1 + 1 / MARGIN) / 2
    box, score = np.array([[low, low, high, high]], np.float32), np.ones(1, np.float32)
    views = np.empty((len(crops), spec.size, spec.size, 3), np.uint8)
    for view, image, points in zip(views, crops.images, crops.landmarks, strict=True):
        view[:] = spec.cut(np.ascontiguousarray(image), Faces(box, score, points[None]))[0]
    return ValidationFaces(views, crops.labels, np.zeros(len(crops), np.int64), crops.sizes)


def fit_faces(data: ClassifierData, settings: EigenfaceSettings) -> FittedEigenfaces:
    """:func:`fit_eigenfaces` on the faces to learn from and their mirror images."""
    learnt = aligned_faces(data.learnt, settings.crop)
    if not len(learnt.views):
        raise DataError("no face is left to learn from; add pictures, or give a smaller 'validation'")
    vectors = grey_vectors(np.concatenate([learnt.views, learnt.views[:, :, ::-1]]))
    judges = aligned_faces(data.held_out, settings.crop)
    return fit_eigenfaces(vectors, np.tile(learnt.labels, 2), judges.views, judges.labels, settings)


def train_eigenfaces(recipe: Mapping[str, Any], places: Places, output: Path) -> None:
    """Fits the eigenfaces of a classifier's recipe; leaves ``model.npz`` in ``output``.

    Beside it lie ``selection.csv`` (what was tried), ``explained.csv`` (share of the variance along
    each component), ``figures.json``, ``sides.csv`` and ``manifest.json``. Faces already found and
    cut are not sought again; the fit itself takes a minute, and is the same each time.

    Args:
        recipe: as :func:`~maskgate.training.recipe.read_recipe` gives it.
        places: folders of data and weights.
        output: the run folder.

    Raises :class:`~maskgate.errors.DataError` on a recipe or data that cannot be used.
    """
    cv2.setNumThreads(1)
    settings = build(EigenfaceSettings, recipe.get("eigenfaces", {}), "[eigenfaces]")
    own = {name: value for name, value in recipe.items() if name not in _OF_NETWORKS}
    own |= {
        "architecture": "pca",
        "start": "scratch",
        "labeller": str(places.labeller),
        "eigenfaces": asdict(settings),
    }
    run = RunFolder(output, own)
    data = prepare_faces(recipe, places, output / "teacher.jsonl")
    run.write_manifest(places.data, [places.data / p for p in set(data.crops.pictures)])
    write_json(output / "crops.json", data.counts())
    write_atomic(output / "sides.csv", data.table().encode())
    finish(fit_faces(data, settings), data, settings.crop, output)


def finish(fitted: FittedEigenfaces, data: ClassifierData, spec: CropSpec, output: Path) -> None:
    """Judges and writes what was fitted; test faces, if there are any, change nothing."""
    figures: dict[str, Any] = {
        "components": len(fitted.eigenfaces),
        "explained": float(fitted.explained[: len(fitted.eigenfaces)].sum()),
        "rule": fitted.rule,
        "temperature": fitted.temperature,
        "threshold": fitted.threshold,
    }
    for name, crops in (("validation", data.held_out), ("test", data.test)):
        if not len(crops):
            continue
        faces = aligned_faces(crops, spec)
        probabilities = fitted.probabilities(faces.views)
        told = faces.figures(probabilities, fitted.threshold)
        figures[f"{name}_faces"] = len(crops)
        figures[name] = {key: value for key, value in told.items() if key not in _OF_DRAWN_FACES}
        if name == "validation":
            write_atomic(output / "validation.csv", faces.table(probabilities).encode())
    write_atomic(output / "selection.csv", _csv(fitted.selection).encode())
    shares = [{"component": i + 1, "share": float(share)} for i, share in enumerate(fitted.explained)]
    write_atomic(output / "explained.csv", _csv(shares).encode())
    write_json(output / "figures.json", plain(figures))
    write_atomic(output / "model.npz", eigenfaces_to_bytes(fitted.eigenfaces))


def _csv(rows: list[dict[str, Any]]) -> str:
    lines = [",".join(rows[0])]
    lines += [",".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in row.values()) for row in rows]
    return "\n".join(lines) + "\n"
