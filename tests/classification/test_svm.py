from __future__ import annotations

import io
import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from maskgate.classification.svm import SupportVectorMachine, svm_from_bytes, svm_to_bytes
from maskgate.errors import InputError


def machine(gamma: float = 0.7, vectors: int = 5, width: int = 4) -> SupportVectorMachine:
    rng = np.random.default_rng(1)
    return SupportVectorMachine(
        rng.normal(size=(vectors, width)).astype(np.float32),
        rng.normal(size=(3, vectors)).astype(np.float32),
        rng.normal(size=3).astype(np.float32),
        np.array(gamma, np.float32),
        rng.normal(size=(3, 3)).astype(np.float32),
        rng.normal(size=3).astype(np.float32),
    )


@pytest.mark.parametrize("gamma", [0.0, 0.7])
def test_against_plain_loops(gamma: float) -> None:
    svm = machine(gamma)
    x = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)
    wanted = np.zeros((6, 3))
    for i, row in enumerate(x.astype(float)):
        for label in range(3):
            total = float(svm.intercepts[label])
            for vector, coefficient in zip(svm.vectors.astype(float), svm.coefficients[label], strict=True):
                apart = row - vector
                kernel = np.exp(-gamma * (apart @ apart)) if gamma else row @ vector
                total += float(coefficient) * kernel
            wanted[i, label] = total
    np.testing.assert_allclose(svm.decisions(x), wanted, rtol=1e-5, atol=1e-6)
    scores = wanted @ svm.weights.T.astype(float) + svm.bias
    given = svm.probabilities(x)
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, softmax(scores, axis=1), rtol=1e-4, atol=1e-6)


def test_a_label_that_no_face_had_has_no_probability() -> None:
    svm = replace(machine(), bias=np.array([0.5, 1, -np.inf], np.float32))
    p = svm.probabilities(np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32))
    assert (p[:, 2] == 0).all()
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)


def test_no_faces() -> None:
    assert machine().probabilities(np.zeros((0, 4), np.float32)).shape == (0, 3)


def test_there_and_back() -> None:
    svm = machine()
    data = svm_to_bytes(svm)
    again = svm_from_bytes(data)
    for name in ("vectors", "coefficients", "intercepts", "gamma", "weights", "bias"):
        np.testing.assert_array_equal(getattr(again, name), getattr(svm, name))
    assert data == svm_to_bytes(again)


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("unpickled",)


def arrays(**parts: object) -> bytes:
    out = io.BytesIO()
    np.savez(out, **parts)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        svm_to_bytes(machine())[:-40],
        arrays(vectors=np.zeros((2, 2))),
        arrays(
            **dict.fromkeys(("vectors", "coefficients", "intercepts", "gamma", "weights", "bias"), "words")
        ),
        arrays(vectors=np.array([Trap()], object)),
        pickle.dumps(Trap()),
    ],
)
def test_other_files(data: bytes) -> None:
    with pytest.raises(InputError, match=r"^these are no arrays of a support vector machine: "):
        svm_from_bytes(data)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vectors", np.zeros(4)),
        ("vectors", np.zeros((0, 4))),
        ("vectors", np.full((5, 4), np.nan)),
        ("coefficients", np.zeros((3, 4))),
        ("intercepts", np.zeros(2)),
        ("intercepts", np.array([0, np.inf, 0])),
        ("gamma", np.zeros(1)),
        ("gamma", np.array(-1.0)),
        ("weights", np.zeros((2, 3))),
        ("bias", np.zeros(4)),
        ("bias", np.array([0, np.inf, 0])),
        ("bias", np.array([0, np.nan, 0])),
        ("bias", np.full(3, -np.inf)),
    ],
)
def test_arrays_that_do_not_agree(name: str, value: np.ndarray) -> None:
    with pytest.raises(InputError, match=rf"^{name} (has|have|is) "):
        replace(machine(), **{name: value.astype(np.float32)})
