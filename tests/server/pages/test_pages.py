"""What the pages are made of, and the headers that they come with; without a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from maskgate.server import pages

SERVER = Path(pages.__file__).parent
SCRIPTS = sorted((SERVER / "static" / "scripts").glob("*.js"))
PAGES = ["/", "/dashboard"]


class Tags(HTMLParser):
    """Notes the elements of a page with their attributes, and text inside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._within = tag

    def handle_data(self, data: str) -> None:
        if self._within in ("script", "style"):
            self.inline += data.strip()


def directives(answer: httpx.Response) -> dict[str, list[str]]:
    policy = answer.headers["content-security-policy"]
    return {name: words for name, *words in (part.split() for part in policy.split(";"))}


@pytest.mark.parametrize("path", PAGES)
def test_headers_allow_nothing_that_is_not_ours(recogniser: Any, path: str) -> None:
    with recogniser.client() as client:
        answer = client.get(path)
        assert answer.status_code == 200
        found = directives(answer)
        assert found.pop("default-src") == ["'none'"]
        assert (
            found.pop("base-uri") == found.pop("frame-ancestors") == found.pop("trusted-types") == ["'none'"]
        )
        assert found.pop("require-trusted-types-for") == ["'script'"]
        assert all(words == ["'self'"] for words in found.values()), found
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert "camera=(self)" in answer.headers["permissions-policy"]
        assert "microphone=()" in answer.headers["permissions-policy"]
        for name, value in {
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "x-frame-options": "DENY",
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
        }.items():
            assert answer.headers[name] == value
        assert client.head(path).status_code == 200
        assert client.post(path).status_code == 405


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_nothing_inline_and_nothing_from_elsewhere(recogniser: Any, path: str) -> None:
    with recogniser.client() as client:
        page = Tags(client.get(path).text)
        assert page.inline == ""
        for tag, attributes in page.tags:
            assert not any(name == "style" or name.startswith("on") for name in attributes), (tag, attributes)
            for name in ("src", "href", "action", "data-picture"):
                value = attributes.get(name) or ""
                assert value == "" or value[0] in "/#", (tag, value)
                assert not value.startswith("//")
                if value.startswith("/static/"):
                    assert client.get(value).status_code == 200


def test_files_can_be_kept_as_their_address_changes_with_them(recogniser: Any) -> None:
    with recogniser.client() as client:
        static = re.search(r"/static/\w+", client.get("/").text)[0]  # type: ignore[index]
        types = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "jpg": "image/jpeg"}
        for file in (SERVER / "static").rglob("*.*"):
            answer = client.get(f"{static}/{file.relative_to(SERVER / 'static').as_posix()}")
            assert answer.content == file.read_bytes()
            assert answer.headers["content-type"].split(";")[0] == types[file.suffix[1:]]
            assert "immutable" in answer.headers["cache-control"]
            assert answer.headers["x-content-type-options"] == "nosniff"
        for path in ("/static/000000000000/base.css", f"{static}/../pages.py", f"{static}/%2e%2e/pages.py"):
            answer = client.get(path)
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_take_no_way_around_the_policy(script: Path) -> None:
    text = script.read_text("utf-8")
    assert len(text.splitlines()) <= 400
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
    )
    assert not re.search(r"(?<!w3\.org/2000/)https?://(?!www\.w3\.org/2000/svg)", text)
    for name in re.findall(r'from "(.+?)"', text):
        assert (script.parent / name).exists()


def test_the_style_sheets_load_nothing() -> None:
    for sheet in (SERVER / "static").glob("*.css"):
        assert not re.search(r"url\(|@import", sheet.read_text("utf-8"))


def test_pages_are_left_out_where_they_are_not_wanted(plain: Any) -> None:
    with plain.client() as client:
        assert [client.get(path).status_code for path in (*PAGES, "/sign-in")] == [404, 404, 404]


def test_strangers_are_led_to_the_way_in(serving: Callable[..., Any], tokens: Any) -> None:
    with serving(pages=True, tokens=tokens.book) as service, service.client() as client:
        answer = client.get("/dashboard?camera=A%26B")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in?next=/dashboard%3Fcamera%3DA%2526B"
        page = client.get(answer.headers["location"])
        assert 'data-next="/dashboard?camera=A%26B"' in page.text
        assert "Pages" not in page.text  # no way on but in
        for elsewhere in (
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/\tevil",
            "javascript:x",
        ):
            assert 'data-next="/"' in client.get("/sign-in", params={"next": elsewhere}).text
        markup = client.get("/sign-in", params={"next": '/"><script>'}).text
        assert "<script>" not in markup
        # who can ask by a token sees the pages without a session
        known = client.get("/dashboard", headers=tokens.header("read"))
        assert known.status_code == 200
        assert client.get("/sign-in?next=/dashboard", headers=tokens.header("read")).headers["location"] == (
            "/dashboard"
        )


@pytest.mark.parametrize(
    ("count", "text"),
    [(16 * 2**20, "16 MB"), (2**20, "1 MB"), (1_500_000, "1.43 MB"), (5000, "4 KB"), (1, "1 KB")],
)
def test_sizes_in_words(count: int, text: str) -> None:
    assert pages._size_text(count) == text
