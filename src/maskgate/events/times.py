"""Times as events have them: in UTC, with milliseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")


def milliseconds_of(time: datetime) -> int:
    """Milliseconds since 1970 in UTC of an aware time, finer parts cut off; exact."""
    since = time - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def time_at(milliseconds: int) -> datetime:
    """The time in UTC at so many milliseconds since 1970."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def time_text(time: datetime) -> str:
    """``2026-01-01T00:00:00.040Z``: an aware time in UTC with milliseconds, finer parts cut off."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def time_from(text: str) -> datetime:
    """The time of such a text; up to six digits may follow the point. Raises ``ValueError``."""
    if not _TEXT.fullmatch(text):
        raise ValueError("not a time in UTC such as 2026-01-01T00:00:00.040Z")
    return datetime.fromisoformat(text)
