from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

pytest.importorskip("torch")

from maskgate.alignment import CropSpec, align_five_points, rotate_and_crop_matrix
from maskgate.classification import create_classifier
from maskgate.classification.pca import eigenfaces_from_bytes, grey_vectors
from maskgate.errors import DataError
from maskgate.files import write_json
from maskgate.models import RuntimeOptions
from maskgate.training.classifier_data import ClassifierAugmentation
from maskgate.training.classifier_setup import ClassifierData, Places
from maskgate.training.crops import MARGIN, SIDE, FaceCrops, cut_face
from maskgate.training.eigenfaces import (
    EigenfaceSettings,
    aligned_faces,
    finish,
    fit_eigenfaces,
    fit_faces,
    train_eigenfaces,
)
from maskgate.training.occlusion.shares import OcclusionShares
from maskgate.training.publish import Edition, publish_pca
from maskgate.training.recipe import Source
from maskgate.training.splits import TEST, TRAINING, VALIDATION
from maskgate.types import Faces

MakeCrops = Callable[..., FaceCrops]
SIZE = 12
SETTINGS = EigenfaceSettings(size=SIZE, components=(2, 6))


def patterned(count: int, labels: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Crops that are bright at the top, at the bottom or at the left, after their label, in noise."""
    rng = np.random.default_rng(seed)
    chosen = np.array([labels[i % len(labels)] for i in range(count)])
    crops = rng.integers(0, 120, (count, SIZE, SIZE, 3)).astype(np.uint8)
    for crop, label in zip(crops, chosen, strict=True):
        where = [np.s_[:4], np.s_[8:], np.s_[:, :4]][label]
        crop[where] += 90
    return crops, chosen


class TestFit:
    def test_it_is_scikit_learns(self) -> None:
        crops, labels = patterned(90, [0, 1, 2])
        views, truth = patterned(45, [0, 1, 2], seed=1)
        vectors = grey_vectors(crops)
        settings = replace(SETTINGS, components=(6,), penalty=4.0)
        fitted = fit_eigenfaces(vectors, labels, views, truth, settings)
        pca = PCA(6, whiten=True, svd_solver="full").fit(vectors)
        own, theirs = fitted.eigenfaces.project(views), pca.transform(grey_vectors(views))
        signs = np.sign((own * theirs).sum(0))  # a component may point either way
        np.testing.assert_allclose(own, theirs * signs, atol=2e-3)
        np.testing.assert_allclose(fitted.explained, pca.explained_variance_ratio_, rtol=1e-3)
        whitened = pca.transform(vectors)
        linear = LogisticRegression(C=0.25, class_weight="balanced", max_iter=1000).fit(whitened, labels)
        scores = fitted.eigenfaces.scores(own, "linear")
        wanted = linear.decision_function(theirs)
        np.testing.assert_allclose(
            scores - scores.mean(1, keepdims=True), wanted - wanted.mean(1, keepdims=True), atol=0.05
        )

    def test_validation_chooses(self) -> None:
        crops, labels = patterned(90, [0, 1, 2])
        views, truth = patterned(60, [0, 1, 2], seed=1)
        fitted = fit_eigenfaces(grey_vectors(crops), labels, views, truth, SETTINGS)
        assert [(r["components"], r["rule"]) for r in fitted.selection] == [
            (2, "nearest-mean"), (2, "linear"), (6, "nearest-mean"), (6, "linear"),
        ]  # fmt: skip
        best = min(fitted.selection, key=lambda row: row["loss"])
        assert (len(fitted.eigenfaces), fitted.rule) == (best["components"], best["rule"])
        assert (fitted.temperature, fitted.threshold) == (best["temperature"], best["threshold"])
        p = fitted.probabilities(views)
        assert -np.log(p[np.arange(60), truth]).mean() == pytest.approx(best["loss"], rel=1e-3)
        assert (p.argmax(1) == truth).mean() == best["accuracy"] > 0.95
        # where nothing can be known, nothing is sure
        noise = np.random.default_rng(2).integers(0, 256, (60, SIZE, SIZE, 3)).astype(np.uint8)
        other = fit_eigenfaces(grey_vectors(crops), labels, noise, truth, SETTINGS)
        assert other.probabilities(noise).max(1).mean() < 0.6

    @pytest.mark.parametrize("kept", [[0, 1], [1, 2]])
    def test_two_labels_only(self, kept: list[int]) -> None:
        crops, labels = patterned(60, kept)
        views, truth = patterned(40, kept, seed=1)
        fitted = fit_eigenfaces(grey_vectors(crops), labels, views, truth, SETTINGS)
        gone = ({0, 1, 2} - set(kept)).pop()
        for rule in ("nearest-mean", "linear"):
            p = replace(fitted, rule=rule).probabilities(views)
            assert (p[:, gone] == 0).all()
            assert (p.argmax(1) == truth).mean() > 0.95, rule

    def test_one_label_only(self) -> None:
        crops, labels = patterned(20, [1])
        with pytest.raises(DataError, match="all faces to learn from have the same label"):
            fit_eigenfaces(grey_vectors(crops), labels, crops, labels, SETTINGS)

    def test_fewer_faces_than_components(self) -> None:
        crops, labels = patterned(5, [0, 1])
        fitted = fit_eigenfaces(grey_vectors(crops), labels, crops, labels, SETTINGS)
        assert len(fitted.eigenfaces) == 2  # six out of five cannot be had
        with pytest.raises(DataError, match=r"at most 4 eigenfaces; put smaller numbers"):
            fit_eigenfaces(grey_vectors(crops), labels, crops, labels, replace(SETTINGS, components=(9,)))

    @pytest.mark.parametrize("changes", [{"size": 4}, {"penalty": 0.0}])
    def test_settings_out_of_range(self, changes: dict[str, float]) -> None:
        with pytest.raises(DataError, match=r"^\[eigenfaces\] wants"):
            replace(SETTINGS, **changes)


def test_cut_faces_are_aligned_as_in_use(astronaut: np.ndarray, astronaut_face: Faces) -> None:
    """From the crop, nearly what inference cuts from the picture."""
    crop, points = cut_face(astronaut, astronaut_face)
    one = np.zeros(1, np.int64)
    crops = FaceCrops(crop[None], points[None], one, one, np.array([119], np.float32), ["a.jpg"])
    views = aligned_faces(crops, CropSpec("five-point", 48, 1.0)).views
    wanted = align_five_points(astronaut, astronaut_face, 48)
    assert np.abs(views.astype(int) - wanted).mean() < 3
    # without landmarks the face's box in the crop says where they are: that of an upright face
    blind = replace(crops, landmarks=np.full((1, 5, 2), np.nan, np.float32))
    matrix = rotate_and_crop_matrix(astronaut_face.boxes[0], float(astronaut_face.roll[0]), SIDE, MARGIN)
    centre = (astronaut_face.boxes[0, :2] + astronaut_face.boxes[0, 2:]) / 2
    assert matrix[:, :2] @ centre + matrix[:, 2] == pytest.approx([79.5, 79.5], abs=0.01)
    guessed = aligned_faces(blind, CropSpec("five-point", 48, 1.0)).views
    assert np.abs(guessed.astype(int) - wanted).mean() < 30
    assert not np.array_equal(guessed, views)


def faces(make: MakeCrops, count: int) -> ClassifierData:
    labels = [i % 3 for i in range(count)]
    crops = make(labels)
    for image, label in zip(crops.images, labels, strict=True):
        where = [np.s_[40:80], np.s_[90:120], np.s_[:, 40:80]][label]
        image[where] = 255
    sides = np.array([(TRAINING, TRAINING, VALIDATION, TEST)[(i // 3) % 4] for i in range(count)])
    a, shares = ClassifierAugmentation(size=64), OcclusionShares()
    sources = [Source("a", "crops", labels={"x": "mask"})]
    return ClassifierData(crops, sides, sources, a, 1, None, shares, (), ())


def test_a_run_from_faces_to_a_model(noise_crops: MakeCrops, tmp_path: Path, own_models: Path) -> None:
    data = faces(noise_crops, 72)
    settings = EigenfaceSettings(size=16, components=(4, 8))
    fitted = fit_faces(data, settings)
    run = tmp_path / "run"
    finish(fitted, data, settings.crop, run)
    figures = json.loads((run / "figures.json").read_text())
    assert (figures["validation_faces"], figures["test_faces"]) == (18, 18)
    assert figures["test"]["accuracy"] > 0.9
    assert figures["explained"] == pytest.approx(fitted.explained[: figures["components"]].sum())
    kept = eigenfaces_from_bytes((run / "model.npz").read_bytes())
    assert np.array_equal(kept.components, fitted.eigenfaces.components)
    rows = list(csv.DictReader((run / "selection.csv").read_text().splitlines()))
    assert [row["components"] for row in rows] == ["4", "4", "8", "8"]
    assert len((run / "explained.csv").read_text().splitlines()) == 9
    # the same faces, the same bytes
    again = tmp_path / "again"
    finish(fit_faces(data, settings), data, settings.crop, again)
    assert (again / "model.npz").read_bytes() == (run / "model.npz").read_bytes()

    edition = Edition("mine", "1", "For a test.")
    with pytest.raises(DataError, match=r"settings\.json cannot be read"):
        publish_pca(run, own_models, edition)
    recipe = {"seed": 1, "start": "scratch", "source": [{"path": "a"}], "eigenfaces": {"size": 16}}
    write_json(run / "settings.json", recipe)
    write_json(run / "manifest.json", {"a.jpg": "0"})
    card = publish_pca(run, own_models, edition)
    assert (card.file, card.architecture, card.training["pictures"]) == ("mine.npz", "pca", 1)
    classifier = create_classifier("mine", RuntimeOptions(threads=1))
    views = aligned_faces(data.test, classifier.crop).views
    p = classifier.classify(views)
    assert classifier.threshold == pytest.approx(figures["threshold"], abs=1e-4)
    np.testing.assert_allclose(p, fitted.probabilities(views), atol=1e-3)
    assert (p.argmax(1) == data.test.labels).mean() > 0.9


def test_who_has_nothing_to_learn_or_to_judge(noise_crops: MakeCrops) -> None:
    data = faces(noise_crops, 24)
    with pytest.raises(DataError, match="no face is left to learn from"):
        fit_faces(replace(data, sides=np.full(24, VALIDATION)), SETTINGS)
    with pytest.raises(DataError, match="no labelled face is on the validation side"):
        fit_faces(replace(data, sides=np.full(24, TRAINING)), SETTINGS)


def test_recipe_from_pictures_to_a_model(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "crops" / "types128"
    data = tmp_path / "data"
    for folder in ("mask_cloth", "no_mask"):
        (data / "faces" / folder).mkdir(parents=True)
        for file in sorted((source / folder).iterdir())[:12]:
            (data / "faces" / folder / file.name).symlink_to(file)
    labels = {"mask_cloth": "mask", "no_mask": "no_mask"}
    recipe = {
        "seed": 1, "start": "scratch", "validation": 0.3, "test": 0.2, "loop": {"samples": 1},
        "source": [{"path": "faces", "kind": "crops", "labels": labels}],
        "eigenfaces": {"size": 16, "components": [2, 4]},
    }  # fmt: skip
    places = Places(tmp_path, data, (), tmp_path / "crops")
    train_eigenfaces(recipe, places, tmp_path / "run")
    figures = json.loads((tmp_path / "run" / "figures.json").read_text())
    sides = list(csv.DictReader((tmp_path / "run" / "sides.csv").read_text().splitlines()))
    assert figures["validation_faces"] == sum(row["side"] == "validation" for row in sides) > 0
    assert len(json.loads((tmp_path / "run" / "manifest.json").read_text())) == len(sides) > 15
    kept = (tmp_path / "run" / "model.npz").read_bytes()
    train_eigenfaces(recipe, places, tmp_path / "run")
    assert (tmp_path / "run" / "model.npz").read_bytes() == kept
    with pytest.raises(DataError, match="a run with other settings"):
        train_eigenfaces(recipe | {"seed": 2}, places, tmp_path / "run")
