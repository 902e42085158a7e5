"""Where the picture of an event lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskgate.events.ids import new_id
from maskgate.events.snapshot_files import snapshot_path


def test_the_picture_is_called_by_the_events_id() -> None:
    id = new_id()
    assert snapshot_path(Path("/pictures"), id) == Path(f"/pictures/{id}.maskgate.jpg")


@pytest.mark.parametrize("id", ["", "../a", "a/b", "/etc/passwd", ".hidden", "a\0", "ä", "a" * 65, "a\n"])
def test_what_is_no_id_leads_nowhere(id: str) -> None:
    with pytest.raises(ValueError, match="not an event's id"):
        snapshot_path(Path("/pictures"), id)
