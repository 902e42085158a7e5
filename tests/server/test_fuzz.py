"""Requests made at random from the OpenAPI document, and by hand: no 5xx that is not meant, no leak, no hang.

``benchmarks/serve_fuzz.py`` does it for longer.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maskgate.events import Event
from maskgate.events.credentials import Address
from maskgate.events.store import Store

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def fuzz() -> Iterator[Any]:
    pytest.importorskip("schemathesis")
    spec = importlib.util.spec_from_file_location("serve_fuzz", ROOT / "benchmarks" / "serve_fuzz.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def running(
    serving: Callable[..., Any], store: Store, address: Address, track_event: Callable[..., Event]
) -> Iterator[Any]:
    store.append([track_event() for _ in range(20)])
    limits: dict[str, Any] = {"body_seconds": 0.5, "head_seconds": 0.5, "heartbeat_seconds": 0.2}
    with serving(store=address, **limits) as running:
        yield running


def test_requests_made_from_the_document_are_answered(running: Any, fuzz: Any) -> None:
    report = fuzz.from_document(running.url, count=60, seed=1)
    assert report.requests >= 60
    assert report.complaints == []


def test_requests_made_by_hand_are_answered(running: Any, fuzz: Any, jpeg: bytes) -> None:
    report = fuzz.by_hand(running.url, jpeg, count=120, seed=1, patience=8)
    assert report.requests >= 120
    assert report.complaints == []
    assert running.post(jpeg).status_code == 200
