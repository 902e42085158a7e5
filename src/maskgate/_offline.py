"""Imported before all else: nothing that runs networks here reports to anybody.

ONNX Runtime's builds of 2026 send usage events to their maker unless an environment variable says
otherwise before the library is loaded, and leave an identifier of the machine in the user's cache.
Whoever wants that can set the variable to 0.
"""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
