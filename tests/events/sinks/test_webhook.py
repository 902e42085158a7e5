"""Webhooks, against a real HTTP server: what is sent, and what each answer means."""

from __future__ import annotations

import base64
import json
import logging
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from maskgate.errors import DeliveryError
from maskgate.events import Event
from maskgate.events.credentials import Address, Secret
from maskgate.events.settings import TlsSettings, WebhookSettings
from maskgate.events.sinks.protocol import NotNowError, RefusedError
from maskgate.events.sinks.signing import signature
from maskgate.events.sinks.webhook import Webhook

Make = Callable[..., Event]
KEY = "a-key-that-is-long-enough"


@pytest.fixture
def webhook(receiver: Any) -> Any:
    sink = Webhook(
        settings(receiver.url, secret=Secret(KEY), headers={"X-Door": Secret("token-of-the-door")})
    )
    sink.open()
    yield sink
    sink.close()


def settings(url: str, **fields: Any) -> WebhookSettings:
    return WebhookSettings(**({"name": "door", "url": Address(url), "timeout_seconds": 1.0} | fields))


def test_it_posts_cloud_events(webhook: Webhook, receiver: Any, track_event: Make) -> None:
    events = [track_event(camera="front door"), track_event()]
    webhook.deliver(events)
    assert [json.loads(body)["id"] for _, _, body in receiver.requests] == [event.id for event in events]
    path, headers, body = receiver.requests[0]
    content = json.loads(body)
    assert path == "/hook"
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert headers["x-door"] == "token-of-the-door"
    # the required attributes, and the rules for all, of the CloudEvents specification 1.0
    assert content["specversion"] == "1.0"
    assert all(content[name] for name in ("id", "source", "type"))
    assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in content)
    assert urlsplit(content["source"]).scheme == "urn"
    assert " " not in content["source"]
    assert content["type"] == "maskgate.track.confirmed"
    assert content["time"] == "2026-01-01T00:00:00.000Z"
    assert content["datacontenttype"] == "application/json"
    assert Event.from_json(content["data"]) == events[0]


def test_the_signature_is_openssls(webhook: Webhook, receiver: Any, track_event: Make) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    webhook.deliver([track_event()])
    _, headers, body = receiver.requests[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    command = [openssl, "dgst", "-sha256", "-hmac", KEY, "-binary"]
    digest = subprocess.run(command, input=signed, capture_output=True, check=True).stdout
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert headers["webhook-id"] == json.loads(body)["id"]
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60


def test_the_signature_of_a_base64_key() -> None:
    # printf 'a.1.what do ya want for nothing?' | openssl dgst -sha256 -hmac Jefe -binary | base64
    key = "whsec_" + base64.b64encode(b"Jefe").decode()
    expected = "0trG11VY/F6EWyo9sDQ7ZYo9AHSNGVnmMlEFaksjIOY="
    assert signature(Secret(key), "a", 1, b"what do ya want for nothing?") == expected
    assert signature(Secret("Jefe"), "a", 1, b"what do ya want for nothing?") == expected


def test_without_a_key_there_is_no_signature(receiver: Any, track_event: Make) -> None:
    sink = Webhook(settings(receiver.url))
    sink.deliver([track_event()])
    assert not any(name.startswith("webhook-") for name in receiver.requests[0][1])
    sink.close()


def test_a_repeat_has_the_same_id_and_body(webhook: Webhook, receiver: Any, track_event: Make) -> None:
    event = track_event()
    for _ in range(2):
        webhook.deliver([event])
    (_, first, body), (_, second, again) = receiver.requests
    assert (body, first["webhook-id"]) == (again, second["webhook-id"])


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(webhook: Webhook, receiver: Any, track_event: Make, status: int) -> None:
    receiver.answers = [(status, {})]
    webhook.deliver([track_event()])
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 404, 408, 429, 500, 502, 503])
def test_what_somebody_may_mend_is_tried_again(
    webhook: Webhook, receiver: Any, track_event: Make, status: int
) -> None:
    receiver.answers = [(status, {"location": receiver.url})]
    with pytest.raises(DeliveryError, match=f"door .* answered {status}") as caught:
        webhook.deliver([track_event()])
    assert not isinstance(caught.value, RefusedError | NotNowError)
    assert len(receiver.requests) == 1, "a redirect was followed, or a request repeated"


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_is_refused_three_times_is_set_aside(
    webhook: Webhook, receiver: Any, track_event: Make, status: int
) -> None:
    receiver.answers = [status]
    event, other = track_event(), track_event()
    for given in (event, event, other, event, event):
        with pytest.raises(DeliveryError) as caught:
            webhook.deliver([given])
        assert not isinstance(caught.value, RefusedError)
    with pytest.raises(RefusedError, match=f"{status} 3 times to event {event.id}"):
        webhook.deliver([event])


def test_a_receiver_that_is_gone_is_asked_rarely(webhook: Webhook, receiver: Any, track_event: Make) -> None:
    receiver.answers = [410]
    with pytest.raises(NotNowError, match="it is gone") as caught:
        webhook.deliver([track_event()])
    assert caught.value.seconds == 3600


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("99999", 3600), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("soon", None), ("-5", None)],
)
def test_retry_after(
    webhook: Webhook, receiver: Any, track_event: Make, text: str, seconds: float | None
) -> None:
    receiver.answers = [(503, {"retry-after": text})]
    with pytest.raises(DeliveryError) as caught:
        webhook.deliver([track_event()])
    assert getattr(caught.value, "seconds", None) == seconds


def test_a_receiver_that_hangs(receiver: Any, track_event: Make) -> None:
    receiver.answers = ["hang"]
    sink = Webhook(settings(receiver.url, timeout_seconds=0.3))
    start = time.monotonic()
    with pytest.raises(DeliveryError, match=r"no answer within 0\.3 s"):
        sink.deliver([track_event()])
    assert time.monotonic() - start < 5
    sink.close()


def test_a_receiver_that_answers_a_byte_at_a_time(track_event: Make) -> None:
    """Each byte comes in time, the whole never does."""
    stopped = threading.Event()

    def drip(server: socket.socket) -> None:
        connection = server.accept()[0]
        with suppress(OSError), connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
            while not stopped.wait(0.05):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=[server], daemon=True).start()
        sink = Webhook(settings(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout_seconds=0.2))
        start = time.monotonic()
        with pytest.raises(DeliveryError, match=r"no whole answer in 0\.6 s"):
            sink.deliver([track_event()])
        assert time.monotonic() - start < 5
        stopped.set()
        sink.close()


def test_a_receiver_that_is_not_there(free_port: Callable[[], int], track_event: Make) -> None:
    sink = Webhook(settings(f"http://127.0.0.1:{free_port()}/very-secret"))
    with pytest.raises(DeliveryError, match="cannot connect") as caught:
        sink.deliver([track_event()])
    assert "very-secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    sink.close()


def test_a_name_that_is_unknown(track_event: Make) -> None:
    sink = Webhook(settings("http://no-such-host.invalid/very-secret"))
    with pytest.raises(DeliveryError, match=r"\(http://no-such-host.invalid\): ") as caught:
        sink.deliver([track_event()])
    assert "very-secret" not in str(caught.value)
    sink.close()


def test_a_connection_is_used_again(webhook: Webhook, receiver: Any, track_event: Make) -> None:
    receiver.answers = [500, 200]
    with pytest.raises(DeliveryError):
        webhook.deliver([track_event()])
    webhook.deliver([track_event(), track_event()])
    assert (len(receiver.requests), receiver.connections) == (3, 1)


def test_nothing_secret_is_logged(receiver: Any, track_event: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sink = Webhook(
        settings(
            f"http://127.0.0.1:{receiver.port}/very-secret?token=very-secret",
            secret=Secret("very-secret-key-of-length"), headers={"Authorization": Secret("very-secret")},
        )
    )  # fmt: skip
    receiver.answers = [200, 500, "hang"]
    sink.deliver([track_event()])
    for _ in range(2):
        with pytest.raises(DeliveryError) as caught:
            sink.deliver([track_event()])
        assert "very-secret" not in str(caught.value)
    sink.close()
    assert receiver.requests[0][0] == "/very-secret?token=very-secret"
    assert "very-secret" not in caplog.text + repr(vars(sink))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    command = [
        openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-keyout", str(path), "-out", f"{path}.crt", "-days", "2", "-subj", "/CN=gate",
        "-addext", "subjectAltName=IP:127.0.0.1",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@pytest.fixture
def secure(receiver: Any, certificate: Path) -> str:
    """The receiver with TLS: its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    return f"https://127.0.0.1:{receiver.port}/hook"


def test_a_certificate_that_nobody_vouches_for(secure: str, receiver: Any, track_event: Make) -> None:
    sink = Webhook(settings(secure, timeout_seconds=5.0))
    with pytest.raises(DeliveryError, match=r"TLS failed: self.signed certificate"):
        sink.deliver([track_event()])
    assert receiver.requests == []
    sink.close()


def test_a_certificate_for_another_name(
    secure: str, receiver: Any, certificate: Path, track_event: Make
) -> None:
    tls = TlsSettings(ca_file=certificate)
    sink = Webhook(settings(secure.replace("127.0.0.1", "localhost"), tls=tls, timeout_seconds=5.0))
    with pytest.raises(DeliveryError, match=r"TLS failed: .*(Hostname|localhost)"):
        sink.deliver([track_event()])
    assert receiver.requests == []
    sink.close()


def test_a_certificate_of_an_authority_that_is_set(
    secure: str, receiver: Any, certificate: Path, track_event: Make
) -> None:
    sink = Webhook(settings(secure, tls=TlsSettings(ca_file=certificate), timeout_seconds=5.0))
    sink.deliver([track_event()])
    assert len(receiver.requests) == 1
    sink.close()


def test_a_file_that_is_no_certificate(tmp_path: Path) -> None:
    path = tmp_path / "a.pem"
    path.write_text("nothing")
    sink = Webhook(settings("https://127.0.0.1/", tls=TlsSettings(ca_file=path)))
    with pytest.raises(DeliveryError, match="the certificates in the settings cannot be used"):
        sink.open()
