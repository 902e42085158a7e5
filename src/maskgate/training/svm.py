"""Support vector machines fitted with scikit-learn: kernel and costs by cross-validation, calibrated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.svm import SVC
from tqdm import tqdm

from maskgate.classification.svm import SupportVectorMachine
from maskgate.errors import DataError
from maskgate.types import LABELS

Kernel = Literal["linear", "rbf"]


@dataclass(frozen=True)
class SvmSettings:
    """What is tried, and on how many faces.

    Attributes:
        kernels: scalar product, exp(-gamma ‖a - b‖²), or both.
        costs: of a face on the wrong side, above 0.
        gammas: of the second kernel, above 0.
        folds: of the cross-validation, at least 2.
        searched: at most so many faces choose among these, at random.
        faces: at most so many are learnt from in the end.
    """

    kernels: tuple[Kernel, ...] = ("linear", "rbf")
    costs: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0)
    gammas: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    folds: int = 5
    searched: int = 3000
    faces: int = 12000

    def __post_init__(self) -> None:
        if self.folds < 2 or min(self.searched, self.faces) < self.folds:
            raise DataError("[svm] wants at least 2 folds, and more faces than folds")
        if not self.candidates or min((*self.costs, *self.gammas)) <= 0:
            raise DataError("[svm] wants kernels, and costs and gammas above 0")

    @property
    def candidates(self) -> list[Candidate]:
        """All that is tried, the simplest first."""
        flat = [Candidate("linear", cost, 0.0) for cost in self.costs if "linear" in self.kernels]
        curved = [(cost, gamma) for cost in self.costs for gamma in self.gammas if "rbf" in self.kernels]
        return flat + [Candidate("rbf", cost, gamma) for cost, gamma in curved]


@dataclass(frozen=True)
class Candidate:
    """A kernel, the cost of a face on the wrong side, and the kernel's gamma (0 if it has none)."""

    kernel: Kernel
    cost: float
    gamma: float

    def fit(self, x: NDArray[np.float32], member: NDArray[np.bool_]) -> SVC:
        """The machine that tells members from the rest, which count alike whatever their number."""
        gamma = self.gamma or "scale"  # not used by the scalar product
        return SVC(kernel=self.kernel, C=self.cost, gamma=gamma, class_weight="balanced").fit(x, member)


@dataclass(frozen=True, eq=False)
class FittedSvm:
    """The machine, what was chosen, and a row for all that was tried: its loss, see :func:`fit_svm`."""

    svm: SupportVectorMachine
    chosen: Candidate
    selection: list[tuple[Candidate, float]]


Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


def fit_svm(
    x: NDArray[np.float32], labels: NDArray[np.int64], groups: Sequence[str], settings: SvmSettings,
    *, seed: int, threads: int = 1, quiet: bool = False,
) -> FittedSvm:  # fmt: skip
    """Chooses, fits and calibrates.

    The calibration is a logistic regression on decision values of faces that their machine has not
    learnt from. What is chosen has the least cross-entropy (in nats) after it: the recall of a rare
    label would leave the choice to a few faces.

    Args:
        x: ``(N, D)`` embeddings.
        labels: ``(N,)`` places in LABELS.
        groups: N names; faces of one group are in one fold.
        seed: of the folds and the choice of faces.

    Raises :class:`~maskgate.errors.DataError` where a label has too few groups, or there is only one.
    """
    rng = np.random.default_rng(seed)
    names = np.unique(np.asarray(groups), return_inverse=True)[1]
    kept = np.sort(rng.permutation(len(x))[: settings.faces])
    x, labels, names = x[kept], labels[kept], names[kept]
    some = np.sort(rng.permutation(len(x))[: settings.searched])
    candidates = settings.candidates
    kinds = np.unique(labels)
    folds = _folds(labels[some], names[some], kinds, settings.folds, seed)
    selection: list[tuple[Candidate, float]] = []
    with ThreadPoolExecutor(threads) as pool:
        bar = tqdm(candidates, desc="machines", mininterval=5, disable=quiet)
        for candidate in bar if len(candidates) > 1 else ():
            decisions = _unseen(candidate, x[some], labels[some], folds, kinds, pool)
            told = _calibrated(decisions, labels[some]).predict_log_proba(decisions)
            loss = -told[np.arange(len(some)), np.searchsorted(kinds, labels[some])].mean()
            selection.append((candidate, float(loss)))
        chosen = min(selection, key=lambda row: row[1])[0] if selection else candidates[0]
        folds = _folds(labels, names, kinds, settings.folds, seed)
        unseen = _unseen(chosen, x, labels, folds, kinds, pool)
        machines = list(pool.map(lambda label: chosen.fit(x, labels == label), kinds))
    svm = _as_arrays(x, chosen, machines, _calibrated(unseen, labels), kinds)
    return FittedSvm(svm, chosen, selection)


def _folds(
    labels: NDArray[np.int64], groups: NDArray[np.intp], kinds: NDArray[np.int64], count: int, seed: int
) -> list[Fold]:
    if len(kinds) < 2:
        raise DataError("all faces to learn from have the same label; add faces of another one")
    for label in kinds:
        if len(np.unique(groups[labels == label])) < count:
            raise DataError(
                f"fewer than {count} pictures show a face labelled {LABELS[label]}; add some, or put a "
                "smaller number of folds into [svm]"
            )
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    return list(splitter.split(labels, labels, groups))


def _unseen(
    candidate: Candidate, x: NDArray[np.float32], labels: NDArray[np.int64], folds: Iterable[Fold],
    kinds: NDArray[np.int64], pool: ThreadPoolExecutor,
) -> NDArray[np.float64]:  # fmt: skip
    """``(N, K)`` decision values by machines that have learnt from the other folds."""
    out = np.zeros((len(x), len(kinds)))

    def decide(task: tuple[Fold, int]) -> None:
        (learnt, judged), k = task
        member = labels[learnt] == kinds[k]
        if not 0 < member.sum() < len(member):
            raise DataError(f"one picture has most faces labelled {LABELS[kinds[k]]}; add other pictures")
        out[judged, k] = candidate.fit(x[learnt], member).decision_function(x[judged])

    list(pool.map(decide, [(fold, k) for fold in folds for k in range(len(kinds))]))
    return out


def _calibrated(decisions: NDArray[np.float64], labels: NDArray[np.int64]) -> LogisticRegression:
    return LogisticRegression(max_iter=1000).fit(decisions, labels)


def _as_arrays(
    x: NDArray[np.float32], chosen: Candidate, machines: Sequence[SVC], calibration: LogisticRegression,
    kinds: NDArray[np.int64],
) -> SupportVectorMachine:  # fmt: skip
    n = len(LABELS)
    if chosen.kernel == "linear":
        vectors = np.concatenate([machine.coef_ for machine in machines])
        own = np.eye(len(machines))
    else:
        support = np.unique(np.concatenate([machine.support_ for machine in machines]))
        vectors, own = x[support], np.zeros((len(machines), len(support)))
        for row, machine in zip(own, machines, strict=True):
            row[np.searchsorted(support, machine.support_)] = machine.dual_coef_[0]
    coefficients, intercepts = np.zeros((n, len(vectors))), np.zeros(n)
    coefficients[kinds] = own
    intercepts[kinds] = [machine.intercept_[0] for machine in machines]
    weights, bias = np.zeros((n, n)), np.full(n, -np.inf)
    rows, start = calibration.coef_, calibration.intercept_
    if len(kinds) == 2:  # then scikit-learn has one row: the second label against the first
        rows, start = np.concatenate([0 * rows, rows]), np.concatenate([0 * start, start])
    weights[np.ix_(kinds, kinds)], bias[kinds] = rows, start
    arrays = (vectors, coefficients, intercepts, np.array(chosen.gamma), weights, bias)
    return SupportVectorMachine(*(np.asarray(a, np.float32) for a in arrays))
