"""A running service with a real model and a real store, and a real browser before it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from maskgate.events import Event, EventType
from maskgate.events.credentials import Address
from maskgate.events.store import Store
from maskgate.images.limits import ImageLimits
from maskgate.types import Label

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
AXE_VERSION = "4.14.1"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LIMITS = ImageLimits(max_bytes=2 * 2**20, max_pixels=4_000_000)


@pytest.fixture
def service(serving: Callable[..., Any], store: Store, address: Address) -> Iterator[Any]:
    """A service that asks for no token, with the store of this test."""
    with serving(pages=True, picture=LIMITS, store=address) as running:
        yield running


@pytest.fixture(scope="session")
def recogniser(serving: Callable[..., Any]) -> Iterator[Any]:
    """A service without a store, for all tests that look at pictures only."""
    with serving(pages=True, picture=LIMITS) as running:
        yield running


class Seed:
    """Puts events into a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def camera(self, camera: str, online: bool = True, ago: float = 0) -> None:
        """A camera that has come, or gone, so many seconds ago."""
        type = EventType.CAMERA_ONLINE if online else EventType.CAMERA_OFFLINE
        self._store.append([Event.of_camera(type, time=_ago(ago), camera=camera)])

    def face(
        self,
        camera: str,
        label: Label,
        ago: float = 0,
        track: str = "1",
        type: EventType = EventType.TRACK_CONFIRMED,
        zone: str | None = None,
    ) -> None:
        """A face's verdict, so many seconds ago."""
        event = Event.of_track(
            type, time=_ago(ago), camera=camera, track=track, label=label, confidence=0.93, votes=7,
            box=(1, 2, 30, 40), zone=zone,
        )  # fmt: skip
        self._store.append([event])


def _ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


@pytest.fixture
def seed(store: Store) -> Seed:
    return Seed(store)


def _browser_program() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium whose camera sees the astronaut.

    It ends with its module: until then its event loop runs in this thread, where other tests want their own.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    program = _browser_program()
    if program is None:
        pytest.skip("needs Chromium; WITH_BROWSER=1 scripts/services installs it")
    film = tmp_path_factory.mktemp("camera") / "astronaut.mjpeg"
    film.write_bytes((EXAMPLES / "astronaut.jpg").read_bytes())
    arguments = ["--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


class Watched:
    """A page, and what its browser has complained about and asked for."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
        self.context.set_default_timeout(10_000)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.context.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("blob", "data"):
            self.hosts.add(parts.netloc)


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages; afterwards checks that nobody complained and that nothing came from elsewhere.

    ``expected`` are parts of complaints that have to come, as browsers note every answer that is no success;
    ``allowed`` of those that may.
    """
    opened: list[tuple[Watched, str, tuple[str, ...], tuple[str, ...]]] = []

    def open(url: str, expected: tuple[str, ...] = (), allowed: tuple[str, ...] = (), **options: Any) -> Any:
        watched = Watched(browser, **options)
        opened.append((watched, url, expected, allowed))
        watched.page.goto(url)
        return watched.page

    yield open
    for watched, url, expected, allowed in opened:
        watched.context.close()
        unforeseen = [c for c in watched.complaints if not any(part in c for part in expected + allowed)]
        assert unforeseen == []
        assert all(any(part in c for c in watched.complaints) for part in expected)
        assert watched.hosts == {urlsplit(url).netloc}


@pytest.fixture(scope="session")
def axe(pytestconfig: pytest.Config) -> str:
    """The source of axe-core, which is not part of maskgate (MPL-2.0): from the file that MASKGATE_AXE names,
    or fetched once from the registry of npm packages."""
    given = os.environ.get("MASKGATE_AXE")
    if given:
        return Path(given).read_text("utf-8")
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("axe-core")
    source = folder / f"axe-{AXE_VERSION}.min.js"
    if not source.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("needs axe-core: npm to fetch it, or its file named by MASKGATE_AXE")
        command = [npm, "pack", f"axe-core@{AXE_VERSION}", "--silent", "--pack-destination", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=folder)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"needs axe-core, and npm cannot fetch it: {error}")
        archive = folder / f"axe-core-{AXE_VERSION}.tgz"
        with tarfile.open(archive) as packed:
            member = packed.extractfile("package/axe.min.js")
            assert member is not None
            source.write_bytes(member.read())
        archive.unlink()
    return source.read_text("utf-8")
