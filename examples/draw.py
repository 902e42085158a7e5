"""Makes the example pictures and the README's: ``python examples/draw.py`` (needs the dev extra).

The astronaut comes from scikit-image (public domain); masks are drawn by the code that draws them
for training; boxes and labels in the README's picture by the software itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage import data

from maskgate import MaskGate
from maskgate.drawing import draw_verdicts
from maskgate.images import write_image
from maskgate.training.occlusion.masks import Wearing, draw_mask

HERE = Path(__file__).resolve().parent
WEARINGS = {
    "astronaut-mask": (Wearing.RIGHT, 2, (150, 195, 225)),
    "astronaut-nose-out": (Wearing.NOSE_OUT, 1, (236, 238, 240)),
    "astronaut-chin": (Wearing.CHIN, 6, (125, 190, 170)),
}


def main() -> None:
    """Writes ``examples/*.jpg``, ``docs/images/example.jpg`` and the example of the service's page."""
    gate = MaskGate()
    astronaut = np.ascontiguousarray(data.astronaut())
    (face,) = gate.detector.detect([astronaut])[0].landmarks
    pictures = {"astronaut": astronaut} | {
        name: draw_mask(astronaut, face, wearing, np.random.default_rng(seed), colour)
        for name, (wearing, seed, colour) in WEARINGS.items()
    }
    for name, picture in pictures.items():
        write_image(HERE / f"{name}.jpg", picture)
    row = np.concatenate([picture[:300, 70:370] for picture in pictures.values()], axis=1)
    write_image(HERE.parent / "docs" / "images" / "example.jpg", draw_verdicts(row, gate(row)))
    # what the service's page to try it offers to those who have no picture at hand
    write_image(HERE.parent / "src" / "maskgate" / "server" / "static" / "example.jpg", row)


if __name__ == "__main__":
    main()
