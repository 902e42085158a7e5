"""How soon votes confirm a mask, and a mask that slips; and whether they bear what passes before a face.

    python benchmarks/votes.py DIR --hands HANDS    # photographs of bare faces, and of hands

Short films are made of photographs with one bare face, so that what should be told is known: the camera
sways, light flickers, and there is noise; the mask is one that training draws, in one colour a film.

- `slips`: a mask worn rightly for three seconds, then under the nose for three, then none at all.
- `passed`: a mask worn rightly for six seconds, over which every second something hides the face for three
  tenths of one: a hand, a head, a thing held up.
- `hand`: a bare face for six seconds, before which a hand is held from the second to the fourth.

Only the first frame's verdicts of a photograph choose it: one face, bare, at least 60 pixels wide.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate import MaskGate
from maskgate.images import find_images, read_image
from maskgate.streams.frames import Frame
from maskgate.streams.rules import Rule, Rules
from maskgate.streams.watching import CameraWatch
from maskgate.training.occlusion.hands import read_hands
from maskgate.training.occlusion.masks import Wearing, cloth_colour, draw_mask
from maskgate.training.occlusion.paint import Painter
from maskgate.training.occlusion.shares import OcclusionShares
from maskgate.types import Image, Label

WIDTH, HEIGHT = 640, 480
Moments = Callable[[float], str]
FILMS: dict[str, tuple[float, Moments]] = {
    "slips": (9.0, lambda t: "right" if t < 3 else "nose_out" if t < 6 else "bare"),
    "passed": (6.0, lambda t: "covered" if t > 0.9 and t % 1 < 0.3 else "right"),
    "hand": (6.0, lambda t: "hand" if 2 <= t < 4 else "bare"),
}
"""Length in seconds, and what is on the face at each moment."""


def suitable(gate: MaskGate, path: Path) -> tuple[Image, NDArray[np.float32]] | None:
    """The photograph in the films' size and the landmarks of its one bare face."""
    image = read_image(path)
    scale = min(WIDTH / image.shape[1], HEIGHT / image.shape[0])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    scene = np.full((HEIGHT, WIDTH, 3), 110, np.uint8)
    y, x = (HEIGHT - size[1]) // 2, (WIDTH - size[0]) // 2
    scene[y : y + size[1], x : x + size[0]] = small
    found = list(gate(scene))
    if len(found) != 1 or found[0].label is not Label.NO_MASK or found[0].uncertain:
        return None
    box = found[0].box
    if box[2] - box[0] < 60:
        return None
    return scene, np.asarray(gate.detector.detect([scene])[0].landmarks[0])


def looks(
    scene: Image, landmarks: NDArray[np.float32], hands: Painter, rng: np.random.Generator
) -> dict[str, Image]:
    """The photograph with each thing on its face; one mask, in one colour."""
    colour = tuple(int(v) for v in cloth_colour(rng))
    seed = int(rng.integers(2**32))
    made = {"bare": scene}
    for wearing in (Wearing.RIGHT, Wearing.NOSE_OUT):
        made[str(wearing)] = draw_mask(scene, landmarks, wearing, np.random.default_rng(seed), colour)  # type: ignore[arg-type]
    only_hands = Painter(
        (), hands.hands, OcclusionShares(**dict.fromkeys(vars(OcclusionShares()), 0.0) | {"hands": 1.0})
    )  # type: ignore[arg-type]
    made["hand"] = only_hands.bare_cover(scene, landmarks, rng)
    made["covered"] = hands.bare_cover(made["right"], landmarks, rng)
    return made


def film(
    pictures: dict[str, Image], length: float, what: Moments, fps: float, rng: np.random.Generator
) -> Iterator[Frame]:
    """Its frames."""
    phase = rng.uniform(0, 2 * np.pi, 4)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for index in range(round(length * fps)):
        t = index / fps
        sway = np.sin(phase + t * np.array([1.1, 0.9, 1.3, 2.0]))
        matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 4 * sway[0], 1 + 0.06 * sway[1])
        matrix[:, 2] += 12 * sway[2], 8 * sway[3]
        image = cv2.warpAffine(
            pictures[what(t)], matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE
        ).astype(np.float32)
        image = image * rng.uniform(0.93, 1.07) + rng.normal(0, 6, image.shape)
        ok, packed = cv2.imencode(
            ".jpg", np.clip(image, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 70]
        )
        assert ok
        yield Frame(cv2.imdecode(packed, cv2.IMREAD_COLOR), start + timedelta(seconds=t), index, t, t)


def events_of(gate: MaskGate, frames: Iterator[Frame]) -> list[tuple[str, str, float]]:
    """Type, label and position of what is told, the end left out."""
    watch = CameraWatch("film", Rules((Rule(cooldown=0),)), recorded=True)
    told = []
    for frame in frames:
        told += watch.see(frame, gate(frame.image))
    told += watch.close()
    return [
        (str(e.type), str(e.label), e.media_seconds or 0.0) for e in told if not str(e.type).endswith("ended")
    ]


def judge(name: str, told: list[tuple[str, str, float]]) -> dict[str, Any]:
    """Whether it is what should be told, and how soon it came."""
    first = {"slips": "mask", "passed": "mask", "hand": "no_mask"}[name]
    rest = list(told)
    figures: dict[str, Any] = {"confirmed": None}
    if rest and rest[0][:2] == ("track.confirmed", first):
        figures["confirmed"] = rest.pop(0)[2]
    if name == "slips":
        figures["violation"] = None
        if rest and rest[0][0] == "track.changed" and rest[0][1] != "mask" and rest[0][2] >= 3:
            figures["violation"] = rest.pop(0)[2] - 3
            if rest and rest[0][1] == "no_mask" and rest[0][2] >= 6:
                rest.pop(0)
    figures["others"] = len(rest)
    return figures


def summary(rows: list[dict[str, Any]], key: str, limit: float) -> dict[str, float | None]:
    """Of one delay: shares of the films in which it came at all, and within the limit; and its spread."""
    values = [row[key] for row in rows if row[key] is not None]
    return {
        "told": len(values) / len(rows),
        f"within {limit} s": sum(v <= limit for v in values) / len(rows),
        "p50 s": float(np.median(values)) if values else None,
        "p95 s": float(np.percentile(values, 95)) if values else None,
    }


def main() -> None:
    """Makes the films, watches them, counts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="photographs of bare faces")
    parser.add_argument("--hands", type=Path, required=True, help="photographs of hands")
    parser.add_argument("--films", type=int, default=40, help="of each kind")
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="figures as JSON")
    arguments = parser.parse_args()
    gate = MaskGate(threads=arguments.threads)
    rng = np.random.default_rng(arguments.seed)
    painter = Painter((), read_hands(find_images([arguments.hands])[:60]))
    paths = find_images([arguments.folder])
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in FILMS}
    strange: Counter[str] = Counter()
    for index in rng.permutation(len(paths)):
        chosen = suitable(gate, paths[index])
        if chosen is None:
            continue
        pictures = looks(*chosen, painter, rng)
        for name, (length, what) in FILMS.items():
            told = events_of(gate, film(pictures, length, what, arguments.fps, rng))
            rows[name].append(judge(name, told))
            if rows[name][-1]["others"]:
                strange[f"{name}: {' '.join(label for _, label, _ in told)}"] += 1
        if len(rows["hand"]) == arguments.films:
            break
    figures: dict[str, Any] = {"films of each kind": len(rows["hand"]), "fps": arguments.fps}
    for name, judged in rows.items():
        figures[name] = {
            "confirmed": summary(judged, "confirmed", 1.0),
            **({"violation": summary(judged, "violation", 1.5)} if name == "slips" else {}),
            "films with other events": sum(bool(row["others"]) for row in judged) / max(len(judged), 1),
        }
    figures["where there were others"] = dict(strange.most_common())
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
