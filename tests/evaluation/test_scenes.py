"""Figures over scenes: a case worked out by hand, pycocotools, and the real pipeline."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskgate.errors import DataError, ImageReadError, InputError, ModelNotFoundError
from maskgate.evaluation.coco import Scene, read_scenes
from maskgate.evaluation.report import SceneReport, write_report
from maskgate.evaluation.scenes import evaluate_scenes, score_scenes
from maskgate.types import LABELS, Faces, Label, Milliseconds, Verdicts

MASK, NO_MASK, INCORRECT = range(3)
NO_TIME = Milliseconds()


def scene(name: str, *faces: tuple[float, float, float, int], crowd: tuple[int, ...] = ()) -> Scene:
    """Square faces: x, y, side, label."""
    boxes = np.array([(x, y, x + s, y + s) for x, y, s, _ in faces], np.float32).reshape(-1, 4)
    labels = np.array([face[3] for face in faces], np.int64)
    return Scene(Path(name), 400, 300, boxes, labels, np.isin(np.arange(len(faces)), crowd))


def verdicts(
    *faces: tuple[float, float, float, float, tuple[float, float, float]],
    uncertain: tuple[int, ...] = (),
    milliseconds: Milliseconds = NO_TIME,
) -> Verdicts:
    """Square faces: x, y, side, score, probabilities; called mask from P(mask) = 0.4."""
    n = len(faces)
    boxes = np.array([(x, y, x + s, y + s) for x, y, s, _, _ in faces], np.float32).reshape(-1, 4)
    found = Faces(boxes, np.array([f[3] for f in faces], np.float32), np.zeros((n, 5, 2), np.float32))
    probabilities = np.array([f[4] for f in faces], np.float32).reshape(-1, 3)
    return Verdicts(
        400, 300, found, probabilities, np.isin(np.arange(n), uncertain), 0.4, milliseconds=milliseconds
    )


SCENES = [
    scene(
        "a.jpg",
        (0, 0, 40, MASK),  # found, called mask
        (100, 0, 40, MASK),  # found, called no_mask
        (200, 0, 100, NO_MASK),  # found, called no_mask
        (0, 200, 30, INCORRECT),  # missed
        (100, 200, 12, NO_MASK),  # too small
    ),
    scene(
        "b.jpg",
        (0, 0, 64, NO_MASK),  # found, called mask
        (100, 0, 40, NO_MASK),  # missed
        (200, 0, 150, INCORRECT),  # found, called incorrect
        (0, 200, 20, INCORRECT),  # found, called mask
        (200, 200, 90, MASK),  # a crowd
    ),
    scene("c.jpg"),
]
SCENES[1] = replace(SCENES[1], ignore=np.array([False, False, False, False, True]))
VERDICTS = [
    verdicts(
        (0, 0, 40, 0.9, (0.8, 0.1, 0.1)),
        (100, 0, 40, 0.8, (0.3, 0.5, 0.2)),
        (200, 0, 100, 0.7, (0.35, 0.6, 0.05)),
        (100, 200, 12, 0.6, (0.1, 0.8, 0.1)),  # the small face
        (300, 200, 15, 0.55, (0.1, 0.8, 0.1)),  # small and nowhere
        uncertain=(1,),
        milliseconds=Milliseconds(1, 2, 3, 4),
    ),
    verdicts(
        (0, 0, 64, 0.9, (0.45, 0.35, 0.2)),
        (200, 0, 150, 0.8, (0.2, 0.3, 0.5)),
        (0, 200, 20, 0.7, (0.6, 0.2, 0.2)),
        (210, 210, 30, 0.6, (0.9, 0.05, 0.05)),  # in the crowd
        milliseconds=Milliseconds(3, 2, 1, 0),
    ),
    verdicts(
        (50, 50, 50, 0.95, (0.9, 0.05, 0.05)),  # nobody there
        milliseconds=Milliseconds(2, 20, 2, 2),
    ),
]


@pytest.fixture(scope="module")
def report() -> SceneReport:
    return score_scenes(SCENES, VERDICTS)


def test_figures_by_hand(report: SceneReport) -> None:
    assert report.pictures == 3
    assert report.faces == 8
    assert report.face_recall == pytest.approx(6 / 8)
    assert report.false_faces_per_image == pytest.approx(1 / 3)
    # found of the two classes: mask .8 and .3, no_mask .35 and .45, from .4 called mask
    assert report.accuracy == pytest.approx(2 / 4)
    assert report.recall_mask == pytest.approx(1 / 2)
    assert report.recall_no_mask == pytest.approx(1 / 2)
    assert report.precision_mask == pytest.approx(1 / 2)
    assert report.roc_auc == pytest.approx(2 / 4)
    assert report.incorrect_flagged == pytest.approx(1 / 2)
    assert report.violators_found == pytest.approx(2 / 6)
    assert report.wearers_accused == pytest.approx(1 / 2)
    assert report.uncertain == pytest.approx(1 / 6)
    assert report.accuracy_certain == pytest.approx(2 / 3)
    assert report.threshold == 0.4


def test_tables_by_hand(report: SceneReport) -> None:
    assert report.confusion == {
        "mask": {"mask": 1, "no_mask": 1, "incorrect": 0},
        "no_mask": {"mask": 1, "no_mask": 1, "incorrect": 0},
        "incorrect": {"mask": 1, "no_mask": 0, "incorrect": 1},
    }
    assert report.missed == {"mask": 0, "no_mask": 1, "incorrect": 1}
    assert report.recall_by_class == pytest.approx({"mask": 1, "no_mask": 2 / 3, "incorrect": 2 / 3})
    assert report.faces_by_size == {"20-32": 2, "32-64": 3, "64-128": 2, "128+": 1}
    assert report.recall_by_size == pytest.approx({"20-32": 1 / 2, "32-64": 2 / 3, "64-128": 1, "128+": 1})
    assert report.milliseconds == {"decode": 2, "detect": 2, "align": 2, "classify": 2, "total": 10}


def test_calibration_by_hand(report: SceneReport) -> None:
    # found faces, P(mask) and "is mask": the Brier score needs no bins
    p = np.array([0.8, 0.3, 0.35, 0.45, 0.2, 0.6])
    wears = np.array([1, 1, 0, 0, 0, 0])
    assert report.brier_mask == pytest.approx(((p - wears) ** 2).mean(), abs=1e-6)
    # fifteen bins: .35 alone, .3, .45 …: no two probabilities share one
    assert report.ece_mask == pytest.approx(np.abs(p - wears).mean(), abs=1e-6)
    # the likeliest label: .8 right; .5 and .6 and .45 and .5 and .6, of which .6 (no_mask), .5
    # (incorrect) are right; the equal ones share a bin
    bins = [[(0.8, 1)], [(0.5, 0), (0.5, 1)], [(0.6, 1), (0.6, 0)], [(0.45, 0)]]
    gaps = [abs(sum(p for p, _ in b) - sum(r for _, r in b)) for b in bins]
    assert report.ece == pytest.approx(sum(gaps) / 6, abs=1e-6)


def test_intervals_hold_the_figure(report: SceneReport) -> None:
    assert set(report.intervals) == {"face_recall", "accuracy", "roc_auc"}
    for name, (low, high) in report.intervals.items():
        assert 0 <= low <= getattr(report, name) <= high <= 1


def test_order_of_pictures_does_not_matter(report: SceneReport) -> None:
    again = score_scenes(SCENES[::-1], VERDICTS[::-1])
    assert replace(again, intervals={}) == replace(report, intervals={})


def test_the_report_is_json_with_the_names_of_the_contract(report: SceneReport, tmp_path: Path) -> None:
    write_report(report, tmp_path / "new" / "report.json")
    content = json.loads((tmp_path / "new" / "report.json").read_text("utf-8"))
    names = (
        "faces face_recall false_faces_per_image accuracy recall_mask recall_no_mask precision_mask"
        " roc_auc incorrect_flagged violators_found wearers_accused ap50"
    )
    assert set(names.split()) <= set(content)
    assert list(content["ap50"]) == ["mask", "no_mask", "incorrect"]
    assert content["face_recall"] == 0.75
    assert content["intervals"]["accuracy"] == list(report.intervals["accuracy"])
    assert list(content)[:3] == ["pictures", "faces", "face_recall"]


def test_what_has_no_value_is_null(tmp_path: Path) -> None:
    write_report(score_scenes([SCENES[2]], [verdicts()]), tmp_path / "report.json")
    text = (tmp_path / "report.json").read_text("utf-8")
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert content["accuracy"] is None
    assert content["ap50"] == {"mask": None, "no_mask": None, "incorrect": None}
    assert content["intervals"]["roc_auc"] == [None, None]
    assert content["false_faces_per_image"] == 0


def test_writing_replaces_the_whole_file_or_nothing(report: SceneReport, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("x" * 100_000)
    write_report(report, path)
    json.loads(path.read_text("utf-8"))
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"folder cannot be written .*choose another file"):
        write_report(report, tmp_path / "folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "report.json"]
    with pytest.raises(InputError, match="cannot be written"):
        write_report(report, path / "below-a-file.json")


@dataclass(frozen=True)
class Card:
    name: str
    sha256: str


def test_evaluate_asks_for_each_picture_once_in_order() -> None:
    asked: list[Path] = []
    steps: list[tuple[int, int]] = []

    def gate(image: Path, /) -> Verdicts:
        asked.append(image)
        return VERDICTS[len(asked) - 1]

    report = evaluate_scenes(
        gate,
        SCENES,
        detector=Card("retina", "ab"),
        classifier=Card("light", "cd"),
        progress=lambda done, total: steps.append((done, total)),
    )
    assert asked == [s.path for s in SCENES]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert report.detector == {"name": "retina", "sha256": "ab"}
    assert report.classifier == {"name": "light", "sha256": "cd"}
    without = replace(report, detector=None, classifier=None)
    assert without == score_scenes(SCENES, VERDICTS)


def test_a_picture_that_cannot_be_read_is_not_left_out() -> None:
    def gate(image: Path, /) -> Verdicts:
        raise ImageReadError(f"{image} is truncated")

    with pytest.raises(ImageReadError, match=r"a\.jpg is truncated"):
        evaluate_scenes(gate, SCENES)


def test_wrong_input() -> None:
    with pytest.raises(InputError, match="3 scenes and 2 verdicts"):
        score_scenes(SCENES, VERDICTS[:2])
    with pytest.raises(InputError, match="at least one"):
        score_scenes([], [])
    turned = replace(SCENES[0], width=300, height=400)
    with pytest.raises(DataError, match=r"a\.jpg is 400×300 pixels upright, but annotated as 300×400"):
        score_scenes([turned], VERDICTS[:1])


def _random(seed: int) -> tuple[list[Scene], list[Verdicts]]:
    r = np.random.default_rng(seed)
    scenes, answers = [], []
    for i in range(12):
        n = r.integers(0, 8)
        faces = [(*r.uniform(0, 250, 2), r.uniform(12, 60), int(r.integers(3))) for _ in range(n)]
        scenes.append(scene(f"{i}.jpg", *faces, crowd=(0,) if n and r.random() < 0.2 else ()))
        found = [(x + r.normal(0, 4), y + r.normal(0, 4), s * r.uniform(0.8, 1.2)) for x, y, s, _ in faces]
        found += [(*r.uniform(0, 250, 2), r.uniform(10, 60)) for _ in range(r.integers(0, 3))]
        answers.append(
            verdicts(*[(*face, float(r.random()), tuple(r.dirichlet((1, 1, 1)))) for face in found])
        )
    return scenes, answers


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_equals_pycocotools(seed: int) -> None:
    scenes, answers = _random(seed)
    report = score_scenes(scenes, answers)
    expected = [_coco_ap50(scenes, answers, label) for label in (0, 1, 2, None)]
    assert [*report.ap50.values(), report.ap50_face] == pytest.approx(expected, abs=1e-5)
    assert max(expected) > 0.1


def _coco_ap50(scenes: list[Scene], answers: list[Verdicts], label: int | None) -> float:
    truth: list[dict[str, object]] = []
    found: list[dict[str, object]] = []
    for i, (picture, answer) in enumerate(zip(scenes, answers, strict=True), 1):
        for box, kind, crowd in zip(picture.boxes, picture.labels, picture.ignore, strict=True):
            if label is None or kind == label:
                truth.append(_row(i, len(truth) + 1, box) | {"iscrowd": int(crowd)})
        scores = answer.faces.scores
        if label is not None:
            scores = scores * answer.probabilities[:, label]
        for box, score in zip(answer.faces.boxes, scores, strict=True):
            found.append(_row(i, len(found) + 1, box) | {"score": float(score)})
    sides = []
    for rows in (truth, found):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(1, len(scenes) + 1)],
            "categories": [{"id": 1}],
            "annotations": rows,
        }
        coco.createIndex()
        sides.append(coco)
    run = COCOeval(*sides, "bbox")
    run.params.iouThrs = np.array([0.5])
    run.params.areaRng, run.params.areaRngLbl = [[20, 1e9]], ["all"]
    run.evaluate()
    run.accumulate()
    return float(run.eval["precision"][0, :, 0, 0, -1].mean())


def _row(image: int, identifier: int, box: np.ndarray) -> dict[str, object]:
    x1, y1, x2, y2 = (float(v) for v in box)
    side = min(x2 - x1, y2 - y1)  # stands in the area's place, for the limit of 20 px
    shape = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": side, "iscrowd": 0}
    return {"id": identifier, "image_id": image, "category_id": 1, **shape}


def test_the_real_pipeline_on_real_pictures(shared: Path) -> None:
    pipeline = pytest.importorskip("maskgate.pipeline")
    try:
        gate = pipeline.MaskGate()
    except ModelNotFoundError:
        pytest.skip("needs the weights that ship with the package")
    scenes = read_scenes(shared / "data" / "scenes" / "fmd")
    large = [s for s in scenes if len(s) and (s.boxes[:, 2] - s.boxes[:, 0]).min() > 60][:5]
    report = evaluate_scenes(gate, large)
    assert report.pictures == 5
    # the two nets were trained on these: anything much lower is a fault in the plumbing
    assert report.face_recall > 0.7
    assert report.accuracy > 0.7
    assert report.milliseconds["detect"] > 0
    assert sum(sum(row.values()) for row in report.confusion.values()) == round(
        report.face_recall * report.faces
    )


def test_the_worst_label_order_would_show() -> None:
    # the confusion's names follow LABELS, not the alphabet
    assert [str(label) for label in LABELS] == ["mask", "no_mask", "incorrect"]
    one = score_scenes([scene("a", (0, 0, 40, INCORRECT))], [verdicts((0, 0, 40, 0.9, (0.1, 0.8, 0.1)))])
    assert one.confusion[Label.INCORRECT][Label.NO_MASK] == 1
