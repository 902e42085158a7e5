"""Events in ArcSight's Common Event Format, version 0, as most SIEMs read it."""

from __future__ import annotations

from importlib.metadata import version

from maskgate.events.types import Event, EventType
from maskgate.types import Label

_SEVERE, _NOTABLE, _PLAIN, _LOW = 7, 5, 3, 1

_SEEN = {
    Label.MASK: "Face with a mask",
    Label.NO_MASK: "Face without a mask",
    Label.INCORRECT: "Face with a mask worn wrongly",
}
_NAMES = {
    EventType.TRACK_CONFIRMED: "",
    EventType.TRACK_CHANGED: " from now on",
    EventType.TRACK_ENDED: " has gone",
    EventType.CAMERA_ONLINE: "Camera online",
    EventType.CAMERA_OFFLINE: "Camera offline",
}


def cef(event: Event) -> str:
    """One line, without a line feed: seven header fields, then ``key=value`` pairs."""
    header = [
        "maskgate",
        "maskgate",
        version("maskgate"),
        str(event.type),
        _name(event),
        str(severity(event)),
    ]
    return "CEF:0|" + "|".join(map(_escape_header, header)) + "|" + _extension(event)


def severity(event: Event) -> int:
    """7 where a violation begins, 5 where a camera is lost, 3 where else something begins, 1 at its end."""
    if event.type is EventType.CAMERA_OFFLINE:
        return _NOTABLE
    if event.type is EventType.TRACK_ENDED:
        return _LOW
    return _SEVERE if event.violation else _PLAIN


def _name(event: Event) -> str:
    return (_SEEN[event.label] if event.label else "") + _NAMES[event.type]


def _extension(event: Event) -> str:
    pairs: dict[str, object] = {
        "rt": event.milliseconds,
        "externalId": event.id,
        "cat": event.type,
        "deviceExternalId": event.camera,
        "outcome": event.label,
        **_custom("cs1", "track", event.track),
        **_custom("cs2", "zone", event.zone),
        **_custom("cs3", "violation", None if event.violation is None else str(event.violation).lower()),
        **_custom("cfp1", "confidence", event.confidence),
        **_custom("cfp2", "mediaSeconds", event.media_seconds),
        **_custom("cn1", "votes", event.votes),
        **_custom("cs4", "box", event.box and " ".join(f"{v:g}" for v in event.box)),
    }
    return " ".join(f"{key}={_escape_value(str(v))}" for key, v in pairs.items() if v is not None)


def _custom(key: str, label: str, value: object) -> dict[str, object]:
    return {} if value is None else {f"{key}Label": label, key: value}


def _escape_header(text: str) -> str:
    one_line = " ".join(text.splitlines())
    return one_line.replace("\\", "\\\\").replace("|", "\\|")


def _escape_value(text: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ("=", "\\="), ("\r", "\\r"), ("\n", "\\n")):
        text = text.replace(plain, escaped)
    return text
