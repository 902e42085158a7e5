"""Server-sent events, against the examples of HTML's standard (section 9.2.6)."""

from __future__ import annotations

import pytest

from maskgate.client.streaming import Message, messages


@pytest.mark.parametrize(
    ("stream", "wanted"),
    [
        ("data: YHOO\ndata: +2\ndata: 10\n\n", [Message("message", "YHOO\n+2\n10", "")]),
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            [
                Message("message", "first event", "1"),
                Message("message", "second event", ""),
                Message("message", " third event", ""),
            ],
        ),
        ("data\n\ndata\ndata\n\ndata:", [Message("message", "", ""), Message("message", "\n", "")]),
        ("data:test\n\ndata: test\n\n", [Message("message", "test", "")] * 2),
        (
            "event: add\ndata: 73\n\nevent: gone\n\ndata: 2\n\n",
            [Message("add", "73", ""), Message("message", "2", "")],
        ),
        ("id: a\ndata: 1\n\ndata: 2\n\nid: b\0\ndata: 3\n\n", [Message("message", n, "a") for n in "123"]),
        ("retry: 3000\n\nretry: soon\ndata: 1\n\n", [Message("message", "1", "", 3000)]),
        ("data: unfinished", []),
        ("unknown: field\n\n", []),
    ],
)
def test_streams(stream: str, wanted: list[Message]) -> None:
    assert list(messages(stream.split("\n"))) == wanted


def test_an_event_without_an_end_is_given_up() -> None:
    with pytest.raises(ValueError, match="no end"):
        list(messages("data: " + "x" * 1000 for _ in range(2000)))
