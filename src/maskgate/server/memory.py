"""Memory that is given back to the system.

glibc takes large blocks from the system one by one, and gives each back when it is freed. But it learns: with
each such block that is freed, larger ones come from its heap, up to 32 MB, and there they leave holes. A
process that decodes pictures of all sizes in several threads grows by that to many times what it needs.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

LARGE_BYTES: Final = 4 * 2**20
"""Blocks from this size on are given back. Those of usual pictures are smaller, and quicker from the heap."""

_M_MMAP_THRESHOLD: Final = -3  # in malloc.h


def give_large_blocks_back() -> bool:
    """Has glibc learn no more, in this process; whether that could be done. Other systems need it not."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES))
    except (OSError, AttributeError):  # another C library
        return False
