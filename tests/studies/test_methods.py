from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from maskgate.detection.cascade import PARTS, SIDES  # noqa: E402
from maskgate.errors import DataError, ModelNotFoundError  # noqa: E402
from maskgate.models import DEFAULT_CLASSIFIER, DEFAULT_DETECTOR, find_card  # noqa: E402
from maskgate.models.bundles import bundle_bytes  # noqa: E402
from maskgate.nets.cascade import STAGES  # noqa: E402
from maskgate.studies.comparison_recipe import ComparisonRecipe, MethodRecipe  # noqa: E402
from maskgate.studies.methods import Contender, check_sides, make_contender  # noqa: E402
from maskgate.studies.recognisers import LOWEST  # noqa: E402
from maskgate.training.cascade import export_stage  # noqa: E402
from maskgate.training.classifier_setup import Places  # noqa: E402


def make(folder: Path, method: MethodRecipe, *, weights: tuple[Path, ...] = ()) -> Contender:
    recipe = ComparisonRecipe((method,), method.name, "r", {"r": {}}, {"r": folder})
    places = Places(folder, folder, weights, folder / "crops")
    return make_contender(method, recipe, places, folder / "runs", folder / "models", threads=1, workers=0)


def test_models_by_name(tmp_path: Path) -> None:
    names = {"model": DEFAULT_DETECTOR}, {"model": DEFAULT_CLASSIFIER}
    contender = make(tmp_path, MethodRecipe("ours", "Ours", *names))
    cards = find_card(DEFAULT_DETECTOR, "detection"), find_card(DEFAULT_CLASSIFIER, "classification")
    assert contender.bytes == sum(card.bytes for card in cards)
    assert all(card.sha256 in contender.fingerprint for card in cards)
    assert contender.models == (DEFAULT_DETECTOR, DEFAULT_CLASSIFIER)
    assert not (tmp_path / "models").exists()
    with pytest.raises(ModelNotFoundError, match="no detection model 'gone'"):
        make(tmp_path, MethodRecipe("ours", "Ours", {"model": "gone"}, names[1]))


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A finished run of a cascade, with random weights and scores from 0.6 on."""
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    torch.manual_seed(0)
    files = [export_stage(net().eval(), side) for net, side in zip(STAGES, SIDES, strict=True)]
    (run / "model.zip").write_bytes(bundle_bytes(dict(zip(PARTS, files, strict=True))))
    settings = {"proposal": 0.5, "refinement": 0.5, "score": 0.6}
    contents: dict[str, Any] = {
        "settings.json": {"seed": 1, "start": "scratch", "source": [{"path": "p"}]},
        "figures.json": {"settings": settings},
        "manifest.json": {},
    }
    for name, content in contents.items():
        (run / name).write_text(json.dumps(content))
    (run / "sides.csv").write_text("picture,label,side\na.jpg,mask,training\nb.jpg,mask,test\n")
    return tmp_path


CASCADE = MethodRecipe("cascade-cnn", "C", {"train": "cascade", "recipe": "r", "run": "mine"})


def test_a_finished_run_is_not_trained_again(finished: Path, astronaut: np.ndarray) -> None:
    before = (finished / "runs" / "mine" / "model.zip").stat().st_mtime_ns
    contender = make(finished, CASCADE)
    assert (finished / "runs" / "mine" / "model.zip").stat().st_mtime_ns == before
    assert sorted(p.name for p in (finished / "models").iterdir()) == ["mine.json", "mine.zip"]
    recogniser = contender.recogniser
    assert recogniser.masked_only
    assert recogniser.threshold == 0.6  # its card's, though it reports more
    verdicts = recogniser.gate(astronaut[:200, 150:350])
    scores = verdicts.faces.scores
    assert ((scores >= LOWEST) & (verdicts.probabilities[:, 0] == scores)).all()
    assert verdicts.threshold == 0.6
    given = recogniser.given(astronaut, verdicts.faces)
    assert given.shape == (len(verdicts), 3)
    assert given.sum(1) == pytest.approx(np.ones(len(given)))


def test_other_settings_are_another_method(finished: Path) -> None:
    before = make(finished, CASCADE).fingerprint
    assert make(finished, CASCADE).fingerprint == before
    figures = finished / "runs" / "mine" / "figures.json"
    figures.write_text(json.dumps({"settings": {"proposal": 0.4, "refinement": 0.5, "score": 0.6}}))
    assert make(finished, CASCADE).fingerprint != before


def test_what_a_run_has_learnt_may_not_judge_it(finished: Path) -> None:
    contender = make(finished, CASCADE)
    check_sides(contender, ["b.jpg", "c.jpg"])
    with pytest.raises(DataError, match=r"learnt from pictures that judge it \(1, as a\.jpg\)"):
        check_sides(contender, ["a.jpg", "b.jpg"])
    (finished / "runs" / "mine" / "sides.csv").unlink()
    with pytest.raises(DataError, match=r"sides\.csv is missing"):
        check_sides(contender, ["b.jpg"])


def test_published_weights(tmp_path: Path, shared: Path, astronaut: np.ndarray) -> None:
    method = MethodRecipe("m", "M", {"weights": "mtcnn"}, {"model": DEFAULT_CLASSIFIER})
    with pytest.raises(DataError, match="no folder given with --weights has mtcnn"):
        make(tmp_path, method)
    contender = make(tmp_path, method, weights=(tmp_path, shared / "weights"))
    (verdict,) = contender.recogniser.gate(astronaut)
    assert str(verdict.label) == "no_mask"
    written = (tmp_path / "models" / "mtcnn.json").stat().st_mtime_ns
    assert make(tmp_path, method).fingerprint == contender.fingerprint  # it is there now
    assert (tmp_path / "models" / "mtcnn.json").stat().st_mtime_ns == written
