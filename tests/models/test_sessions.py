from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from maskgate.errors import InputError, ModelCorruptError, ModelNotFoundError
from maskgate.models import ModelCard, RuntimeOptions, load_session
from maskgate.models.sessions import available_processors

AddModel = Callable[..., ModelCard]

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
cuda = "CUDAExecutionProvider" in ort.get_available_providers()


def multiplications(side: int, count: int) -> bytes:
    """x (N, side) times a fixed matrix, ``count`` times over."""
    r = np.random.default_rng(0)
    weight = numpy_helper.from_array(r.normal(0, side**-0.5, (side, side)).astype(np.float32), "w")
    nodes = [helper.make_node("MatMul", [f"x{i}", "w"], [f"x{i + 1}"]) for i in range(count)]
    return network(nodes, [weight], [None, side], count)


def additions(count: int) -> bytes:
    """x (N, M) plus the sum of each row, ``count`` times over, whose tensors depend on N and M."""
    one = numpy_helper.from_array(np.array([1], np.int64), "axis")
    nodes = []
    for i in range(count):
        nodes.append(helper.make_node("ReduceSum", [f"x{i}", "axis"], [f"s{i}"]))
        nodes.append(helper.make_node("Sub", [f"x{i}", f"s{i}"], [f"x{i + 1}"]))
    return network(nodes, [one], [None, None], count)


def network(
    nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], shape: list[int | None], last: int
) -> bytes:
    ends = [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, shape) for i in (0, last)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def test_a_session_computes_what_the_network_says(add_model: AddModel) -> None:
    card = add_model("net", multiplications(8, 2))
    session = load_session(card, RuntimeOptions(threads=1))
    weight = np.random.default_rng(0).normal(0, 8**-0.5, (8, 8)).astype(np.float32)
    x = np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32)
    np.testing.assert_allclose(session.run(None, {"x0": x})[0], x @ weight @ weight, rtol=1e-4, atol=1e-6)
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_missing_and_changed_weights(add_model: AddModel) -> None:
    card = add_model("net", multiplications(8, 1))
    data = bytearray(card.path.read_bytes())
    data[-10] ^= 1
    card.path.write_bytes(data)
    with pytest.raises(ModelCorruptError, match=r"net\.onnx of model 'net' are not those of its card"):
        load_session(card, RuntimeOptions())
    card.path.unlink()
    with pytest.raises(ModelNotFoundError, match=r"net\.onnx of model 'net' cannot be read"):
        load_session(card, RuntimeOptions())


@pytest.mark.parametrize(
    "damage",
    [lambda d: d[: len(d) // 2], lambda d: b"nonsense" * 20, lambda d: d.replace(b"MatMul", b"NoSuch")],
    ids=["truncated", "nonsense", "unknown operator"],
)
def test_a_file_with_the_right_sha256_that_is_no_network(
    add_model: AddModel, damage: Callable[[bytes], bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    card = add_model("net", damage(multiplications(8, 1)))
    card.verify()
    with pytest.raises(ModelCorruptError, match=r"net\.onnx is no network that ONNX Runtime can open"):
        load_session(card, RuntimeOptions())
    assert capfd.readouterr() == ("", "")


def test_nothing_is_logged(add_model: AddModel, capfd: pytest.CaptureFixture[str]) -> None:
    # an output whose stated shape is wrong is worth a warning to ONNX Runtime in every call
    model = onnx.load_from_string(multiplications(8, 1))
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 5
    card = add_model("net", model.SerializeToString())
    x = np.zeros((2, 8), np.float32)
    load_session(card, RuntimeOptions()).run(None, {"x0": x})
    assert capfd.readouterr() == ("", "")
    ort.InferenceSession(card.path).run(None, {"x0": x})
    assert "[W:" in capfd.readouterr().err, "the case provokes no warning any more"


def threads_of_this_process() -> int:
    gc.collect()  # sessions of other tests
    return len(list(Path("/proc/self/task").iterdir()))


@linux
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_are_as_many_as_asked_for(add_model: AddModel, threads: int) -> None:
    card = add_model("net", multiplications(8, 1))
    before = threads_of_this_process()
    session = load_session(card, RuntimeOptions(threads=threads))
    # the calling thread works too
    assert threads_of_this_process() - before == threads - 1
    del session


@linux
def test_threads_default_to_the_processors(add_model: AddModel) -> None:
    card = add_model("net", multiplications(8, 1))
    before = threads_of_this_process()
    session = load_session(card, RuntimeOptions())
    assert threads_of_this_process() - before == available_processors() - 1
    del session


@linux
def test_processors_are_those_of_the_affinity() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_processors() == 1
        assert RuntimeOptions().thread_count == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert RuntimeOptions(threads=3).thread_count == 3


@pytest.mark.parametrize(
    ("content", "share"),
    [("max 100000\n", 64), ("200000 100000\n", 2), ("150000 100000\n", 2), ("1000 100000\n", 1), ("?", 64)],
)
def test_processors_are_limited_by_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, share: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    (tmp_path / "cpu.max").write_text(content, "ascii")
    assert available_processors(tmp_path) == share
    assert available_processors(tmp_path / "none") == 64


@linux
def test_threads_rest_when_a_call_is_over(add_model: AddModel) -> None:
    card = add_model("net", multiplications(256, 20))
    x = np.ones((256, 256), np.float32)

    def idle_seconds(session: ort.InferenceSession) -> float:
        """Processor time that passes in 30 ms of sleep after a call; the least of some."""
        spent = []
        for _ in range(5):
            session.run(None, {"x0": x})
            began = time.process_time()
            time.sleep(0.03)
            spent.append(time.process_time() - began)
        return min(spent)

    assert idle_seconds(load_session(card, RuntimeOptions(threads=2))) < 0.005


GROWTH = """
import os, sys
from pathlib import Path
import numpy as np
from maskgate.models.cards import ModelCard
from maskgate.models.sessions import RuntimeOptions, load_session

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

session = load_session(ModelCard.load(Path(sys.argv[1])), RuntimeOptions(threads=1))
sizes = np.random.default_rng(0).integers(1, 600, (400, 2))
sizes[0] = 600  # what the largest call needs is there from then on
for number, (height, width) in enumerate(sizes):
    if number == 100:
        before = resident()
    session.run(None, {"x0": np.zeros((height, width), np.float32)})
print((resident() - before) / 2**20)
"""


@linux
def test_memory_does_not_grow_as_sizes_change(add_model: AddModel) -> None:
    """In a process of its own, whose memory nothing else changes; MiB over the last 300 of 400 calls."""
    card = add_model("net", additions(10))
    command = [sys.executable, "-c", GROWTH, str(card.folder / f"{card.name}.json")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 6


@pytest.mark.parametrize("threads", [0, -1, 1025, 2.0, True, "2"])
def test_threads_out_of_range(threads: int) -> None:
    with pytest.raises(InputError, match=r"^threads is .*; give a whole number from 1 to 1024"):
        RuntimeOptions(threads=threads)


@pytest.mark.parametrize("device", ["gpu", "CPU", "cuda:0", "", None])
def test_unknown_device(device: str) -> None:
    with pytest.raises(InputError, match=r"^device is .*; use 'cpu' or 'cuda'"):
        RuntimeOptions(device=device)  # type: ignore[arg-type]


@pytest.mark.skipif(cuda, reason="this ONNX Runtime has CUDA")
def test_cuda_without_its_package(add_model: AddModel) -> None:
    card = add_model("net", multiplications(8, 1))
    with pytest.raises(InputError, match=r"^device 'cuda' needs the package onnxruntime-gpu"):
        load_session(card, RuntimeOptions(device="cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(not cuda, reason="needs onnxruntime-gpu and a CUDA device")
def test_cuda(add_model: AddModel) -> None:
    card = add_model("net", multiplications(64, 3))
    session = load_session(card, RuntimeOptions(device="cuda"))
    assert session.get_providers()[0] == "CUDAExecutionProvider"
    x = np.random.default_rng(1).normal(size=(3, 64)).astype(np.float32)
    wanted = load_session(card, RuntimeOptions()).run(None, {"x0": x})[0]
    np.testing.assert_allclose(session.run(None, {"x0": x})[0], wanted, rtol=1e-2, atol=1e-3)
    broken = add_model("broken", b"nonsense")
    with pytest.raises(ModelCorruptError, match="is no network"):
        load_session(broken, RuntimeOptions(device="cuda"))
