"""One exchange with a provider over HTTP: no redirect is followed, no more than 64 KiB are read, and it ends in time.

What comes back is hostile until read (reliability.md C10). Repeating is not done here: `payments.py` decides on that.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from talktime_server.payments.errors import (
    BadCredentials,
    Busy,
    InProgress,
    PaymentFailure,
    ProviderFailed,
    Silent,
    Unreachable,
    UnreadableReply,
)

MAX_REPLY_BYTES = 64 * 1024
MAX_CONNECTIONS = 20
MAX_RETRY_AFTER_S = 3600
CONNECT_TIMEOUT_S = 5.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
# httpx raises these before a byte of the request has left.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a whole URL, headers, and a body."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of 2xx or 4xx that is JSON: `content` is it read, always an object."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    content: dict[str, Any]


class Exchange:
    """The connections to one provider. `timeout_s` is for the whole of an exchange, however slowly it drips."""

    def __init__(self, base_url: str, *, timeout_s: float) -> None:
        """Raises ValueError for a URL that would carry our credentials in the clear over a network."""
        url = urlsplit(base_url)
        beside_us = url.hostname in _LOOPBACK
        if url.scheme != "https" and not (url.scheme == "http" and beside_us):
            raise ValueError("a payment provider's URL is https, or http on a loopback address")
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=15),
            follow_redirects=False,
            # Proxies are for the outside: a sandbox beside us is asked directly.
            trust_env=not beside_us,
            headers={"accept": "application/json", "accept-encoding": "identity"},
        )

    async def ask(self, question: Question) -> Reply:
        """The provider's answer. Raises PaymentFailure; its `applied` speaks of the question."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._ask(question)
        except _NEVER_SENT as error:
            raise Unreachable("the payment provider cannot be reached") from error
        except (TimeoutError, httpx.HTTPError) as error:
            raise Silent("the payment provider did not answer") from error

    async def _ask(self, question: Question) -> Reply:
        async with self._client.stream(
            question.method, question.url, headers=dict(question.headers), content=question.body
        ) as response:
            if failure := _failure(response):
                raise failure
            body = await _limited(response)
        return Reply(response.status_code, response.headers, body, read_json(body))

    async def close(self) -> None:
        """Closes every connection."""
        await self._client.aclose()


def read_json(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises UnreadableReply for anything else."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableReply("the payment provider's answer is not JSON") from error
    if not isinstance(content, dict):
        raise UnreadableReply("the payment provider's answer is not a JSON object")
    return content


def _failure(response: httpx.Response) -> PaymentFailure | None:
    """What a status says by itself, whatever stands below it."""
    status = response.status_code
    if status >= 500:
        return ProviderFailed("the payment provider failed")
    if status == 429:
        after_s = _retry_after_s(response.headers.get("retry-after", ""))
        return Busy("the payment provider is busy", retry_after_s=after_s)
    if status == 409:
        return InProgress("the payment provider is still at an earlier try")
    if status in (401, 403):
        return BadCredentials("the payment provider does not accept our credentials")
    if status not in range(200, 300) and status < 400:
        return UnreadableReply("the payment provider answered with a redirect")
    return _unreadable(response.headers)


def _unreadable(headers: Mapping[str, str]) -> UnreadableReply | None:
    if not headers.get("content-type", "").startswith("application/json"):
        return UnreadableReply("the payment provider's answer is not JSON")
    if headers.get("content-encoding", "identity") != "identity":
        # It was asked for plain bytes: what is packed may be of any size.
        return UnreadableReply("the payment provider's answer is packed")
    return None


def _retry_after_s(text: str) -> float | None:
    """Whole seconds; a date, or nonsense, is no hint."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return None
    return float(min(int(text), MAX_RETRY_AFTER_S))


async def _limited(response: httpx.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_REPLY_BYTES:
            raise UnreadableReply("the payment provider's answer is too long")
    return body
