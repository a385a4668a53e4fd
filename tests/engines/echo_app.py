"""A small app over the real edge, for tests and measurements of the engines alone: no store, no tokens."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace

from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import StringValue

from talktime.v1 import account_service_pb2 as accounts
from talktime.v1 import authorization_service_pb2 as pb
from talktime_server.config import Settings
from talktime_server.failure import Conflict, Invalid, Violation
from talktime_server.rpc.account_methods import account_stream
from talktime_server.rpc.edge import Edge
from talktime_server.rpc.health import Health
from talktime_server.rpc.shapes import EVERY_ROLE, Answer, Identity, Lane, Method, Stream, Visit
from talktime_server.rpc.tokens import Tokens

ECHO = "/test.Echo/Echo"
SLOW = "/test.Echo/Slow"
REFUSE = "/test.Echo/Refuse"
CHAT = "/test.Echo/Chat"
QUOTE = "/talktime.v1.AuthorizationService/Quote"
SETTLE = "/talktime.v1.AuthorizationService/Settle"
EXPORT = "/talktime.v1.AccountService/ExportCalls"
PART_BYTES = 60_000

# What the generator of EXPORT did, for the tests to ask with ECHO.
seen: Counter[str] = Counter()


@dataclass(frozen=True, slots=True)
class EchoApp:
    """Looks like the composition root's app."""

    edge: Edge
    health: Health

    async def drain(self) -> None:
        self.health.drain()
        self.edge.drain()

    async def close(self) -> None:
        return


async def open_app(settings: Settings) -> EchoApp:
    """The app that the processes of these tests serve."""
    health = Health()
    health.set_store_writable(True)
    unary = (_echo, _slow, _refuse)
    methods = [
        *map(_method, (ECHO, SLOW, REFUSE), unary),
        _method(QUOTE, _quote, pb.QuoteRequest),
        _method(SETTLE, _refuse, pb.SettleRequest),
        health.method(),
    ]
    export = account_stream("ExportCalls", accounts.ExportCallsRequest, EVERY_ROLE, _export)
    streams = [
        Stream(CHAT, EVERY_ROLE, _chat, anonymous=True),
        replace(export, anonymous=True),
        health.stream(),
    ]
    return EchoApp(Edge(methods, streams, tokens=Tokens(settings.tokens_path)), health)


async def refuse_to_open(settings: Settings) -> EchoApp:
    """An app that cannot start."""
    raise RuntimeError(f"the store at {settings.store_url and 'its socket'} has the wrong settings")


def _method(path: str, answer: Answer, request: type[Message] = StringValue) -> Method:
    return Method(path, request, EVERY_ROLE, answer, lane=Lane.FREE, timeout_s=2.0, anonymous=True)


async def _echo(request: StringValue, _: Identity, left_s: float) -> StringValue:
    if request.value == "left":
        return StringValue(value=f"{left_s:.3f}")
    if request.value in ("made", "open"):
        return StringValue(value=str(seen[request.value]))
    return request


async def _slow(request: StringValue, _: Identity, left_s: float) -> StringValue:
    await asyncio.sleep(float(request.value))
    return request


async def _refuse(request: object, _: Identity, left_s: float) -> StringValue:
    broken = Violation("to_number", "NOT_E164", "is 100 % not a number: ☎")
    raise Invalid.fields([broken])


async def _quote(request: pb.QuoteRequest, _: Identity, left_s: float) -> pb.QuoteResponse:
    if request.call_type == pb.CALL_TYPE_UNSPECIFIED:
        raise Conflict("NO_CALL_TYPE", "a call type is needed")
    return pb.QuoteResponse(granted_seconds=request.requested_seconds, country="001")


async def _chat(messages: AsyncIterator[bytes], visit: Visit) -> AsyncGenerator[bytes, None]:
    async for message in messages:
        if message == b"refuse":
            raise Conflict("ENOUGH", "said enough")
        yield message


async def _export(
    request: accounts.ExportCallsRequest, identity: Identity
) -> AsyncGenerator[accounts.ExportCallsResponse, None]:
    """As many parts as asked for, then how it ends: `3`, `3 refuse`, `3 break`, `3 wait`; `3 long` makes them large."""
    count, then, *_ = [*request.filter.payer_id.split(), ""]
    filling = "x" * PART_BYTES if then == "long" else ""
    seen["open"] += 1
    try:
        for number in range(int(count)):
            seen["made"] += 1
            row = accounts.UsageRow(user_display_name=filling)
            yield accounts.ExportCallsResponse(rows=[row], row_count=number + 1)
        if then == "refuse":
            raise Conflict("ENOUGH", "said enough")
        if then == "break":
            raise ValueError("a bug that nobody may see")
        if then == "wait":
            await asyncio.Event().wait()
    finally:
        seen["open"] -= 1
