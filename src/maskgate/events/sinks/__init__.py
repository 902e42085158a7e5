"""Sinks: what delivers events to other systems. Each kind's libraries are loaded when it is used."""

from __future__ import annotations

from maskgate.events.settings import (
    JsonLinesSettings,
    MqttSettings,
    SinkSettings,
    SyslogSettings,
    WebhookSettings,
)
from maskgate.events.sinks.protocol import Sink


def create_sink(settings: SinkSettings) -> Sink:
    """The sink for its settings; it opens nothing yet."""
    match settings:
        case WebhookSettings():
            from maskgate.events.sinks.webhook import Webhook

            return Webhook(settings)
        case MqttSettings():
            from maskgate.events.sinks.mqtt import Mqtt

            return Mqtt(settings)
        case SyslogSettings():
            from maskgate.events.sinks.syslog import Syslog

            return Syslog(settings)
        case JsonLinesSettings():
            from maskgate.events.sinks.jsonl import JsonLines

            return JsonLines(settings)
    raise TypeError(f"no sink for {type(settings).__name__}")
