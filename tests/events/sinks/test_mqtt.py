"""MQTT against a real Mosquitto, with a real subscriber."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from maskgate.errors import DeliveryError
from maskgate.events import Event, EventType
from maskgate.events.credentials import Secret
from maskgate.events.settings import MqttSettings
from maskgate.events.sinks.home_assistant import slug
from maskgate.events.sinks.mqtt import Mqtt
from maskgate.types import Label

Make = Callable[..., Event]
TIME = datetime(2026, 1, 1, tzinfo=UTC)


class Subscriber:
    """Keeps all messages, in order, with whether they were retained ones."""

    def __init__(self, broker: Any, client_id: str = "reader") -> None:
        self.messages: list[tuple[str, str, bool]] = []
        self._ready = False
        self.client = Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        self.client.username_pw_set(broker.user, broker.password)
        self.client.on_message = lambda _c, _u, m: self.messages.append(
            (m.topic, m.payload.decode(), m.retain)
        )
        self.client.on_subscribe = lambda *_: setattr(self, "_ready", True)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        self.client.subscribe([("maskgate/#", 1), ("homeassistant/#", 1)])

    @property
    def ready(self) -> bool:
        return self._ready

    def last(self, topic: str) -> str | None:
        return next((text for t, text, _ in reversed(self.messages) if t == topic), None)

    def of(self, topic: str) -> list[str]:
        return [text for t, text, _ in self.messages if t == topic]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def subscribe(broker: Any, eventually: Callable[..., Any]) -> Iterator[Callable[[], Subscriber]]:
    opened: list[Subscriber] = []

    def start() -> Subscriber:
        opened.append(Subscriber(broker, f"reader{len(opened)}"))
        eventually(lambda: opened[-1].ready)
        return opened[-1]

    yield start
    for subscriber in opened:
        subscriber.close()


@pytest.fixture
def connect(broker: Any) -> Iterator[Callable[..., Mqtt]]:
    opened: list[Mqtt] = []

    def make(**fields: Any) -> Mqtt:
        given: dict[str, Any] = {
            "name": "house", "host": "127.0.0.1", "port": broker.port, "user": broker.user,
            "password": Secret(broker.password), "timeout_seconds": 5.0,
        }  # fmt: skip
        opened.append(Mqtt(MqttSettings(**(given | fields))))
        return opened[-1]

    yield make
    for sink in opened:
        sink.close()


def of_camera(type: str, camera: str = "door") -> Event:
    return Event.of_camera(EventType(type), time=TIME, camera=camera)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_events_arrive_in_order(
    connect: Any, subscribe: Any, track_event: Make, eventually: Any, version: str
) -> None:
    sink, reader = connect(version=version), subscribe()
    events = [track_event() for _ in range(45)]
    sink.open()
    for start in range(0, 45, sink.batch):
        sink.deliver(events[start : start + sink.batch])
    eventually(lambda: len(reader.of("maskgate/door/event")) == 45)
    assert [Event.from_text(text) for text in reader.of("maskgate/door/event")] == events


def test_the_state_follows_the_events(
    connect: Any, subscribe: Any, track_event: Make, eventually: Any
) -> None:
    sink, reader = connect(), subscribe()
    steps = [
        (of_camera("camera.online"), "OFF", None, "online"),
        (track_event(track="1", label=Label.MASK), "OFF", "mask", "online"),
        (track_event(track="2", zone="queue"), "ON", "no_mask", "online"),
        (
            track_event(track="1", type=EventType.TRACK_CHANGED, label=Label.INCORRECT),
            "ON",
            "incorrect",
            "online",
        ),
        (track_event(track="2", type=EventType.TRACK_ENDED), "ON", "incorrect", "online"),
        (track_event(track="1", type=EventType.TRACK_CHANGED, label=Label.MASK), "OFF", "mask", "online"),
        (track_event(track="3"), "ON", "no_mask", "online"),
        (of_camera("camera.offline"), "OFF", "no_mask", "offline"),
        (track_event(track="3"), "ON", "no_mask", "online"),
        (of_camera("camera.online"), "OFF", "no_mask", "online"),  # the process was killed in between
    ]
    for number, (event, violation, label, availability) in enumerate(steps, 1):
        sink.deliver([event])
        states = eventually(lambda n=number: (s := reader.of("maskgate/door/state")) and len(s) == n and s)
        state = json.loads(states[-1])
        assert (state["violation"], state["label"]) == (violation, label)
        assert reader.last("maskgate/door/availability") == availability
    late = subscribe()
    kept = eventually(lambda: [m for m in late.messages if m[0] == "maskgate/door/state"])
    assert kept == [("maskgate/door/state", states[-1], True)]
    assert late.of("maskgate/door/event") == []


def test_home_assistant_finds_a_camera(
    connect: Any, subscribe: Any, track_event: Make, eventually: Any
) -> None:
    sink = connect()
    sink.deliver([track_event(camera="Front door")])
    reader = subscribe()  # afterwards: the messages are retained
    name = slug("Front door")
    found = eventually(
        lambda: len(c := {t: m for t, m, _ in reader.messages if t.startswith("homeassistant/")}) == 2 and c
    )
    assert set(found) == {
        f"homeassistant/binary_sensor/maskgate_{name}/violation/config",
        f"homeassistant/sensor/maskgate_{name}/verdict/config",
    }
    violation, verdict = (json.loads(found[topic]) for topic in sorted(found))
    assert violation["unique_id"] != verdict["unique_id"]
    assert violation["device"] == verdict["device"]
    assert violation["device"]["name"] == "Front door"
    assert (violation["device_class"], verdict["device_class"]) == ("problem", "enum")
    for config, wanted in ((violation, "ON"), (verdict, "no_mask")):
        # what Home Assistant does with it: look the topic up, take the value out by the template
        field = re.fullmatch(r"\{\{ value_json\.(\w+) \}\}", config["value_template"])
        assert field
        assert json.loads(reader.last(config["state_topic"]))[field[1]] == wanted
        assert {reader.last(a["topic"]) for a in config["availability"]} == {"online"}
    assert set(verdict["options"]) == {"mask", "no_mask", "incorrect"}


def test_without_discovery_there_are_no_such_messages(
    connect: Any, subscribe: Any, track_event: Make, eventually: Any
) -> None:
    sink = connect(discovery=None, topic="maskgate/here")
    sink.deliver([track_event()])
    reader = subscribe()
    eventually(lambda: reader.last("maskgate/here/door/state"))
    assert not [topic for topic, *_ in reader.messages if topic.startswith("homeassistant")]


def test_the_last_will_says_that_we_are_gone(connect: Any, subscribe: Any, eventually: Any) -> None:
    sink, reader = connect(), subscribe()
    sink.open()
    eventually(lambda: reader.last("maskgate/status") == "online")
    sink._connection._client.socket().shutdown(socket.SHUT_RDWR)  # as a kill does
    eventually(lambda: reader.last("maskgate/status") == "offline")
    eventually(lambda: not sink._connection.alive)
    sink.tend()  # and back without any event
    eventually(lambda: reader.last("maskgate/status") == "online")
    sink.close()
    eventually(lambda: reader.last("maskgate/status") == "offline")


def test_a_broker_that_was_away_hears_everything_again(
    broker: Any, connect: Any, subscribe: Any, track_event: Make, eventually: Any
) -> None:
    sink = connect(timeout_seconds=2.0)
    sink.deliver([track_event()])
    broker.stop()
    event = track_event()
    with pytest.raises(DeliveryError, match=r"house \(127\.0\.0\.1:\d+\): "):
        sink.deliver([event])
    with pytest.raises(DeliveryError, match="Connection refused"):
        sink.tend()
    broker.start()  # it has forgotten all that was retained
    reader = subscribe()
    sink.deliver([event])
    eventually(lambda: len(reader.of("maskgate/door/state")) == 2)
    assert [Event.from_text(t) for t in reader.of("maskgate/door/event")] == [event]
    assert reader.last("maskgate/status") == "online"
    assert sum(topic.startswith("homeassistant/") for topic, *_ in reader.messages) == 2


def test_a_wrong_password(connect: Any, track_event: Make) -> None:
    sink = connect(password=Secret("hunter22"))
    with pytest.raises(DeliveryError, match="refuses the connection: ") as caught:
        sink.deliver([track_event()])
    assert "hunter22" not in str(caught.value) + repr(vars(sink))


def test_a_topic_that_we_may_not_write(connect: Any, track_event: Make) -> None:
    sink = connect(topic="elsewhere")
    with pytest.raises(DeliveryError, match="will not take a message: Not authorized"):
        sink.deliver([track_event()])


def test_a_port_that_does_not_answer(connect: Any, track_event: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = connect(port=silent.getsockname()[1], timeout_seconds=0.5)
        with pytest.raises(DeliveryError, match=r"no answer within 0\.5 s"):
            sink.deliver([track_event()])


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_slugs_are_levels_of_topics_and_differ(a: str, b: str) -> None:
    assert re.fullmatch(r"[a-z0-9_-]{1,60}", slug(a))
    assert slug(a) != "status"
    assert (slug(a) == slug(b)) == (a == b)
