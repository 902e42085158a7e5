"""MTCNN as the package runs it against a plain pass of its weights in PyTorch.

    python benchmarks/mtcnn.py scenes/fmd --weights weights/mtcnn --limit 100

For each of the scenes' pictures both look for faces. Prints the share of the annotated faces (at least
20 px) that each finds (IoU of at least 0.4), how many boxes besides, the share of their own faces that
they have in common (IoU of at least 0.5), and the milliseconds a picture.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from torch.nn import functional as F

from maskgate.detection.boxes import iou
from maskgate.detection.mtcnn import MtcnnDetector
from maskgate.evaluation.coco import read_scenes
from maskgate.evaluation.matching import OVERLAP, SMALLEST
from maskgate.images import read_image
from maskgate.nets.mtcnn import OutputNet, ProposalNet, RefinementNet
from maskgate.training.mtcnn import export_networks, load_networks

Row = list[float]
Resize = Callable[[torch.Tensor, tuple[int, int]], torch.Tensor]


def mean_of_areas(planes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """``(3, H, W)`` planes at another size (height, width): each pixel the mean of those it touches."""
    return F.interpolate(planes[None], size=size, mode="area")[0]


def plain_faces(
    nets: tuple[ProposalNet, RefinementNet, OutputNet],
    image: np.ndarray,
    smallest: float = 20,
    thresholds: Sequence[float] = (0.6, 0.7, 0.7),
    factor: float = 0.709,
    resize: Resize = mean_of_areas,
) -> list[tuple[Row, float, Row]]:
    """Box, score and ten landmark coordinates of each face in ``(H, W, 3)`` uint8 RGB.

    Written down from Zhang et al. 2016 and the settings of their published code, one box at a time:
    pixels count from 1, a box names its first and last pixel, and what lies outside of the picture is
    black. The landmarks are the five x, then the five y, of pixels from 0 on.
    """
    height, width = image.shape[:2]
    planes = torch.from_numpy(image.copy()).permute(2, 0, 1).float()
    proposals: list[tuple[Row, float, Row]] = []
    scale = 12 / smallest
    while min(height, width) * scale >= 12:
        size = (int(np.ceil(height * scale)), int(np.ceil(width * scale)))
        with torch.inference_mode():
            offsets, scores = nets[0]((resize(planes, size)[None] - 127.5) / 128)
        here = []
        for y, x in (scores[0, 1] >= thresholds[0]).nonzero().tolist():
            box = [
                np.floor((2 * x + 1) / scale),
                np.floor((2 * y + 1) / scale),
                np.floor((2 * x + 12) / scale),
                np.floor((2 * y + 12) / scale),
            ]
            here.append((box, float(scores[0, 1, y, x]), offsets[0, :, y, x].tolist()))
        proposals += _suppress(here, 0.5)
        scale *= factor
    boxes = [_square(_moved(box, offset)) for box, _, offset in _suppress(proposals, 0.7)]
    refined = []
    for box in boxes:
        with torch.inference_mode():
            offset, score = nets[1](_patch(planes, box, 24, resize))
        if float(score[0, 1]) > thresholds[1]:
            refined.append((box, float(score[0, 1]), offset[0].tolist()))
    boxes = [_square(_moved(box, offset)) for box, _, offset in _suppress(refined, 0.7)]
    found = []
    for box in boxes:
        with torch.inference_mode():
            offset, score, points = nets[2](_patch(planes, box, 48, resize))
        if float(score[0, 1]) > thresholds[2]:
            w, h = box[2] - box[0] + 1, box[3] - box[1] + 1
            marks = [box[0] - 1 + w * float(v) for v in points[0, :5]]
            marks += [box[1] - 1 + h * float(v) for v in points[0, 5:]]
            found.append((_moved(box, offset[0].tolist()), float(score[0, 1]), marks))
    return _suppress(found, 0.7, smaller=True)


def _moved(box: Row, offset: Row) -> Row:
    w, h = box[2] - box[0] + 1, box[3] - box[1] + 1
    return [edge + shift * side for edge, shift, side in zip(box, offset, (w, h, w, h), strict=True)]


def _square(box: Row) -> Row:
    w, h = box[2] - box[0], box[3] - box[1]
    side = max(w, h)
    x, y = box[0] + w / 2 - side / 2, box[1] + h / 2 - side / 2
    return [x, y, x + side, y + side]


def _patch(planes: torch.Tensor, box: Row, size: int, resize: Resize) -> torch.Tensor:
    x1, y1, x2, y2 = (int(np.floor(v)) for v in box)
    if x1 > x2 or y1 > y2 or x2 < 1 or y2 < 1 or x1 > planes.shape[2] or y1 > planes.shape[1]:
        return torch.full((1, 3, size, size), -127.5 / 128)
    height, width = planes.shape[1:]
    patch = planes[:, max(y1, 1) - 1 : min(y2, height), max(x1, 1) - 1 : min(x2, width)]
    patch = F.pad(patch, (max(1 - x1, 0), max(x2 - width, 0), max(1 - y1, 0), max(y2 - height, 0)))
    return (resize(patch, (size, size))[None] - 127.5) / 128


def _suppress(
    faces: list[tuple[Row, float, Row]], threshold: float, smaller: bool = False
) -> list[tuple[Row, float, Row]]:
    kept: list[tuple[Row, float, Row]] = []
    for face in sorted(faces, key=lambda face: -face[1]):
        if all(_overlap(face[0], other[0], smaller) <= threshold for other in kept):
            kept.append(face)
    return kept


def _overlap(a: Row, b: Row, smaller: bool) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0]) + 1
    h = min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = max(w, 0) * max(h, 0)
    areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return shared / (min(areas) if smaller else sum(areas) - shared)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scenes", type=Path, help="folder with images/ and annotations.json")
    parser.add_argument("--weights", type=Path, required=True, help="folder of pnet.pt, rnet.pt and onet.pt")
    parser.add_argument("--limit", type=int, help="look at so many pictures only (default: all)")
    parser.add_argument("--threads", type=int, default=1, help="of the networks (default: 1)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    options = ort.SessionOptions()
    options.intra_op_num_threads = args.threads
    nets = load_networks(args.weights)
    sessions = [ort.InferenceSession(file, options) for file in export_networks(args.weights).values()]
    detector = MtcnnDetector(*sessions)
    faces, found, others = 0, np.zeros(2, int), np.zeros(2, int)
    own, shared, seconds = np.zeros(2, int), np.zeros(2, int), np.zeros(2)
    scenes = read_scenes(args.scenes)[: args.limit]
    for scene in scenes:
        image = read_image(scene.path)
        began = time.perf_counter()
        ours = detector.detect([image])[0].boxes
        seconds[0] += time.perf_counter() - began
        began = time.perf_counter()
        plain = np.array([box for box, _, _ in plain_faces(nets, image)], np.float32).reshape(-1, 4)
        seconds[1] += time.perf_counter() - began
        large = ((scene.boxes[:, 2:] - scene.boxes[:, :2]).min(1) >= SMALLEST) & ~scene.ignore
        faces += int(large.sum())
        for k, (boxes, rival) in enumerate(((ours, plain), (plain, ours))):
            found[k] += int((iou(scene.boxes[large], boxes) >= OVERLAP).any(1).sum())
            others[k] += int((~(iou(boxes, scene.boxes) >= OVERLAP).any(1)).sum())
            own[k] += len(boxes)
            shared[k] += int((iou(boxes, rival) >= 0.5).any(1).sum())
    print(f"{len(scenes)} pictures, {faces} faces")
    for k, name in enumerate(("maskgate", "plain PyTorch")):
        print(
            f"{name:14} found {found[k] / max(faces, 1):.3f}  other boxes {others[k]}  "
            f"of its faces the other has {shared[k] / max(own[k], 1):.3f}  "
            f"{1e3 * seconds[k] / max(len(scenes), 1):.1f} ms a picture"
        )


if __name__ == "__main__":
    main()
