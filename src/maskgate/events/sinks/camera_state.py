"""What is known of a camera now, from its events so far."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from maskgate.events.times import time_text
from maskgate.events.types import Event, EventType


@dataclass
class CameraState:
    """State of one camera, as subscribers see it.

    A camera that comes online anew has no followed faces: those of a killed process never end.
    """

    online: bool = True
    violations: set[str] = field(default_factory=set)
    last: Event | None = None
    """The latest event that said what a face wears."""
    time: str = ""

    def follow(self, event: Event) -> None:
        """Takes an event in; taking it in again changes nothing."""
        self.time = time_text(event.time)
        if not event.type.of_track or event.track is None:
            self.online = event.type is EventType.CAMERA_ONLINE
            self.violations.clear()
            return
        self.online = True
        if event.type is EventType.TRACK_ENDED or not event.violation:
            self.violations.discard(event.track)
        else:
            self.violations.add(event.track)
        if event.type is not EventType.TRACK_ENDED:
            self.last = event

    def to_text(self, camera: str) -> str:
        """JSON: whether somebody is in violation now, how many, and the latest verdict."""
        last = self.last
        return json.dumps(
            {
                "camera": camera,
                "online": self.online,
                "violation": "ON" if self.violations else "OFF",
                "violations": len(self.violations),
                "label": str(last.label) if last else None,
                "confidence": last.confidence if last else None,
                "track": last.track if last else None,
                "zone": last.zone if last else None,
                "time": self.time,
            }
        )
