"""Settings: what makes no sense is refused, and so is an open door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from maskgate.errors import SettingsError
from maskgate.server.settings import ServerSettings, is_loopback
from maskgate.server.tokens import Role, TokenBook, new_token


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True), ("localhost", True),
     ("LOCALHOST", True), ("0.0.0.0", False), ("::", False), ("", False), ("10.0.0.7", False),
     ("gate.example", False), ("127.0.0.1.example", False), ("169.254.0.1", False)],
)  # fmt: skip
def test_loopback_is_this_machine_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "gate.example"])
def test_nobody_is_let_in_from_afar_without_a_token(host: str) -> None:
    with pytest.raises(SettingsError, match="would let everybody in"):
        ServerSettings(host=host)
    book = TokenBook((new_token("a", [Role.READ])[1],))
    assert ServerSettings(host=host, tokens=book).host == host


def test_names_that_are_answered() -> None:
    book = TokenBook((new_token("a", [Role.READ])[1],))
    assert ServerSettings().answered_hosts == {"localhost", "127.0.0.1", "[::1]"}
    named = ServerSettings(hosts=frozenset({"Gate.example"})).answered_hosts
    assert named == {"gate.example", "localhost", "127.0.0.1", "[::1]"}
    assert ServerSettings(host="0.0.0.0", tokens=book).answered_hosts is None
    assert ServerSettings(host="0.0.0.0", tokens=book, hosts=frozenset({"A"})).answered_hosts == {"a"}


@pytest.mark.parametrize(
    "fields",
    [{"port": 65_536}, {"port": -1}, {"most_pictures": 0}, {"most_waiting": 0}, {"most_waiting": 15},
     {"body_seconds": 0}, {"body_seconds": float("nan")}, {"requests_per_minute": -1}, {"key": Path("k.pem")},
     {"heartbeat_seconds": float("inf")}],
)  # fmt: skip
def test_values_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        ServerSettings(**fields)
