"""What a user gets: the wheel's files, dependencies and entry points."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (path,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel.read(path).decode("utf-8"))


def test_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    packed = {n for n in wheel.namelist() if ".dist-info/" not in n}
    files = [p for p in (SOURCE / "maskgate").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert packed == {p.relative_to(SOURCE).as_posix() for p in files}
    assert "maskgate/py.typed" in packed


def test_wheel_ships_a_card_for_each_network(wheel: zipfile.ZipFile) -> None:
    weights = [Path(n) for n in wheel.namelist() if n.startswith("maskgate/models/weights/")]
    networks = {p.stem for p in weights if p.suffix == ".onnx"}
    assert networks, "no network is shipped"
    assert networks <= {p.stem for p in weights if p.suffix == ".json"}


def test_wheel_is_not_too_large(wheel: zipfile.ZipFile) -> None:
    assert wheel.filename is not None
    assert Path(wheel.filename).stat().st_size < 64e6


def test_users_install_no_training_packages(metadata: Message) -> None:
    needed = [d for d in metadata.get_all("Requires-Dist", []) if "extra ==" not in d]
    names = {d.split(">=")[0] for d in needed}
    assert names == {"numpy", "onnxruntime", "opencv-python-headless", "pillow", "rich"}
    assert all(">=" in d for d in needed), "a dependency has no lower bound"


def test_licence_travels_along(wheel: zipfile.ZipFile, metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    licences = {n.rsplit("/", 1)[1] for n in wheel.namelist() if ".dist-info/licenses/" in n}
    assert {"LICENSE", "NOTICE"} <= licences


def test_recognising_leaves_nothing_in_the_home_and_reports_to_nobody(tmp_path: Path) -> None:
    """ONNX Runtime would send usage to its maker, and keep an identifier of the machine."""
    home = tmp_path / "home"
    home.mkdir()
    script = (
        "import os, sys, maskgate; maskgate.MaskGate(threads=1)(sys.argv[1]);"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_"))}
    command = [sys.executable, "-c", script, str(ROOT / "examples" / "astronaut.jpg")]
    run = subprocess.run(command, env=environment | {"HOME": str(home)}, capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip()) == (0, "1"), run.stderr
    assert list(home.rglob("*")) == []
    chosen = environment | {"HOME": str(home), "ORT_DISABLE_TELEMETRY": "0"}
    run = subprocess.run(command, env=chosen, capture_output=True, text=True)
    assert run.stdout.strip() == "0", "whoever wants it can have it"
