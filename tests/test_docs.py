"""README and docs: links resolve, named modules exist, examples run, stated numbers are right."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import maskgate
from maskgate.alignment import ARCFACE_TEMPLATE

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "maskgate"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])
MADE_BY_THE_READER = {"out/", "maskgate_toys.py"}
README = (ROOT / "README.md").read_text("utf-8")

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(text: str, language: str) -> list[str]:
    """The fenced code blocks of one language."""
    return [body for kind, body in FENCE.findall(text) if kind == language]


def slugs(text: str) -> set[str]:
    """Anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links of ``page`` to files or headings that do not exist."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in slugs(path.read_text("utf-8") if target else text)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_resolve(page: Path) -> None:
    assert broken_links(page, page.read_text("utf-8")) == []


def test_broken_links_are_found() -> None:
    text = "# A title\n[here](#a-title) [gone](#no-title) [file](LICENSE) [no file](docs/nothing.md)"
    assert broken_links(ROOT / "README.md", text) == ["#no-title", "docs/nothing.md"]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_named_modules_exist(page: Path) -> None:
    for token in re.findall(r"`((?:src/maskgate/|[a-z_]+/)*[a-z_]+(?:\.py|/))`", page.read_text("utf-8")):
        if token not in MADE_BY_THE_READER:
            assert (ROOT / token).exists() or (SOURCE / token).exists(), token


def test_readme_offers_two_commands_that_exist() -> None:
    first, second = blocks(README, "bash")[:2]
    assert first.count("\n") == second.count("\n") == 1
    assert first.startswith("python3 -m venv .venv")
    assert (ROOT / second.strip()).stat().st_mode & 0o111


def test_readme_python_example_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not list((SOURCE / "models" / "weights").glob("*.onnx")):
        pytest.skip("no weights are shipped yet")
    monkeypatch.chdir(ROOT)
    (example,) = blocks(README, "python")
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("no_mask at [")


def test_contributing_example_of_a_plugin_runs(tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (module,), (project,) = blocks(text, "python"), blocks(text, "toml")
    (tmp_path / "maskgate_toys.py").write_text(module, "utf-8")
    (tmp_path / "pyproject.toml").write_text(project, "utf-8")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    program = """
import sys
sys.path.insert(0, "installed")
import numpy as np
from maskgate import MaskGate
gate = MaskGate("full-frame", "blue-below")
bare = np.full((80, 60, 3), (200, 150, 120), np.uint8)
masked = bare.copy()
masked[40:] = (90, 140, 220)
print([[face.label.value for face in verdicts] for verdicts in gate.batch([bare, masked])])
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout.strip() == "[['no_mask'], ['mask']]", run.stderr


@pytest.mark.parametrize(
    "command",
    [
        "detect",
        "classify",
        "watch",
        "serve",
        "tokens add",
        "evaluate scenes",
        "evaluate faces",
        "models list",
        "models import",
        "train detector",
        "train classifier",
        "train pca",
        "train cascade",
        "compare",
        "train direct",
        "data collect",
        "data dedupe",
        "data split",
        "data synthesise",
        "data sheet",
        "data convert",
    ],
)
def test_cli_page_names_the_options_there_are(command: str) -> None:
    program = f"import sys; from maskgate.cli import main; sys.exit(main({[*command.split(), '--help']!r}))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    offered = set(re.findall(r"--[a-z][a-z-]+", run.stdout)) - {"--help"}
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    # classify takes detect's options, and its section says so
    section = sections["detect" if command == "classify" else command]
    assert set(re.findall(r"--[a-z][a-z-]+", section)) == offered


def test_readme_json_example_has_the_documented_fields() -> None:
    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    (example,) = blocks(README, "json")
    keys = set(re.findall(r'"(\w+)":', example)) - {"mask", "no_mask", "incorrect"}
    documented = set(re.findall(r"`(?:faces\[\]\.)?(\w+)`", text))
    assert keys <= documented


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    headings = re.findall(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert project["version"] == maskgate.__version__ == version("maskgate") == headings[0]


def test_changelog_is_newest_first() -> None:
    headings = re.findall(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    numbers = [tuple(int(part) for part in heading.split(".")) for heading in headings]
    assert all(newer > older for newer, older in pairwise(numbers))


class TestNumbersInThePaperPage:
    """What docs/paper.md computes to show that the paper's listing cannot be meant literally."""

    text = (ROOT / "docs" / "paper.md").read_text("utf-8")

    @staticmethod
    def face(left: float, top: float, roll: float = 0.0) -> np.ndarray:
        """Landmarks of the template, 120 pixels wide at (left, top), rolled about its centre."""
        a = math.radians(roll)
        turn = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
        return (ARCFACE_TEMPLATE / 112 * 120 - 60) @ turn.T + 60 + (left, top)

    @pytest.mark.parametrize("roll", [-30, 0, 30, 90])
    def test_formula_gives_the_same_angle_for_every_roll(self, roll: float) -> None:
        left, right, _, mouth_left, mouth_right = self.face(260, 140, roll)
        eyes, mouth = math.dist(left, right), math.dist(mouth_left, mouth_right)
        assert f"{math.degrees(math.atan(eyes / mouth)):.1f}" == "50.4"
        assert "θ = 50.4°" in self.text

    @pytest.mark.parametrize("corner", [(260, 140), (460, 140), (460, 40), (60, 340)])
    def test_algorithm_1_depends_on_the_place(self, corner: tuple[int, int]) -> None:
        left, right, nose = self.face(*corner)[:3]
        listing = math.degrees(math.atan(left[1] / nose[0]))
        eye_line = math.degrees(math.atan2(right[1] - left[1], right[0] - left[0]))
        row = (
            f"| {corner} | ({left[0]:.0f}, {left[1]:.0f}) | ({nose[0]:.0f}, {nose[1]:.0f}) "
            f"| {listing:.1f}° | −{-eye_line:.1f}° |"
        )
        assert row in self.text

    @pytest.mark.parametrize("enlarged", [True, False])
    def test_box_from_before_the_turn_misses_the_face(self, enlarged: bool) -> None:
        y, x = np.mgrid[:480, :640]
        spot = np.exp(-((x - 480) ** 2 + (y - 120) ** 2) / 50)
        turned = ndimage.rotate(spot, 20, reshape=enlarged)
        row, column = np.unravel_index(turned.argmax(), turned.shape)
        shared = (100 - abs(column - 480)) * (100 - abs(row - 120))
        assert f"| ({column}, {row}) | {shared / (20000 - shared):.2f} |" in self.text
