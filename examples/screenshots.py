"""Makes the pictures of docs/pages.md: ``python examples/screenshots.py`` (needs the dev extra and Chromium).

The events are made up, and come from the same chance each time; the faces are those of the example pictures.
"""

from __future__ import annotations

import io
import random
import shutil
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from maskgate.events import Event, EventType
from maskgate.events.credentials import Address
from maskgate.events.store import Store
from maskgate.files import write_atomic
from maskgate.server.application import create_application
from maskgate.server.running import Server, open_socket
from maskgate.server.settings import ServerSettings
from maskgate.types import Label

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
CAMERAS = {
    "Entrance": (1.0, 0.93),
    "Loading bay": (0.5, 0.78),
    "Canteen": (0.7, 0.86),
    "Corridor": (0.4, 0.96),
}
"""How busy each camera is, and the share of masks worn rightly before it."""

HOURS = {
    6: 0.3,
    7: 1,
    8: 1,
    9: 0.7,
    10: 0.6,
    11: 0.7,
    12: 1,
    13: 0.9,
    14: 0.6,
    15: 0.6,
    16: 0.8,
    17: 0.9,
    18: 0.4,
}
"""How busy each hour of the day is."""


def a_day(now: datetime) -> Iterator[Event]:
    """Made-up events of the last 24 hours; the day's busy hours are the last ones."""
    chance = random.Random(7)
    for camera in CAMERAS:
        yield Event.of_camera(EventType.CAMERA_ONLINE, time=now - timedelta(hours=24), camera=camera)
    for minute in range(24 * 60 - 2):
        time = now - timedelta(minutes=24 * 60 - minute)
        hour = (17 - (now - time) // timedelta(hours=1)) % 24
        for camera, (busy, share) in CAMERAS.items():
            if chance.random() < 0.25 * busy * HOURS.get(hour, 0):
                right = chance.random() < share
                label = Label.MASK if right else chance.choice([Label.NO_MASK, Label.INCORRECT])
                yield from a_face(time, camera, str(minute), label, chance.uniform(0.85, 0.99))
    yield Event.of_camera(EventType.CAMERA_OFFLINE, time=now - timedelta(minutes=12), camera="Corridor")
    yield a_verdict(EventType.TRACK_CONFIRMED, now, "Canteen", "now", Label.NO_MASK, 0.97)


def a_face(time: datetime, camera: str, track: str, label: Label, sure: float) -> Iterator[Event]:
    """Somebody who comes and goes."""
    yield a_verdict(EventType.TRACK_CONFIRMED, time, camera, track, label, sure)
    yield a_verdict(EventType.TRACK_ENDED, time + timedelta(seconds=20), camera, track, label, sure)


def a_verdict(type: EventType, time: datetime, camera: str, track: str, label: Label, sure: float) -> Event:
    """One verdict."""
    zone = "queue" if camera == "Canteen" else None
    return Event.of_track(
        type, time=time, camera=camera, track=track, label=label, confidence=sure, votes=9,
        box=(10, 20, 110, 140), zone=zone,
    )  # fmt: skip


def keep(name: str, png: bytes) -> None:
    """Writes a picture with a palette, which makes it a third as large."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        out, "PNG", optimize=True
    )
    write_atomic(IMAGES / name, out.getvalue())


def take(browser: Any, url: str) -> None:
    """All pictures."""

    def page(path: str, **options: Any) -> Page:
        opened: Page = browser.new_page(timezone_id="UTC", reduced_motion="reduce", **options)
        opened.goto(url + path)
        return opened

    desk = {"viewport": {"width": 1280, "height": 800}}
    shown = page("/", **desk)
    for _ in range(20):  # until the machine has a moment of rest
        with shown.expect_response("**/v1/detect") as answered:
            shown.get_by_role("button", name="Try an example").click()
        if sum(answered.value.json()["milliseconds"].values()) < 60:
            break
    shown.locator(".busy").wait_for(state="detached")
    keep("page-try.png", shown.screenshot(full_page=True))

    for name, options in (
        ("page-dashboard.png", desk),
        ("page-telephone.png", {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}),
    ):
        shown = page("/dashboard", **options)
        shown.locator("#link[data-state=live]").wait_for()
        shown.locator("#by-camera svg").wait_for()
        keep(name, shown.screenshot(full_page=options is desk))


def main() -> None:
    """Writes ``docs/images/page-*.png``."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder:
        address = Address(f"sqlite:///{folder}/events.db")
        with Store(address) as store:
            store.upgrade()
            store.append(list(a_day(datetime.now(UTC))))
        settings = ServerSettings(port=0, store=address)
        bound = open_socket(settings)
        started = threading.Event()
        server = Server(create_application(settings), settings, started.set)
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        try:
            started.wait(30)
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=program)
                take(browser, f"http://127.0.0.1:{bound.getsockname()[1]}")
                browser.close()
        finally:
            server.should_exit = True
            thread.join()


if __name__ == "__main__":
    main()
