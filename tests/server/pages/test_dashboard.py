"""The dashboard, in a real browser before a real service and a real store."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from maskgate.events import EventType
from maskgate.types import Label


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect

    return expect(locator)


def rows(page: Any) -> Any:
    return page.locator("#events .event .what")


def test_it_shows_what_happens_as_it_happens(service: Any, seed: Any, open_page: Callable[..., Any]) -> None:
    seed.camera("Entrance", ago=600)
    seed.camera("Canteen", ago=500)
    seed.face("Entrance", Label.MASK, ago=300)
    page = open_page(f"{service.url}/dashboard")
    now = page.locator("#now")
    expect(page.locator("#link")).to_have_text("Live")
    expect(now.get_by_role("heading")).to_have_text("All clear")
    expect(now).to_contain_text("No violation in sight of 2 cameras")
    expect(rows(page)).to_have_text(["Mask", "Camera online", "Camera online"])

    seed.face("Canteen", Label.NO_MASK, track="7", zone="queue")
    expect(rows(page).first).to_have_text("No mask")
    expect(page.locator("#events .event .where").first).to_have_text("Canteen · queue · 93\u00a0%")
    expect(now.get_by_role("heading")).to_have_text("No mask")
    expect(now).to_contain_text("Canteen, queue")
    expect(page).to_have_title("(1) Dashboard · maskgate")
    expect(page.get_by_role("status")).to_have_text("No mask, Canteen")

    seed.face("Entrance", Label.INCORRECT, track="8")
    expect(now.get_by_role("heading")).to_have_text("2 violations")
    expect(now).to_contain_text("Entrance 1, Canteen 1")

    # the mask goes up, the other one leaves
    seed.face("Canteen", Label.MASK, track="7", type=EventType.TRACK_CHANGED, zone="queue")
    expect(rows(page).first).to_have_text("Now: mask")
    seed.face("Entrance", Label.INCORRECT, track="8", type=EventType.TRACK_ENDED)
    expect(now.get_by_role("heading")).to_have_text("All clear")

    seed.camera("Canteen", online=False)
    expect(now).to_contain_text("1 camera offline: Canteen")
    expect(page.locator("#cameras li").filter(has_text="Canteen")).to_contain_text("Offline since")
    # the figures follow: one of three confirmed faces wore it rightly
    expect(page.locator("#figure-share")).to_have_text("33\u00a0%")
    expect(page.locator("#figure-violations")).to_have_text("2")
    expect(page.locator("#figure-cameras")).to_have_text("1 / 2")
    seed.camera("Entrance", online=False)
    expect(now.get_by_role("heading")).to_have_text("No camera is online")


def test_who_was_in_violation_before_it_was_opened(
    service: Any, seed: Any, open_page: Callable[..., Any]
) -> None:
    seed.camera("Entrance", ago=9000)
    seed.face("Entrance", Label.NO_MASK, ago=8000, track="1")  # before the camera came back: long gone
    seed.camera("Entrance", ago=7900)
    seed.face("Entrance", Label.NO_MASK, ago=7000, track="2")
    seed.face("Entrance", Label.NO_MASK, ago=6000, track="3")
    seed.face("Entrance", Label.NO_MASK, ago=5000, track="3", type=EventType.TRACK_ENDED)
    page = open_page(f"{service.url}/dashboard")
    expect(page.locator("#now").get_by_role("heading")).to_have_text("No mask")


def test_charts_and_tables_hold_the_statistics(
    service: Any, seed: Any, open_page: Callable[..., Any]
) -> None:
    for camera, labels in {"Entrance": "mmmn", "Canteen": "mi"}.items():
        for track, letter in enumerate(labels):
            label = {"m": Label.MASK, "n": Label.NO_MASK, "i": Label.INCORRECT}[letter]
            seed.face(camera, label, ago=1, track=str(track))
    seed.face("Entrance", Label.MASK, ago=3 * 3600, track="9")
    page = open_page(f"{service.url}/dashboard")
    expect(page.locator("#figure-share")).to_have_text("71\u00a0%")
    chart = page.get_by_role("img", name="Masks worn rightly by camera.")
    expect(chart).to_have_accessible_name(
        "Masks worn rightly by camera. Canteen: 50\u00a0% of 2 faces (1 mask, 1 worn wrongly). "
        "Entrance: 80\u00a0% of 5 faces (4 mask, 1 no mask)."
    )
    # the bar of the canteen is cut in the middle
    full = chart.bounding_box()["width"]
    parts = [chart.locator(f".fill-{label}").first.bounding_box()["width"] for label in ("mask", "incorrect")]
    assert [round(part / full, 2) for part in parts] == [0.5, 0.5]

    page.locator(".by-camera summary").click()
    table = page.get_by_role("table", name="Faces by camera")
    expect(table.get_by_role("row")).to_have_text(
        [
            "CameraWorn rightlyFacesMaskWorn wronglyNo mask",
            "Canteen50\u00a0%2110",
            "Entrance80\u00a0%5401",
        ]
    )
    page.locator(".hours summary").click()
    table = page.get_by_role("table", name="Faces by time")
    cells = [row.split("\t") for row in table.inner_text().splitlines() if re.match(r"\d\d:\d\d\t", row)]
    assert len(cells) in (24, 25)  # hours without faces stand there too
    assert sum(int(row[2]) for row in cells) == 7
    assert next(row[2] for row in cells if row[2] != "0") == "1"


def test_filters(service: Any, seed: Any, open_page: Callable[..., Any]) -> None:
    seed.camera("Entrance", ago=4000)
    seed.face("Entrance", Label.MASK, ago=3900, track="1")
    seed.face("Canteen", Label.NO_MASK, ago=300, track="2")
    seed.face("Canteen", Label.MASK, ago=200, track="3")
    seed.face("Canteen", Label.MASK, ago=100, track="3", type=EventType.TRACK_ENDED)
    page = open_page(f"{service.url}/dashboard")
    expect(rows(page)).to_have_count(4)
    page.locator("#filters summary").click()
    page.get_by_label("Camera", exact=True).select_option("Canteen")
    expect(rows(page)).to_have_text(["Mask", "No mask"])
    expect(page.locator("#figure-faces")).to_have_text("2")
    page.get_by_label("Event", exact=True).select_option("Also faces gone")
    expect(rows(page)).to_have_text(["Gone, last: mask", "Mask", "No mask"])
    page.get_by_label("Verdict").select_option("All violations")
    expect(rows(page)).to_have_text(["No mask"])
    expect(page.locator("#filters-words")).to_have_text("Last 24 hours, Canteen, also faces gone, violations")

    # what comes is filtered as well
    seed.face("Entrance", Label.NO_MASK, track="4")
    expect(page.locator("#now").get_by_role("heading")).to_have_text("2 violations")
    expect(rows(page)).to_have_text(["No mask"])

    # the address holds the filters: a reload, or somebody else, sees the same
    assert page.url.endswith("/dashboard?camera=Canteen&type=all&label=violation")
    page.reload()
    expect(rows(page)).to_have_text(["No mask"])
    page.locator("#filters summary").click()
    page.get_by_role("button", name="Clear filters").click()
    expect(rows(page)).to_have_count(5)
    page.get_by_label("Time", exact=True).select_option("Last hour")
    expect(rows(page)).to_have_text(["No mask", "Mask", "No mask"])
    page.get_by_label("Event", exact=True).select_option("Camera offline")
    expect(page.locator("#events-empty")).to_contain_text("No event matches")


def test_older_events(service: Any, seed: Any, open_page: Callable[..., Any]) -> None:
    for number in range(25):
        seed.face("Entrance", Label.MASK, ago=1000 - number, track=str(number), zone=f"z{number}")
    page = open_page(f"{service.url}/dashboard")
    expect(rows(page)).to_have_count(10)
    seed.face("Entrance", Label.MASK, track="25", zone="z25")
    expect(page.locator("#events .where").first).to_contain_text("z25")
    expect(rows(page)).to_have_count(10)  # the list does not grow for ever
    page.get_by_role("button", name="Show older events").click()
    expect(rows(page)).to_have_count(26)
    shown = [re.search(r"z(\d+)", text)[1] for text in page.locator("#events .where").all_inner_texts()]  # type: ignore[index]
    assert shown == [str(number) for number in reversed(range(26))]
    expect(page.get_by_role("button", name="Show older events")).to_be_hidden()


def test_a_lost_connection_is_told_and_comes_back(
    serving: Callable[..., Any], seed: Any, address: Any, open_page: Callable[..., Any]
) -> None:
    seed.camera("Entrance", ago=10)
    with serving(pages=True, store=address) as service:
        page = open_page(f"{service.url}/dashboard", allowed=("ERR_",))
        heading = page.locator("#now").get_by_role("heading")
        expect(heading).to_have_text("All clear")
    expect(heading).to_have_text("Connection lost")
    expect(page.locator("#link")).to_contain_text(re.compile("Lost|Trying again"))
    seed.face("Entrance", Label.NO_MASK, track="1")  # meanwhile
    with serving(pages=True, store=address, port=service.port):
        expect(page.locator("#link")).to_have_text("Live", timeout=15_000)
        expect(heading).to_have_text("No mask")
        expect(rows(page).first).to_have_text("No mask")
        page.close()


def test_a_service_without_cameras_says_so(recogniser: Any, open_page: Callable[..., Any]) -> None:
    page = open_page(f"{recogniser.url}/dashboard")
    expect(page.locator("#now").get_by_role("heading")).to_have_text("Nothing to watch yet")
    expect(page.get_by_text("No camera yet.")).to_be_visible()
    expect(page.locator("#events-empty")).to_be_visible()
    expect(page.locator("#hours-empty")).to_be_visible()
