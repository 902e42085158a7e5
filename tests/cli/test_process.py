"""The command line as a process of its own: terminals, pipes, signals."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GREEN, RED = (40, 220, 40), (220, 40, 40)

Call = Callable[..., Any]
Spawn = Callable[..., subprocess.Popen[str]]
pytestmark = [
    pytest.mark.usefixtures("toys"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of Unix"),
]


@pytest.fixture
def pictures(paint: Call) -> list[str]:
    names = [f"p{i:02}.png" for i in range(20)]
    for name in names:
        paint(name, (10, 20, 50, GREEN if name < "p10" else RED))
    return names


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for a minute"
        time.sleep(0.05)


class Terminal:
    """A pseudo-terminal that processes can write to."""

    def __init__(self) -> None:
        self.screen, self.end = os.openpty()

    def read(self, process: subprocess.Popen[str]) -> str:
        """What was written up to the end of ``process``."""
        parts = []
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            running = process.poll() is None
            if select.select([self.screen], [], [], 0.05)[0]:
                parts.append(os.read(self.screen, 65536))
            elif not running:
                break
        process.communicate()
        return b"".join(parts).decode("utf-8")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


def test_lines_come_one_by_one_through_a_pipe(
    spawn: Spawn, pictures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.1")
    process = spawn("detect", *pictures)
    assert process.stdout is not None
    first = process.stdout.readline()
    assert json.loads(first)["path"] == pictures[0]
    assert process.poll() is None, "the first line came when all was done"
    rest, errors = process.communicate()
    assert [json.loads(line)["path"] for line in rest.splitlines()] == pictures[1:]
    assert (process.returncode, errors) == (0, "")


def test_a_pipe_closed_early(pictures: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.02")
    command = f"{sys.executable} -m maskgate detect . | head -1; exit ${{PIPESTATUS[0]}}"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert json.loads(run.stdout)["path"] == pictures[0]
    assert run.stderr == "maskgate: stopped: the reader of the output has closed it\n"
    assert run.returncode == 141


def test_a_table_for_a_reader_that_is_gone(pictures: list[str]) -> None:
    command = f"{sys.executable} -m maskgate detect . --format table | true; exit ${{PIPESTATUS[0]}}"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert run.stderr == "maskgate: stopped: the reader of the output has closed it\n"
    assert run.returncode == 141


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_streams_that_are_closed(pictures: list[str], closed: str) -> None:
    command = f"{sys.executable} -m maskgate detect p00.png --output out.jsonl {closed}"
    assert subprocess.run(["bash", "-c", command]).returncode == 0
    assert json.loads(Path("out.jsonl").read_text())["path"] == "p00.png"
    command = f"{sys.executable} -m maskgate detect p00.png --detector nobody {closed}"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_no_space_left(spawn: Spawn, pictures: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        process = spawn("detect", *pictures, stdout=full)
        _, errors = process.communicate()
    assert errors == "maskgate: No space left on device\n"
    assert process.returncode == 2


@pytest.mark.parametrize("form", ["jsonl", "table"])
def test_interrupt(spawn: Spawn, pictures: list[str], monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.5")
    Path("out.txt").write_text("old")
    piped = spawn("detect", *pictures, "--format", form, "--annotate", "one")
    filed = spawn("detect", *pictures, "--format", form, "--output", "out.txt", "--annotate", "two")
    try:
        # the second drawing shows that the first picture is done
        wait_for(lambda: all((Path(folder) / pictures[1]).exists() for folder in ("one", "two")))
        for process in (piped, filed):
            process.send_signal(signal.SIGINT)
        printed, errors = piped.communicate(timeout=20)
        assert (piped.returncode, errors) == (130, "maskgate: stopped\n")
        assert pictures[0] in printed, "what had been found was lost"
        assert pictures[-1] not in printed
        assert filed.communicate(timeout=20) == ("", "maskgate: stopped\n")
        assert filed.returncode == 130
        assert Path("out.txt").read_text() == "old"
        assert {path.suffix for path in Path().iterdir() if path.is_file()} == {".png", ".txt"}
    finally:
        piped.kill()
        filed.kill()


class TestTerminal:
    def test_a_table_in_colours_by_label(self, spawn: Spawn, paint: Call, terminal: Terminal) -> None:
        paint("a.png", (10, 20, 50, GREEN), (80, 30, 40, RED))
        process = spawn("detect", "a.png", "gone.png", stdout=terminal.end)
        shown = terminal.read(process)
        assert process.returncode == 1
        assert re.search(r"\x1b\[1;32mmask", shown)
        assert re.search(r"\x1b\[1;31mno mask", shown)
        assert "gone.png" in shown
        assert "2 pictures, 2 faces" in shown

    def test_no_colours_where_they_are_not_wanted(
        self, spawn: Spawn, paint: Call, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        paint("a.png", (10, 20, 50, GREEN))
        shown = terminal.read(spawn("detect", "a.png", stdout=terminal.end))
        assert "a.png" in shown
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown)

    def test_a_narrow_terminal_shows_everything(
        self, spawn: Spawn, paint: Call, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "60")
        paint("a-name-that-needs-quite-some-room.png", (10, 20, 50, GREEN))
        shown = terminal.read(spawn("detect", ".", stdout=terminal.end))
        letters = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        assert all(len(line) <= 60 for line in letters.splitlines())
        assert "10,20 to 60,70" in letters

    def test_a_bar_on_long_inputs(
        self, spawn: Spawn, pictures: list[str], terminal: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TOY_SECONDS", "0.05")
        process = spawn("detect", *pictures, "--output", "out.jsonl", stderr=terminal.end)
        shown = terminal.read(process)
        assert process.returncode == 0
        assert re.search(r"\d+/20", shown)
        assert len(Path("out.jsonl").read_text().splitlines()) == 20

    def test_results_stay_on_standard_output_beside_a_bar(
        self, spawn: Spawn, pictures: list[str], terminal: Terminal
    ) -> None:
        with Path("out.jsonl").open("w") as out:
            shown = terminal.read(spawn("detect", *pictures, stdout=out, stderr=terminal.end))
        assert "20" in shown
        assert "path" not in shown
        assert [json.loads(line)["path"] for line in Path("out.jsonl").read_text().splitlines()] == pictures

    @pytest.mark.parametrize("words", [["--format", "jsonl"], []])
    def test_a_bar_does_not_cut_up_lines(
        self, spawn: Spawn, pictures: list[str], terminal: Terminal, words: list[str]
    ) -> None:
        count = 20 if words else 9  # lines on the same terminal; a short input
        process = spawn("detect", *pictures[:count], *words, stdout=terminal.end, stderr=terminal.end)
        assert "\x1b[?25l" not in terminal.read(process), "a bar hides the cursor"


def test_python_m_and_version(spawn: Spawn) -> None:
    import maskgate

    printed, errors = spawn("--version").communicate()
    assert (printed, errors) == (f"maskgate {maskgate.__version__}\n", "")
