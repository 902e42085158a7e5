"""Prometheus metrics, in a registry of the application's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from maskgate import __version__
from maskgate.server.watch import Watch
from maskgate.types import Verdicts

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_STAGE_SECONDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """What is counted and timed. Safe to use from several threads.

    Labels hold paths as templates, never as they were asked for, so that nobody can fill the memory.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "maskgate_http_requests",
            "Answered requests.",
            ("method", "path", "status"),
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "maskgate_http_request_seconds", "From a request's headers to the end of its answer.", ("path",),
            buckets=_STAGE_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.in_flight = Gauge("maskgate_http_in_flight", "Requests being answered.", registry=self.registry)
        self.open_streams = 0
        streams = Gauge("maskgate_event_streams", "Open streams of events.", registry=self.registry)
        streams.set_function(lambda: self.open_streams)
        self._stages = Histogram(
            "maskgate_stage_seconds",
            "Time of a picture in each stage: receive, decode, wait, detect, align, classify.",
            ("stage",), buckets=_STAGE_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._batches = Histogram(
            "maskgate_batch_pictures", "Pictures that were looked at together.",
            buckets=(1, 2, 3, 4, 6, 8, 12, 16), registry=self.registry,
        )  # fmt: skip
        self._pictures = Counter(
            "maskgate_pictures",
            "Uploaded pictures by what became of them.",
            ("outcome",),
            registry=self.registry,
        )
        self._faces = Counter(
            "maskgate_faces", "Faces in uploaded pictures.", ("label",), registry=self.registry
        )
        info = Gauge("maskgate_info", "Always 1.", ("version",), registry=self.registry)
        info.labels(__version__).set(1)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        """Counts an answered request; ``path`` is a template."""
        self._requests.labels(method if method in _METHODS else "other", path, str(status)).inc()
        self._request_seconds.labels(path).observe(seconds)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Counts a stream of events as open until the end of the ``with`` statement."""
        self.open_streams += 1
        try:
            yield
        finally:
            self.open_streams -= 1

    def stage(self, name: str, seconds: float) -> None:
        """Times a stage."""
        self._stages.labels(name).observe(seconds)

    def batch(self, pictures: int) -> None:
        """Notes how many pictures were looked at together."""
        self._batches.observe(pictures)

    def recognised(self, verdicts: Verdicts) -> None:
        """Counts an uploaded picture that was looked at, its faces and its time."""
        self._pictures.labels("recognised").inc()
        for label in verdicts.labels:
            self._faces.labels(str(label)).inc()
        times = verdicts.milliseconds
        for name, milliseconds in (
            ("decode", times.decode),
            ("detect", times.detect),
            ("align", times.align),
            ("classify", times.classify),
        ):
            self.stage(name, milliseconds / 1000)

    def refused(self, outcome: str) -> None:
        """Counts an uploaded picture that was not looked at; ``outcome`` is the kind of problem."""
        self._pictures.labels(outcome).inc()

    def read_queue(self, lengths: Callable[[], tuple[int, int]]) -> None:
        """Has the numbers of pictures that wait and that are in work read whenever metrics are."""
        waiting = Gauge("maskgate_queue_pictures", "Pictures that wait.", registry=self.registry)
        waiting.set_function(lambda: lengths()[0])
        working = Gauge("maskgate_working_pictures", "Pictures in work.", registry=self.registry)
        working.set_function(lambda: lengths()[1])

    def read_watch(self, watch: Watch) -> None:
        """Has cameras and events read whenever metrics are."""
        self.registry.register(_WatchCollector(watch))

    def text(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self.registry)


class _WatchCollector(Collector):
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def collect(self) -> Iterable[Metric]:
        frames = CounterMetricFamily(
            "maskgate_camera_frames",
            "Pictures of a camera by what became of them.",
            labels=("camera", "result"),
        )
        online = GaugeMetricFamily("maskgate_camera_online", "1 while pictures come.", labels=("camera",))
        for camera in self._watch.cameras():
            for result in ("received", "processed", "skipped", "passed"):
                frames.add_metric((camera.name, result), getattr(camera, result))
            online.add_metric((camera.name,), float(camera.online is True))
        events = CounterMetricFamily("maskgate_events", "Events of the watched cameras.", labels=("type",))
        for type, count in self._watch.events().items():
            events.add_metric((str(type),), count)
        running = GaugeMetricFamily("maskgate_watch_running", "1 while cameras are watched.")
        running.add_metric((), float(self._watch.running))
        return (frames, online, events, running)
