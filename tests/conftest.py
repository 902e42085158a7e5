"""Fixtures that many tests share."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from maskgate.events import Event, EventType
from maskgate.models import DEFAULT_DETECTOR, InputSpec, ModelCard, find_card, write_card
from maskgate.types import Label

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data and weights beside the checkout; the test skips where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the shared data beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """(512, 512, 3) uint8 RGB, one upright bare face (public domain)."""
    image: np.ndarray = data.astronaut()
    return image


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that takes the place of the user's own models."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv("MASKGATE_MODELS", str(folder))
    return folder


@pytest.fixture
def add_model(own_models: Path) -> Callable[..., ModelCard]:
    """Puts an ONNX network (bytes) with its card among the user's own models."""

    def add(name: str, network: bytes, **fields: Any) -> ModelCard:
        spec: dict[str, Any] = {
            "name": name, "version": "1", "task": "detection", "architecture": "retinaface",
            "file": f"{name}.onnx", "sha256": hashlib.sha256(network).hexdigest(), "bytes": len(network),
            "description": "For a test.", "classes": ("face",), "input": InputSpec(None, None, "BGR"),
            "settings": {}, "training": {}, "figures": {}, "licence": "CC0-1.0", "folder": own_models,
        }  # fmt: skip
        card = ModelCard(**(spec | fields))
        card.path.write_bytes(network)
        write_card(card, own_models / f"{name}.json")
        return card

    return add


@pytest.fixture(scope="session")
def labelling_network() -> bytes:
    """The detector that ships with a head of labels, as ONNX: P(label) is the softmax of an anchor's first
    three landmark offsets."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(find_card(DEFAULT_DETECTOR, "detection").path))
    graph = model.graph
    for name, value in (("from", 0), ("to", 3), ("axis", 2)):
        graph.initializer.append(onnx.numpy_helper.from_array(np.array([value], np.int64), name))
    graph.node.append(onnx.helper.make_node("Slice", ["landmarks", "from", "to", "axis"], ["three"]))
    graph.node.append(onnx.helper.make_node("Softmax", ["three"], ["labels"], axis=-1))
    shape = ["batch", "anchors", 3]
    graph.output.append(onnx.helper.make_tensor_value_info("labels", onnx.TensorProto.FLOAT, shape))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Installs a distribution of one module, given its name, code and entry points.

    It is laid out as pip leaves it: the module and a ``.dist-info`` folder, in a folder that is on
    ``sys.path`` until the test's end. The module's name is the distribution's with ``_`` for ``-``.
    """

    def add(name: str, code: str, points: str) -> None:
        site = tmp_path / f"site-{name}"
        info = site / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{name.replace('-', '_')}.py").write_text(code, "utf-8")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
        (info / "entry_points.txt").write_text(points, "utf-8")
        monkeypatch.syspath_prepend(site)

    return add


@pytest.fixture
def write_wider(tmp_path: Path) -> Callable[..., Path]:
    """Writes WIDER FACE's official files for a few events, given as ``{event: {name: rows}}``.

    A row is ``x y w h``, the six attributes ``blur expression illumination invalid occlusion pose``, and the
    subsets in which the face counts, of ``"easy"``, ``"medium"`` and ``"hard"``. No picture is written.
    """
    savemat = pytest.importorskip("scipy.io").savemat

    def cells(values: list[Any]) -> np.ndarray:
        column = np.empty((len(values), 1), object)
        for i, value in enumerate(values):
            column[i, 0] = value
        return column

    def write(events: dict[str, dict[str, list[tuple[Any, ...]]]]) -> Path:
        folder = tmp_path / "WIDER"
        split = folder / "wider_face_split"
        split.mkdir(parents=True)

        def table(make: Callable[[list[tuple[Any, ...]]], np.ndarray]) -> np.ndarray:
            return cells([cells([make(rows) for rows in pictures.values()]) for pictures in events.values()])

        def column(i: int) -> np.ndarray:
            return table(lambda rows: np.array([[row[i]] for row in rows], np.float64).reshape(-1, 1))

        names = {
            "event_list": cells(list(events)),
            "file_list": cells([cells(list(pictures)) for pictures in events.values()]),
        }
        boxes = table(lambda rows: np.array([row[:4] for row in rows], np.float64).reshape(-1, 4))
        attributes = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")
        labels = {f"{name}_label_list": column(4 + i) for i, name in enumerate(attributes)}
        savemat(split / "wider_face_val.mat", names | {"face_bbx_list": boxes} | labels)
        for subset in ("easy", "medium", "hard"):
            places = table(
                lambda rows, subset=subset: np.array(
                    [[i] for i, row in enumerate(rows, 1) if subset in row[10:]], np.float64
                ).reshape(-1, 1)
            )
            savemat(split / f"wider_{subset}_val.mat", names | {"gt_list": places, "face_bbx_list": boxes})
        lines = []
        for event, pictures in events.items():
            for name, rows in pictures.items():
                lines += [f"{event}/{name}.jpg", str(len(rows))]
                lines += [" ".join(map(str, row[:10])) for row in rows or [(0,) * 10]]
        (split / "wider_face_val_bbx_gt.txt").write_text("\n".join(lines) + "\n", "utf-8")
        return folder

    return write


START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def track_event() -> Callable[..., Event]:
    """Events of faces, a second apart, without a mask; fields can be given."""
    numbers = count()

    def make(**fields: Any) -> Event:
        number = next(numbers)
        given: dict[str, Any] = {
            "type": EventType.TRACK_CONFIRMED, "time": START + timedelta(seconds=number), "camera": "door",
            "track": str(number), "label": Label.NO_MASK, "confidence": 0.9375, "votes": 7,
            "box": (1.5, 2, 30, 40),
        }  # fmt: skip
        return Event.of_track(**(given | fields))

    return make


def eventually(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Waits until ``condition`` gives something true, and gives that."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "it has not come true in time"
        time.sleep(0.02)


@pytest.fixture(name="eventually", scope="session")
def _eventually() -> Callable[..., Any]:
    return eventually
