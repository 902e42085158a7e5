"""The report of a transfer study: one HTML file, one JSON file, and tables for the docs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskgate.evaluation.metrics import bootstrap_interval
from maskgate.files import write_atomic
from maskgate.studies import page, plots
from maskgate.studies.results import Predictions, StudyRun, summarise
from maskgate.types import Image

PAPER_TABLE_1 = ("RetinaFace + ResNet (TL), as the paper prints it", "99.8542 %", "91.5621 %", "92.4562 %")
"""Table I of the paper: accuracy on the learning and the test sample, completeness."""


def write_study(
    runs: Sequence[StudyRun],
    output: Path,
    *,
    about: Mapping[str, str],
    examples: Mapping[str, Sequence[Image]] | None = None,
) -> None:
    """Writes ``study.json`` and ``report.html`` into ``output``, each whole or not at all.

    Args:
        runs: finished ones, at least one.
        about: what the report says of data, machine and version.
        examples: faces that the best run is wrong about, by name; none are shown without them.
    """
    summaries = [summarise(run) for run in runs]
    content = {"about": dict(about), "runs": summaries, "comparisons": [vars(c) for c in comparisons(runs)]}
    write_atomic(
        output / "study.json", f"{json.dumps(_plain(content), indent=1, allow_nan=False)}\n".encode()
    )
    write_atomic(output / "report.html", report(runs, summaries, about, examples).encode())


def name_of(run: StudyRun) -> str:
    """What a run is called in tables; runs that differ by their seed only share it."""
    strategy = "" if run.strategy == "finetune" else f", {run.strategy}"
    return f"{run.start}, {run.architecture}{strategy}"


def grouped(runs: Sequence[StudyRun]) -> dict[str, list[StudyRun]]:
    """Runs by :func:`name_of`, in their order."""
    groups: dict[str, list[StudyRun]] = {}
    for run in runs:
        groups.setdefault(name_of(run), []).append(run)
    return groups


@dataclass(frozen=True)
class Comparison:
    """Two starts of the same network, fine-tuned.

    Attributes:
        architecture: the network.
        face, other: names of the starts.
        test: which test.
        difference: accuracy of ``face`` less that of ``other``, seeds averaged.
        low, high: 95 % bootstrap interval of it, whole pictures drawn.
    """

    architecture: str
    face: str
    other: str
    test: str
    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, or ``no different`` where the interval holds 0."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no different"


def comparisons(runs: Sequence[StudyRun]) -> list[Comparison]:
    """Each face start against ImageNet and against nothing, on equal networks and equal faces."""
    tuned = [run for run in runs if run.strategy == "finetune"]
    out = []
    for architecture in dict.fromkeys(run.architecture for run in tuned):
        own = [run for run in tuned if run.architecture == architecture]
        starts = list(dict.fromkeys(run.start for run in own))
        others = [s for s in ("imagenet", "scratch") if s in starts]
        for face in (s for s in starts if s not in ("imagenet", "scratch")):
            for other in others:
                one = [run for run in own if run.start == face]
                two = [run for run in own if run.start == other]
                out.append(_compare(architecture, face, other, "held out", one, two))
                if all(run.cross is not None for run in one + two):
                    out.append(_compare(architecture, face, other, "cross-source", one, two))
    return out


def _compare(
    architecture: str, face: str, other: str, test: str, one: Sequence[StudyRun], two: Sequence[StudyRun]
) -> Comparison:
    def right(runs: Sequence[StudyRun]) -> tuple[Any, Any]:
        parts = []
        for run in runs:
            p = _test(run, test).pair()
            parts.append((p.truth == 0) == (p.probabilities[:, 0] >= run.threshold))
        return np.mean(parts, axis=0), _test(runs[0], test).pair().groups

    mine, groups = right(one)
    theirs, _ = right(two)
    apart = mine - theirs
    low, high = bootstrap_interval(lambda i: float(apart[i].mean()), groups)
    return Comparison(architecture, face, other, test, float(apart.mean()), low, high)


def _test(run: StudyRun, test: str) -> Predictions:
    chosen = run.test if test == "held out" else run.cross
    assert chosen is not None
    return chosen


def findings(runs: Sequence[StudyRun]) -> list[str]:
    """What came out, in sentences that follow from the numbers."""
    lines = []
    for c in comparisons(runs):
        lines.append(
            f"{c.architecture}, {c.test} faces: the start '{c.face}' is {c.verdict} than '{c.other}'".replace(
                "no different than", "no different from"
            )
            + f": {100 * c.difference:+.2f} points of accuracy ({100 * c.low:+.2f} to {100 * c.high:+.2f})."
        )
    for name, group in grouped(runs).items():
        first = [_epoch_of(run, 0.95) for run in group]
        known = [e for e in first if e is not None]
        if len(known) < len(group):
            reached = f"{len(known)} of {len(group)} runs reach 95 % on validation"
        elif len(set(known)) == 1:
            reached = f"95 % on validation after epoch {known[0]}"
        else:
            reached = f"95 % on validation after epochs {min(known)} to {max(known)}"
        lines.append(f"{name}: {reached}, of {len(group[0].epochs)} epochs.")
    return lines


def _epoch_of(run: StudyRun, accuracy: float) -> int | None:
    return next((int(row["epoch"]) for row in run.epochs if row["val_accuracy"] >= accuracy), None)


def report(
    runs: Sequence[StudyRun],
    summaries: Sequence[Mapping[str, Any]],
    about: Mapping[str, str],
    examples: Mapping[str, Sequence[Image]] | None,
) -> str:
    """The HTML of :func:`write_study`."""
    body = [page.heading("What came out")]
    body += [page.paragraph(line) for line in findings(runs)]
    body += [page.heading("Table I"), page.paragraph("In the paper's form; completeness is recall of masks.")]
    body.append(page.table(*table_1(runs, summaries)))
    body += [page.heading("Which start is what"), page.table(*starts_table(runs), text=(0, 1, 2))]
    if any(run.non_commercial for run in runs):
        body.append(page.paragraph(
            "Starts marked non-commercial are studied here and are part of nothing that ships.", "note"
        ))  # fmt: skip
    body.append(page.heading("Curves (Fig. 6)"))
    body += [page.figure(svg, caption) for caption, svg in curve_plots(runs)]
    body.append(page.heading("Tests"))
    body += [page.figure(svg, caption) for caption, svg in judging_plots(runs, summaries)]
    body += [page.heading("All runs"), page.table(*runs_table(summaries), text=(0, 1, 2))]
    if examples and any(len(row) for row in examples.values()):
        body += [page.heading("Errors of the best run"), page.faces(examples)]
    body += [page.heading("About"), page.table(["", ""], list(about.items()), text=(0, 1))]
    return page.page("Transfer learning for mask recognition", body)


def table_1(
    runs: Sequence[StudyRun], summaries: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[list[str]]]:
    """Table I: a row a start, seeds averaged, and the paper's own row."""
    columns = ["method", "accuracy, learning sample", "accuracy, test sample", "completeness, test sample",
               "accuracy, cross-source", "completeness, cross-source"]  # fmt: skip
    rows = []
    for name, places in _places(runs).items():
        own = [summaries[i] for i in places]
        values = [[s["accuracy_train"] for s in own], [s["accuracy_test"] for s in own],
                  [s["recall_test"] for s in own]]  # fmt: skip
        if all(s["cross_source"] for s in own):
            values += [
                [s["cross_source"]["accuracy"] for s in own],
                [s["cross_source"]["recall"] for s in own],
            ]
        rows.append([name, *(_spread(v) for v in values)] + ["–"] * (5 - len(values)))
    return columns, [*rows, [*PAPER_TABLE_1, "–", "–"]]


def _places(runs: Sequence[StudyRun]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for i, run in enumerate(runs):
        places.setdefault(name_of(run), []).append(i)
    return places


def _spread(values: Sequence[float]) -> str:
    mean = f"{100 * float(np.mean(values)):.2f} %"
    return (
        mean
        if len(values) == 1
        else f"{mean} (±{100 * float(np.std(values, ddof=1)):.2f}, {len(values)} seeds)"
    )


def starts_table(runs: Sequence[StudyRun]) -> tuple[list[str], list[list[str]]]:
    """Each start's description and terms."""
    seen = {run.start: (run.start_description, run.non_commercial) for run in runs}
    rows = [[name, text, "non-commercial: for the study only" if closed else ""]
            for name, (text, closed) in seen.items()]  # fmt: skip
    return ["start", "what it is", "terms"], rows


def runs_table(summaries: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Every run with its figures on both tests."""
    columns = ["start", "network", "strategy", "seed", "seconds", "accuracy", "ROC AUC", "ECE",
               "cross accuracy", "cross recall", "cross recall no mask", "cross ROC AUC",
               "cross incorrect flagged", "cross ECE"]  # fmt: skip
    figures = ("accuracy", "recall", "recall_no_mask", "roc_auc", "incorrect_flagged", "ece")
    rows = []
    for s in summaries:
        cross = s["cross_source"]
        parts = [cross[k] if cross else None for k in figures]
        rows.append(
            [
                s["start"],
                s["architecture"],
                s["strategy"],
                s["seed"],
                f"{s['seconds']:.0f}",
                *map(_number, (s["accuracy_test"], s["roc_auc"], s["test"]["ece"], *parts)),
            ]
        )
    return columns, rows


def _number(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.4f}"


def curve_plots(runs: Sequence[StudyRun]) -> list[tuple[str, str]]:
    """Captions and plots of the curves: the four panels for each network that has both kinds of
    start, and all starts in one."""
    out = []
    tuned = [run for run in runs if run.strategy == "finetune"]
    for architecture in dict.fromkeys(run.architecture for run in tuned):
        own: dict[str, list[Any]] = {}
        for run in tuned:
            if run.architecture == architecture:
                own.setdefault(run.start, []).append(run.epochs)
        face = next((s for s in own if s not in ("imagenet", "scratch")), None)
        other = next((s for s in ("imagenet", "scratch") if s in own), None)
        if face and other:
            svg = plots.four_panels((other, own[other]), (face, own[face]))
            out.append((f"Fig. 6 for {architecture}: validation error and accuracy by epoch", svg))
    every = {name: [run.epochs for run in group] for name, group in grouped(runs).items()}
    out.append(("All starts: thin lines are seeds, thick ones their mean", plots.learning_curves(every)))
    return out


def best_of_each_start(runs: Sequence[StudyRun]) -> dict[str, StudyRun]:
    """The run of each start that ends with the lowest validation error."""
    best: dict[str, StudyRun] = {}
    for run in runs:
        if run.start not in best or run.epochs[-1]["val_loss"] < best[run.start].epochs[-1]["val_loss"]:
            best[run.start] = run
    return dict(sorted(best.items(), key=lambda item: item[1].epochs[-1]["val_loss"]))


def judging_plots(runs: Sequence[StudyRun], summaries: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Captions and plots of both tests, of the best run of each start."""
    best = best_of_each_start(runs)
    first = next(iter(best.values()))
    tests = {"held out": first.test} | ({"cross-source": first.cross} if first.cross is not None else {})
    out = []
    for test in tests:
        curves = {f"{start}, {run.architecture}": _test(run, test) for start, run in best.items()
                  if test == "held out" or run.cross is not None}  # fmt: skip
        out.append((f"Fig. 7: ROC on {test} faces", plots.roc_curves(curves, f"{test} faces")))
        out.append(
            (f"Precision and recall on {test} faces", plots.precision_recall_curves(curves, f"{test} faces"))
        )
    summary = summaries[list(runs).index(first)]
    matrices = {"held out": np.array(summary["test"]["confusion"])}
    if summary["cross_source"]:
        matrices["cross-source"] = np.array(summary["cross_source"]["confusion"])
    out.append((f"Confusion of {name_of(first)}", plots.confusion_matrices(matrices)))
    out.append((f"Reliability of {name_of(first)}", plots.reliability_diagrams(tests)))
    values: dict[str, dict[str, list[float]]] = {"accuracy, held out": {}, "accuracy, cross-source": {}}
    for run, s in zip(runs, summaries, strict=True):
        values["accuracy, held out"].setdefault(name_of(run), []).append(s["accuracy_test"])
        if s["cross_source"]:
            values["accuracy, cross-source"].setdefault(name_of(run), []).append(
                s["cross_source"]["accuracy"]
            )
    out.append(("Final accuracy, a dot a run", plots.final_figures({k: v for k, v in values.items() if v})))
    return out


def write_docs_page(runs: Sequence[StudyRun], file: Path, images: Path, about: Mapping[str, str]) -> None:
    """Tables and findings as Markdown in ``file``, plots as SVG files in ``images``; no photographs."""
    summaries = [summarise(run) for run in runs]
    parts = ["# Transfer learning: what the starts bring\n",
             "Written by `maskgate study transfer`; every number comes from it.\n",
             "## What came out\n", "\n".join(f"- {line}" for line in findings(runs)) + "\n",
             "## Table I\n", page.markdown_table(*table_1(runs, summaries)),
             "## Which start is what\n", page.markdown_table(*starts_table(runs)), "## Plots\n"]  # fmt: skip
    images.mkdir(parents=True, exist_ok=True)
    for number, (caption, svg) in enumerate([*curve_plots(runs), *judging_plots(runs, summaries)], 1):
        name = f"transfer-{number}.svg"
        write_atomic(images / name, svg.encode())
        parts.append(f"![{caption}]({os.path.relpath(images / name, file.parent)})\n\n{caption}.\n")
    parts += ["## All runs\n", page.markdown_table(*runs_table(summaries)), "## About\n",
              page.markdown_table(["", ""], list(about.items()))]  # fmt: skip
    write_atomic(file, "\n".join(parts).encode())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
