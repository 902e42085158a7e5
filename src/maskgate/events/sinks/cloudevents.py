"""Events as CloudEvents 1.0 in JSON, structured mode. https://github.com/cloudevents/spec"""

from __future__ import annotations

import json
from urllib.parse import quote

from maskgate.events.times import time_text
from maskgate.events.types import Event

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


def cloud_event(event: Event) -> bytes:
    """The body of a request. The same event gives the same bytes."""
    content = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"urn:maskgate:camera:{quote(event.camera, safe='')}",
        "type": f"maskgate.{event.type}",
        "subject": event.track or event.camera,
        "time": time_text(event.time),
        "datacontenttype": "application/json",
        "dataschema": f"urn:maskgate:event:{event.schema}",
        "data": event.to_json(),
    }
    return json.dumps(content, allow_nan=False).encode()
