"""What a word stands for, and that no password shows."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgate.errors import InputError
from maskgate.streams.sources import SourceKind, name_apart, parse_source


@pytest.mark.parametrize(
    ("text", "kind", "name", "shown"),
    [
        ("0", SourceKind.WEBCAM, "webcam-0", "webcam 0"),
        ("007", SourceKind.WEBCAM, "webcam-7", "webcam 7"),
        ("/dev/null", SourceKind.WEBCAM, "null", "/dev/null"),
        ("rtsp://a:b@10.0.0.7:554/ch/1?p=c", SourceKind.STREAM, "10.0.0.7:554", "rtsp://10.0.0.7:554"),
        ("RTSP://door.example/x", SourceKind.STREAM, "door.example", "rtsp://door.example"),
        ("http://[::1]:80/x", SourceKind.STREAM, "[::1]:80", "http://[::1]:80"),
        ("day/gone.mp4", SourceKind.VIDEO, "gone.mp4", "day/gone.mp4"),
        ("a:b.avi", SourceKind.VIDEO, "a:b.avi", "a:b.avi"),
    ],
)
def test_kinds(text: str, kind: SourceKind, name: str, shown: str) -> None:
    source = parse_source(text)
    assert (source.kind, source.name, str(source)) == (kind, name, shown)
    assert source.kind.live is (kind in (SourceKind.WEBCAM, SourceKind.STREAM))


def test_a_folder_and_a_given_name(tmp_path: Path) -> None:
    source = parse_source(str(tmp_path), "hall", rate=4)
    assert (source.kind, source.name, source.rate) == (SourceKind.FOLDER, "hall", 4)


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=6),
    st.sampled_from(
        ["rtsp://u:{}@h/x", "http://{}:p@h:81/x", "http://h/?pass={}", "rtsp://h/user=a_password={}"]
    ),
)
def test_passwords_never_show(password: str, form: str) -> None:
    secret = "K" + quote(password, safe="") + "K"
    source = parse_source(form.format(secret))
    assert source.address == form.format(secret)
    for text in (str(source), repr(source), source.name, f"{source}", source.shown):
        assert secret not in text


@pytest.mark.parametrize(
    "text",
    ["", "a\0b", "gopher://h/s3cret", "rtsp://", "rtsp://u:s3cret@/x", "http://u:s3cret@h:99999/", "http://h:s3cret/",
     "rtsp://u:s3 cret@h/x", "http://[s3cret/x"],
)  # fmt: skip
def test_what_can_be_no_source(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_source(text)
    assert "s3cret" not in str(caught.value)
    assert "cret@h" not in str(caught.value)


@pytest.mark.parametrize(("name", "rate"), [("a\nb", 1.0), ("x" * 101, 1.0), ("a", 0.0), ("a", float("nan"))])
def test_wrong_names_and_rates(name: str, rate: float) -> None:
    with pytest.raises(InputError):
        parse_source("0", name, rate=rate)


def test_names_are_made_different() -> None:
    sources = [parse_source(text) for text in ("a/x.avi", "b/x.avi", "c/x.avi-2", "d/x.avi")]
    assert [source.name for source in name_apart(sources)] == ["x.avi", "x.avi-2", "x.avi-2-2", "x.avi-3"]


def test_long_and_strange_file_names_make_names_that_events_take() -> None:
    name = parse_source("z" * 150 + "\n.avi").name
    assert len(name) == 100
    assert name.endswith("\\n.avi")
