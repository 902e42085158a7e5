"""Publishes events to an MQTT broker, with quality of service 1: each is acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from maskgate import errors
from maskgate.events.settings import MqttSettings
from maskgate.events.sinks.camera_state import CameraState
from maskgate.events.sinks.home_assistant import OFFLINE, ONLINE, Topics, discovery_messages, status_topic
from maskgate.events.sinks.protocol import reason
from maskgate.events.sinks.tls import create_context
from maskgate.events.types import Event

_KEEPALIVE_SECONDS = 20
_FAREWELL_SECONDS = 2.0


class Mqtt:
    """One broker.

    Topics below the prefix: ``status`` is ``online``, or ``offline`` as the last will; for each camera
    ``NAME/event`` has every event, and ``NAME/state`` and ``NAME/availability``, retained, what is so now.
    """

    batch = 20

    def __init__(self, settings: MqttSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._connection: _Connection | None = None
        self._states: dict[str, CameraState] = {}

    def open(self) -> None:
        """Connects, and says again what subscribers of a broker that forgot everything must know."""
        self.close()
        self._attempt(self._open)

    def deliver(self, events: Sequence[Event]) -> None:
        """Publishes the events and the states they lead to; the broker has acknowledged all of them."""
        self._attempt(lambda: self._deliver(events))

    def tend(self) -> None:
        """Connects again where the connection was lost, so that the status is right."""
        if self._connection is None or not self._connection.alive:
            self.open()

    def close(self) -> None:
        """Says that we go, and disconnects."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if connection.alive:
                with suppress(OSError, errors.DeliveryError):
                    status = status_topic(self._settings.topic)
                    connection.publish([(status, OFFLINE, True)], _FAREWELL_SECONDS)
            connection.close()

    def _attempt(self, step: Callable[[], None]) -> None:
        """Runs a step; after an error the connection goes, and with it what it had queued."""
        try:
            step()
        except (OSError, ValueError, RuntimeError, errors.DeliveryError) as error:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
            why = str(error) if isinstance(error, errors.DeliveryError) else ""
            why = why or getattr(error, "verify_message", "") or reason(error)
            where = f"{self._settings.host}:{self._settings.port}"
            raise errors.DeliveryError(f"the MQTT broker {self.name} ({where}): {why}") from None

    def _open(self) -> None:
        self._connection = _Connection(self._settings)
        messages = [(status_topic(self._settings.topic), ONLINE, True)]
        for camera in self._states:
            messages += self._introduction(camera) + self._state(camera)
        self._connection.publish(messages, self._settings.timeout_seconds)

    def _deliver(self, events: Sequence[Event]) -> None:
        if self._connection is None or not self._connection.alive:
            self._open()
        assert self._connection is not None
        messages = []
        for event in events:
            if event.camera not in self._states:
                self._states[event.camera] = CameraState()
                messages += self._introduction(event.camera)
            self._states[event.camera].follow(event)
            messages.append((Topics.of(self._settings.topic, event.camera).event, event.to_text(), False))
            messages += self._state(event.camera)
        self._connection.publish(messages, self._settings.timeout_seconds)

    def _introduction(self, camera: str) -> list[tuple[str, str, bool]]:
        if self._settings.discovery is None:
            return []
        found = discovery_messages(self._settings.discovery, self._settings.topic, camera)
        return [(topic, text, True) for topic, text in found.items()]

    def _state(self, camera: str) -> list[tuple[str, str, bool]]:
        topics, state = Topics.of(self._settings.topic, camera), self._states[camera]
        return [
            (topics.availability, ONLINE if state.online else OFFLINE, True),
            (topics.state, state.to_text(camera), True),
        ]


class _Connection:
    """A client that connects once; it raises ``OSError`` or :class:`~maskgate.errors.DeliveryError`."""

    def __init__(self, settings: MqttSettings) -> None:
        self._changed = threading.Condition()
        self._connected: ReasonCode | None = None
        self._lost: str | None = None
        self._acknowledged: dict[int, ReasonCode] = {}
        old = settings.version == "3.1.1"
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=True if old else None,
            protocol=MQTTProtocolVersion.MQTTv311 if old else MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = settings.timeout_seconds
        client.max_inflight_messages_set(100)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish = self._on_publish
        client.will_set(status_topic(settings.topic), OFFLINE, qos=1, retain=True)
        if settings.user is not None:
            password = settings.password
            client.username_pw_set(settings.user, None if password is None else password.reveal())
        if settings.tls is not None:
            client.tls_set_context(create_context(settings.tls))
        self._client = client
        try:
            client.connect(settings.host, settings.port, keepalive=_KEEPALIVE_SECONDS)
            client.loop_start()
            self._await_connection(settings.timeout_seconds)
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether the connection stands."""
        return self._lost is None

    def publish(self, messages: Sequence[tuple[str, str, bool]], seconds: float) -> None:
        """Publishes (topic, text, retained or not) and waits until the broker has all of them."""
        sent: list[MQTTMessageInfo] = []
        for topic, text, retain in messages:
            info = self._client.publish(topic, text, qos=1, retain=retain)
            if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise errors.DeliveryError("the connection is lost")
            sent.append(info)
        end = time.monotonic() + seconds
        with self._changed:
            for info in sent:
                while info.mid not in self._acknowledged:
                    if self._lost is not None:
                        raise errors.DeliveryError(self._lost)
                    if not self._changed.wait(end - time.monotonic()):
                        raise errors.DeliveryError(f"no acknowledgement within {seconds:g} s")
            answers = [self._acknowledged.pop(info.mid) for info in sent]
        for answer in answers:
            if answer.is_failure:
                raise errors.DeliveryError(f"it will not take a message: {answer}")

    def close(self) -> None:
        """Disconnects."""
        with suppress(OSError, ValueError):
            self._client.disconnect()
        self._client.loop_stop()

    def _await_connection(self, seconds: float) -> None:
        with self._changed:
            ready = self._changed.wait_for(lambda: self._connected is not None or self._lost, seconds)
        if not ready:
            raise errors.DeliveryError(f"no answer within {seconds:g} s")
        if self._connected is None or self._connected.is_failure:
            raise errors.DeliveryError(f"it refuses the connection: {self._connected or self._lost}")

    def _on_connect(
        self, client: Client, _: Any, flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        with self._changed:
            self._connected = code
            self._changed.notify_all()

    def _on_disconnect(
        self, client: Client, _: Any, flags: DisconnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        with self._changed:
            self._lost = f"the connection is lost: {code}"
            self._changed.notify_all()

    def _on_publish(
        self, client: Client, _: Any, mid: int, code: ReasonCode, properties: Properties | None
    ) -> None:
        with self._changed:
            self._acknowledged[mid] = code
            self._changed.notify_all()
