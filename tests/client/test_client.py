"""The client before a real service."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskgate import MaskGate
from maskgate.client import AccessError, Client, RequestError, UnreachableError
from maskgate.errors import ImageReadError, InputError
from maskgate.events import Event, EventType
from maskgate.serialisation import verdicts_to_json
from maskgate.types import Label, Verdict

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ASTRONAUT = EXAMPLES / "astronaut.jpg"


def assert_is(face: Verdict, wanted: dict[str, Any]) -> None:
    """A face is the one that ``maskgate detect`` prints."""
    np.testing.assert_allclose(face.box, wanted["box"], atol=1e-4)
    np.testing.assert_allclose(face.landmarks, wanted["landmarks"], atol=1e-4)
    assert (face.score, face.roll, face.label) == (wanted["score"], wanted["roll"], wanted["label"])
    assert {str(label): share for label, share in face.probabilities.items()} == wanted["probabilities"]
    assert face.uncertain is wanted["uncertain"]


def test_faces_are_those_of_one_s_own_process(client: Client, astronaut: np.ndarray) -> None:
    gate = MaskGate()
    for picture, same in (
        (ASTRONAUT, ASTRONAUT),
        (ASTRONAUT.read_bytes(), ASTRONAUT),
        (astronaut, astronaut),
    ):
        answer = client.detect(picture)
        wanted = verdicts_to_json(gate(same))
        assert (answer.width, answer.height, len(answer), answer.error) == (512, 512, 1, None)
        (face,) = answer
        assert_is(face, wanted["faces"][0])
        assert answer.milliseconds is not None
        assert answer.milliseconds.total > 0
    assert face.label is Label.NO_MASK
    with pytest.raises(ValueError, match="read-only"):
        face.box[0] = 0


def test_many_pictures_keep_their_order(client: Client) -> None:
    names = ["astronaut-mask", "astronaut", "astronaut-chin"]
    pictures = [EXAMPLES / f"{name}.jpg" for name in names]
    answers = list(client.detect_many([*pictures, b"no picture", *pictures], at_once=3))
    labels = [[face.label.value for face in answer] for answer in answers]
    assert labels == [["mask"], ["no_mask"], ["incorrect"], [], ["mask"], ["no_mask"], ["incorrect"]]
    assert [answer.error is None for answer in answers] == [True, True, True, False, True, True, True]
    assert answers[3].width is None
    assert list(client.detect_many([])) == []


def test_bad_pictures_are_told(client: Client, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"answered 422: .*not a picture") as caught:
        client.detect(b"no picture")
    assert caught.value.status == 422
    assert caught.value.title == "The picture cannot be read"
    with pytest.raises(ImageReadError, match=r"nothing\.jpg cannot be read: No such file"):
        client.detect(tmp_path / "nothing.jpg")


def test_names_of_files_stay_here(client: Client, tmp_path: Path) -> None:
    secret = tmp_path / "patient-jane-doe.jpg"
    secret.write_bytes(b"no picture")
    with pytest.raises(RequestError) as caught:
        client.detect(secret)
    assert "jane" not in str(caught.value)


def test_events_come_page_after_page(client: Client, serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskgate.client.client._EVENTS_A_PAGE", 5)
    until = serving.events[-1].time + timedelta(seconds=1)
    assert list(client.events(until=until)) == list(reversed(serving.events))
    assert list(client.events(until=until, oldest_first=True)) == list(serving.events)
    first = client.event_page(limit=4, until=until)
    second = client.event_page(limit=4, until=until, after=first.next)
    assert [*first.events, *second.events] == list(reversed(serving.events))[:8]


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"camera": "canteen"}, lambda e: e.camera == "canteen"),
        ({"camera": ["canteen", "entrance"], "violation": True}, lambda e: bool(e.violation)),
        ({"label": Label.MASK}, lambda e: e.label is Label.MASK),
        ({"label": [Label.MASK, Label.INCORRECT]}, lambda e: e.label in (Label.MASK, Label.INCORRECT)),
        ({"type": EventType.CAMERA_ONLINE}, lambda e: e.type is EventType.CAMERA_ONLINE),
        ({"track": "3"}, lambda e: e.track == "3"),
        ({"violation": False}, lambda e: e.violation is False),
        ({"zone": "nowhere"}, lambda e: False),
    ],
)
def test_filters(client: Client, serving: Any, filters: dict[str, Any], wanted: Any) -> None:
    until = serving.events[-1].time + timedelta(seconds=1)
    found = list(client.events(until=until, oldest_first=True, **filters))
    assert found == [event for event in serving.events if wanted(event)]


def test_spans_of_time(client: Client, serving: Any) -> None:
    fifth, ninth = serving.events[5].time, serving.events[9].time
    found = list(client.events(since=fifth, until=ninth, oldest_first=True))
    assert found == list(serving.events[5:9])
    with pytest.raises(InputError, match="a time has no zone"):
        client.event_page(since=datetime(2026, 1, 1))


def test_statistics_are_counted(client: Client, serving: Any) -> None:
    until = serving.events[-1].time + timedelta(seconds=1)
    found = client.statistics(since=until - timedelta(hours=5), until=until, camera="entrance")
    assert found.interval == "hour"
    assert found.until == until
    # entrance has the even numbers of 12; every third of all is a mask, and so on
    sums = {label: sum(i.tracks[label] for i in found.intervals) for label in Label}
    assert sums == {Label.MASK: 2, Label.NO_MASK: 2, Label.INCORRECT: 2}
    assert sum(interval.violations for interval in found.intervals) == 4
    assert {interval.camera for interval in found.intervals} == {"entrance"}
    assert all(interval.compliance is not None for interval in found.intervals)


def test_cameras_and_health(client: Client, serving: Any) -> None:
    cameras = {camera.name: camera for camera in client.cameras()}
    assert cameras["entrance"].state == "online"
    assert cameras["entrance"].since == serving.events[0].time
    assert cameras["canteen"].state == "never"
    assert cameras["canteen"].frames is None
    health = client.health()
    assert health.ready
    assert health.checks


def test_live_events(client: Client, serving: Any) -> None:
    def new(number: int) -> Event:
        return Event.of_track(
            EventType.TRACK_CONFIRMED, time=datetime.now(UTC), camera="live", track=str(number),
            label=Label.MASK, confidence=0.9, votes=5, box=(1, 2, 30, 40),
        )  # fmt: skip

    events = [new(number) for number in range(3)]
    stop = threading.Event()

    def append() -> None:
        # until the stream is open, nobody waits for them
        while not stop.wait(0.3):
            serving.store.append([new(9)])

    thread = threading.Thread(target=append)
    thread.start()
    try:
        stream = client.live()
        assert next(stream).camera == "live"
        stop.set()
        thread.join()
        serving.store.append(events)
        found = []
        for event in stream:
            found += [event] if event.track != "9" else []
            if len(found) == 3:
                break
        assert found == events
        stream.close()  # type: ignore[attr-defined]
    finally:
        stop.set()
        thread.join()


def test_who_may_not_is_told(serving: Any) -> None:
    with Client(serving.url) as stranger, pytest.raises(AccessError, match="answered 401") as caught:
        stranger.cameras()
    assert caught.value.status == 401
    with Client(serving.url, "wrong-" + "w" * 40) as wrong:
        with pytest.raises(AccessError) as caught:
            wrong.detect(ASTRONAUT)
        assert "www" not in str(caught.value)
        assert "www" not in repr(wrong)
        with pytest.raises(AccessError):
            next(wrong.live())


def test_nobody_there(waits: list[float]) -> None:
    with Client("http://127.0.0.1:9", tries=3) as client:
        with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
            client.cameras()
        assert len(waits) == 2
        with pytest.raises(UnreachableError):
            next(client.live(reconnect=False))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"address": "127.0.0.1:8000"}, "address"),
        ({"address": "ftp://127.0.0.1"}, "http://HOST:PORT"),
        ({"address": "http://127.0.0.1", "tries": 0}, "tries is 0"),
        ({"address": "http://127.0.0.1", "token": "a\nb"}, "token has characters"),
        ({"address": "http://127.0.0.1", "token": " "}, "token has characters"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Client(**options)
    with Client("http://127.0.0.1") as client, pytest.raises(InputError, match="at_once is 0"):
        list(client.detect_many([b""], at_once=0))
