"""Webhooks that go out, after the Standard Webhooks specification: signed, thin, and only to public addresses.

Each try says which message it is (`webhook-id`, always the same for a delivery), when it was made, and
signs both with the body. Redirects are not followed and what a receiver answers is not read, but its status.
"""

import asyncio
import base64
import hmac
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import httpx

from talktime_server.notices.addresses import (
    Place,
    Refused,
    Resolve,
    addresses_of,
    place_of,
    resolve,
)
from talktime_server.notices.notice import Parameters
from talktime_server.notices.outcome import TAKEN, Outcome
from talktime_server.notices.settings import SECRET_PREFIX, Post
from talktime_server.notices.values import Told
from talktime_server.words import NoticeKind

TIMEOUT_S = 15.0
MOST_BODY_BYTES = 20_000
_GONE = 410


@dataclass(frozen=True, slots=True)
class Message:
    """What is posted: the delivery it is, and the body."""

    delivery_id: str
    body: bytes

    @property
    def webhook_id(self) -> str:
        """By which receivers know a message that they had before."""
        return f"msg_{self.delivery_id}"


class Poster:
    """Posts messages. `private` lets private addresses and http through, where the operator wants that;
    `authority` is a file of certificates to trust instead of the usual ones.
    """

    def __init__(
        self,
        *,
        private: bool = False,
        resolve: Resolve = resolve,
        authority: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.private = private
        self.resolve = resolve
        self._timeout_s = timeout_s
        # A connection is used once: kept ones would go by their address alone, whatever name was checked on them.
        self._client = httpx.AsyncClient(
            verify=ssl.create_default_context(cafile=authority),
            follow_redirects=False,
            trust_env=False,
            timeout=timeout_s,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def post(self, message: Message, post: Post, now_ms: int) -> Outcome:
        """Posts a message to a webhook, signed at a time."""
        try:
            async with asyncio.timeout(self._timeout_s):
                place = place_of(post.url, private=self.private)
                found = await addresses_of(place, self.resolve, private=self.private)
                return await self._send(place, found, message, signed(message, post, now_ms))
        except Refused:
            return Outcome("the address is not public")
        except (TimeoutError, httpx.TimeoutException):
            return Outcome("no answer in time")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Outcome(_reason(error))

    async def close(self) -> None:
        """Closes every connection."""
        await self._client.aclose()

    async def _send(
        self, place: Place, found: Sequence[str], message: Message, headers: dict[str, str]
    ) -> Outcome:
        """Posts to the first address that a connection can be made to."""
        for address in found[:-1]:
            try:
                return await self._send_to(place, address, message, headers)
            except httpx.ConnectError:
                continue
        return await self._send_to(place, found[-1], message, headers)

    async def _send_to(
        self, place: Place, address: str, message: Message, headers: dict[str, str]
    ) -> Outcome:
        scheme = "https" if place.secure else "http"
        host = f"[{address}]" if ":" in address else address
        asked = self._client.stream(
            "POST",
            f"{scheme}://{host}:{place.port}{place.target}",
            content=message.body,
            headers=headers | {"host": place.authority},
            # The address is connected to, and the certificate must still be the name's.
            extensions={"sni_hostname": place.host},
        )
        async with asked as answer:
            return _outcome(answer.status_code)


def signed(message: Message, post: Post, now_ms: int) -> dict[str, str]:
    """The headers of a message; one signature for each secret that signs now."""
    timestamp = str(now_ms // 1000)
    text = b".".join((message.webhook_id.encode(), timestamp.encode(), message.body))
    return {
        "content-type": "application/json",
        "user-agent": "talktime",
        "webhook-id": message.webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(secret, text) for secret in post.secrets),
    }


def body_of(kind: NoticeKind, told: Told, summary: str) -> bytes:
    """The thin JSON of a notice: its type, when it happened, and what it says."""
    parameters: Parameters = told.parameters
    content = {
        "type": kind.value,
        "timestamp": datetime.fromtimestamp(told.noticed_ms / 1000, UTC).isoformat(),
        "data": {
            "notice_id": told.notice_id,
            "tenant_id": told.tenant_id,
            "summary": summary,
            **parameters,
        },
    }
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    assert len(body) <= MOST_BODY_BYTES, "every part of a notice is bounded"
    return body


def _signature(secret: str, text: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, text, sha256)).decode()


def _outcome(status: int) -> Outcome:
    if 200 <= status < 300:
        return TAKEN
    return Outcome(f"HTTP {status}", final=status == _GONE, gone=status == _GONE)


def _reason(error: Exception) -> str:
    """Why nothing was answered, in our words."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "the certificate or the encryption is not good"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    if isinstance(error, OSError):
        return "the host has no address"
    return "the answer broke off"
