"""What thresholds and the limits of ``uncertain`` cost, on the validation faces of a classifier's run.

    python benchmarks/limits.py runs/classifier/validation.csv --threshold 0.2

Prints what each threshold costs, and how often the two-class decision is wrong among faces that are
close calls, small or blurred: the figures behind ``docs/concepts.md``.
"""

from __future__ import annotations

import argparse
import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskgate.classification.quality import UncertainLimits
from maskgate.evaluation.metrics import expected_calibration_error
from maskgate.types import LABELS

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
CLOSE = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
SIZES = (20, 24, 32, 48, 64, 128, np.inf)
SHARPNESS = (0, 2, 3, 4, 6, 8, 12, np.inf)


def log_odds(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(p / (1 - p)), finite at 0 and 1."""
    p = np.clip(p, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(p / (1 - p)))


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", type=Path, help="validation.csv of a run folder")
    parser.add_argument("--threshold", type=float, required=True, help="P(mask) from which a face is masked")
    args = parser.parse_args()
    with args.table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    label = np.array([[str(name) for name in LABELS].index(row["label"]) for row in rows])
    p = np.array([[float(row[name]) for name in LABELS] for row in rows])
    size = np.array([float(row["size"]) for row in rows])
    sharp = np.array([float(row["sharpness"]) for row in rows])
    wrong = (p[:, 0] >= args.threshold) != (label == 0)
    counts = " ".join(f"{name} {n}" for name, n in zip(LABELS, np.bincount(label, minlength=3), strict=True))
    print(f"{len(rows)} faces: {counts}; wrong at {args.threshold:g}: {wrong.mean():.4f}")
    error = expected_calibration_error(p.max(1), p.argmax(1) == label)
    print(f"expected calibration error of the likeliest class: {error:.4f}\n")

    print("threshold  accuracy  recall mask  recall no_mask  incorrect flagged")
    for t in THRESHOLDS:
        called = p[:, 0] >= t
        two = label < 2
        shares = [(called == (label == 0))[two], called[label == 0], ~called[label == 1], ~called[label == 2]]
        print(f"{t:9.2f}  {shares[0].mean():8.4f}  {shares[1].mean():11.4f}  {shares[2].mean():14.4f}"
              f"  {shares[3].mean():17.4f}")  # fmt: skip

    distance = np.abs(log_odds(p[:, 0]) - log_odds(np.array(args.threshold)))
    print("\nlog-odds from the threshold  share of faces  wrong within  wrong beyond  of all errors within")
    for limit in CLOSE:
        close = distance < limit
        within = wrong[close].sum() / max(wrong.sum(), 1)
        print(f"{limit:27.2f}  {close.mean():14.4f}  {wrong[close].mean():12.4f}"
              f"  {wrong[~close].mean():12.4f}  {within:20.2f}")  # fmt: skip
    for name, values, edges in (("size", size, SIZES), ("sharpness", sharp, SHARPNESS)):
        print(f"\n{name:>12}  faces   wrong")
        for low, high in pairwise(edges):
            of = (values >= low) & (values < high)
            if of.any():
                print(f"{f'{low:g} to {high:g}':>12}  {of.sum():5}  {wrong[of].mean():6.4f}")

    limits = UncertainLimits()
    flagged = (distance < limits.margin) | (size < limits.size) | (sharp < limits.sharpness)
    print(f"\nuncertain by the defaults: {flagged.mean():.4f} of faces; wrong among them "
          f"{wrong[flagged].mean():.4f}, among the others {wrong[~flagged].mean():.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
