from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maskgate.studies.report import comparisons, findings, write_docs_page, write_study
from maskgate.studies.results import Predictions, StudyRun

MakeRun = Callable[..., StudyRun]


@pytest.mark.parametrize(
    ("face", "imagenet", "verdict"), [(4.0, 1.5, "better"), (1.5, 4.0, "worse"), (2.5, 2.5, "no different")]
)
def test_verdict(study_run: MakeRun, face: float, imagenet: float, verdict: str) -> None:
    runs = [study_run("imagenet", skill=imagenet), study_run("arcface", skill=face)]
    found = comparisons(runs)
    assert [(c.test, c.face, c.other) for c in found] == [
        ("held out", "arcface", "imagenet"), ("cross-source", "arcface", "imagenet")
    ]  # fmt: skip
    for c in found:
        assert c.verdict == verdict
        assert c.low <= c.difference <= c.high
    lines = findings(runs)
    word = "no different from" if verdict == "no different" else f"{verdict} than"
    assert f"the start 'arcface' is {word} 'imagenet'" in lines[0]


def test_difference_by_hand(study_run: MakeRun) -> None:
    truth = np.array([0, 0, 1, 1, 2])
    good = np.array([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.1, 0.9, 0], [0.1, 0.9, 0], [0.5, 0.4, 0.1]])
    bad = good.copy()
    bad[1] = [0.2, 0.8, 0]  # one of the four that count
    one, two = (Predictions(truth, p, np.arange(5)) for p in (good, bad))
    runs = [study_run("scratch", test=two, cross=None), study_run("face-metric", test=one, cross=None)]
    (c,) = comparisons(runs)
    assert c.difference == 0.25


def test_other_networks_and_strategies_are_not_compared(study_run: MakeRun) -> None:
    runs = [study_run("imagenet", "resnet18"), study_run("arcface", "resnet34"),
            study_run("arcface", "resnet18", strategy="frozen")]  # fmt: skip
    assert comparisons(runs) == []


def test_epochs_to_an_accuracy_are_told(study_run: MakeRun) -> None:
    lines = findings([study_run("scratch", skill=4.0), study_run("imagenet", skill=0.5)])
    assert "scratch, resnet18: 95 % on validation after epoch 2, of 5 epochs." in lines
    assert "imagenet, resnet18: 0 of 1 runs reach 95 % on validation, of 5 epochs." in lines


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
