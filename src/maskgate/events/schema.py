"""The published JSON Schema of events."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def event_schema() -> dict[str, Any]:
    """The schema, in draft 2020-12, that every event's JSON fulfils; a copy of your own."""
    text = files("maskgate.events").joinpath("event.schema.json").read_text("utf-8")
    content: dict[str, Any] = json.loads(text)
    return content
