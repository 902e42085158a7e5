"""Tokens: files, environment, hashes."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from maskgate.errors import SettingsError
from maskgate.server import tokens
from maskgate.server.tokens import Role, TokenBook, add_token, new_token, parse_tokens, read_tokens


def test_a_token_is_known_by_its_text_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    texts = []
    for name, roles in (("gate", [Role.RECOGNISE]), ("desk", [Role.READ, Role.RECOGNISE])):
        text, token = new_token(name, roles)
        add_token(path, token)
        texts.append(text)
    book = read_tokens(path, {})
    assert [(t.name, set(t.roles)) for t in book.tokens] == [
        ("gate", {"recognise"}),
        ("desk", {"read", "recognise"}),
    ]
    for text, name in zip(texts, ("gate", "desk"), strict=True):
        found = book.find(text)
        assert found is not None
        assert found.name == name
    for wrong in ("", texts[0][:-1], texts[0] + "x", texts[0].upper(), "é", "\ud800"):
        assert book.find(wrong) is None
    content = path.read_text()
    assert not any(text in content or text in repr(book) for text in texts)
    assert hashlib.sha256(texts[0].encode()).hexdigest() in content
    assert path.stat().st_mode & 0o777 == 0o600


def test_tokens_are_long_and_never_alike() -> None:
    made = {new_token("a", [Role.READ])[0] for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) >= 43  # 256 bits in base64


def test_every_hash_is_compared_whichever_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [new_token(f"t{i}", [Role.READ]) for i in range(5)]
    book = TokenBook(tuple(token for _, token in made))
    compared: list[bytes] = []
    right = hmac.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        compared.append(a)
        return right(a, b)

    monkeypatch.setattr(tokens.hmac, "compare_digest", compare)
    for text in (made[0][0], made[4][0], "unknown"):
        compared.clear()
        book.find(text)
        assert compared == [token.digest for _, token in made]


def test_a_name_is_given_once(tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    add_token(path, new_token("gate", [Role.READ])[1])
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="has a token named 'gate' already"):
        add_token(path, new_token("gate", [Role.READ])[1])
    assert path.read_bytes() == before


def test_the_file_keeps_its_rights_and_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text("# ours")
    path.chmod(0o640)
    add_token(path, new_token("gate", [Role.READ])[1])
    assert path.read_text().startswith("# ours\ngate read sha256:")
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["", "a b", "ä", "-a", "a" * 65, "a\n"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="name it with up to 64 letters"):
        new_token(name, [Role.READ])


HASH = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("gate read", "x, line 1: wanted: NAME ROLES"),
        (f"\n# c\ngate read {HASH} more", "x, line 3: wanted: NAME ROLES"),
        (f"gate write {HASH}", "x, line 1: a role is unknown; known are recognise, read, admin"),
        (f"gate read sha256:{'A' * 64}", "x, line 1: wanted"),
        ("gate read s3cret-token", "x, line 1: wanted"),
        (f"gate read {HASH}\ngate admin {HASH}", "x, line 2: there is a token named 'gate' above"),
        (f"gate , {HASH}", "a role is unknown"),
    ],
)
def test_wrong_lines_are_told_without_their_content(text: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_tokens(text, "x")
    assert sentence in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_environment_may_hold_tokens() -> None:
    text, token = new_token("gate", [Role.READ])
    own = "0123456789abcdef0123456789abcdef"
    book = read_tokens(
        None, {"MASKGATE_TOKENS": f"# none;{token.line.strip()}", "MASKGATE_TOKEN": f" {own}\n"}
    )
    found, admin = book.find(text), book.find(own)
    assert found is not None
    assert found.name == "gate"
    assert admin is not None
    assert admin.roles == {Role.ADMIN}
    assert not read_tokens(None, {})


def test_a_guessable_token_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError, match="at least 32") as caught:
        read_tokens(None, {"MASKGATE_TOKEN": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_tokens(tmp_path / "none", {})
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="is not UTF-8"):
        read_tokens(tmp_path / "binary", {})
    (tmp_path / "large").write_bytes(b"#" * 1_000_001)
    with pytest.raises(SettingsError, match="is no file of tokens"):
        read_tokens(tmp_path / "large", {})
