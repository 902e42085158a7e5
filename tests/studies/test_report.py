from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maskgate.studies.report import (
    best_of,
    best_of_each_start,
    comparison_table,
    runs_table,
    speed_table,
    table_1,
    write_docs_page,
    write_study,
)
from maskgate.studies.results import Predictions, StudyRun, summarise

Make = Callable[..., Predictions]
MakeRun = Callable[..., StudyRun]


def test_files(study_run: MakeRun, tmp_path: Path) -> None:
    runs = [study_run(s, skill=k, seed=i) for s, k in (("scratch", 2.0), ("imagenet", 3.0), ("arcface", 3.5))
            for i in range(2)]  # fmt: skip
    face = {"wearers taken for violators": [np.zeros((16, 16, 3), np.uint8)]}
    write_study(runs, tmp_path, about={"data": "made <up>"}, examples=face)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["report.html", "study.json"]
    content = json.loads((tmp_path / "study.json").read_text())
    assert [(r["start"], r["seed"]) for r in content["runs"]] == [(r.start, r.seed) for r in runs]
    html = (tmp_path / "report.html").read_text()
    assert "made &lt;up&gt;" in html
    assert "91.5621 %" in html  # the paper's own row
    assert "non-commercial" in html
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)""", html)
    assert all(a.startswith(("data:", "#")) for a in loaded)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert "<img" in html
    write_study(runs, tmp_path, about={}, examples=None)
    assert "<img" not in (tmp_path / "report.html").read_text()


def test_page_for_the_docs(study_run: MakeRun, tmp_path: Path) -> None:
    runs = [study_run("imagenet"), study_run("arcface", skill=4.0)]
    write_docs_page(
        runs, tmp_path / "docs" / "transfer.md", tmp_path / "docs" / "images", {"machine": "two cores"}
    )
    text = (tmp_path / "docs" / "transfer.md").read_text()
    links = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert len(links) > 5
    assert all((tmp_path / "docs" / link).read_text().startswith("<svg") for link in links)
    assert "| imagenet, resnet18 |" in text


def test_comparisons_are_tabled(study_run: MakeRun) -> None:
    runs = [
        study_run("scratch", skill=1.5),
        study_run("imagenet", skill=2.0),
        study_run("arcface", skill=4.0),
    ]
    _, rows = comparison_table(runs)
    assert [row[1:4] for row in rows] == [
        [test, "arcface", other] for other in ("imagenet", "scratch") for test in ("held out", "cross-source")
    ]
    assert {row[6] for row in rows} == {"better"}


def test_table_1_by_hand(study_run: MakeRun) -> None:
    truth = np.array([0, 0, 1, 1])
    right = np.array([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.1, 0.9, 0], [0.1, 0.9, 0]])
    missed = right.copy()
    missed[0] = [0.1, 0.9, 0]
    good, bad = (Predictions(truth, p, np.arange(4)) for p in (right, missed))
    runs = [study_run("imagenet", train=good, test=t, cross=None, seed=i) for i, t in enumerate((good, bad))]
    _, rows = table_1(runs, [summarise(run) for run in runs])
    assert rows[0] == ["imagenet, resnet18", "100.00 % (±0.00, 2 seeds)", "87.50 % (±17.68, 2 seeds)",
                       "75.00 % (±35.36, 2 seeds)", "–", "–"]  # fmt: skip
    assert rows[-1][1:4] == ["99.8542 %", "91.5621 %", "92.4562 %"]


def test_time_to_learn_by_hand(study_run: MakeRun) -> None:
    def rows(accuracies: list[float]) -> tuple[dict[str, float], ...]:
        return tuple(
            {"epoch": float(e), "seconds": 10.0, "train_loss": 1.0, "val_loss": 1.0, "val_accuracy": a}
            for e, a in enumerate(accuracies, 1)
        )

    runs = [study_run("arcface", epochs=rows([0.91, 0.96, 0.97])),
            study_run("arcface", epochs=rows([0.80, 0.91, 0.94, 0.95]), seed=1)]  # fmt: skip
    columns, (row,) = speed_table(runs)
    assert columns[1:5] == ["90 %", "95 %", "97 %", "98 %"]
    assert row == ["arcface, resnet18", "epoch 1.5, 15 s", "epoch 3, 30 s", "1 of 2", "0 of 2", "96.00 %",
                   "3 to 4"]  # fmt: skip


def test_both_tests_stand_side_by_side(study_run: MakeRun) -> None:
    run = study_run()
    summary = summarise(run)
    columns, (row,) = runs_table([summary])
    shown = dict(zip(columns, row, strict=True))
    for test, figures in (("held out", summary["test"]), ("cross-source", summary["cross_source"])):
        low, high = figures["roc_auc_interval"]
        assert shown[f"ROC AUC, {test}"] == f"{figures['roc_auc']:.4f} ({low:.4f} to {high:.4f})"
        assert shown[f"recall no mask, {test}"] == f"{figures['recall_no_mask']:.4f}"
    _, (row,) = runs_table([summarise(study_run(cross=None))])
    assert row[6] == "–"


def test_best_runs_are_chosen_on_validation_and_equal_networks(study_run: MakeRun) -> None:
    runs = [study_run("scratch", skill=1.0), study_run("imagenet", skill=2.0),
            study_run("imagenet", skill=3.0, seed=1), study_run("arcface", "resnet50", skill=9.0),
            study_run("face-metric", skill=8.0, strategy="frozen")]  # fmt: skip
    assert best_of_each_start(runs) == [runs[2], runs[0]]
    assert best_of_each_start(runs[4:]) == runs[4:]
    assert best_of(runs) is runs[3]


@pytest.mark.parametrize("labels", [[0], [1], [2], [0, 2], []])
def test_a_test_that_lacks_a_label_is_reported_too(
    study_run: MakeRun, predictions: Make, labels: list[int], tmp_path: Path
) -> None:
    whole = predictions(60, 2.0)
    kept = np.isin(whole.truth, labels)
    part = Predictions(whole.truth[kept], whole.probabilities[kept], whole.groups[kept])
    write_study([study_run("imagenet", cross=part), study_run("arcface", cross=part)], tmp_path, about={})
    run = json.loads((tmp_path / "study.json").read_text())["runs"][0]
    assert run["cross_source"]["roc_auc"] is None
    assert run["cross_source"]["faces"] == kept.sum()
    html = (tmp_path / "report.html").read_text()
    assert "ROC on held out faces" in html
    assert "ROC on cross-source faces" not in html
