"""Page tokens: where a listing goes on, signed, so that nobody reads another tenant's pages by editing one."""

import base64
import binascii
import hashlib
import hmac

from talktime_server.failure import Invalid, Violation

MAX_TOKEN_CHARS = 512
_MAC_BYTES = 16


def make(key: bytes, tenant: str, method: str, position: str) -> str:
    """The token that continues `method` for `tenant` after `position`; it is good for these alone."""
    body = position.encode()
    return base64.urlsafe_b64encode(_mac(key, tenant, method, body) + body).decode()


def read(key: bytes, tenant: str, method: str, token: str) -> str:
    """The position in a token that `make` made for the same tenant and method; anything else is BAD_PAGE_TOKEN."""
    try:
        if len(token) > MAX_TOKEN_CHARS:
            raise ValueError
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise _bad() from None
    mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, tenant, method, body)):
        raise _bad()
    return body.decode()


def _mac(key: bytes, tenant: str, method: str, body: bytes) -> bytes:
    # Lengths keep the parts apart: ("ab", "c") must not sign as ("a", "bc").
    parts = (tenant.encode(), method.encode(), body)
    text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(key, text, hashlib.sha256)[:_MAC_BYTES]


def _bad() -> Invalid:
    text = "is not a page token of this listing"
    return Invalid.fields([Violation("page_token", "BAD_PAGE_TOKEN", text)])
