"""Topics and messages by which Home Assistant finds cameras by itself, over MQTT.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from importlib.metadata import version

from maskgate.types import LABELS

ONLINE, OFFLINE = "online", "offline"


@dataclass(frozen=True)
class Topics:
    """The topics of one camera.

    Attributes:
        event: every event, not retained.
        state: JSON of what is known now, retained.
        availability: ``online`` or ``offline``, retained.
    """

    event: str
    state: str
    availability: str

    @classmethod
    def of(cls, prefix: str, camera: str) -> Topics:
        """Those of a camera under a sink's prefix."""
        base = f"{prefix}/{slug(camera)}"
        return cls(f"{base}/event", f"{base}/state", f"{base}/availability")


def status_topic(prefix: str) -> str:
    """Where ``online``, and as the last will ``offline``, of the sender stands, retained."""
    return f"{prefix}/status"


def slug(text: str) -> str:
    """``text`` as one level of a topic; different texts give different ones."""
    plain = re.sub(r"[^a-z0-9_-]+", "_", text.lower()).strip("_")[:40]
    if plain == text and text != "status":
        return text
    return f"{plain}_{hashlib.sha256(text.encode()).hexdigest()[:6]}".lstrip("_")


def discovery_messages(discovery: str, prefix: str, camera: str) -> dict[str, str]:
    """A binary sensor and a sensor of a camera: JSON by topic, to be retained.

    Args:
        discovery: Home Assistant's prefix.
        prefix: of the sink's topics.
        camera: its name.
    """
    topics = Topics.of(prefix, camera)
    device = f"{slug(prefix)}_{slug(camera)}"
    shared = {
        "availability": [{"topic": status_topic(prefix)}, {"topic": topics.availability}],
        "availability_mode": "all",
        "state_topic": topics.state,
        "qos": 1,
        "device": {
            "identifiers": [device],
            "name": camera,
            "manufacturer": "maskgate",
            "model": "Camera",
            "sw_version": version("maskgate"),
        },
        "origin": {"name": "maskgate", "sw_version": version("maskgate")},
    }
    violation = shared | {
        "name": "Mask violation",
        "unique_id": f"{device}_violation",
        "device_class": "problem",
        "value_template": "{{ value_json.violation }}",
        "json_attributes_topic": topics.state,
    }
    verdict = shared | {
        "name": "Last verdict",
        "unique_id": f"{device}_verdict",
        "device_class": "enum",
        "options": [str(label) for label in LABELS],
        "value_template": "{{ value_json.label }}",
    }
    return {
        f"{discovery}/binary_sensor/{device}/violation/config": json.dumps(violation),
        f"{discovery}/sensor/{device}/verdict/config": json.dumps(verdict),
    }
