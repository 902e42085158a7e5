"""Videos and folders are read whole, in order, and what cannot be says so."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from maskgate.errors import InputError, SourceError
from maskgate.images import encode_image, write_image
from maskgate.streams.recordings import Recording
from maskgate.streams.sources import parse_source

MakeVideo = Callable[..., Path]
Encode = Callable[..., None]
START = datetime(2026, 1, 1, 8, tzinfo=UTC)


def read(path: Path, **options: object) -> list[tuple[int, float, float]]:
    """Index, position and brightness of each frame."""
    frames = Recording(parse_source(str(path), **options), START)
    return [(f.index, f.media_seconds or 0.0, float(f.image.mean())) for f in frames]


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.avi", "mjpeg"), ("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.ts", "libx264"), ("b.avi", "mpeg4")],
)
def test_every_frame_comes_once_in_order_at_its_position(
    make_video: MakeVideo, name: str, codec: str
) -> None:
    frames = read(make_video(name, 20, codec=codec))
    assert [index for index, _, _ in frames] == list(range(20))
    assert [seconds for _, seconds, _ in frames] == pytest.approx([i / 10 for i in range(20)], abs=0.002)
    assert [light for _, _, light in frames] == pytest.approx([10 * i for i in range(20)], abs=6)


def test_times_are_start_and_position(make_video: MakeVideo) -> None:
    frames = list(Recording(parse_source(str(make_video("a.avi", 5))), START))
    assert [frame.time for frame in frames] == [START + timedelta(seconds=i / 10) for i in range(5)]


def test_without_a_start_the_file_says_when(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video("a.avi", 5)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert Recording(parse_source(str(path))).start == datetime.fromtimestamp(1_700_000_000, UTC)
    stamped = tmp_path / "b.mp4"
    with_av = pytest.importorskip("av")
    with with_av.open(str(stamped), "w") as file:
        file.metadata["creation_time"] = "2024-05-06T07:08:09Z"
        stream = file.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        file.mux(
            stream.encode(with_av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24"))
        )
        file.mux(stream.encode(None))
    assert Recording(parse_source(str(stamped))).start == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def test_a_size_that_changes_on_the_way(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "a.avi"
    sizes = [(48, 64)] * 4 + [(64, 96)] * 4 + [(33, 47)] * 2
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for i, (height, width) in enumerate(sizes):
            jpeg = encode_image(np.full((height, width, 3), 20 * i, np.uint8), "JPEG")
            packet = av.Packet(jpeg)  # each picture of Motion JPEG is a file of its own
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, i, i, Fraction(1, 10)
            packet.is_keyframe = True
            file.mux(packet)
    frames = list(Recording(parse_source(str(path)), START))
    assert [frame.image.shape[:2] for frame in frames] == sizes
    assert [float(frame.image.mean()) for frame in frames] == pytest.approx(
        [20 * i for i in range(10)], abs=3
    )


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_video_held_sideways_is_turned_upright(tmp_path: Path, encode_video: Encode, turn: int) -> None:
    av = pytest.importorskip("av")
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32] = 250  # top left
    encode_video(tmp_path / "a.mp4", [image] * 3, codec="mpeg4")
    # the display matrix of the track header: ISO 14496-12, 8.3.2
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 36
    cosine, sine = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turn]
    matrix = [cosine, sine, 0, -sine, cosine, 0, 0, 0]
    for i, value in enumerate(matrix):
        data[at + 4 * i : at + 4 * i + 4] = (value * 65536 & 0xFFFFFFFF).to_bytes(4, "big")
    path = tmp_path / "turned.mp4"
    path.write_bytes(data)
    with av.open(str(path)) as file:
        given = next(file.decode(video=0)).rotation
    frame = next(iter(Recording(parse_source(str(path)), START)))
    # a player turns clockwise by -rotation: the bright corner goes along
    expected = np.rot90(image, round(given / 90) % 4)
    assert frame.image.shape == expected.shape
    assert np.abs(frame.image.astype(int) - expected).mean() < 12
    assert given % 360 == (360 - turn) % 360


class TestBroken:
    @pytest.mark.parametrize(
        ("name", "codec"), [("a.avi", "mjpeg"), ("b.avi", "mpeg4"), ("a.mp4", "libx264")]
    )
    def test_an_end_in_the_middle_of_a_frame(
        self, tmp_path: Path, encode_video: Encode, name: str, codec: str
    ) -> None:
        random = np.random.default_rng(0)
        images = [random.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(20)]
        options = {"options": {"movflags": "faststart"}} if name.endswith("mp4") else {}
        path = tmp_path / name
        encode_video(path, images, codec=codec, **options)
        data = path.read_bytes()
        path.write_bytes(data[: int(0.613 * len(data))])
        seen = []
        with pytest.raises(SourceError, match="cut short") as caught:
            seen.extend(Recording(parse_source(str(path)), START))
        assert str(path) in str(caught.value)
        assert len(seen) < 20

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "is empty"),
            (b"These are words.\n" * 99, "is no video"),
            # always the same ones: one in some hundred drawings begins like a file of music
            (np.random.default_rng(0).bytes(5000), "is no video"),
        ],
    )
    def test_what_is_no_video(self, tmp_path: Path, content: bytes, words: str) -> None:
        path = tmp_path / "a.mp4"
        path.write_bytes(content)
        with pytest.raises(SourceError, match=words):
            list(Recording(parse_source(str(path))))

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="does not exist"):
            Recording(parse_source(str(tmp_path / "gone.avi")))

    def test_a_pipe(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(SourceError, match="not a regular file"):
            Recording(parse_source(str(tmp_path / "pipe")))

    def test_sound_only(self, tmp_path: Path) -> None:
        av = pytest.importorskip("av")
        path = tmp_path / "a.wav"
        with av.open(str(path), "w") as file:
            stream = file.add_stream("pcm_s16le", rate=8000)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            sound.sample_rate = 8000
            file.mux(stream.encode(sound))
        with pytest.raises(SourceError, match="holds no video"):
            Recording(parse_source(str(path)))

    def test_a_playlist_that_calls_itself_a_video_reads_nothing_from_the_network(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "a.m3u8"
        path.write_text(
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n"
        )
        with pytest.raises(SourceError):
            list(Recording(parse_source(str(path))))


class TestFolders:
    def test_pictures_in_order_of_their_names(self, tmp_path: Path) -> None:
        for i in (2, 0, 1):
            write_image(tmp_path / f"p{i}.png", np.full((20, 30 + i, 3), 50 * i, np.uint8))
        frames = read(tmp_path, rate=4)
        assert frames == [(0, 0.0, 0.0), (1, 0.25, 50.0), (2, 0.5, 100.0)]

    def test_one_that_cannot_be_read_is_told_at_the_end(self, tmp_path: Path) -> None:
        for i in range(3):
            write_image(tmp_path / f"p{i}.png", np.zeros((20, 30, 3), np.uint8))
        (tmp_path / "p1.png").write_bytes(b"nothing")
        seen = []
        with pytest.raises(SourceError, match=r"p1\.png"):
            seen.extend(Recording(parse_source(str(tmp_path)), START))
        assert [frame.index for frame in seen] == [0, 2]

    def test_a_folder_without_pictures(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="without pictures"):
            Recording(parse_source(str(tmp_path)))
