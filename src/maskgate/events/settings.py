"""Settings of the store and the sinks, made from plain mappings as a TOML file gives them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from maskgate.errors import SettingsError
from maskgate.events.credentials import Address, Secret
from maskgate.events.settings_table import Table
from maskgate.events.types import Event, EventType

KEYS = frozenset({"store", "sinks"})
"""The top-level keys of a file that are read here."""

STORE = "store"
"""Name of the store among the receivers; no sink may have it."""

_DATABASES = ("sqlite", "postgresql", "postgres", "postgresql+psycopg")
_SLUG = r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"
_HEADER = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"


def state_folder() -> Path:
    """Where state is kept by default: ``$XDG_STATE_HOME/maskgate``, or ``~/.local/state/maskgate``."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "maskgate"


@dataclass(frozen=True)
class StoreSettings:
    """Where events are kept, and what of them.

    Attributes:
        folder: of the outbox, and of the SQLite store where ``url`` is None.
        url: of the database; SQLite or PostgreSQL.
        keep: ``"events"``, or ``"counts"`` per interval and nothing else.
        interval_seconds: of the counts.
        retention_days: what is older is deleted; None: nothing is.
        most_waiting: events that may wait for one receiver; beyond, its oldest are given up.
    """

    folder: Path = field(default_factory=state_folder)
    url: Address | None = None
    keep: Literal["events", "counts"] = "events"
    interval_seconds: int = 3600
    retention_days: float | None = 30.0
    most_waiting: int = 1_000_000

    @property
    def address(self) -> Address:
        """The database's URL: the one that is set, or the SQLite file in the folder."""
        return self.url or Address(f"sqlite:///{(self.folder / 'events.db').absolute()}")


@dataclass(frozen=True)
class TlsSettings:
    """Whom to trust and who we are. Certificates are always verified.

    Attributes:
        ca_file: PEM of the authorities to trust; None: the system's.
        certificate: PEM of our own certificate, for receivers that ask for one.
        key: PEM of its key; None: it is in the certificate's file.
    """

    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class SinkSettings:
    """What all sinks have.

    Attributes:
        name: of the sink, unique.
        types: of events that it receives; None: all.
        cameras: whose events it receives; None: all.
        violations_only: it receives no event of a track whose ``violation`` is false.
        timeout_seconds: for one step of a delivery: connecting, sending, waiting for the answer.
        longest_wait_seconds: the wait between tries grows up to this.
    """

    name: str
    types: frozenset[EventType] | None = None
    cameras: frozenset[str] | None = None
    violations_only: bool = False
    timeout_seconds: float = 10.0
    longest_wait_seconds: float = 30.0

    def wants(self, event: Event) -> bool:
        """Whether the sink receives ``event``."""
        return (
            (self.types is None or event.type in self.types)
            and (self.cameras is None or event.camera in self.cameras)
            and not (self.violations_only and event.violation is False)
        )


@dataclass(frozen=True)
class WebhookSettings(SinkSettings):
    """An HTTP receiver of CloudEvents.

    Attributes:
        url: http or https.
        secret: key of the signature; None: there is none.
        headers: sent along, such as ``Authorization``.
        tls: for https.
    """

    url: Address = field(kw_only=True)
    secret: Secret | None = None
    headers: Mapping[str, Secret] = field(default_factory=dict)
    tls: TlsSettings = TlsSettings()


@dataclass(frozen=True)
class MqttSettings(SinkSettings):
    """An MQTT broker.

    Attributes:
        host, port: of the broker.
        version: of the protocol, ``"5"`` or ``"3.1.1"``.
        tls: None: without.
        user, password: None: without.
        topic: prefix of all topics.
        client_id: of this sender, unique at the broker.
        discovery: prefix of Home Assistant's discovery topics; None: no discovery messages.
    """

    host: str = field(kw_only=True)
    port: int = 1883
    version: Literal["5", "3.1.1"] = "5"
    tls: TlsSettings | None = None
    user: str | None = None
    password: Secret | None = None
    topic: str = "maskgate"
    client_id: str = "maskgate"
    discovery: str | None = "homeassistant"


@dataclass(frozen=True)
class SyslogSettings(SinkSettings):
    """A syslog receiver of CEF.

    Attributes:
        host, port: of the receiver.
        transport: ``"udp"``, ``"tcp"`` or ``"tls"``.
        facility: number of the syslog facility, 0 to 23.
        tls: for ``"tls"``.
    """

    host: str = field(kw_only=True)
    port: int = 514
    transport: Literal["udp", "tcp", "tls"] = "udp"
    facility: int = 16
    tls: TlsSettings = TlsSettings()


@dataclass(frozen=True)
class JsonLinesSettings(SinkSettings):
    """A file with one JSON event a line.

    Attributes:
        path: of the file.
        fsync: ``"always"``: an event counts as delivered when it is on the disk; ``"never"``: when the
            system has it.
    """

    path: Path = field(kw_only=True)
    fsync: Literal["always", "never"] = "always"


@dataclass(frozen=True)
class EventSettings:
    """All of them: the store and the sinks, in the order of the file."""

    store: StoreSettings = field(default_factory=StoreSettings)
    sinks: tuple[SinkSettings, ...] = ()


def read_settings(content: Mapping[str, Any], folder: Path = Path()) -> EventSettings:
    """Settings from the tables ``store`` and ``sinks`` of a file.

    Args:
        content: the file's tables; keys other than :data:`KEYS` are errors.
        folder: relative paths in the settings start there.

    Raises :class:`~maskgate.errors.SettingsError`, naming the field, where one is missing, unknown or wrong.
    """
    top = Table(content, (), folder)
    store = _store(top.table("store"))
    tables = top.tables("sinks")
    top.finish()
    sinks: list[SinkSettings] = []
    for table in tables:
        sink = _sink(table)
        if sink.name == STORE or any(sink.name == other.name for other in sinks):
            table.wrong("name", "a name that no other sink has; each sink needs its own", sink.name)
        sinks.append(sink)
    if store.keep == "counts" and sinks:
        raise SettingsError(
            "the setting 'sinks' goes not with 'store.keep' = 'counts': sinks receive single events, "
            "which would be kept until they are delivered; remove one of the two",
            ("sinks",),
        )
    return EventSettings(store, tuple(sinks))


def _store(table: Table) -> StoreSettings:
    settings = StoreSettings(
        folder=table.path("folder", state_folder()),
        url=_database(table),
        keep=table.choice("keep", ("events", "counts"), "events"),
        interval_seconds=table.whole("interval_seconds", 3600, 60, 86_400),
        retention_days=table.number("retention_days", 30.0, 0) or None,
        most_waiting=table.whole("most_waiting", 1_000_000, 100, 100_000_000),
    )
    table.finish()
    return settings


def _database(table: Table) -> Address | None:
    secret: Secret | None = table.secret("url", None)
    if secret is None:
        return None
    url = secret.reveal()
    scheme, _, rest = url.partition("://")
    wanted = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
    if scheme not in _DATABASES or (scheme == "sqlite" and (rest[:1] != "/" or rest in ("/", "/:memory:"))):
        table.wrong("url", wanted)
    if scheme == "sqlite":
        return Address(f"sqlite:///{table.relative(rest[1:])}")
    try:
        parts = urlsplit(f"postgresql+psycopg://{rest}")
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        table.wrong("url", wanted)
    if len(parts.path) < 2:
        table.wrong("url", f"{wanted}; the database's name is missing")
    return Address(f"postgresql+psycopg://{rest}")


def _sink(table: Table) -> SinkSettings:
    kind = table.choice("type", tuple(_SINKS))
    name = table.text("name", kind)
    if not re.fullmatch(_SLUG, name):
        table.wrong("name", "up to 32 letters, digits, '_' and '-'", name)
    types = table.names("types", [str(t) for t in EventType])
    shared: dict[str, Any] = {
        "name": name,
        "types": None if types is None else frozenset(map(EventType, types)),
        "cameras": table.names("cameras"),
        "violations_only": table.flag("violations_only", False),
        "timeout_seconds": table.number("timeout_seconds", 10.0, 0.1, 300),
        "longest_wait_seconds": table.number("longest_wait_seconds", 30.0, 0.1, 3600),
    }
    settings = _SINKS[kind](table, shared)
    table.finish()
    return settings


def _webhook(table: Table, shared: dict[str, Any]) -> WebhookSettings:
    url = table.secret("url").reveal()
    wanted = "http://HOST/PATH or https://HOST/PATH, without user and password (these go into 'headers')"
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or "@" in parts.netloc or parts.fragment or not url.isascii() or not url.isprintable():
        table.wrong("url", wanted)
    secret: Secret | None = table.secret("secret", None)
    if secret is not None and len(secret.reveal()) < 16:
        table.wrong("secret", "at least 16 characters, such as those of: openssl rand -hex 32")
    headers = table.secrets("headers")
    for header, value in headers.items():
        if not re.fullmatch(_HEADER, header) or not re.fullmatch(r"[\x20-\x7e]+", value.reveal()):
            table.wrong("headers", "names and values of HTTP headers, in ASCII")
        if header.lower() in ("content-type", "content-length", "host") or header.lower().startswith(
            "webhook-"
        ):
            table.wrong("headers", f"headers other than '{header}', which maskgate sets itself")
    return WebhookSettings(url=Address(url), secret=secret, headers=headers, tls=_tls(table), **shared)


def _mqtt(table: Table, shared: dict[str, Any]) -> MqttSettings:
    for name in ("types", "violations_only"):
        if shared[name]:
            table.wrong(name, "nothing: the states of cameras need all their events", shared[name])
    with_tls = table.flag("tls", False)
    tls = _tls(table)
    if not with_tls and tls != TlsSettings():
        table.wrong("tls", "true, as certificates are given", False)
    topic = table.text("topic", "maskgate")
    discovery = table.text("discovery_prefix", "homeassistant")
    for name, value in (("topic", topic), ("discovery_prefix", discovery)):
        if set(value) & set("+#$ ") or "//" in f"/{value}/":
            table.wrong(name, "a topic without '+', '#', '$', blanks and empty levels", value)
    user, password = table.text("user", None), table.secret("password", None)
    if password is not None and user is None:
        table.wrong("password", "a 'user' along with it")
    return MqttSettings(
        host=table.text("host"),
        port=table.whole("port", 8883 if with_tls else 1883, 1, 65535),
        version=table.choice("version", ("5", "3.1.1"), "5"),
        tls=tls if with_tls else None,
        user=user,
        password=password,
        topic=topic,
        client_id=table.text("client_id", "maskgate"),
        discovery=discovery if table.flag("discovery", True) else None,
        **shared,
    )


def _syslog(table: Table, shared: dict[str, Any]) -> SyslogSettings:
    transport = table.choice("transport", ("udp", "tcp", "tls"), "udp")
    tls = _tls(table)
    if transport != "tls" and tls != TlsSettings():
        table.wrong("transport", "'tls', as certificates are given", transport)
    return SyslogSettings(
        host=table.text("host"),
        port=table.whole("port", 6514 if transport == "tls" else 514, 1, 65535),
        transport=transport,
        facility=table.whole("facility", 16, 0, 23),
        tls=tls,
        **shared,
    )


def _json_lines(table: Table, shared: dict[str, Any]) -> JsonLinesSettings:
    fsync = table.choice("fsync", ("always", "never"), "always")
    return JsonLinesSettings(path=table.path("path"), fsync=fsync, **shared)


def _tls(table: Table) -> TlsSettings:
    settings = TlsSettings(*(table.existing(name) for name in ("ca_file", "certificate", "key")))
    if settings.key is not None and settings.certificate is None:
        table.wrong("key", "a 'certificate' along with it")
    return settings


_SINKS: dict[str, Callable[[Table, dict[str, Any]], SinkSettings]] = {
    "webhook": _webhook,
    "mqtt": _mqtt,
    "syslog": _syslog,
    "jsonl": _json_lines,
}
