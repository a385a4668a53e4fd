"""Signs and verifies webhooks after the Standard Webhooks specification: HMAC-SHA256 over id, timestamp and body.

A secret is `whsec_` and 24 to 64 bytes in base64. During its rotation a sender signs with both, so that a header
holds several signatures and one that fits is enough.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from talktime_server.payments.errors import BadSignature

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE_S = 300
MAX_SIGNATURES = 10
_PREFIX = "whsec_"


def secret_bytes(secret: str) -> bytes:
    """The key within a secret. Raises ValueError, without the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("a webhook secret is whsec_ and 24 to 64 bytes in base64")
    return key


def sign(key: bytes, message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The three headers of a webhook."""
    return {
        ID: message_id,
        TIMESTAMP: str(at_s),
        SIGNATURE: _signature(key, message_id, str(at_s), body),
    }


def verify(key: bytes, headers: Mapping[str, str], body: bytes, *, now_s: float) -> str:
    """The id of a webhook that was signed with this key, within 300 s of now. Raises BadSignature for any other."""
    message_id, at, given = (headers.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not (message_id.isascii() and at.isascii() and at.isdigit() and len(at) <= 12):
        raise BadSignature("the webhook is not signed")
    wanted = _signature(key, message_id, at, body).encode()
    # The clock is looked at last, so that how long a forgery takes tells nothing.
    signed = any(
        hmac.compare_digest(wanted, each.encode()) for each in given.split(" ")[:MAX_SIGNATURES]
    )
    if not message_id or not signed or abs(now_s - int(at)) > TOLERANCE_S:
        raise BadSignature("the webhook's signature is wrong or too old")
    return message_id


def _signature(key: bytes, message_id: str, at: str, body: bytes) -> str:
    signed = f"{message_id}.{at}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
