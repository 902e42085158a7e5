"""The published JSON Schema says the same as the code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from maskgate.errors import EventError
from maskgate.events import Event, EventType
from maskgate.events.schema import event_schema
from maskgate.types import Label

VALIDATOR = Draft202012Validator(event_schema())


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(event_schema())


def test_it_names_the_fields_of_events() -> None:
    names = [f.name for f in fields(Event)]
    assert list(event_schema()["properties"]) == event_schema()["required"] == names


@pytest.mark.parametrize("type", [t for t in EventType if t.of_track])
@pytest.mark.parametrize("label", list(Label))
def test_events_of_tracks_fulfil_it(track_event: Callable[..., Event], type: EventType, label: Label) -> None:
    VALIDATOR.validate(track_event(type=type, label=label).to_json())
    VALIDATOR.validate(track_event(type=type, label=label, zone="hall", media_seconds=1.5).to_json())


@pytest.mark.parametrize("type", [t for t in EventType if not t.of_track])
def test_events_of_cameras_fulfil_it(type: EventType) -> None:
    VALIDATOR.validate(Event.of_camera(type, time=datetime.now(UTC), camera="a").to_json())


@pytest.mark.parametrize(
    "change",
    [
        {"id": "a b"},
        {"type": "track.lost"},
        {"schema": 2},
        {"time": "2026-01-01 00:00:00"},
        {"camera": ""},
        {"track": None},
        {"label": "beard"},
        {"violation": None},
        {"confidence": 1.5},
        {"votes": 0},
        {"votes": 1.5},
        {"box": [1, 2, 3]},
        {"box": None},
        {"media_seconds": -1},
        {"type": "camera.online"},
    ],
    ids=str,
)
def test_what_the_code_refuses_it_refuses(track_event: Callable[..., Event], change: dict[str, Any]) -> None:
    content = track_event().to_json() | change
    assert not VALIDATOR.is_valid(content)
    with pytest.raises(EventError):
        Event.from_json(content)
