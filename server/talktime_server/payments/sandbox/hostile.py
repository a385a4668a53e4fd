"""Answers that no provider should give: what a proxy, a captive portal or somebody who took it over might send."""

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from talktime_server.payments.sandbox.bank import Token

CHUNK = b" " * 65_536
ENDLESS_CHUNKS = 16_384  # 1 GiB
DRIP_S = 0.05
DRIPS = 10_000


def hostile(token: str) -> ASGIApp | None:
    """The answer that a token stands for; None where it is not this kind of token."""
    if token == Token.HTML:
        return HTMLResponse("<html><body>Please sign in</body></html>")
    if token == Token.REDIRECT:
        return RedirectResponse("/v1/health", status_code=307)
    if token == Token.ENDLESS:
        return _json(_endless())
    return _json(_drip()) if token == Token.DRIP else None


async def cut(scope: Scope, receive: Receive, send: Send) -> None:
    """Promises more than it sends, and hangs up."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"id": "', "more_body": True})


def _json(body: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(body, media_type="application/json")


async def _endless() -> AsyncIterator[bytes]:
    for _ in range(ENDLESS_CHUNKS):
        yield CHUNK


async def _drip() -> AsyncIterator[bytes]:
    for _ in range(DRIPS):
        yield b" "
        await asyncio.sleep(DRIP_S)
