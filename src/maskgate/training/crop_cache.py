"""Cut faces kept in a folder, under the hash of everything that made them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from maskgate.training.crops import MARGIN, SIDE, FaceCrops, cut_faces
from maskgate.training.recipe import Source
from maskgate.types import Faces, Label

VERSION = 1
"""Of how faces are cut: one more makes every cache anew."""

_ARRAYS = ("images", "landmarks", "labels", "sources", "sizes")


def cached_faces(
    sources: Sequence[Source],
    root: Path,
    found: Mapping[str, Faces],
    corrections: Mapping[str, Label | None],
    cache: Path,
) -> FaceCrops:
    """As :func:`~maskgate.training.crops.cut_faces`, from ``cache`` where it has been done before.

    The key covers the sources, their pictures and the boxes drawn in scenes (name, size and time of
    change of the files), the faces found, the corrections, and how faces are cut. Images are mapped,
    not read: processes share them.
    """
    key = crops_key(sources, root, found, corrections)
    folder = cache / f"crops-{key[:16]}"
    if not (folder / "made-of.json").is_file():
        crops = cut_faces(sources, root, found, corrections)
        part = cache / f".crops-{key[:16]}.{os.getpid()}"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            for name in _ARRAYS:
                np.save(part / f"{name}.npy", getattr(crops, name))
            (part / "pictures.json").write_text(json.dumps(crops.pictures))
            about = {"sha256": key, "version": VERSION, "side": SIDE, "margin": MARGIN,
                     "sources": [asdict(s) for s in sources], "faces": len(crops)}  # fmt: skip
            (part / "made-of.json").write_text(json.dumps(about, indent=2, default=dict))
            if not (folder / "made-of.json").is_file():  # else another run was quicker
                shutil.rmtree(folder, ignore_errors=True)
                os.replace(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    images = np.load(folder / "images.npy", mmap_mode="r")
    small = {name: np.load(folder / f"{name}.npy") for name in _ARRAYS[1:]}
    return FaceCrops(images=images, pictures=json.loads((folder / "pictures.json").read_text()), **small)


def crops_key(
    sources: Sequence[Source],
    root: Path,
    found: Mapping[str, Faces],
    corrections: Mapping[str, Label | None],
) -> str:
    """The hex digest that :func:`cached_faces` files its result under."""
    digest = hashlib.sha256(f"{VERSION} {SIDE} {MARGIN}".encode())
    for source in sources:
        # where a picture is split to, or how sure a model must be, changes no crop
        digest.update(json.dumps([source.path, source.kind, dict(source.labels or {}), source.bare]).encode())
        drawn = [root / source.path / "annotations.json"] if source.kind == "scenes" else []
        for file in [*(f for f in drawn if f.is_file()), *source.files(root)]:
            name, about = str(file.relative_to(root)), file.stat()
            digest.update(f"{name} {about.st_size} {about.st_mtime_ns}".encode())
            digest.update(str(corrections.get(name, "as it is")).encode())
            if name in found:
                faces = found[name]
                digest.update(faces.boxes.tobytes() + faces.scores.tobytes() + faces.landmarks.tobytes())
    return digest.hexdigest()
