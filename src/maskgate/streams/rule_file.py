"""The rule file: cameras, zones, schedules, rules, snapshots, store and sinks in TOML, checked as a whole.

Errors name the file, the line, the field, and what to write instead.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import time
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from maskgate.errors import InputError, SettingsError
from maskgate.events.settings import KEYS as EVENT_KEYS
from maskgate.events.settings import EventSettings, read_settings
from maskgate.events.settings_table import REQUIRED, Table, hint_at
from maskgate.streams.rules import Report, Rule, Rules
from maskgate.streams.schedules import DAYS, Schedule
from maskgate.streams.snapshots import SHOWN, SnapshotSettings
from maskgate.streams.sources import Source, Transport, parse_source
from maskgate.streams.toml_lines import line_of
from maskgate.streams.zones import Zone

T = TypeVar("T")

_MOST_BYTES: Final = 1_000_000


@dataclass(frozen=True)
class RuleFile:
    """What the file says.

    Attributes:
        cameras: in the order of the file.
        rules: with the zones.
        snapshots: None: there are none.
        events: store and sinks; None where the file names neither, and events are only printed.
    """

    cameras: tuple[Source, ...] = ()
    rules: Rules = field(default_factory=Rules)
    snapshots: SnapshotSettings | None = None
    events: EventSettings | None = None


def read_rule_file(path: Path, cameras: Collection[str] = ()) -> RuleFile:
    """Reads and checks ``path``; relative paths in it start in its folder.

    Args:
        cameras: names of cameras that are not in the file, which rules and zones may name too.

    Raises :class:`~maskgate.errors.SettingsError`.
    """
    text = _read(path)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    try:
        return _Reader(content, path.parent, cameras).read()
    except SettingsError as error:
        line = line_of(text, error.field)
        raise SettingsError(f"{path}, line {line}: {error}", error.field) from None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise SettingsError(f"{path} has over {_MOST_BYTES:,} bytes; that is no rule file")
        # as tomllib does with files
        return data.decode("utf-8").replace("\r\n", "\n")
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}; name a rule file") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text; save it so") from None


class _Reader:
    def __init__(self, content: Mapping[str, Any], folder: Path, cameras: Collection[str]) -> None:
        self._events = {key: value for key, value in content.items() if key in EVENT_KEYS}
        self._top = Table(content, (), folder)
        self._folder = folder
        self._known = set(cameras)

    def read(self) -> RuleFile:
        top = self._top
        cameras = self._each("cameras", self._camera, "source")
        self._known |= {camera.name for camera in cameras}
        zones = self._each("zones", self._zone, "polygon")
        schedules = {schedule.name: schedule for schedule in self._each("schedule", self._schedule, "from")}
        rules = self._each("rules", lambda name, table: self._rule(name, table, zones, schedules))
        snapshots = self._snapshots(top.table("snapshots")) if "snapshots" in top else None
        for key in EVENT_KEYS:
            top.raw(key, None, "")
        top.finish()
        named = {name for rule in rules for name in rule.zones or ()}
        for zone in zones:
            if zone.name not in named:
                raise SettingsError(
                    f"no rule names the zone '{zone.name}', so it has no effect; write "
                    f'zones = ["{zone.name}"] into a rule, or remove it',
                    ("zones", zone.name),
                )
        events = read_settings(self._events, self._folder) if self._events else None
        if snapshots and events and events.store.keep == "counts":
            raise SettingsError(
                "the table 'snapshots' goes not with 'store.keep' = 'counts', which keeps counts and "
                "nothing else; remove one of the two",
                ("snapshots",),
            )
        return RuleFile(tuple(cameras), Rules(tuple(rules) or (Rule(),), tuple(zones)), snapshots, events)

    def _each(self, key: str, build: Callable[[str, Table], T], blamed: str = "") -> list[T]:
        """What the tables ``[key.NAME]`` stand for; an error that names no field is about ``blamed``."""
        content = self._top.raw(key, {}, "tables")
        group = Table(content, (key,), self._folder)
        built = []
        for name in content:
            table = group.table(name)
            try:
                built.append(build(name, table))
            except SettingsError:
                raise
            except InputError as error:  # of the class that the table stands for
                way = table.way(blamed)
                raise SettingsError(f"in [{key}.{name}]: {error}", way) from None
            table.finish()
        return built

    def _camera(self, name: str, table: Table) -> Source:
        address = table.secret("source").reveal()
        rate = table.number("rate", None, 0.01, 1000)
        transport = table.choice("transport", get_args(Transport), "tcp")
        table.finish()
        source = parse_source(address, name, rate=rate, transport=transport)
        if source.kind.live or Path(address).is_absolute():
            return source
        return replace(source, address=str(self._folder / address))

    def _zone(self, name: str, table: Table) -> Zone:
        camera = table.text("camera")
        self._check_known(camera, self._known, "camera", table, "camera")
        polygon = table.raw("polygon", REQUIRED, _POLYGON)
        if not isinstance(polygon, list) or not all(map(_is_point, polygon)):
            table.wrong("polygon", _POLYGON, polygon)
        table.finish()
        return Zone(name, camera, tuple((float(x), float(y)) for x, y in polygon))

    def _schedule(self, name: str, table: Table) -> Schedule:
        zone = _time_zone(table)
        days = table.names("days", DAYS)
        start = _minute(table, "from", 0)
        end = _minute(table, "to", 24 * 60)
        table.finish()
        return Schedule(name, zone, tuple(day for day in DAYS if days is None or day in days), start, end)

    def _rule(
        self, name: str, table: Table, zones: list[Zone], schedules: Mapping[str, Schedule]
    ) -> Rule:  # fmt: skip
        usual = Rule()
        cameras = table.names("cameras")
        for camera in sorted(cameras or ()):
            self._check_known(camera, self._known, "camera", table, "cameras")
        named = table.names("zones")
        for zone in sorted(named or ()):
            self._check_known(zone, {z.name for z in zones}, "zone", table, "zones")
        times = table.names("schedule")
        for schedule in sorted(times or ()):
            self._check_known(schedule, set(schedules), "schedule", table, "schedule")
        rule = Rule(
            name=name,
            cameras=cameras,
            zones=named,
            schedules=tuple(schedules[one] for one in schedules if times and one in times),
            report=table.choice("report", get_args(Report), usual.report),
            confirm_frames=table.whole("confirm_frames", usual.confirm_frames, 1, 10_000),
            confirm_seconds=table.number("confirm_seconds", usual.confirm_seconds, 0, 3600),
            absence=table.number("absence", usual.absence, 0.1, 3600),
            cooldown=table.number("cooldown", usual.cooldown, 0, 86_400),
            min_face=table.number("min_face", usual.min_face, 0, 10_000),
        )
        table.finish()
        return rule

    def _snapshots(self, table: Table) -> SnapshotSettings:
        folder: Path = table.path("folder")
        show = table.choice("show", SHOWN)
        hours = table.number("keep_hours", SnapshotSettings.keep_hours, 0.01, 24 * 366)
        table.finish()
        return SnapshotSettings(folder, show, hours)

    def _check_known(self, name: str, known: Collection[str], what: str, table: Table, field: str) -> None:
        if name in known:
            return
        hint = hint_at(name, known) if known else f"the file has no {what}"
        raise SettingsError(f"there is no {what} '{name}'; {hint}", table.way(field))


_POLYGON: Final = "a list of at least three points [x, y], shares of the picture's width and height"
_TIME: Final = 'a time of day from "00:00" to "24:00"'


def _is_point(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    )


def _minute(table: Table, name: str, default: int) -> int:
    """Minutes after midnight."""
    value = table.raw(name, None, _TIME)
    if value is None:
        return default
    if isinstance(value, time):
        return value.hour * 60 + value.minute if not value.second else _not_a_time(table, name, value)
    if not isinstance(value, str):
        _not_a_time(table, name, value)
    hours, _, minutes = value.partition(":")
    if not (len(hours) <= 2 and len(minutes) == 2 and hours.isdecimal() and minutes.isdecimal()):
        _not_a_time(table, name, value)
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > 24 * 60:
        _not_a_time(table, name, value)
    return total


def _not_a_time(table: Table, name: str, value: object) -> NoReturn:
    table.wrong(name, _TIME, str(value))


def _time_zone(table: Table) -> ZoneInfo:
    name = table.text("timezone", wanted='a time zone such as "Europe/Berlin"')
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        table.wrong("timezone", 'a time zone such as "Europe/Berlin" or "UTC"', name)
