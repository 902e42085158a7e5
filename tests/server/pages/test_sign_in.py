"""Signing in and out, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect

    return expect(locator)


@pytest.fixture
def locked(serving: Callable[..., Any], store: Any, address: Any, tokens: Any) -> Iterator[Any]:
    """A service that asks for tokens."""
    with serving(pages=True, store=address, tokens=tokens.book) as running:
        yield running


def test_a_token_opens_the_page_that_was_wanted(
    locked: Any, tokens: Any, open_page: Callable[..., Any]
) -> None:
    page = open_page(f"{locked.url}/dashboard?camera=Canteen", expected=("401", "403"))
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    token = page.get_by_label("Access token")
    expect(token).to_be_focused()
    page.keyboard.type("wrong-" + "w" * 40)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("This token is not known here")
    expect(token).to_be_focused()
    page.keyboard.type(tokens.texts["read"])  # it takes the place of the wrong one, which was selected
    page.keyboard.press("Enter")
    expect(page.locator("#link")).to_have_text("Live")
    assert page.url == f"{locked.url}/dashboard?camera=Canteen"

    # scripts cannot read the cookie, and the token is kept nowhere
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert tokens.texts["read"] not in str(cookie)
    assert page.evaluate("document.cookie + JSON.stringify([localStorage, sessionStorage])") == "[{},{}]"

    # this token may not have pictures looked at
    page.get_by_role("link", name="Try it").click()
    expect(page.get_by_role("heading", name="Is the mask on?")).to_be_visible()
    page.wait_for_load_state("load")  # its scripts are at work by then
    page.get_by_role("button", name="Try an example").click()
    expect(page.get_by_role("alert")).to_contain_text("Your access token may not do this")

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(f"{locked.url}/dashboard")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_session_that_has_ended_leads_back_to_the_way_in(
    locked: Any, tokens: Any, open_page: Callable[..., Any]
) -> None:
    page = open_page(f"{locked.url}/sign-in?next=//elsewhere.example/", expected=("401",))
    page.get_by_label("Access token").fill(tokens.texts["recognise"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Is the mask on?")).to_be_visible()
    assert page.url == f"{locked.url}/"  # and nowhere else
    page.wait_for_load_state("load")
    page.context.clear_cookies()
    page.get_by_role("button", name="Try an example").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_token_for_pictures_shows_no_events(
    locked: Any, tokens: Any, open_page: Callable[..., Any]
) -> None:
    page = open_page(f"{locked.url}/sign-in?next=/dashboard", expected=("403",))
    page.get_by_label("Access token").fill(tokens.texts["recognise"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("Your access token may not do this")
    expect(page.locator("#now").get_by_role("heading")).not_to_have_text("All clear")
