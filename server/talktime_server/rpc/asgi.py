"""The envoy engine's application: gRPC over ASGI, inside Envoy.

`application` is what Envoy's module loads. One unary call is one receive, one look at the edge and three sends;
everything unusual (a message in pieces, a stream, an error) takes the longer way below it.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import Any

import structlog

from talktime_server.failure import Code, Failure
from talktime_server.rpc.edge import Edge
from talktime_server.rpc.envoy_admin import ADMIN_VARIABLE, EnvoyAdmin
from talktime_server.rpc.framing import (
    Frames,
    framed,
    message_missing,
    status_headers,
    timeout_s,
    whole_message,
)
from talktime_server.rpc.replies import reply_of
from talktime_server.rpc.shapes import Incoming, Reply
from talktime_server.serving import Serving

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

# Messages of a stream that wait for the edge; then the caller is slowed by HTTP/2's flow control.
INBOX_MESSAGES = 8
# After the caller has ended its side, only asking shows that it went away.
LOOK_FOR_CALLER_S = 0.25

_GRPC = b"application/grpc"
_GRPC_HEADERS = ((b"content-type", _GRPC), (b"grpc-accept-encoding", b"identity"))
_START: Event = {
    "type": "http.response.start",
    "status": 200,
    "headers": _GRPC_HEADERS,
    "trailers": True,
}
_OK_TRAILERS: Event = {"type": "http.response.trailers", "headers": ((b"grpc-status", b"0"),)}
_NOTHING_YET: Event = {"type": "http.response.body", "body": b"", "more_body": True}
_NO_BODY: Event = {"type": "http.response.body", "body": b""}

_log = structlog.get_logger("talktime.asgi")


class CallerGone(Exception):
    """The caller hung up; nobody is left to answer."""


class Application:
    """Serves the edge that the settings in the environment name. `calls` counts what is open."""

    def __init__(self) -> None:
        self.calls = 0
        self._edge: Edge

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.calls += 1
            try:
                await self._answer(scope, receive, send)
            except (CallerGone, OSError):
                return
            finally:
                self.calls -= 1
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _answer(self, scope: Event, receive: Receive, send: Send) -> None:
        headers = tuple(scope["headers"])
        named = dict(headers)
        if not _is_grpc(named.get(b"content-type", b"")):
            await _refuse_content(send)
            return
        path, encoding = scope["path"], named.get(b"grpc-encoding", b"")
        left_s = timeout_s(named.get(b"grpc-timeout"))
        peer = _peer(scope)
        if self._edge.streaming(path):
            call = Incoming(path, headers, b"", left_s, peer)
            await _converse(self._edge, call, Inbox(receive, Frames(encoding)), send)
            return
        try:
            body = await _message(receive, encoding)
        except Failure as failure:
            await _send_failure(send, reply_of(failure))
            return
        reply = await self._edge.unary(Incoming(path, headers, body, left_s, peer))
        if reply.code is Code.OK:
            await send(_START)
            await send({"type": "http.response.body", "body": framed(reply.body)})
            await send(_OK_TRAILERS)
        else:
            await _send_failure(send, reply)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            serving = await Serving.open(os.environ)
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": type(error).__name__})
            return
        self._edge = serving.app.edge
        following = asyncio.create_task(self._follow(serving))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        following.cancel()
        await asyncio.wait([following])
        await serving.app.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _follow(self, serving: Serving) -> None:
        """Does what the supervisor says, from the first call to the last."""
        path = os.environ.get(ADMIN_VARIABLE)
        if not path:
            return
        admin = EnvoyAdmin(path)
        await admin.until_listening()
        await serving.line.ready()
        await serving.line.told_to_drain()
        await serving.app.drain()
        await admin.drain(lambda: self.calls, serving.settings.drain_seconds)


class Inbox:
    """The messages of one stream, as an async iterator; `fill` brings them until the caller is gone."""

    def __init__(self, receive: Receive, frames: Frames) -> None:
        self._receive = receive
        self._frames = frames
        self._waiting: asyncio.Queue[bytes | Failure | None] = asyncio.Queue(INBOX_MESSAGES)

    async def messages(self) -> AsyncIterator[bytes]:
        """Each message, until the caller ends its side; raises Failure where a frame breaks a rule."""
        while (message := await self._waiting.get()) is not None:
            if isinstance(message, Failure):
                raise message
            yield message

    async def fill(self) -> None:
        """Reads ahead a little. Returns when the caller has gone away."""
        try:
            await self._read()
        except CallerGone:
            return
        except Failure as failure:
            await self._waiting.put(failure)
        await self._until_gone()

    async def _read(self) -> None:
        more = True
        while more:
            event = await self._event()
            if event["type"] != "http.request":
                raise CallerGone
            self._frames.feed(event.get("body", b""))
            more = event.get("more_body", False)
            while (message := self._frames.next()) is not None:
                await self._waiting.put(message)
        if not self._frames.empty:
            raise message_missing(part=True)
        await self._waiting.put(None)

    async def _event(self) -> Event:
        # Shielded, because pyvoy sets the outcome of its future even after we were cancelled.
        return await asyncio.shield(self._receive())

    async def _until_gone(self) -> None:
        while (await self._event())["type"] == "http.request":
            await asyncio.sleep(LOOK_FOR_CALLER_S)


async def _converse(edge: Edge, call: Incoming, inbox: Inbox, send: Send) -> None:
    begun = not edge.one_question(call.path)
    if begun:
        # The response starts before the first answer, which ends Envoy's limit on the time of a whole request. The
        # headers alone would wait for the first answer. Where one question is asked, the request is whole at once, and a
        # response that starts later can be a plain refusal, which JSON over HTTP shows as its status.
        await send(_START)
        await send(_NOTHING_YET)
    writing = asyncio.create_task(_write(edge.exchange(call, inbox.messages()), send, begun))
    filling = asyncio.create_task(inbox.fill())
    try:
        await asyncio.wait((writing, filling), return_when=asyncio.FIRST_COMPLETED)
    finally:
        filling.cancel()
        # Done already, unless the caller is gone: then what it asked for is given up.
        writing.cancel()
        await asyncio.wait((writing, filling))
    if not writing.cancelled():
        writing.result()


async def _write(answers: AsyncGenerator[bytes, None], send: Send, begun: bool) -> None:
    trailers = _OK_TRAILERS
    try:
        async with aclosing(answers):
            async for answer in answers:
                if not begun:
                    begun = True
                    await send(_START)
                await send(
                    {"type": "http.response.body", "body": framed(answer), "more_body": True}
                )
    except Failure as failure:
        if not begun:
            await _send_failure(send, reply_of(failure))
            return
        trailers = {"type": "http.response.trailers", "headers": status_headers(reply_of(failure))}
    if not begun:
        await send(_START)
    await send(_NO_BODY)
    await send(trailers)


async def _message(receive: Receive, encoding: bytes) -> bytes:
    """The first message of a call; a second one in the same call is not looked at."""
    event = await receive()
    if event["type"] != "http.request":
        raise CallerGone
    body: bytes = event["body"]
    if (message := whole_message(body)) is not None:
        return message
    frames = Frames(encoding)
    frames.feed(body)
    while (message := frames.next()) is None:
        if not event.get("more_body"):
            raise message_missing(part=not frames.empty)
        event = await receive()
        if event["type"] != "http.request":
            raise CallerGone
        frames.feed(event["body"])
    return message


async def _send_failure(send: Send, reply: Reply) -> None:
    # The status goes with the headers: gRPC's short form for a call without an answer.
    headers = [*_GRPC_HEADERS, *status_headers(reply)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send(_NO_BODY)


async def _refuse_content(send: Send) -> None:
    headers = ((b"content-type", b"text/plain"),)
    await send({"type": "http.response.start", "status": 415, "headers": headers})
    text = b"POST application/grpc, or application/json to a method of talktime.v1.\n"
    await send({"type": "http.response.body", "body": text})


def _is_grpc(content_type: bytes) -> bool:
    if content_type == _GRPC:
        return True
    return content_type.startswith(_GRPC) and content_type[len(_GRPC) :][:1] in (b"+", b";")


def _peer(scope: Event) -> str:
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else ""


application = Application()
