"""Draw on a public domain portrait until the classifier errs, and show where it does.

    python benchmarks/failures.py --output docs/images/failures.jpg

Every kind of drawing is tried ``--draws`` times on scikit-image's astronaut: masks worn rightly and
wrongly, things held up, scarves, beards, hair, heads in front, each drawn anew and seen by a worse
camera. Prints how often each kind is judged wrongly, and lays the most confident errors out on a sheet.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.data import astronaut

from maskgate import MaskGate
from maskgate.detection.boxes import iou
from maskgate.training.occlusion.cloth import draw_beard, draw_scarf
from maskgate.training.occlusion.glasses import draw_glasses
from maskgate.training.occlusion.hair import draw_hair
from maskgate.training.occlusion.heads import draw_head
from maskgate.training.occlusion.hoods import draw_hood
from maskgate.training.occlusion.loose import hang_mask, hold_mask
from maskgate.training.occlusion.masks import Wearing, draw_mask
from maskgate.training.occlusion.objects import draw_object
from maskgate.types import Image, Label

Draw = Callable[[Image, NDArray[np.float32], np.random.Generator], Image]

KINDS: dict[str, tuple[Label, Draw]] = {
    "nothing": (Label.NO_MASK, lambda image, p, rng: image),
    "glasses": (Label.NO_MASK, draw_glasses),
    "hood": (Label.NO_MASK, draw_hood),
    "object": (Label.NO_MASK, draw_object),
    "scarf under the chin": (Label.NO_MASK, lambda i, p, rng: draw_scarf(i, p, rng, over_mouth=False)),
    "scarf over the mouth": (Label.NO_MASK, lambda i, p, rng: draw_scarf(i, p, rng, over_mouth=True)),
    "beard": (Label.NO_MASK, draw_beard),
    "hair": (Label.NO_MASK, draw_hair),
    "head in front": (Label.NO_MASK, draw_head),
    "mask held": (Label.NO_MASK, lambda i, p, rng: hold_mask(i, p, rng, None)),
    "mask": (Label.MASK, lambda i, p, rng: draw_mask(i, p, Wearing.RIGHT, rng)),
    "mask of skin colour": (
        Label.MASK, lambda i, p, rng: draw_mask(i, p, Wearing.RIGHT, rng, skin_toned=1.0),
    ),
    "mask and hood": (
        Label.MASK, lambda i, p, rng: draw_hood(draw_mask(i, p, Wearing.RIGHT, rng), p, rng),
    ),
    "nose out": (Label.INCORRECT, lambda i, p, rng: draw_mask(i, p, Wearing.NOSE_OUT, rng)),
    "mouth out": (Label.INCORRECT, lambda i, p, rng: draw_mask(i, p, Wearing.MOUTH_OUT, rng)),
    "under the chin": (Label.INCORRECT, lambda i, p, rng: draw_mask(i, p, Wearing.CHIN, rng)),
    "hanging from an ear": (Label.INCORRECT, hang_mask),
}  # fmt: skip


def main() -> None:
    """Draws, judges and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--draws", type=int, default=60, help="of each kind")
    parser.add_argument("--classifier", help="name of a model")
    parser.add_argument("--output", type=Path, help="sheet of errors")
    args = parser.parse_args()
    gate = MaskGate(classifier=args.classifier)
    portrait = np.ascontiguousarray(astronaut()[:330, 60:390])
    face = gate(portrait)[0]
    errors: list[tuple[float, str, Image]] = []
    print(f"{'drawn':<24}{'label':<12}{'violation or not, wrong':>24}{'not found':>11}")
    for kind, (label, draw) in KINDS.items():
        wrong = lost = 0
        for seed in range(args.draws):
            rng = np.random.default_rng(seed)
            landmarks = np.asarray(face.landmarks, np.float32)
            picture = _seen(draw(portrait, landmarks, rng), rng)
            found = [
                v for v in gate(picture)
                if iou(np.array([v.box], np.float32), np.array([face.box], np.float32))[0, 0] > 0.3
            ]  # fmt: skip
            if not found:
                lost += 1
            elif found[0].label.violation != label.violation:
                wrong += 1
                p = found[0].probabilities[found[0].label]
                errors.append((p, f"{kind}: {found[0].label} {p:.2f}", picture))
        print(f"{kind:<24}{label:<12}{wrong / max(args.draws - lost, 1):>24.3f}{lost:>11}")
    if args.output and errors:
        errors.sort(key=lambda e: -e[0])
        shown = _one_of_each_first(errors)[:12]
        whole_rows = len(shown) // 4 * 4 or len(shown)
        tiles = [_tile(picture, caption) for _, caption, picture in shown[:whole_rows]]
        rows = [np.hstack(tiles[i : i + 4]) for i in range(0, len(tiles), 4)]
        cv2.imwrite(str(args.output), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])


def _seen(image: Image, rng: np.random.Generator) -> Image:
    """As a worse camera would see it: darker or brighter, noisy, of fewer pixels (the face 15 to 120)."""
    out = image.astype(np.float32) * float(np.exp(rng.uniform(np.log(0.15), np.log(1.4))))
    out = np.clip(out + rng.normal(0, rng.uniform(0, 12), out.shape), 0, 255).astype(np.uint8)
    factor = float(np.exp(rng.uniform(np.log(0.125), 0)))
    small = cv2.resize(out, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (image.shape[1], image.shape[0])), np.uint8)


def _one_of_each_first(errors: list[tuple[float, str, Image]]) -> list[tuple[float, str, Image]]:
    seen: dict[str, int] = {}
    ranked = []
    for error in errors:
        kind = error[1].split(":")[0]
        seen[kind] = seen.get(kind, 0) + 1
        ranked.append((seen[kind], error))
    return [error for _, error in sorted(ranked, key=lambda r: (r[0], -r[1][0]))]


def _tile(picture: Image, caption: str) -> Image:
    part = cv2.resize(picture[20:250, 50:280], (240, 240), interpolation=cv2.INTER_AREA)
    tile = np.full((264, 240, 3), 255, np.uint8)
    tile[:240] = part
    cv2.putText(tile, caption, (4, 257), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (20, 20, 20), 1, cv2.LINE_AA)
    return tile


if __name__ == "__main__":
    main()
