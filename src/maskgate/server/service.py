"""The parts of a running service, made once and shared by all requests."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from maskgate.server.archive import Archive
from maskgate.server.engine import Engine
from maskgate.server.feed import Feed
from maskgate.server.metrics import Metrics
from maskgate.server.rates import Rates
from maskgate.server.settings import ServerSettings
from maskgate.server.stopping import Stopping
from maskgate.server.uploads import Uploads
from maskgate.server.watch import Watch


@dataclass(frozen=True, eq=False)
class Service:
    """The parts.

    Attributes:
        settings: of the service.
        engine: looks at pictures.
        uploads: reads them out of requests.
        rates: of clients.
        metrics: counts.
        archive: the store of events; None: there is none.
        feed: its events as they come.
        watch: cameras that are watched in this process; None: there are none.
        stopping: tells that the service is being stopped.
    """

    settings: ServerSettings
    engine: Engine
    uploads: Uploads
    rates: Rates
    metrics: Metrics
    archive: Archive | None
    feed: Feed | None
    watch: Watch | None
    stopping: Stopping


def service_of(request: Request) -> Service:
    """The service that a request is for; a dependency too."""
    service: Service = request.app.state.service
    return service
