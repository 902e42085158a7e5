"""The report of a comparison: one JSON file, one HTML file, and a page for the docs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskgate.files import plain, write_atomic
from maskgate.studies import page, plots
from maskgate.studies.comparison_findings import PAPER_TABLE_2, comparison_findings
from maskgate.studies.comparison_results import (
    TESTS,
    Comparison,
    MethodResult,
    Test,
    majority,
    summarise_method,
)
from maskgate.studies.robustness_plots import TABLE_COLUMNS, TRACKS, robustness_plots, robustness_rows
from maskgate.studies.robustness_results import FEWEST

TABLE_2_NOTE = (
    "Table II as the paper prints it: accuracy on the learning sample, accuracy and completeness (recall of "
    "masks) on the test sample, in %. Ours are of given faces, the same ones for all methods; the paper's "
    "are of each author's own pictures. Face recall is that of the held-out pictures, end to end."
)

GIVEN_NOTE = (
    "The classifier alone: places and landmarks of the faces are told, the same ones to all methods. Mask "
    "against no mask; faces with a mask worn wrongly are left out, but for the share of them not called "
    "mask."
)

WHOLE_NOTE = (
    "A picture in, verdicts out; a found face belongs to an annotated one where they overlap with an IoU of "
    "0.4 or more. Accuracy, recall and ROC AUC are of the faces that the method finds; 'told rightly' is "
    "the share of all faces with a mask or without that are found and judged rightly. People drew the boxes "
    "in scenes; those in held-out photographs are of the detectors that found the faces for training."
)

MASKED_NOTE = (
    "{} looks for masked faces and no others: a face that it does not find counts as not masked, with the "
    "score 0, and its face recall is of masked faces."
)

COST_NOTE = (
    "Medians of runs in turn on the same pictures, decoding left out; a face is cut out and judged alone. "
    "The size is that of the models' files."
)

DIFFERENCE_NOTE = (
    "Points that the default method has more than another, on the same faces, with the 95 % bootstrap "
    "interval: pictures are drawn."
)

Rows = tuple[list[str], list[list[str]]]


def write_comparison(comparison: Comparison, output: Path, about: Mapping[str, str]) -> None:
    """Writes ``comparison.json`` and ``report.html`` into ``output``, each whole or not at all; with it
    ``robustness.json`` where that was studied. ``about`` is what the report says of data and machine."""
    results = comparison.results
    content = {
        "methods": [summarise_method(result) for result in results],
        "default": comparison.default,
        "differences": [vars(d) | {"verdict": d.verdict} for d in comparison.differences],
        "paper": {name: dict(zip(_PAPER, row, strict=True)) for name, row in PAPER_TABLE_2.items()},
        "findings": comparison_findings(comparison),
        "about": dict(about),
    }
    text = json.dumps(plain(content), indent=1, allow_nan=False)
    write_atomic(output / "comparison.json", f"{text}\n".encode())
    if comparison.robustness is not None:
        text = json.dumps(comparison.robustness.to_json(), indent=1, allow_nan=False)
        write_atomic(output / "robustness.json", f"{text}\n".encode())
    write_atomic(output / "report.html", _html(comparison, about).encode())


_PAPER = ("accuracy_train", "accuracy_test", "recall_test")


def _html(comparison: Comparison, about: Mapping[str, str]) -> str:
    body = [page.heading("What came out")]
    body += [page.paragraph(line) for line in comparison_findings(comparison)]
    for title, note, table, drawn in sections(comparison):
        body += [page.heading(title), *(page.paragraph(line) for line in note)]
        if table is not None:
            body.append(page.table(*table, text=(0, 1)))
        body += [page.figure(svg, caption) for caption, svg in drawn]
    body += [page.heading("About"), page.table(["", ""], list(about.items()), text=(0, 1))]
    return page.page("Methods of mask recognition compared", body)


def write_comparison_page(comparison: Comparison, file: Path, images: Path, about: Mapping[str, str]) -> None:
    """Findings and tables as Markdown in ``file``, plots as SVG files in ``images``; no photographs."""
    parts = ["# The methods compared: Table II\n",
             "Written by `maskgate compare`; every number comes from it.\n",
             "## What came out\n",
             "\n".join(f"- {page.markdown_text(line)}"
                       for line in comparison_findings(comparison)) + "\n"]  # fmt: skip
    number = 0
    for title, note, table, drawn in sections(comparison):
        parts += [f"## {title}\n", *(f"{page.markdown_text(line)}\n" for line in note)]
        if table is not None:
            parts.append(page.markdown_table(*table))
        for caption, svg in drawn:
            number += 1
            name = f"comparison-{number}.svg"
            write_atomic(images / name, svg.encode())
            parts.append(f"![{caption}]({os.path.relpath(images / name, file.parent)})\n\n{caption}.\n")
    parts += ["## About\n", page.markdown_table(["", ""], list(about.items()))]
    write_atomic(file, "\n".join(parts).encode())


Section = tuple[str, list[str], Rows | None, list[tuple[str, str]]]
"""Title, notes, a table, and plots with their captions."""


def sections(comparison: Comparison) -> list[Section]:
    """What report and page show after the findings."""
    results = comparison.results
    masked = [MASKED_NOTE.format(result.title) for result in results if result.masked_only]
    rocs = roc_plots(comparison)
    out: list[Section] = [
        ("Table II", [TABLE_2_NOTE, *masked], table_2(results), []),
        ("Given faces", [GIVEN_NOTE], given_table(results), rocs["given"]),
        ("End to end", [WHOLE_NOTE], whole_table(results), rocs["pictures"]),
        ("Cost", [COST_NOTE], cost_table(results), cost_plots(results)),
        ("The default method's lead", [DIFFERENCE_NOTE], difference_table(comparison), []),
    ]
    if comparison.robustness is not None:
        report = comparison.robustness
        drawn = [
            (f"{factor}, {TRACKS[track]}", svg) for (track, factor), svg in robustness_plots(report).items()
        ]
        note = (
            f"Changes of {report.faces} given faces, and of {report.pictures} faces looked for in their "
            "whole pictures; those that find and judge in one are in the latter only. Of each method and "
            f"factor, the level of lowest accuracy, where it judges {FEWEST} faces or more."
        )
        out.append(
            ("Robustness", [note], (list(TABLE_COLUMNS), [list(r) for r in robustness_rows(report)]), drawn)
        )
    return out


def table_2(results: Sequence[MethodResult]) -> Rows:
    """Ours beside the paper's, and what the paper's table lacks."""
    what = ("accuracy, learning sample", "accuracy, test sample", "completeness, test sample")
    columns = ["method", *(f"{w}{whose}" for w in what for whose in ("", ", paper")),
               "ROC AUC", "face recall", "ms a picture", "ms a face", "size in MB"]  # fmt: skip
    rows = []
    for result in results:
        summary, printed = summarise_method(result), PAPER_TABLE_2.get(result.name, (None, None, None))
        row = [result.title]
        for key, paper in zip(_PAPER, printed, strict=True):
            row += [_percent(summary[key]), "–" if paper is None else f"{paper:g}"]
        given, whole = result.figures.get(("test", "given")), result.figures.get(("test", "pictures"))
        row.append(_share(given, "roc_auc") if given else "–")
        row.append(_percent(whole["face_recall"]) if whole else "–")
        rows.append(row + _cost(result))
    return columns, rows


def _cost(result: MethodResult) -> list[str]:
    """Milliseconds a picture and a face, and MB."""
    speed = result.speed
    times = ["–", "–"] if speed is None else [f"{speed.per_picture:.1f}", f"{speed.per_face:.2f}"]
    return [*times, "–" if result.bytes is None else f"{result.bytes / 1e6:.1f}"]


def given_table(results: Sequence[MethodResult]) -> Rows:
    """All methods on all given faces, and what always saying the commoner class gives."""
    columns = ["test", "method", "faces", "accuracy", "recall mask", "recall no mask", "ROC AUC",
               "incorrect flagged"]  # fmt: skip
    rows = []
    for test in (test for test in TESTS if test[1] == "given"):
        for result, f in _figures(results, test):
            rows.append(
                [TESTS[test], result.title, str(f["faces"]), _share(f, "accuracy"), _share(f, "recall"),
                 _share(f, "recall_no_mask"), _share(f, "roc_auc"), _share(f, "incorrect_flagged")]
            )  # fmt: skip
        known = [answers for r in results if (answers := r.answers.get(test)) is not None]
        if known:
            common = majority(known[0])
            rows.append([TESTS[test], "always the commoner class", str(len(known[0])),
                         f"{common:.4f}" if math.isfinite(common) else "–", *["–"] * 4])  # fmt: skip
    return columns, rows


def whole_table(results: Sequence[MethodResult]) -> Rows:
    """All methods end to end."""
    columns = ["test", "method", "faces", "face recall", "false faces a picture", "told rightly", "accuracy",
               "recall mask", "recall no mask", "ROC AUC", "incorrect flagged"]  # fmt: skip
    names = ("told_rightly", "accuracy", "recall", "recall_no_mask", "roc_auc", "incorrect_flagged")
    rows = []
    for test in (test for test in TESTS if test[1] == "pictures"):
        for result, f in _figures(results, test):
            recall = _share(f, "face_recall") + (", masked faces" if result.masked_only else "")
            false = f"{f['false_faces_per_picture']:.3f}"
            shares = (_share(f, name) for name in names)
            rows.append([TESTS[test], result.title, str(f["faces"]), recall, false, *shares])
    return columns, rows


def cost_table(results: Sequence[MethodResult]) -> Rows:
    """Time and size."""
    rows = [[result.title, ", ".join(result.models), *_cost(result)] for result in results]
    return ["method", "models", "ms a picture", "ms a face", "size in MB"], rows


def difference_table(comparison: Comparison) -> Rows:
    """The default method against each other one."""
    titles = comparison.titles
    rows = [
        [TESTS[d.test], titles[d.other], d.figure.replace("_", " "), f"{100 * d.difference:+.2f}",
         f"{100 * d.low:+.2f} to {100 * d.high:+.2f}", d.verdict]
        for d in comparison.differences
    ]  # fmt: skip
    return ["test", "against", "figure", "points", "interval", "verdict"], rows


def _figures(results: Sequence[MethodResult], test: Test) -> list[tuple[MethodResult, Mapping[str, Any]]]:
    return [(result, result.figures[test]) for result in results if test in result.figures]


def _share(figures: Mapping[str, Any], key: str) -> str:
    """A figure with its interval where it has one."""
    value = figures[key]
    if value is None or not math.isfinite(value):
        return "–"
    interval = figures.get(f"{key}_interval")
    return f"{value:.4f}" + (f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval else "")


def _percent(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{100 * value:.2f}"


def roc_plots(comparison: Comparison) -> dict[str, list[tuple[str, str]]]:
    """By track: captions and plots of all methods' ROC curves, a plot a test; that of the default method
    has a band. Tests without both masks and bare faces have none."""
    results = sorted(comparison.results, key=lambda result: result.name != comparison.default)
    styles = plots.styles_in_order([result.title for result in comparison.results])
    drawn: dict[str, list[tuple[str, str]]] = {"given": [], "pictures": []}
    for test, name in TESTS.items():
        curves = {
            result.title: judged.faces for result in results
            if test[0] != "train" and (judged := result.judged(test)) and judged.faces.of_both_kinds
        }  # fmt: skip
        if curves:
            drawn[test[1]].append((f"ROC on {name}", plots.roc_curves(curves, name, styles=styles)))
    return drawn


def cost_plots(results: Sequence[MethodResult]) -> list[tuple[str, str]]:
    """Faces told rightly against time, end to end on the pictures of the other origin, else the held-out
    ones."""
    tests: tuple[Test, ...] = (("cross", "pictures"), ("test", "pictures"))
    for test in tests:
        points = [
            (result.title, result.speed.per_picture, f["told_rightly"], result.bytes or 0)
            for result, f in _figures(results, test)
            if result.speed is not None and math.isfinite(f["told_rightly"])
        ]
        if points:
            axes = {"x": "milliseconds a picture", "y": "faces told rightly"}
            caption = f"Time against faces told rightly, {TESTS[test]}"
            return [(caption, plots.accuracy_against_time(points, **axes))]
    return []
