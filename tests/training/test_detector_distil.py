from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from maskgate.errors import DataError  # noqa: E402
from maskgate.nets.retinaface import RetinaFace  # noqa: E402
from maskgate.training.detector_distil import DetectorDistillation, DetectorTeachers  # noqa: E402
from maskgate.training.labelling import export_detector  # noqa: E402
from maskgate.training.recipe import build, read_recipe  # noqa: E402


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("teacher") / "model.onnx"
    export_detector(RetinaFace(), file)
    return file


X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 40


def fixed(seed: int, count: int = 40) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return (
        torch.randn(2, count, 4, generator=g),
        torch.rand(2, count, generator=g),
        torch.randn(2, count, 10, generator=g),
    )


def test_distance_by_plain_loops(teacher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = DetectorTeachers(DetectorDistillation((str(teacher),), share=0.25, sure=0.6), [])
    said = fixed(1)
    monkeypatch.setattr(own, "answers", lambda x: said)
    g = torch.Generator().manual_seed(2)
    outputs = [torch.randn(2, 40, width, generator=g) * 2 for width in (4, 2, 10)]
    loc, face, points = (s.numpy().astype(float) for s in said)
    scores = outputs[1].numpy().astype(float)
    total = count = 0.0

    def smooth(a: np.ndarray, b: np.ndarray) -> float:
        return sum(0.5 * d * d if abs(d) < 1 else abs(d) - 0.5 for d in np.abs(a - b).tolist())

    for n in range(2):
        for a in range(40):
            bare, high = scores[n, a]
            p = math.exp(high) / (math.exp(bare) + math.exp(high))
            q = face[n, a]
            total += q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))
            if q >= 0.6:
                count += 1
                total += 2 * smooth(outputs[0][n, a].numpy(), loc[n, a])
                total += smooth(outputs[2][n, a].numpy(), points[n, a])
    mixed, distance = own.mix(torch.tensor(8.0), outputs, X)
    assert distance == pytest.approx(total / count, rel=1e-4)
    assert mixed.item() == pytest.approx(0.75 * 8 + 0.25 * total / count, rel=1e-4)


def test_who_says_the_same_is_at_no_distance(teacher: Path) -> None:
    own = DetectorTeachers(DetectorDistillation((str(teacher),), sure=0.3), [])
    loc, face, points = own.answers(X)
    scores = torch.stack([torch.zeros_like(face), torch.logit(face, 1e-6)], -1)
    _, distance = own.mix(torch.tensor(0.0), [loc, scores, points], X)
    assert distance == pytest.approx(0, abs=1e-3)


def test_several_teachers_are_averaged(teacher: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    export_detector(RetinaFace(), tmp_path / "other.onnx")
    settings = [DetectorDistillation(names) for names in ((str(teacher),), ("other.onnx",))]
    both = DetectorTeachers(DetectorDistillation((str(teacher), "other.onnx")), [tmp_path]).answers(X)
    one, other = (DetectorTeachers(s, [tmp_path]).answers(X) for s in settings)
    for mean, a, b in zip(both, one, other, strict=True):
        torch.testing.assert_close(mean, (a + b) / 2)


def test_gradient_reaches_the_network_alone(teacher: Path) -> None:
    own = DetectorTeachers(DetectorDistillation((str(teacher),), share=1.0), [])
    net = RetinaFace()
    loss, _ = own.mix(torch.tensor(0.0), net(X), X)
    loss.backward()
    assert all(p.grad is not None for p in net.ClassHead.parameters())
    assert any(float(p.grad.abs().sum()) > 0 for p in net.body.parameters())


@pytest.mark.parametrize("name", ["detector.toml", "detector-resnet50.toml"])
def test_teachers_of_the_recipes_ship(name: str) -> None:
    table = read_recipe(Path(__file__).resolve().parents[2] / "recipes" / name)["distil"]
    teachers = DetectorTeachers(build(DetectorDistillation, table, "[distil]"), [])
    assert [tuple(part.shape[:2]) for part in teachers.answers(X)] == [(2, 168)] * 3


def test_teachers_that_cannot_teach(teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.onnx, which is not there"):
        DetectorTeachers(DetectorDistillation(("gone.onnx",)), [tmp_path])
    (tmp_path / "a.onnx").write_bytes(b"no network")
    with pytest.raises(DataError, match=r"a\.onnx, which is no detector"):
        DetectorTeachers(DetectorDistillation(("a.onnx",)), [tmp_path])
    own = DetectorTeachers(DetectorDistillation((str(teacher),)), [])
    with pytest.raises(DataError, match="the same anchors"):
        own.mix(torch.tensor(0.0), [torch.zeros(2, 5, w) for w in (4, 2, 10)], X)


@pytest.mark.parametrize("fields", [{"teachers": ()}, {"share": 1.1}, {"sure": 0.0}, {"sure": 1.0}])
def test_settings_out_of_range(fields: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"\[distil\]"):
        DetectorDistillation(**({"teachers": ("a.onnx",)} | fields))  # type: ignore[arg-type]
