"""The report of a transfer study: one HTML file, one JSON file, and tables for the docs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskgate.files import plain, write_atomic
from maskgate.studies import page, plots
from maskgate.studies.findings import NOT_FACES, PAPER_EPOCHS, TESTS, best_within, comparisons, findings
from maskgate.studies.results import REACHED, StudyRun, best_of, grouped, name_of, reached, summarise
from maskgate.types import Image

PAPER_TABLE_1 = ("RetinaFace + ResNet (TL), as the paper prints it", "99.8542 %", "91.5621 %", "92.4562 %")
"""Table I of the paper: accuracy on the learning and the test sample, completeness."""

COMPARISON_NOTE = (
    "Points of accuracy that a face start has more than another on the same network and the same faces, "
    "with the 95 % bootstrap interval: pictures are drawn, and runs where a start has several."
)

SPEED_NOTE = (
    "First epoch with each accuracy on validation faces, and seconds of training up to its end, the runs "
    "of a row averaged; where only some of them come so far, how many."
)

RUNS_NOTE = (
    "Each figure for held-out faces of the training sources, then for faces of another origin; in "
    "brackets the 95 % bootstrap interval, pictures drawn. Accuracy, recalls and ROC AUC are of mask "
    "against no mask; Q of three is the share of all faces whose likeliest label is right."
)


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
    content = {"about": dict(about), "findings": findings(runs), "runs": summaries,
               "comparisons": [vars(c) for c in comparisons(runs)]}  # fmt: skip
    write_atomic(output / "study.json", f"{json.dumps(plain(content), indent=1, allow_nan=False)}\n".encode())
    write_atomic(output / "report.html", report(runs, summaries, about, examples).encode())


def report(
    runs: Sequence[StudyRun],
    summaries: Sequence[Mapping[str, Any]],
    about: Mapping[str, str],
    examples: Mapping[str, Sequence[Image]] | None,
) -> str:
    """The HTML of :func:`write_study`."""
    body = [page.heading("What came out")]
    body += [page.paragraph(line) for line in findings(runs)]
    body += [page.heading("Starts against each other"), page.paragraph(COMPARISON_NOTE)]
    body.append(page.table(*comparison_table(runs), text=(0, 1, 2, 3, 6)))
    body += [page.heading("Table I"), page.paragraph("In the paper's form; completeness is recall of masks.")]
    body.append(page.table(*table_1(runs, summaries)))
    body += [page.heading("Which start is what"), page.table(*starts_table(runs), text=(0, 1, 2))]
    if any(run.non_commercial for run in runs):
        body.append(page.paragraph(
            "Starts marked non-commercial are studied here and are part of nothing that ships.", "note"
        ))  # fmt: skip
    body += [page.heading("Time to learn"), page.paragraph(SPEED_NOTE), page.table(*speed_table(runs))]
    body.append(page.heading("Curves (Fig. 6)"))
    body += [page.figure(svg, caption) for caption, svg in curve_plots(runs)]
    body.append(page.heading("Tests"))
    body += [page.figure(svg, caption) for caption, svg in judging_plots(runs, summaries)]
    body += [page.heading("All runs"), page.paragraph(RUNS_NOTE)]
    body.append(page.table(*runs_table(summaries), text=(0, 1, 2)))
    if examples and any(len(row) for row in examples.values()):
        body += [page.heading("Errors of the best run"), page.faces(examples)]
    body += [page.heading("About"), page.table(["", ""], list(about.items()), text=(0, 1))]
    return page.page("Transfer learning for mask recognition", body)


def comparison_table(runs: Sequence[StudyRun]) -> tuple[list[str], list[list[str]]]:
    """All comparisons of a face start with another."""
    columns = ["network", "test", "face start", "against", "points", "interval", "verdict", "runs"]
    rows = [
        [
            c.architecture,
            c.test,
            c.face,
            c.other,
            f"{100 * c.difference:+.2f}",
            f"{100 * c.low:+.2f} to {100 * c.high:+.2f}",
            c.verdict,
            str(c.runs),
        ]
        for c in comparisons(runs)
    ]
    return columns, rows


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
    mean = _percent(float(np.mean(values)))
    if len(values) == 1 or not np.isfinite(values).all():
        return mean
    return f"{mean} (±{100 * float(np.std(values, ddof=1)):.2f}, {len(values)} seeds)"


def starts_table(runs: Sequence[StudyRun]) -> tuple[list[str], list[list[str]]]:
    """Each start's description and terms."""
    seen = {run.start: (run.start_description, run.non_commercial) for run in runs}
    rows = [[name, text, "non-commercial: for the study only" if closed else ""]
            for name, (text, closed) in seen.items()]  # fmt: skip
    return ["start", "what it is", "terms"], rows


def speed_table(runs: Sequence[StudyRun]) -> tuple[list[str], list[list[str]]]:
    """Epochs and seconds to each accuracy of REACHED, and what the first epochs give."""
    columns = ["training", *(f"{100 * wanted:.0f} %" for wanted in REACHED),
               f"best of {PAPER_EPOCHS} epochs", "epochs"]  # fmt: skip
    rows = []
    for name, group in grouped(runs).items():
        row = [name]
        for wanted in REACHED:
            hits = [hit for run in group if (hit := reached(run.epochs)[f"{wanted:.2f}"])]
            if len(hits) < len(group):
                row.append(f"{len(hits)} of {len(group)}")
            else:
                epoch, seconds = (float(np.mean([hit[k] for hit in hits])) for k in ("epoch", "seconds"))
                row.append(f"epoch {epoch:.3g}, {seconds:.0f} s")
        lengths = sorted({len(run.epochs) for run in group})
        row += [_percent(best_within(group)), " to ".join(str(n) for n in dict.fromkeys(
            (lengths[0], lengths[-1])))]  # fmt: skip
        rows.append(row)
    return columns, rows


FIGURES = {
    "accuracy": "accuracy",
    "recall": "recall mask",
    "recall_no_mask": "recall no mask",
    "incorrect_flagged": "incorrect flagged",
    "roc_auc": "ROC AUC",
    "accuracy_three": "Q of three",
    "ece": "ECE",
}
"""Figures of :func:`runs_table` and their headings."""


def runs_table(summaries: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Every run with its figures on both tests side by side."""
    columns = ["start", "network", "strategy", "seed", "seconds"]
    columns += [f"{words}, {test}" for words in FIGURES.values() for test in TESTS]
    rows = []
    for s in summaries:
        row = [s["start"], s["architecture"], s["strategy"], str(s["seed"]), f"{s['seconds']:.0f}"]
        for key in FIGURES:
            for figures in (s["test"], s["cross_source"]):
                row.append(_figure(figures, key))
        rows.append(row)
    return columns, rows


def _figure(figures: Mapping[str, Any] | None, key: str) -> str:
    """A figure with its interval where it has one."""
    value = figures[key] if figures else None
    if figures is None or value is None or not math.isfinite(value):
        return "–"
    interval = figures.get(f"{key}_interval")
    return f"{value:.4f}" + (f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval else "")


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %" if math.isfinite(value) else "–"


def starts_of(runs: Sequence[StudyRun]) -> list[str]:
    """Names of the starts, in their order: what keeps their colours the same in all plots."""
    return list(dict.fromkeys(run.start for run in runs))


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
        face = next((s for s in own if s not in NOT_FACES), None)
        other = next((s for s in NOT_FACES if s in own), None)
        if face and other:
            svg = plots.four_panels((other, own[other]), (face, own[face]), starts=starts_of(runs))
            out.append((f"Fig. 6 for {architecture}: validation error and accuracy by epoch", svg))
    every = {name: [run.epochs for run in group] for name, group in grouped(runs).items()}
    out.append(
        (
            "All starts: thin lines are seeds, thick ones their mean",
            plots.learning_curves(every, starts=starts_of(runs)),
        )
    )
    return out


def best_of_each_start(runs: Sequence[StudyRun]) -> list[StudyRun]:
    """Each start's best run, on the one network that most starts were fine-tuned on, best first."""
    tuned = [run for run in runs if run.strategy == "finetune"] or list(runs)
    starts: dict[str, dict[str, list[StudyRun]]] = {}
    for run in tuned:
        starts.setdefault(run.architecture, {}).setdefault(run.start, []).append(run)
    most = max(starts.values(), key=len)
    return sorted(map(best_of, most.values()), key=lambda run: run.epochs[-1]["val_loss"])


def judging_plots(runs: Sequence[StudyRun], summaries: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Captions and plots of both tests: curves of the best run of each start on equal networks, the
    rest of the best run of all.

    A test without faces is left out, and one without both masks and bare faces has no ROC.
    """
    best, starts = best_of_each_start(runs), starts_of(runs)
    out = []
    for test in TESTS:
        pairs = {name_of(run): run.test if test == TESTS[0] else run.cross
                 for run in best}  # fmt: skip
        curves = {name: p for name, p in pairs.items() if p is not None and p.of_both_kinds}
        if curves:
            title = f"{test} faces"
            out.append((f"Fig. 7: ROC on {title}", plots.roc_curves(curves, title, starts=starts)))
            svg = plots.precision_recall_curves(curves, title, starts=starts)
            out.append((f"Precision and recall on {title}", svg))
    first = best_of(runs)
    summary = summaries[list(runs).index(first)]
    judged = zip(TESTS, (first.test, first.cross), (summary["test"], summary["cross_source"]), strict=True)
    tests = {name: (p, figures) for name, p, figures in judged if p is not None and len(p)}
    if tests:
        matrices = {name: np.array(figures["confusion"]) for name, (_, figures) in tests.items()}
        out.append((f"Confusion of {name_of(first)}", plots.confusion_matrices(matrices)))
        svg = plots.reliability_diagrams({name: p for name, (p, _) in tests.items()})
        out.append((f"Reliability of {name_of(first)}", svg))
    values: dict[str, dict[str, list[float]]] = {f"accuracy, {test}": {} for test in TESTS}
    for run, s in zip(runs, summaries, strict=True):
        for groups, figures in zip(values.values(), (s["test"], s["cross_source"]), strict=True):
            if figures and math.isfinite(figures["accuracy"]):
                groups.setdefault(name_of(run), []).append(figures["accuracy"])
    shown = {title: groups for title, groups in values.items() if groups}
    if shown:
        out.append(("Final accuracy, a dot a run", plots.final_figures(shown, starts=starts)))
    return out


def write_docs_page(runs: Sequence[StudyRun], file: Path, images: Path, about: Mapping[str, str]) -> None:
    """Tables and findings as Markdown in ``file``, plots as SVG files in ``images``; no photographs."""
    summaries = [summarise(run) for run in runs]
    parts = ["# Transfer learning: what the starts bring\n",
             "Written by `maskgate study transfer`; every number comes from it.\n",
             "## What came out\n",
             "\n".join(f"- {page.markdown_text(line)}" for line in findings(runs)) + "\n",
             "## Starts against each other\n", f"{COMPARISON_NOTE}\n",
             page.markdown_table(*comparison_table(runs)),
             "## Table I\n", page.markdown_table(*table_1(runs, summaries)),
             "## Which start is what\n", page.markdown_table(*starts_table(runs)),
             "## Time to learn\n", f"{SPEED_NOTE}\n", page.markdown_table(*speed_table(runs)),
             "## Plots\n"]  # fmt: skip
    images.mkdir(parents=True, exist_ok=True)
    for number, (caption, svg) in enumerate([*curve_plots(runs), *judging_plots(runs, summaries)], 1):
        name = f"transfer-{number}.svg"
        write_atomic(images / name, svg.encode())
        parts.append(f"![{caption}]({os.path.relpath(images / name, file.parent)})\n\n{caption}.\n")
    parts += ["## All runs\n", f"{RUNS_NOTE}\n", page.markdown_table(*runs_table(summaries)), "## About\n",
              page.markdown_table(["", ""], list(about.items()))]  # fmt: skip
    write_atomic(file, "\n".join(parts).encode())
