"""Settings from a file's tables: what is taken, and what is refused with the field's name."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from maskgate.errors import SettingsError
from maskgate.events import EventType
from maskgate.events.credentials import Address, Secret
from maskgate.events.settings import (
    EventSettings,
    JsonLinesSettings,
    MqttSettings,
    StoreSettings,
    SyslogSettings,
    WebhookSettings,
    read_settings,
)
from maskgate.types import Label

FULL = """
[store]
folder = "state"
url = "postgresql://gate:very-secret@db.example:5433/gate"
interval_seconds = 900
retention_days = 7.5
most_waiting = 500

[[sinks]]
type = "webhook"
name = "door"
url = "https://door.example/hook/very-secret?token=very-secret"
secret = { env = "DOOR_SECRET" }
headers = { Authorization = { file = "token" } }
types = ["track.confirmed", "track.changed"]
cameras = ["entrance"]
violations_only = true
timeout_seconds = 3
longest_wait_seconds = 60

[[sinks]]
type = "mqtt"
host = "broker"
user = "gate"
password = "very-secret"
tls = true
discovery = false
topic = "house/masks"

[[sinks]]
type = "syslog"
host = "siem"
transport = "tls"

[[sinks]]
type = "jsonl"
path = "events.jsonl"
fsync = "never"
"""


def read(text: str, folder: Path = Path()) -> EventSettings:
    return read_settings(tomllib.loads(text), folder)


def test_nothing_is_a_store_and_no_sinks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/some/state")
    settings = read_settings({})
    assert settings == EventSettings(StoreSettings(), ())
    assert settings.store.folder == Path("/some/state/maskgate")
    assert settings.store.address.reveal() == "sqlite:////some/state/maskgate/events.db"


def test_everything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOOR_SECRET", "0123456789-very-secret")
    (tmp_path / "token").write_text("Bearer very-secret\nmore\n")
    settings = read(FULL, tmp_path)
    assert settings.store == StoreSettings(
        tmp_path / "state",
        Address("postgresql+psycopg://gate:very-secret@db.example:5433/gate"),
        interval_seconds=900, retention_days=7.5, most_waiting=500,
    )  # fmt: skip
    webhook, mqtt, syslog, jsonl = settings.sinks
    assert webhook == WebhookSettings(
        "door", frozenset({EventType.TRACK_CONFIRMED, EventType.TRACK_CHANGED}), frozenset({"entrance"}),
        True, 3, 60, url=Address("https://door.example/hook/very-secret?token=very-secret"),
        secret=Secret("0123456789-very-secret"), headers={"Authorization": Secret("Bearer very-secret")},
    )  # fmt: skip
    assert isinstance(mqtt, MqttSettings)
    assert (mqtt.port, mqtt.topic, mqtt.discovery, mqtt.password) == (
        8883, "house/masks", None, Secret("very-secret"),
    )  # fmt: skip
    assert isinstance(syslog, SyslogSettings)
    assert (syslog.port, syslog.facility) == (6514, 16)
    assert jsonl == JsonLinesSettings("jsonl", path=tmp_path / "events.jsonl", fsync="never")
    for text in (repr(settings), str(settings), *(f"{s}" for s in settings.sinks)):
        assert "very-secret" not in text
        assert "https://door.example" in text or "door.example" not in repr(settings.store)


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("store = 3", ("store",), "a table"),
        ("sinks = 3", ("sinks",), "a list of tables"),
        ("sink = []", ("sink",), "did you mean 'sinks'?"),
        ("[store]\nretention_day = 3", ("store", "retention_day"), "did you mean 'retention_days'?"),
        ("[store]\nkeep = 'all'", ("store", "keep"), "'events' or 'counts'"),
        ("[store]\nurl = 'mysql://a/b'", ("store", "url"), "sqlite:///FILE or postgresql://"),
        ("[store]\nurl = 'sqlite://'", ("store", "url"), "sqlite:///FILE"),
        ("[store]\nurl = 'sqlite:///:memory:'", ("store", "url"), "sqlite:///FILE"),
        ("[store]\nurl = 'postgresql://a:b@c:d/e'", ("store", "url"), "postgresql://USER"),
        ("[store]\nurl = 'postgresql://host'", ("store", "url"), "the database's name is missing"),
        ("[store]\ninterval_seconds = 59", ("store", "interval_seconds"), "from 60 to 86400"),
        ("[store]\nretention_days = -1", ("store", "retention_days"), "at least 0"),
        ("[store]\nretention_days = nan", ("store", "retention_days"), "at least 0"),
        ("[[sinks]]", ("sinks", 0, "type"), "is missing; wanted: 'webhook' or 'mqtt'"),
        ("[[sinks]]\ntype = 'kafka'", ("sinks", 0, "type"), "'webhook' or 'mqtt'"),
        ("[[sinks]]\ntype = ['mqtt']", ("sinks", 0, "type"), "'webhook' or 'mqtt'"),
        ("[[sinks]]\ntype = 'mqtt'", ("sinks", 0, "host"), "is missing"),
        ("[[sinks]]\ntype = 'jsonl'\npath = 'a'\nname = 'store'", ("sinks", 0, "name"), "no other sink has"),
        ("[[sinks]]\ntype = 'jsonl'\npath = 'a'\n[[sinks]]\ntype = 'jsonl'\npath = 'b'", ("sinks", 1, "name"),
         "no other sink has"),
        ("[[sinks]]\ntype = 'jsonl'\npath = 'a'\nname = 'a b'", ("sinks", 0, "name"), "letters, digits"),
        ("[[sinks]]\ntype = 'jsonl'\npath = ''", ("sinks", 0, "path"), "a path"),
        ("[[sinks]]\ntype = 'jsonl'\npath = 'a'\ntypes = ['track.lost']", ("sinks", 0, "types"),
         "each of them 'track.confirmed'"),
        ("[[sinks]]\ntype = 'jsonl'\npath = 'a'\ntypes = []", ("sinks", 0, "types"), "a list of texts"),
        ("[[sinks]]\ntype = 'jsonl'\npath = 'a'\nviolations_only = 1", ("sinks", 0, "violations_only"),
         "true or false"),
        ("[[sinks]]\ntype = 'jsonl'\npath = 'a'\nurl = 'b'", ("sinks", 0, "url"), "is unknown"),
        ("[[sinks]]\ntype = 'webhook'\nurl = 'ftp://host/'", ("sinks", 0, "url"), "http://HOST/PATH"),
        ("[[sinks]]\ntype = 'webhook'\nurl = 'http://me:hunter22@host/'", ("sinks", 0, "url"), "'headers'"),
        ("[[sinks]]\ntype = 'webhook'\nurl = 'http://host:0/'", ("sinks", 0, "url"), "http://HOST/PATH"),
        ("[[sinks]]\ntype = 'webhook'\nurl = 'http://[/'", ("sinks", 0, "url"), "http://HOST/PATH"),
        ("[[sinks]]\ntype = 'webhook'\nurl = 'http://a'\nsecret = 'hunter22'", ("sinks", 0, "secret"),
         "at least 16"),
        ("[[sinks]]\ntype = 'webhook'\nurl = 'http://a'\nsecret = 22", ("sinks", 0, "secret"), "{ env ="),
        ("[[sinks]]\ntype = 'webhook'\nurl = 'http://a'\nsecret = { env = 'NO_SUCH' }",
         ("sinks", 0, "secret"), "NO_SUCH is not set"),
        ("[[sinks]]\ntype = 'webhook'\nurl = 'http://a'\nsecret = { file = 'no/such' }",
         ("sinks", 0, "secret"), "no/such cannot be read: No such file"),
        ('[[sinks]]\ntype = "webhook"\nurl = "http://a"\nheaders = { A = "hunter22\\r\\nB: c" }',
         ("sinks", 0, "headers"), "names and values of HTTP headers"),
        ("[[sinks]]\ntype = 'webhook'\nurl = 'http://a'\nheaders = { Webhook-Id = 'x' }",
         ("sinks", 0, "headers"), "maskgate sets itself"),
        ("[[sinks]]\ntype = 'webhook'\nurl = 'http://a'\nca_file = 'no-such.pem'", ("sinks", 0, "ca_file"),
         "a file that exists"),
        ("[[sinks]]\ntype = 'mqtt'\nhost = 'a'\npassword = 'hunter22'", ("sinks", 0, "password"), "a 'user'"),
        ("[[sinks]]\ntype = 'mqtt'\nhost = 'a'\ntopic = 'a/#'", ("sinks", 0, "topic"), "a topic without"),
        ("[[sinks]]\ntype = 'mqtt'\nhost = 'a'\nport = 70000", ("sinks", 0, "port"), "from 1 to 65535"),
        ("[[sinks]]\ntype = 'mqtt'\nhost = 'a'\nviolations_only = true", ("sinks", 0, "violations_only"),
         "need all their events"),
        ("[[sinks]]\ntype = 'syslog'\nhost = 'a'\ntransport = 'sctp'", ("sinks", 0, "transport"), "'udp' or"),
        ("[store]\nkeep = 'counts'\n[[sinks]]\ntype = 'jsonl'\npath = 'a'", ("sinks",), "remove one of"),
    ],
)  # fmt: skip
def test_wrong_settings_name_their_field(text: str, field: tuple[Any, ...], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert caught.value.field == field
    assert words in str(caught.value)
    assert "hunter22" not in str(caught.value)
    named = ".".join(map(str, field)).replace(".0", "[0]").replace(".1", "[1]")
    assert f"'{named}'" in str(caught.value) or named == "store"


def test_sqlite_files_start_at_the_settings_folder(tmp_path: Path) -> None:
    relative = read("[store]\nurl = 'sqlite:///a.db'", tmp_path)
    absolute = read("[store]\nurl = 'sqlite:////var/a.db'", tmp_path)
    assert relative.store.address.reveal() == f"sqlite:///{tmp_path / 'a.db'}"
    assert absolute.store.address.reveal() == "sqlite:////var/a.db"


def test_a_sink_gets_what_it_wants(track_event: Any) -> None:
    settings = read(
        "[[sinks]]\ntype = 'jsonl'\npath = 'a'\nviolations_only = true\ncameras = ['door']\n"
        "types = ['track.confirmed', 'camera.offline']"
    )
    (sink,) = settings.sinks
    assert sink.wants(track_event())
    assert not sink.wants(track_event(label=Label.MASK))
    assert not sink.wants(track_event(camera="hall"))
    assert not sink.wants(track_event(type=EventType.TRACK_ENDED))
