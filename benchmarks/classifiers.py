"""Time a face of each classifier network, beside the accuracy that a study measured for it.

    python benchmarks/classifiers.py --study study/study.json --output accuracy-against-time.svg

Networks are exported with random weights, which take as long as trained ones, and timed in turns, so
that a busy moment of the machine hits all alike.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

from maskgate.nets.backbones import create_backbone
from maskgate.nets.classifier import FaceClassifier
from maskgate.training.classifier_export import export_classifier

NETWORKS = [
    ("mobilenet025", 80), ("face-resnet7", 80), ("face-resnet11", 80), ("resnet50-layer2", 80),
    ("resnet50-layer3", 80), ("resnet50", 80), ("mobilenet025", 112), ("face-resnet7", 112),
    ("face-resnet11", 112), ("face-resnet14", 112), ("face-resnet14", 128),
]  # fmt: skip


def main() -> None:
    """Exports, times and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2, help="of ONNX Runtime")
    parser.add_argument("--batch", type=int, default=4, help="faces at once")
    parser.add_argument("--rounds", type=int, default=30, help="runs of each, in turns")
    parser.add_argument("--storage", default="int8", choices=("float32", "float16", "int8"))
    parser.add_argument("--study", type=Path, help="study.json, for the accuracies")
    parser.add_argument("--output", type=Path, help="SVG of accuracy against time")
    arguments = parser.parse_args()
    options = ort.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    sessions, sizes = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name, size in NETWORKS:
            file = Path(folder) / f"{name}-{size}.onnx"
            export_classifier(FaceClassifier(create_backbone(name, size)), 1.0, size, file, arguments.storage)
            sessions[name, size] = ort.InferenceSession(str(file), options)
            sizes[name, size] = file.stat().st_size
    rng = np.random.default_rng(0)
    crops = {s: rng.integers(0, 256, (arguments.batch, s, s, 3), np.uint8) for _, s in NETWORKS}
    times: dict[tuple[str, int], list[float]] = {key: [] for key in sessions}
    for turn in range(arguments.rounds + 2):
        for (name, size), session in sessions.items():
            began = time.perf_counter()
            session.run(None, {"crops": crops[size]})
            if turn >= 2:  # the first ones warm up
                times[name, size].append(time.perf_counter() - began)
    best = accuracies(arguments.study) if arguments.study else {}
    points = []
    print(f"{'network':<18}{'pixels':>7}{'MB':>7}{'ms/face':>9}{'accuracy':>10}")
    for (name, size), values in times.items():
        milliseconds = 1000 * float(np.median(values)) / arguments.batch
        accuracy = best.get((name, size))
        shown = f"{accuracy:10.4f}" if accuracy else ""
        print(f"{name:<18}{size:>7}{sizes[name, size] / 1e6:>7.1f}{milliseconds:>9.2f}{shown}")
        if accuracy:
            points.append((f"{name}, {size} px", milliseconds, accuracy, sizes[name, size]))
    if arguments.output and points:
        from maskgate.studies.plots import accuracy_against_time

        arguments.output.write_text(accuracy_against_time(points), "utf-8")


def accuracies(study: Path) -> dict[tuple[str, int], float]:
    """The best cross-source accuracy of each network, else that on held-out pictures."""
    content = json.loads(study.read_text())
    size = int(content.get("size", 80))
    best: dict[tuple[str, int], float] = {}
    for run in content["runs"]:
        value = run["cross_source"]["accuracy"] if run.get("cross_source") else run["accuracy_test"]
        key = run["architecture"], size
        best[key] = max(best.get(key, 0.0), value)
    return best


if __name__ == "__main__":
    main()
