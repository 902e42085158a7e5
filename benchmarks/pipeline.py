"""Where the pipeline's time and memory go. Run ``python benchmarks/pipeline.py --help``.

Three parts, each in processes of its own:

1. **Stages** for three picture sizes and three numbers of faces: decode, resize and pre-process,
   detection network, post-process, align, classify; the networks' share of it all; peak memory.
   Times are of whole calls, a JPEG file in and verdicts out, and of the parts inside those calls.
2. **Ratio** (``--network``, ``--pictures``): such calls on real pictures against one pass of a
   plain RetinaFace session over the same pictures at their own size, in turn, in one process. The
   session's input is ready before its clock starts: the ratio holds all that a user pays on top.
3. **Memory** over many calls on small pictures of many sizes: it must stay flat.

Needs scikit-image, whose portrait of an astronaut (public domain) is the face in 1 and 3.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort

SIZES = ((320, 240), (640, 480), (1280, 720))
GRIDS = {1: (1, 1), 4: (2, 2), 20: (5, 4)}
"""Number of faces to columns and rows."""
HEAD = (slice(20, 230), slice(125, 325))
"""Rows and columns of the astronaut's head."""
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
MEAN = (104, 117, 123)
"""Subtracted from blue, green and red by the published RetinaFace networks."""


def compose(width: int, height: int, columns: int, rows: int, seed: int = 0) -> np.ndarray:
    """``(height, width, 3)`` uint8 RGB: heads in a grid on a soft background with grain."""
    from skimage import data

    r = np.random.default_rng(seed)
    soft = cv2.resize(
        r.uniform(60, 200, (6, 8, 3)).astype(np.float32), (width, height), None, 0, 0, cv2.INTER_CUBIC
    )
    picture = soft + r.normal(0, 5, (height, width, 1)).astype(np.float32)
    head = data.astronaut()[HEAD].astype(np.float32)
    side = min(width / columns / head.shape[1], height / rows / head.shape[0]) * 0.9
    w, h = round(head.shape[1] * side), round(head.shape[0] * side)
    head = cv2.resize(head, (w, h), interpolation=cv2.INTER_AREA)
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    opaque = np.clip((1 - np.hypot(x, y)) * 6, 0, 1)[..., None].astype(np.float32)
    for row in range(rows):
        for column in range(columns):
            left = round((column + 0.5) * width / columns - w / 2)
            top = round((row + 0.5) * height / rows - h / 2)
            place = picture[top : top + h, left : left + w]
            place += opaque * (head - place)
    return np.clip(picture, 0, 255).astype(np.uint8)


def save(picture: np.ndarray, path: Path) -> Path:
    """As a JPEG of quality 90."""
    encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    path.write_bytes(encoded.tobytes())
    return path


def peak_mebibytes() -> float:
    """Highest resident memory of this process so far."""
    try:
        # getrusage also holds the parent's peak from before the exec; this does not
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def resident_mebibytes() -> float:
    """Resident memory of this process now; its peak where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20
    except OSError:
        return peak_mebibytes()


class Stopwatch:
    """Adds up the time spent in chosen methods of chosen objects, by name, call by call."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = defaultdict(float)

    def watch(self, owner: object, method: str, name: str) -> None:
        """Times ``owner.method`` from now on, where there is one."""
        inner: Callable[..., Any] | None = getattr(owner, method, None)
        if inner is None:
            return

        def timed(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return inner(*args, **options)
            finally:
                self.milliseconds[name] += (time.perf_counter() - start) * 1000

        setattr(owner, method, timed)


def sessions(model: object) -> Iterator[ort.InferenceSession]:
    """The ONNX Runtime sessions that an object holds."""
    return (v for v in vars(model).values() if isinstance(v, ort.InferenceSession))


def load_gate(options: argparse.Namespace) -> Any:
    """The pipeline with the models and threads asked for."""
    from maskgate import MaskGate

    return MaskGate(detector=options.detector, classifier=options.classifier, threads=options.threads)


def measure_stages(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Times of each stage in ``options.rounds`` calls on one picture, and the peak memory."""
    gate, watch = load_gate(options), Stopwatch()
    loaded = resident_mebibytes()
    watch.watch(gate.detector, "prepare", "pre-process")
    watch.watch(gate.detector, "decode", "post-process")
    for session in sessions(gate.detector):
        watch.watch(session, "run", "detection network")
    for session in sessions(gate.classifier):
        watch.watch(session, "run", "classification network")
    rows: list[dict[str, float]] = []
    faces = 0
    for call in range(options.rounds + 5):
        watch.milliseconds.clear()
        start = time.perf_counter()
        verdicts = gate(path)
        total = (time.perf_counter() - start) * 1000
        inside, faces = defaultdict(float, watch.milliseconds), len(verdicts)
        step = verdicts.milliseconds
        parts = inside["pre-process"] + inside["detection network"] + inside["post-process"]
        networks = inside["detection network"] + inside["classification network"]
        if call >= 5:  # the first calls allocate
            rows.append(
                {
                    "decode": step.decode,
                    "pre-process": inside["pre-process"],
                    "detection network": inside["detection network"],
                    "post-process": inside["post-process"],
                    "detect, other": step.detect - parts,
                    "align": step.align,
                    "classification network": inside["classification network"],
                    "classify, other": step.classify - inside["classification network"],
                    "total": total,
                    "networks' share": networks / total,
                    "around / network": (inside["pre-process"] + inside["post-process"])
                    / max(inside["detection network"], 1e-9),
                }
            )
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return {
        "found": faces,
        "p50": {name: statistics.median(column) for name, column in columns.items()},
        "p95": {name: float(np.quantile(column, 0.95)) for name, column in columns.items()},
        "loaded MiB": loaded,
        "peak MiB": peak_mebibytes(),
    }


def measure_ratio(paths: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    """Whole calls against passes of the plain network, in turn, picture by picture."""
    gate = load_gate(options)
    settings = ort.SessionOptions()
    if options.threads:
        settings.intra_op_num_threads = options.threads
    # as our own sessions: threads that go on spinning after a call would slow the next one down
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    network = ort.InferenceSession(str(options.network), settings, providers=["CPUExecutionProvider"])
    name = network.get_inputs()[0].name
    pipeline_times, network_times, faces = [], [], 0
    for path in paths:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise SystemExit(f"{path} is not a picture; point --pictures at a folder of readable ones")
        blob = np.ascontiguousarray(
            (picture.astype(np.float32) - np.array(MEAN, np.float32)).transpose(2, 0, 1)[None]
        )
        whole, plain = [], []
        for turn in range(options.turns + 1):
            start = time.perf_counter()
            verdicts = gate(path)
            middle = time.perf_counter()
            network.run(None, {name: blob})
            end = time.perf_counter()
            if turn:  # the first allocates for this size
                whole.append((middle - start) * 1000)
                plain.append((end - middle) * 1000)
        faces += len(verdicts)
        pipeline_times.append(statistics.median(whole))
        network_times.append(statistics.median(plain))
    ratios = np.array(pipeline_times) / np.array(network_times)
    low, middle_ratio, high = np.quantile(ratios, [0.1, 0.5, 0.9])
    return {
        "pictures": len(paths),
        "faces": faces,
        "pipeline p50": statistics.median(pipeline_times),
        "network p50": statistics.median(network_times),
        "ratio p10": float(low),
        "ratio p50": float(middle_ratio),
        "ratio p90": float(high),
    }


def measure_memory(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Resident memory at the start, in the middle and at the end of many calls."""
    gate, paths = load_gate(options), sorted(folder.iterdir())
    for path in paths:  # every size once: what is kept per size is there from the start
        gate(path)
    start, middle = resident_mebibytes(), 0.0
    for call in range(options.memory_calls):
        gate(paths[call % len(paths)])
        if call == options.memory_calls // 2:
            middle = resident_mebibytes()
    return {"start": start, "middle": middle, "end": resident_mebibytes(), "peak": peak_mebibytes()}


def in_fresh_process(part: str, where: Path, options: argparse.Namespace) -> Any:
    """Runs one measurement in a process of its own, so that memory is that measurement's."""
    command = [sys.executable, __file__, *options.arguments, "--part", part, str(where)]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
    if result.returncode:
        raise SystemExit(f"the measurement of {part} failed with status {result.returncode}, see above")
    return json.loads(result.stdout.splitlines()[-1])


def run_part(options: argparse.Namespace) -> None:
    """What the fresh process does; the last line of its output is JSON."""
    part, where = options.part[0], Path(options.part[1])
    if part == "stages":
        figures: Any = measure_stages(where, options)
    elif part == "memory":
        figures = measure_memory(where, options)
    else:
        paths = sorted(p for p in where.rglob("*") if p.suffix.lower() in PICTURES)
        if not paths:
            raise SystemExit(f"{where} holds no picture; point --pictures at a folder of some")
        count = min(options.limit, len(paths))
        figures = measure_ratio([paths[i * len(paths) // count] for i in range(count)], options)
    print(json.dumps(figures))


def print_stages(results: list[dict[str, Any]]) -> None:
    """One column a configuration; p50 and p95 in milliseconds."""
    names = list(results[0]["p50"])
    heads = [f"{r['width']}×{r['height']}, {r['faces']}" for r in results]
    print(f"{'p50/p95 in ms':24}" + "".join(f"{head:>18}" for head in heads))
    print(f"{'faces found':24}" + "".join(f"{r['found']:18}" for r in results))
    for name in names:
        cells = [
            f"{r['p50'][name]:.0%}"
            if name.startswith(("networks", "around"))
            else f"{r['p50'][name]:.2f}/{r['p95'][name]:.2f}"
            for r in results
        ]
        print(f"{name:24}" + "".join(f"{cell:>18}" for cell in cells))
    for name in ("loaded MiB", "peak MiB"):
        print(f"{name:24}" + "".join(f"{r[name]:18.0f}" for r in results))


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; ``arguments`` are kept to be handed to the fresh processes."""
    parser = argparse.ArgumentParser(
        description="Times the stages of the pipeline, its ratio to a plain network, and its memory.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--threads", type=int, help="threads of ONNX Runtime (None: its default)")
    parser.add_argument("--detector", help="name of a detector (None: the default one)")
    parser.add_argument("--classifier", help="name of a classifier (None: the default one)")
    parser.add_argument(
        "--rounds", type=int, default=50, help="timed calls per configuration; 0 skips the part"
    )
    parser.add_argument("--network", type=Path, metavar="FILE.onnx", help="plain RetinaFace to compare with")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="real pictures for the comparison")
    parser.add_argument("--limit", type=int, default=60, help="pictures taken, evenly spread over DIR")
    parser.add_argument("--turns", type=int, default=5, help="timed turns per picture")
    parser.add_argument(
        "--memory-calls", type=int, default=10_000, help="calls while memory is watched; 0 skips the part"
    )
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="writes all figures there")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.arguments = arguments
    if (options.network is None) != (options.pictures is None):
        parser.error("--network and --pictures go together")
    return options


def main() -> None:
    """Runs the parts and prints their figures."""
    options = parse(sys.argv[1:])
    if options.part:
        run_part(options)
        return
    figures: dict[str, Any] = {"threads": options.threads, "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.rounds:
            figures["stages"] = []
            for width, height in SIZES:
                for faces, grid in GRIDS.items():
                    path = save(compose(width, height, *grid), folder / f"{width}x{height}-{faces}.jpg")
                    result = in_fresh_process("stages", path, options)
                    figures["stages"].append({"width": width, "height": height, "faces": faces, **result})
            for place in range(0, len(figures["stages"]), len(GRIDS)):
                print_stages(figures["stages"][place : place + len(GRIDS)])
                print()
        if options.network is not None:
            figures["ratio"] = r = in_fresh_process("ratio", options.pictures, options)
            print(
                f"{r['pictures']} pictures, {r['faces']} faces: pipeline p50 {r['pipeline p50']:.2f} ms,"
                f" plain network p50 {r['network p50']:.2f} ms,"
                f" ratio p50 {r['ratio p50']:.2f} (p10 {r['ratio p10']:.2f}, p90 {r['ratio p90']:.2f})"
            )
        if options.memory_calls:
            small = folder / "small"
            small.mkdir()
            random = np.random.default_rng(0)
            for i in range(64):
                width, height = (int(v) for v in random.integers(64, 224, 2))
                save(compose(width, height, 1, 1, seed=i), small / f"{i:02}.jpg")
            figures["memory"] = m = in_fresh_process("memory", small, options)
            print(
                f"memory over {options.memory_calls} calls: start {m['start']:.1f} MiB,"
                f" middle {m['middle']:.1f}, end {m['end']:.1f}, peak {m['peak']:.1f}"
            )
    if options.output is not None:
        options.output.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
