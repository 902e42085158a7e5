"""Health, readiness and metrics."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from maskgate import MaskGate
from maskgate.events import EventType
from maskgate.server.watch import CameraReport, Judge, ReceiverReport


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples, as Prometheus's own parser sees them."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Watched:
    def __init__(self) -> None:
        self.running = False
        self.faces: list[int] = []

    def start(self, judge: Judge) -> None:
        self.running = True
        self.faces = [len(found) for found in judge([np.zeros((48, 64, 3), np.uint8)] * 2)]

    def stop(self) -> None:
        self.running = False

    def cameras(self) -> list[CameraReport]:
        return [CameraReport("door", "rtsp://10.0.0.7", True, None, 100, 70, 20, 9)]

    def events(self) -> dict[EventType, int]:
        return {EventType.TRACK_CONFIRMED: 5}

    def receivers(self) -> list[ReceiverReport]:
        return []


def test_a_service_is_ready_when_all_of_it_works(
    serving: Callable[..., Any], problem: Callable[..., Any]
) -> None:
    watched = Watched()
    with serving(watch=watched) as running, running.client() as client:
        assert watched.faces == [0, 0]  # cameras are looked at by the same pipeline
        assert client.get("/health/live").json() == {"status": "ok", "checks": {}}
        assert client.get("/health/ready").json() == {
            "status": "ok",
            "checks": {"engine": "ok", "watch": "ok"},
        }
        watched.running = False
        answer = client.get("/health/ready")
        assert problem(answer, 503, "not-ready")["detail"] == "not ready: watch"
        assert client.get("/health/live").status_code == 200


def test_metrics_count_what_happens(serving: Callable[..., Any], jpeg: bytes) -> None:
    with serving(watch=Watched()) as running, running.client() as client:
        for data in (jpeg, jpeg, b"GIF89a", b"x"):
            client.post("/v1/detect", files={"image": data})
        client.post("/v1/detect/batch", files=[("image", jpeg), ("image", b"x")])
        client.get("/nothing/at/all")
        client.request("BREW", "/v1/models")
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(answer.text)

    def value(name: str, **labels: str) -> float:
        return found[name, frozenset(labels.items())]

    path = "/v1/detect"
    assert value("maskgate_http_requests_total", method="POST", path=path, status="200") == 2
    assert value("maskgate_http_requests_total", method="POST", path=path, status="415") == 1
    assert value("maskgate_http_requests_total", method="POST", path=path, status="422") == 1
    assert value("maskgate_http_requests_total", method="GET", path="(other)", status="404") == 1
    assert value("maskgate_http_requests_total", method="other", path="/v1/models", status="405") == 1
    assert value("maskgate_http_request_seconds_count", path=path) == 4
    assert value("maskgate_http_in_flight") == 1  # itself
    assert value("maskgate_pictures_total", outcome="recognised") == 3
    assert value("maskgate_pictures_total", outcome="unreadable-picture") == 2
    assert value("maskgate_pictures_total", outcome="wrong-picture-format") == 1
    assert value("maskgate_faces_total", label="no_mask") == 3
    for stage in ("receive", "decode", "wait", "detect", "align", "classify"):
        assert value("maskgate_stage_seconds_count", stage=stage) >= 3, stage
    assert value("maskgate_batch_pictures_sum") == 3 + 2
    assert value("maskgate_queue_pictures") == value("maskgate_working_pictures") == 0
    assert value("maskgate_camera_frames_total", camera="door", result="processed") == 70
    assert value("maskgate_camera_frames_total", camera="door", result="skipped") == 20
    assert value("maskgate_camera_online", camera="door") == 1
    assert value("maskgate_events_total", type="track.confirmed") == 5
    assert value("maskgate_watch_running") == 1
    assert value("process_resident_memory_bytes") > 2**20
    assert not [name for name, _ in found if name.endswith("_created")]
    assert not re.search("nothing|BREW", answer.text)  # nobody fills the memory with names


def test_two_services_in_one_process_count_apart(serving: Callable[..., Any], gate: MaskGate) -> None:
    with serving() as one, serving() as other:
        with one.client() as client:
            client.get("/health/live")
        with other.client() as client:
            assert 'path="/health/live"' not in client.get("/metrics").text
