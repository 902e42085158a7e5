"""The house plan's "who may import whom", checked on every module's syntax tree.

Imports inside functions count too: a lazy ``import torch`` on the inference side is as wrong as
one at the top.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "maskgate"
MODULES = sorted(SOURCE.rglob("*.py"))

BASE = {"errors", "types", "files"}
BRICKS = BASE | {"images", "alignment", "models"}
PARTS = BRICKS | {"detection", "classification"}
CORE = PARTS | {"pipeline"}

# room: the other rooms that it may import. A new room needs a line here.
ROOMS: dict[str, set[str]] = {
    "_offline": set(),
    "errors": set(),
    "files": set(),
    "types": {"errors"},
    "images": BASE,
    "alignment": BASE,
    "models": BASE,
    "detection": BRICKS,
    "classification": BRICKS,
    "pipeline": PARTS,
    "drawing": BASE | {"images"},
    "serialisation": BASE,
    "__init__": CORE | {"_offline", "drawing"},
    "evaluation": CORE | {"drawing"},
    "nets": {"errors"},
    "training": CORE | {"drawing", "evaluation", "nets"},
    "datasets": CORE | {"drawing", "evaluation", "training"},
    "studies": CORE | {"drawing", "evaluation", "nets", "training"},
    "events": BASE,
    "streams": CORE | {"drawing", "events"},
    "server": CORE | {"__init__", "drawing", "serialisation", "events"},
    "client": BASE | {"images", "events"},
    "cli": CORE
    | {"__init__", "drawing", "serialisation", "evaluation", "training", "studies", "datasets"}
    | {"streams", "events", "server"},
    "__main__": {"cli"},
}

INFERENCE = {"numpy", "cv2", "onnxruntime", "PIL"}
TRAINING = INFERENCE | {"torch", "safetensors", "onnx", "tensorboardX", "tqdm"}

# room: the third parties that it may import; the rooms not named here are on the inference side
THIRD_PARTIES: dict[str, set[str]] = {
    "evaluation": INFERENCE | {"sklearn", "matplotlib", "scipy"},
    "nets": {"torch", "numpy"},
    "training": TRAINING,
    "studies": INFERENCE | {"matplotlib", "sklearn", "tqdm"},
    "events": {"sqlalchemy", "alembic", "urllib3", "paho"},
    "streams": INFERENCE | {"av", "scipy"},
    "server": {"fastapi", "h11", "jinja2", "prometheus_client", "pydantic", "python_multipart", "starlette"}
    | {"uvicorn"},
    "client": {"httpx", "numpy"},
    "cli": {"numpy", "rich"},
}

# single modules that may do more than their room
EXCEPTIONS: dict[str, set[str]] = {
    "evaluation.comparison": {"nets", "training", "torch"},
    "training.eigenfaces": {"sklearn"},
    "training.svm": {"sklearn"},
}


def dotted(path: Path) -> str:
    """``detection.retinaface`` for ``src/maskgate/detection/retinaface.py``."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Full dotted names that a module imports, at any depth, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno
        elif isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if name in {"import_module", "__import__"} and isinstance(first, ast.Constant):
                yield str(first.value), node.lineno


def violations(module: str, text: str) -> list[str]:
    """What ``module`` imports but may not, one line each."""
    room = module.split(".")[0]
    extra = EXCEPTIONS.get(module, set())
    rooms = ROOMS[room] | {room} | extra
    third = THIRD_PARTIES.get(room, INFERENCE) | extra
    found = []
    for name, line in imported(ast.parse(text)):
        top, *rest = name.split(".")
        if top == "maskgate":
            target = rest[0] if rest and rest[0] in ROOMS else "__init__"
            allowed = target in rooms
        else:
            allowed = top in sys.stdlib_module_names or top in third
        if not allowed:
            found.append(f"maskgate.{module}, line {line}: {name}")
    return found


def test_every_room_has_a_rule() -> None:
    assert {dotted(path).split(".")[0] for path in MODULES} <= set(ROOMS)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_keep_to_the_plan(path: Path) -> None:
    assert violations(dotted(path), path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pipeline", "import torch"),
        ("detection.retinaface", "def load():\n    from torch import nn"),
        ("models.session", "from importlib import import_module\nimport_module('torch')"),
        ("images", "from maskgate.detection import boxes"),
        ("detection.retinaface", "from maskgate import training"),
        ("classification.resnet", "import maskgate.detection.boxes"),
        ("alignment", "from maskgate import MaskGate"),
        ("evaluation.scenes", "from maskgate.training import runs"),
        ("training.loop", "import sklearn.metrics"),
        ("cli.train", "import torch"),
        ("server.application", "from maskgate.streams.running import LiveWatch"),
    ],
)
def test_what_the_plan_forbids_is_found(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("evaluation.comparison", "from maskgate.training import runs"),
        ("training.loop", "import torch\nfrom maskgate.nets.resnet import ResNet"),
        ("cli.train", "def main():\n    from maskgate.training.runs import Run"),
        ("pipeline", "import json\nimport numpy as np\nfrom maskgate.types import Faces"),
    ],
)
def test_what_the_plan_allows_passes(module: str, source: str) -> None:
    assert violations(module, source) == []


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_no_module_is_long(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 400, "over 400 lines: one concept, one module"


def test_no_room_for_leftovers() -> None:
    names = {part.removesuffix(".py") for path in MODULES for part in path.relative_to(SOURCE).parts}
    assert names.isdisjoint({"utils", "util", "helpers", "helper", "manager", "managers", "misc", "common"})


def loaded_after(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after ``code``."""
    program = textwrap.dedent(code) + "\nimport sys\nprint('LOADED', *{m.split('.')[0] for m in sys.modules})"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.rsplit("LOADED", 1)[1].split())


HEAVY = {"torch", "onnx", "sklearn", "scipy", "skimage", "matplotlib", "pycocotools"}
HEAVY |= {"sqlalchemy", "paho", "av", "fastapi", "uvicorn", "prometheus_client", "httpx"}


def test_importing_maskgate_loads_nothing_heavy() -> None:
    assert loaded_after("from maskgate import MaskGate").isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "module",
    ["results", "findings", "page", "plots", "report", "robustness", "robustness_plots", "comparison_report"],
)
def test_reports_of_studies_load_no_torch(module: str) -> None:
    assert "torch" not in loaded_after(f"import maskgate.studies.{module}")


@pytest.mark.parametrize(
    "command",
    [[], *([name] for name in ("detect", "classify", "watch", "serve", "models", "data", "train", "compare")),
     ["evaluate", "scenes"], ["evaluate", "faces"], ["models", "import"]],
)  # fmt: skip
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    loaded = loaded_after(
        f"""
        from maskgate.cli import main
        try:
            status = main({[*command, "--help"]!r})
        except SystemExit as stop:
            status = stop.code
        assert not status, status
        """
    )
    assert "maskgate" in loaded
    assert loaded.isdisjoint(HEAVY)
