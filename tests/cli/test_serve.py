"""``maskgate serve`` and ``maskgate tokens`` from the outside."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from maskgate.images import encode_image

pytest.importorskip("fastapi")
GREEN, RED, BLUE = (40, 220, 40), (220, 40, 40), (40, 40, 220)
Call = Callable[..., Any]
Spawn = Callable[..., subprocess.Popen[str]]
pytestmark = [
    pytest.mark.usefixtures("toys"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix"),
]


class Served:
    """The service in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        wait_for(lambda: self.address or process.poll() is not None)
        assert self.address, self.said

    @property
    def address(self) -> str | None:
        match = re.search(r"serving on (\S+);", "".join(self.said))
        return match[1] if match else None

    def client(self, **options: Any) -> httpx.Client:
        assert self.address
        return httpx.Client(base_url=self.address, verify=False, trust_env=False, timeout=20, **options)

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(30)
        self._reader.join(10)
        return status

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)


@pytest.fixture
def start(
    spawn: Spawn, paint: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Served]]:
    """Runs ``maskgate serve`` on a free port, in the folder of ``paint``, with no state from before."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("MASKGATE_TOKEN", "MASKGATE_TOKENS"):
        monkeypatch.delenv(name, raising=False)
    started: list[Served] = []

    def run(*words: str | Path) -> Served:
        started.append(Served(spawn("serve", "--port", "0", "--no-pages", *words, stdout=subprocess.DEVNULL)))
        return started[-1]

    yield run
    for served in started:
        if served.process.poll() is None:
            served.process.kill()
        served.process.wait(10)
        served._reader.join(10)
        assert served.process.stderr is not None
        served.process.stderr.close()


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (value := condition()):
        assert time.monotonic() < deadline, "nothing happened for half a minute"
        time.sleep(0.05)
    return value


def test_a_picture_gets_what_detect_prints(start: Callable[..., Served], paint: Call, call: Call) -> None:
    path = paint("a.png", (10, 20, 50, GREEN), (80, 30, 60, RED))
    (line,) = call("detect", path).lines
    served = start()
    with served.client() as client:
        answer = client.post("/v1/detect", files={"image": path.read_bytes()}).json()
        for content in (line, answer):
            del content["milliseconds"]
        del line["path"]
        assert answer == line
        assert len(answer["faces"]) == 2
        assert client.get("/v1/models").json()["detector"]["name"] == "squares"
        assert client.get("/v1/events").json() == {"events": [], "next": None}
        assert client.get("/").status_code == 404  # there are no pages
    assert served.stop() == 143
    assert served.said == [f"maskgate: serving on {served.address}; Ctrl-C ends it\n"]
    # nothing is kept, by default
    assert not Path("../state").exists()
    assert [path.name for path in Path().iterdir()] == ["a.png"]


def test_ctrl_c_ends_it(start: Callable[..., Served]) -> None:
    served = start()
    assert served.stop(signal.SIGINT) == 130
    assert served.said[-1] == "maskgate: stopped\n"


def test_limits_of_the_call_are_kept(start: Callable[..., Served], paint: Call) -> None:
    path = paint("a.png", (10, 20, 50, GREEN))
    words = ["--max-megapixels", "0.01", "--max-pictures", "2", "--requests-per-minute", "2", "--docs"]
    with start(*words).client() as client:
        answer = client.post("/v1/detect", files={"image": path.read_bytes()})
        assert (answer.status_code, answer.json()["detail"]) == (
            413,
            "image is 160×120 pixels, 19,200 in all; the limit is 10,000",
        )
        files = [("image", b"x")] * 3
        assert client.post("/v1/detect/batch", files=files).status_code == 413
        assert client.post("/v1/detect").status_code == 429
        assert client.get("/docs").status_code == 200


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--host", "0.0.0.0"], "would let everybody in"),
        (["--port", "65536"], "is not a port"),
        (["--port", "x"], "is not a port"),
        (["--tokens", "none.txt"], "none.txt is not a file"),
        (["--rules", "none.toml"], "none.toml is not a file"),
        (["--watch"], "there is nothing to watch"),
        (["--watch", "film.avi"], "the service watches cameras only; give recordings to 'maskgate watch'"),
        (["--watch", "0", "--track-score", "2"], "track-score is 2.0"),
        (["--max-pictures", "0"], "not a whole number of at least 1"),
        (["--max-waiting", "3"], "3 pictures may wait, but one request may have 16"),
        (["--max-megabytes", "-1"], "--max-megabytes is -1.0"),
        (["--requests-per-minute", "0"], "requests_per_minute is 0.0"),
        (["--key", __file__], "a key is given without a certificate"),
        (["--detector", "nothing"], "nothing"),
    ],
)
def test_wrong_calls(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    result = call("serve", *words)
    assert (result.status, result.out) == (2, "")
    assert sentence in result.err
    assert result.err.count("\n") == 1


def test_tokens_are_made_once_and_open_the_door(
    start: Callable[..., Served], call: Call, paint: Call
) -> None:
    path = paint("a.png", (10, 20, 50, GREEN))
    made = {
        role: call("tokens", "add", f"a-{role}", "--role", role, "--file", "tokens.txt").out.strip()
        for role in ("recognise", "read")
    }
    text = Path("tokens.txt").read_text()
    assert all(len(token) > 40 and token not in text for token in made.values())
    again = call("tokens", "add", "a-read", "--role", "admin", "--file", "tokens.txt")
    assert again.status == 2
    assert "has a token named 'a-read' already" in again.err
    assert Path("tokens.txt").read_text() == text
    served = start("--host", "0.0.0.0", "--tokens", "tokens.txt")
    assert served.address
    address = served.address.replace("0.0.0.0", "127.0.0.1")
    with httpx.Client(base_url=address, verify=False, trust_env=False) as client:
        for role, expected in (("recognise", 200), ("read", 403), (None, 401)):
            headers = {"Authorization": f"Bearer {made[role]}"} if role else {}
            files = {"image": path.read_bytes()}
            assert client.post("/v1/detect", files=files, headers=headers).status_code == expected
    assert served.stop() == 143
    assert any("travel as plain text" in line for line in served.said)
    assert not any(token in line for token in made.values() for line in served.said)


def test_wrong_calls_for_tokens(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words, sentence in (
        (["add", "a", "--file", "t"], "required: --role"),
        (["add", "a", "--role", "all", "--file", "t"], "invalid choice"),
        (["add", "a b", "--role", "read", "--file", "t"], "name it with"),
        (["add", "a", "--role", "read", "--file", "none/t"], ""),
    ):
        result = call("tokens", *words)
        if sentence:
            assert (result.status, result.out) == (2, "")
            assert sentence in result.err
    assert Path("none/t").exists()  # folders are made


def draw(colour: tuple[int, int, int]) -> bytes:
    """A face to the toy models, as JPEG."""
    image = np.zeros((128, 240, 3), np.uint8)
    chequers = (np.indices((88, 88)) // 8).sum(0) % 2
    image[20:108, 10:98] = colour * (1 - 0.3 * chequers[..., None])
    return bytes(encode_image(image, "JPEG"))


SECRETS = ("guard", "s3cret", "t0ken", "gone-pass")


def test_cameras_are_watched_and_their_passwords_never_seen(
    start: Callable[..., Served], send_pictures: Callable[[bytes], str], call: Call
) -> None:
    pytest.importorskip("av")
    Path("address").write_text(send_pictures(draw(RED)) + "\n")
    Path("rules.toml").write_text(
        '[cameras.door]\nsource = { file = "address" }\nrate = 20\n'
        '[cameras.gone]\nsource = "rtsp://guard:gone-pass@127.0.0.1:9/x"\n'
        '[store]\nfolder = "kept"\n'
        '[snapshots]\nfolder = "seen"\nshow = "face"\n'
        '[[sinks]]\ntype = "jsonl"\npath = "events.jsonl"\n'
    )
    token = call("tokens", "add", "all", "--role", "admin", "--file", "tokens.txt").out.strip()
    served = start("--watch", "--rules", "rules.toml", "--tokens", "tokens.txt")
    shown: list[str] = []
    with served.client(headers={"Authorization": f"Bearer {token}"}) as client:

        def get(path: str) -> Any:
            answer = client.get(path)
            shown.append(f"{answer.headers}{answer.text}")
            return answer

        def happened() -> Any:
            return {e["type"]: e for e in get("/v1/events").json()["events"]}

        events = wait_for(lambda: found if len(found := happened()) >= 3 else None)
        assert set(events) == {"camera.online", "camera.offline", "track.confirmed"}
        confirmed = events["track.confirmed"]
        assert (confirmed["camera"], confirmed["label"], confirmed["violation"]) == ("door", "no_mask", True)
        door, gone = get("/v1/cameras").json()["cameras"]
        assert (door["name"], door["state"], gone["name"], gone["state"]) == (
            "door",
            "online",
            "gone",
            "offline",
        )
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", door["address"])
        assert gone["address"] == "rtsp://127.0.0.1:9"
        assert door["since"] == events["camera.online"]["time"]
        assert door["frames"]["received"] >= door["frames"]["processed"] > 5
        picture = client.get(f"/v1/snapshots/{confirmed['id']}")
        assert picture.headers["content-type"] == "image/jpeg"
        assert picture.content == Path("seen", f"{confirmed['id']}.maskgate.jpg").read_bytes()
        hours = get("/v1/statistics").json()["intervals"]
        assert sum(hour["tracks"]["no_mask"] for hour in hours) == 1
        assert {r["name"] for r in get("/v1/receivers").json()["receivers"]} == {"store", "jsonl"}
        metrics = get("/metrics").text
        assert 'maskgate_camera_online{camera="door"} 1.0' in metrics
        assert re.search(r'maskgate_camera_frames_total\{camera="door",result="processed"\} [1-9]', metrics)
        assert 'maskgate_events_total{type="track.confirmed"} 1.0' in metrics
        assert get("/health/ready").json()["checks"] == {"engine": "ok", "store": "ok", "watch": "ok"}
        with client.stream("GET", "/v1/events/stream") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "retry: 3000"
            assert served.stop() == 143  # while the stream is open
            rest = list(lines)
    told = [json.loads(line[6:]) for line in rest if line.startswith("data: ")]
    assert all(event["type"] == "track.ended" for event in told)
    written = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    assert written[-1]["type"] == "track.ended"  # what was watched was brought to an end
    for text in (*shown, *served.said, Path("events.jsonl").read_text(), *rest):
        assert not any(secret in text for secret in SECRETS), text


def test_cameras_without_a_rule_file(
    start: Callable[..., Served], send_pictures: Callable[[bytes], str]
) -> None:
    pytest.importorskip("av")
    served = start("--watch", send_pictures(draw(GREEN)), "--rate", "20")
    with served.client() as client:

        def confirmed() -> Any:
            return client.get("/v1/events", params={"type": "track.confirmed"}).json()["events"]

        (event,) = wait_for(confirmed)
        assert event["label"] == "mask"
    served.stop()
    # what was kept is there to be looked at afterwards
    with start().client() as client:
        assert event in client.get("/v1/events").json()["events"]


def test_another_processes_events_are_shown(
    start: Callable[..., Served], spawn: Spawn, send_pictures: Callable[[bytes], str]
) -> None:
    pytest.importorskip("av")
    Path("rules.toml").write_text('[store]\nfolder = "kept"\n')
    with start("--rules", "rules.toml").client() as client:
        assert client.get("/v1/events").json()["events"] == []
        words = ["watch", send_pictures(draw(BLUE)), "--rules", "rules.toml", "--rate", "20"]
        watching = spawn(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            (event,) = wait_for(
                lambda: client.get("/v1/events", params={"type": "track.confirmed"}).json()["events"]
            )
            (camera,) = client.get("/v1/cameras").json()["cameras"]
        finally:
            watching.terminate()
            watching.wait(20)
        assert event["label"] == "incorrect"
        assert (camera["state"], camera["frames"], camera["address"]) == ("online", None, None)
