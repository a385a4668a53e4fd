"""Webhooks that go out, after the Standard Webhooks specification: signed, thin, and only to public addresses.

Each try says which message it is (`webhook-id`, always the same for a delivery), when it was made, and
signs both with the body. Redirects are not followed and what a receiver answers is not read, but its status.
"""

import asyncio
import base64
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from talktime_server.notices.addresses import (
    Refused,
    Resolve,
    addresses_of,
    place_of,
    resolve,
)
from talktime_server.notices.notice import Parameters
from talktime_server.notices.outcome import Outcome
from talktime_server.notices.settings import SECRET_PREFIX, Post
from talktime_server.notices.told import Told
from talktime_server.words import NoticeKind

if TYPE_CHECKING:
    from talktime_server.notices.posting import Sender

TIMEOUT_S = 15.0
MOST_BODY_BYTES = 20_000


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
        self._authority = authority
        self._sender: Sender | None = None

    async def post(self, message: Message, post: Post, now_ms: int) -> Outcome:
        """Posts a message to a webhook, signed at a time."""
        try:
            async with asyncio.timeout(self._timeout_s):
                place = place_of(post.url, private=self.private)
                found = await addresses_of(place, self.resolve, private=self.private)
                headers = signed(message, post, now_ms)
                return await self._made().send(place, found, message.body, headers)
        except Refused:
            return Outcome("the address is not public")
        except TimeoutError:
            return Outcome("no answer in time")
        except OSError:
            return Outcome("the host has no address")

    async def close(self) -> None:
        """Closes every connection."""
        if self._sender:
            await self._sender.close()

    def _made(self) -> "Sender":
        if self._sender is None:
            # An HTTP client and the machine's certificates, which many never need.
            from talktime_server.notices.posting import Sender

            self._sender = Sender(self._timeout_s, self._authority)
        return self._sender


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
