"""What the tests of the load test share: orders, a generator in this process, and peers that lie."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import grpc.aio

from talktime.v1 import authorization_service_pb2 as pb
from talktime_loadtest import echo
from talktime_loadtest.asking import SERVICE, Kind, Terms
from talktime_loadtest.generator import Generator
from talktime_loadtest.orders import Orders, Protocol

PLAIN = Orders(
    host="127.0.0.1",
    port=0,
    token="",
    tenants=("one", "two"),
    payers=("alice",),
    barred_payer="barred",
    terms=Terms("+442079460018"),
    mix={Kind.AUTHORIZE: 1, Kind.SETTLE: 1},
    run="a" * 12,
    lanes=1,
    per_message=4,
    in_flight=4,
    seconds=0.3,
    warm_up_seconds=0.0,
)
UNARY = replace(PLAIN, protocol=Protocol.UNARY, per_message=1)

Answering = Callable[[str, bytes], Awaitable[bytes]]


@dataclass(frozen=True)
class Told:
    """What a generator told: its books, and all that came in its slices."""

    books: dict[str, Any]
    slices: list[dict[str, Any]]

    @property
    def errors(self) -> dict[str, int]:
        """By name."""
        return dict(self.books["errors"])

    def latencies_us(self) -> list[int]:
        """Every latency, by its bucket's middle."""
        from talktime_loadtest.buckets import latency_us_of

        return [
            latency_us_of(bucket)
            for each in self.slices
            for counts in each["latencies"].values()
            for bucket, count in counts.items()
            for _ in range(count)
        ]


async def generate(orders: Orders) -> Told:
    """Runs a generator in this process."""
    told: list[dict[str, Any]] = []
    await Generator(orders, told.append, lambda: None).run()
    return Told(told[-1]["books"], [line["slice"] for line in told if "slice" in line])


@asynccontextmanager
async def grpc_server(answering: Answering) -> AsyncIterator[int]:
    """A server of gRPC's own that answers each unary call as it is told; gives its port."""

    async def answer(body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return await answering("", body)

    async def abort(body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        try:
            return await answer(body, context)
        except LookupError as error:
            await context.abort(grpc.StatusCode[str(error.args[0])], "as asked")
            raise AssertionError from error

    methods: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(abort) for name in ("Authorize", "Settle")
    }
    server = grpc.aio.server()
    generic = grpc.method_handlers_generic_handler(SERVICE.strip("/"), methods)
    server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@asynccontextmanager
async def raw_peer(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A peer that speaks HTTP/2 frame by frame, after the preface; gives its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(24)
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def frame_of(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    """The next frame: its kind, flags, stream and payload."""
    high, low, kind, flags, number = struct.unpack(">HBBBI", await reader.readexactly(9))
    return kind, flags, number, await reader.readexactly(high << 8 | low)


def frame(kind: int, flags: int, number: int, payload: bytes = b"") -> bytes:
    """A frame."""
    size = len(payload)
    return struct.pack(">HBBBI", size >> 8, size & 0xFF, kind, flags, number) + payload


def authorized() -> bytes:
    """An answer that is as it should be."""
    return echo.authorized().SerializeToString()


def refused() -> bytes:
    """A refusal."""
    return pb.AuthorizeResponse(
        outcome=pb.OUTCOME_REFUSED, reason=pb.REASON_POLICY
    ).SerializeToString()
