"""Browser sessions."""

from __future__ import annotations

from maskgate.server.sessions import MOST_SESSIONS, Sessions
from maskgate.server.tokens import Role, new_token

TOKEN = new_token("desk", [Role.READ])[1]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_session_stands_for_its_token_until_it_is_over() -> None:
    clock = Clock()
    sessions = Sessions(60, clock)
    value = sessions.start(TOKEN)
    clock.now = 59.9
    assert sessions.find(value) is TOKEN
    clock.now = 60
    assert sessions.find(value) is None


def test_signing_out_ends_it() -> None:
    sessions = Sessions(60)
    value, other = sessions.start(TOKEN), sessions.start(TOKEN)
    sessions.end(value)
    sessions.end("nonsense")
    assert sessions.find(value) is None
    assert sessions.find(other) is TOKEN


def test_forged_values_are_nobody() -> None:
    sessions = Sessions(60)
    value = sessions.start(TOKEN)
    id, signature = value.split(".")
    for forged in (value[:-1], f"{value}0", id, "", f".{signature}", "é.\ud800", value.upper(), f"x{value}"):
        assert sessions.find(forged) is None
    assert sessions.find(value) is TOKEN


def test_another_process_knows_none_of_them() -> None:
    assert Sessions(60).find(Sessions(60).start(TOKEN)) is None


def test_memory_is_bounded_and_the_oldest_go_first() -> None:
    sessions = Sessions(60)
    values = [sessions.start(TOKEN) for _ in range(MOST_SESSIONS + 3)]
    assert [sessions.find(value) is TOKEN for value in values] == [False] * 3 + [True] * MOST_SESSIONS
