"""Time of face detectors on the processor, stage by stage, in turns.

    python benchmarks/detector.py retinaface-mobilenet025 published.onnx --threads 1 2 --output detector.json

A detector is a model's name, a model card (``.json``) or a bare ONNX file of a RetinaFace. The pictures
show heads of scikit-image's astronaut (public domain), so that there is something to decode and to
suppress. All detectors take turns on each picture, so that a busy moment of the machine hits all alike; a
ratio is the median over the turns of a detector's time over the first one's in the same turn.

The stages are those of the detector as it is used, its small view of large faces (the close-up) included:
``prepare`` scales the picture and puts it into planes, ``network`` runs it, ``decode`` makes boxes and
landmarks of the likely anchors, ``suppress`` drops the weaker ones of overlapping boxes; ``whole`` is all.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
from skimage import data

from maskgate.detection import Detector, create_detector, retinaface
from maskgate.detection.create import open_detector
from maskgate.detection.retinaface import RetinaFaceDetector, RetinaFaceSettings
from maskgate.files import write_json
from maskgate.models import ModelCard, RuntimeOptions
from maskgate.models.sessions import open_session

STAGES = ("prepare", "network", "decode", "suppress")
PUBLISHED_ANCHORS = ((16.0, 32.0), (64.0, 128.0), (256.0, 512.0))
"""Of bare ONNX files."""

HEAD = (slice(0, 240), slice(150, 350))
WARM_UP = 3


def heads(width: int, height: int, side: int = 120) -> np.ndarray:
    """``(height, width, 3)`` uint8 RGB, full of heads about ``side`` pixels high, each a bit darker."""
    head = cv2.resize(data.astronaut()[HEAD], (round(side / 1.2), side), interpolation=cv2.INTER_AREA)
    rows, columns = -(-height // side), -(-width // head.shape[1])
    light = np.linspace(1, 0.5, rows * columns).reshape(rows, columns)
    lines = [np.hstack([head * light[r, c] for c in range(columns)]) for r in range(rows)]
    return np.ascontiguousarray(np.vstack(lines)[:height, :width].astype(np.uint8))


def open_named(name: str, options: RuntimeOptions, close_up: bool) -> Detector:
    """The detector of a name, a card or a bare network."""
    if name.endswith(".onnx"):
        session = open_session(Path(name).read_bytes(), name, options)
        detector: Detector = RetinaFaceDetector(session, RetinaFaceSettings(anchors=PUBLISHED_ANCHORS), name)
    elif name.endswith(".json"):
        detector = open_detector(ModelCard.load(Path(name)), options)
    else:
        detector = create_detector(name, options)
    if not close_up and isinstance(detector, RetinaFaceDetector):
        detector.settings = replace(detector.settings, close_up=0)
    return detector


class Stopwatch:
    """Adds up what the stages of a RetinaFace take; others have no stages."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(STAGES, 0.0)

    def watch(self, detector: Detector) -> None:
        """Puts clocks around the stages of ``detector``."""
        if not isinstance(detector, RetinaFaceDetector):
            return
        for stage, method in (("prepare", "prepare"), ("network", "run"), ("decode", "_decode")):
            setattr(detector, method, self.timed(stage, getattr(detector, method)))

    def timed(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """``call``, with its time added to the stage."""

        def run(*arguments: Any) -> Any:
            began = time.perf_counter()
            result = call(*arguments)
            self.spent[stage] += time.perf_counter() - began
            return result

        return run

    def take(self) -> dict[str, float]:
        """Milliseconds of each stage since the last call; the suppression is part of the decoding's call."""
        taken = {stage: 1e3 * seconds for stage, seconds in self.spent.items()}
        taken["decode"] -= taken["suppress"]
        self.spent = dict.fromkeys(STAGES, 0.0)
        return taken


def measure(
    detectors: Sequence[Detector], picture: np.ndarray, rounds: int, watch: Stopwatch
) -> list[dict[str, list[float]]]:
    """Milliseconds of each turn, for each detector and stage."""
    turns: list[dict[str, list[float]]] = [{name: [] for name in ("whole", *STAGES)} for _ in detectors]
    for turn in range(WARM_UP + rounds):
        for detector, own in zip(detectors, turns, strict=True):
            watch.take()
            began = time.perf_counter()
            detector.detect([picture])
            whole = 1e3 * (time.perf_counter() - began)
            if turn >= WARM_UP:
                for stage, ms in {"whole": whole, **watch.take()}.items():
                    own[stage].append(ms)
    return turns


def summary(turns: dict[str, list[float]], first: dict[str, list[float]], staged: bool) -> dict[str, Any]:
    """Medians and nine-in-ten times in milliseconds, and the ratios to the first detector."""
    stages = ("whole", *STAGES) if staged else ("whole",)
    return {
        "milliseconds": {
            s: {"p50": float(np.median(turns[s])), "p90": float(np.quantile(turns[s], 0.9))} for s in stages
        },
        "ratio": float(np.median(np.array(turns["whole"]) / np.array(first["whole"]))),
    }


def size_of(text: str) -> tuple[int, int]:
    """``WIDTHxHEIGHT``, for argparse."""
    width, _, height = text.partition("x")
    return int(width), int(height)


def main() -> None:
    """Measures and prints a table for each number of threads and size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("detectors", nargs="+", help="names, cards or ONNX files; the first is compared with")
    parser.add_argument(
        "--sizes", nargs="+", type=size_of, default=[(320, 240), (640, 480), (1280, 720)], metavar="WxH"
    )
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=40, help="turns that are counted (default: 40)")
    parser.add_argument("--no-close-up", action="store_true", help="leave out the small view of large faces")
    parser.add_argument("--output", type=Path, help="write the figures there, as JSON")
    arguments = parser.parse_args()
    watch = Stopwatch()
    setattr(  # noqa: B010 - a module's function, for the time of this run
        retinaface,
        "non_maximum_suppression",
        watch.timed("suppress", retinaface.non_maximum_suppression),
    )
    runs = []
    for threads in arguments.threads:
        cv2.setNumThreads(threads)
        options = RuntimeOptions(threads=threads)
        detectors = [open_named(name, options, not arguments.no_close_up) for name in arguments.detectors]
        for detector in detectors:
            watch.watch(detector)
        for width, height in arguments.sizes:
            picture = heads(width, height)
            turns = measure(detectors, picture, arguments.rounds, watch)
            print(f"\n{width}×{height}, threads: {threads}")
            print(f"{'detector':40} " + "".join(f"{s:>9}" for s in ("whole", *STAGES)) + "   ratio  faces")
            for name, detector, own in zip(arguments.detectors, detectors, turns, strict=True):
                staged = isinstance(detector, RetinaFaceDetector)
                row = summary(own, turns[0], staged)
                faces = len(detector.detect([picture])[0])
                cells = [f"{ms['p50']:9.2f}" for ms in row["milliseconds"].values()]
                cells += ["         "] * (1 + len(STAGES) - len(cells))
                print(f"{Path(name).name:40} {''.join(cells)}  {row['ratio']:6.2f}  {faces:5}")
                runs.append(
                    {"detector": name, "width": width, "height": height, "threads": threads, "faces": faces}
                    | row
                )
    if arguments.output:
        about = {
            "processor": platform.processor() or platform.machine(),
            "onnxruntime": ort.__version__,
            "rounds": arguments.rounds,
            "close_up": not arguments.no_close_up,
        }
        write_json(arguments.output, about | {"runs": runs})
        print(f"\n{json.dumps(about)}")


if __name__ == "__main__":
    main()
