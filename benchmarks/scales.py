"""At which sizes faces are found, with and without the close-up view.

    python benchmarks/scales.py

Pastes scikit-image's astronaut (public domain), at chosen sizes, in random places and lights, into
noisy pictures of chosen sizes, and counts how often the default detector finds the face (IoU of at
least 0.4) and what else it reports. The figures behind ``docs/concepts.md``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import cv2
import numpy as np
from skimage import data

from maskgate import MaskGate
from maskgate.detection.boxes import iou
from maskgate.detection.retinaface import RetinaFaceDetector

PICTURES = ((640, 480), (1280, 720), (1920, 1080), (4000, 3000))
FACES = (12, 16, 20, 24, 32, 48, 64, 128, 256, 400, 600, 1000, 2000)
"""Height of the face in pixels of the picture."""
HEAD = (slice(0, 330), slice(70, 390))
BOX = np.array([178, 62, 272, 182], np.float32) - np.float32([70, 0, 70, 0])
"""The face in the head's pixels, by eye."""


def picture_of(width: int, height: int, face: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """``(height, width, 3)`` uint8 RGB with one face, and its box ``(4,)``."""
    soft = rng.uniform(40, 210, (5, 7, 3)).astype(np.float32)
    scene = cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC)
    scene += rng.normal(0, 4, (height, width, 1)).astype(np.float32)
    scale = face / float(BOX[3] - BOX[1])
    head = data.astronaut()[HEAD].astype(np.float32)
    size = (round(head.shape[1] * scale), round(head.shape[0] * scale))
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    head = cv2.resize(head, size, interpolation=kind) * float(rng.uniform(0.6, 1.2))
    # the face itself lies within the picture; the rest of the head may be cut off
    x1, y1, x2, y2 = BOX * scale
    left, top = round(rng.uniform(0, width - (x2 - x1)) - x1), round(rng.uniform(0, height - (y2 - y1)) - y1)
    area = scene[max(top, 0) : top + size[1], max(left, 0) : left + size[0]]
    y, x = max(-top, 0), max(-left, 0)
    area[:] = head[y : y + area.shape[0], x : x + area.shape[1]]
    box = np.array([left + x1, top + y1, left + x2, top + y2], np.float32)
    return np.clip(scene, 0, 255).astype(np.uint8), box


def main() -> None:
    """Prints a table for each size of picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="pictures for each cell (default: 20)")
    parser.add_argument("--threads", type=int, help="of the network (default: all processors)")
    args = parser.parse_args()
    both = MaskGate(threads=args.threads).detector
    if not isinstance(both, RetinaFaceDetector):
        parser.error("the default detector is no RetinaFace")
    alone = RetinaFaceDetector(both.session, replace(both.settings, close_up=0))
    for width, height in PICTURES:
        print(f"\n{width}×{height}   one view: found, other boxes   with the close-up: found, other boxes")
        for face in FACES:
            if face > 0.85 * height or face < 12 * width / 4000:
                continue
            rng = np.random.default_rng(face)
            found, others = np.zeros(2), np.zeros(2)
            for _ in range(args.times):
                picture, box = picture_of(width, height, face, rng)
                for k, detector in enumerate((alone, both)):
                    (faces,) = detector.detect([picture])
                    hit = bool(len(faces)) and bool((iou(box[None], faces.boxes) >= 0.4).any())
                    found[k] += hit
                    others[k] += len(faces) - hit
            shares = found / args.times
            extra = others / args.times
            print(f"{face:8} px   {shares[0]:15.2f}  {extra[0]:11.2f}   {shares[1]:23.2f}  {extra[1]:11.2f}")


if __name__ == "__main__":
    main()
