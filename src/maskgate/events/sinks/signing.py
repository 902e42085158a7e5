"""Signatures of webhooks, as the Standard Webhooks specification has them (version 1, symmetric).

The key signs ``id.timestamp.body`` with HMAC-SHA256. A receiver that checks the signature and the
timestamp knows that the body is ours and that it is not an old one sent again.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from maskgate.events.credentials import Secret

_PREFIX = "whsec_"


def signature_headers(secret: Secret, id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a message.

    Args:
        secret: any text; one that starts with ``whsec_`` is base64 of the key's bytes.
        id: of the event.
        timestamp: seconds since 1970 of this try.
        body: as sent.
    """
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": "v1," + signature(secret, id, timestamp, body),
    }


def signature(secret: Secret, id: str, timestamp: int, body: bytes) -> str:
    """Base64 of the HMAC-SHA256."""
    signed = f"{id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()


def _key(secret: Secret) -> bytes:
    text = secret.reveal()
    if text.startswith(_PREFIX):
        try:
            return base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass  # a text that happens to start like this
    return text.encode()
