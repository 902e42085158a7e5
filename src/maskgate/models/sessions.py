"""ONNX Runtime sessions: opened from checked bytes, set up for low and steady latency."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import onnxruntime as ort

from maskgate.errors import InputError, ModelCorruptError
from maskgate.models.cards import ModelCard

Device = Literal["cpu", "cuda"]

MOST_THREADS = 1024

_CUDA = (
    "CUDAExecutionProvider",
    {
        # the default tries every algorithm for every new input size, which takes seconds
        "cudnn_conv_algo_search": "HEURISTIC",
        # the default doubles the memory it takes with every growth
        "arena_extend_strategy": "kSameAsRequested",
    },
)


@dataclass(frozen=True)
class RuntimeOptions:
    """Where networks run.

    Attributes:
        device: ``"cpu"`` or ``"cuda"``.
        threads: of each network, 1 to 1024; None for as many as this process may use processors.

    Raises :class:`~maskgate.errors.InputError` on other values.
    """

    device: Device = "cpu"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.device not in get_args(Device):
            raise InputError(f"device is {self.device!r}; use 'cpu' or 'cuda'")
        threads = self.threads
        if threads is not None and (type(threads) is not int or not 1 <= threads <= MOST_THREADS):
            raise InputError(f"threads is {threads!r}; give a whole number from 1 to {MOST_THREADS}")

    @property
    def thread_count(self) -> int:
        """Threads of each network, at least 1."""
        return available_processors() if self.threads is None else self.threads


def available_processors(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """How many processors this process may use, at least 1.

    That is its affinity, and in a container no more than its share of processor time (Linux control
    groups, version 2), rounded up.
    """
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        count = os.cpu_count() or 1
    try:
        quota, period = (cgroup / "cpu.max").read_text("ascii").split()
        share = math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no such file, or "max"
        share = count
    return max(min(count, share), 1)


def load_session(card: ModelCard, options: RuntimeOptions) -> ort.InferenceSession:
    """Opens a card's network from bytes that have the card's sha256.

    Raises:
        ModelNotFoundError: the file is missing.
        ModelCorruptError: the file is not what the card says, or no network.
        InputError: CUDA is asked for and cannot be had.
    """
    return open_session(card.read(), str(card.path), options)


def open_session(data: bytes, origin: str, options: RuntimeOptions) -> ort.InferenceSession:
    """Opens a network from its bytes; ``origin`` says in errors where they are from.

    Raises:
        ModelCorruptError: they are no network.
        InputError: CUDA is asked for and cannot be had.
    """
    cuda = options.device == "cuda"
    if cuda and "CUDAExecutionProvider" not in ort.get_available_providers():
        raise InputError(
            "device 'cuda' needs the package onnxruntime-gpu in place of onnxruntime; install it or use 'cpu'"
        )
    settings = _session_options(options.thread_count)
    if not cuda:
        return _open(data, settings, ["CPUExecutionProvider"], origin)
    try:
        session = _open(data, settings, [_CUDA, "CPUExecutionProvider"], origin)
    except ModelCorruptError:
        _open(data, settings, ["CPUExecutionProvider"], origin)  # is it the file, or the device?
        session = None
    # where CUDA's libraries are missing, ONNX Runtime goes on without them
    if session is None or "CUDAExecutionProvider" not in session.get_providers():
        raise InputError(
            "device 'cuda' cannot be started; check the driver, CUDA and cuDNN that onnxruntime-gpu needs, "
            "or use 'cpu'"
        )
    return session


def _session_options(threads: int) -> ort.SessionOptions:
    """Settings of every session.

    Detector and classifier take turns in one process. ONNX Runtime's threads by default go on
    spinning for a while when a call is over, and so take the processors from whatever comes next: on
    two cores that more than doubles the time of both networks. Without any spinning the threads
    sleep between the operators of a call, which costs a tenth. Hence: spin within a call, stop at
    its end.

    Pictures come in many sizes. The memory plan that ONNX Runtime makes for each of them gains no
    time and costs some 20 MB, as every plan wants one piece. The arena stays on: it never holds much
    more than the largest call needs, so that memory stays flat, and without it, with memory from the
    system in every call, the detector is a third slower.
    """
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.enable_mem_pattern = False
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    settings.log_severity_level = 3  # errors
    return settings


def _open(
    data: bytes, settings: ort.SessionOptions, providers: list[Any], origin: str
) -> ort.InferenceSession:
    try:
        # the fallback would print and go on with another provider
        return ort.InferenceSession(data, settings, providers=providers, enable_fallback=0)
    except MemoryError:
        raise
    except Exception as error:  # its exceptions share no other base
        raise ModelCorruptError(f"{origin} is no network that ONNX Runtime can open: {error}") from error
