"""The room's commands run without the extra ``train``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import maskgate.datasets

ROOM = Path(maskgate.datasets.__path__[0])
MODULES = sorted(p.relative_to(ROOM).with_suffix("").as_posix().replace("/", ".") for p in ROOM.rglob("*.py"))


@pytest.mark.parametrize("name", ["torch", "safetensors", "tqdm", "sklearn"])
def test_no_module_needs_it(name: str) -> None:
    modules = [f"maskgate.datasets.{module}".removesuffix(".__init__") for module in MODULES]
    program = f"""
import importlib, sys
sys.modules[{name!r}] = None  # as if it were not installed
for module in {modules!r}:
    importlib.import_module(module)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
