"""Memory that is given back, measured from the outside."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from pathlib import Path
from maskgate.server.memory import LARGE_BYTES, give_large_blocks_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20

if sys.argv[1] == "set":
    assert give_large_blocks_back()
size = 2 * LARGE_BYTES
bytearray(2 * size)  # freed at once, from which glibc learns
before = resident()
blocks, pins = [], []
for _ in range(12):
    blocks.append(b"x" * size)
    pins.append(b"y" * 200_000)  # small ones that stay, between them
del blocks
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_large_blocks_are_given_back() -> None:
    def grown(how: str) -> float:
        run = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return float(run.stdout)

    if grown("leave") < 60:
        pytest.skip("this C library gives large blocks back by itself")
    assert grown("set") < 16
