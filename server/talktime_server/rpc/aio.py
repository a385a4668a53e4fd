"""The grpcio engine: the same edge under grpc.aio. The reference, and the fallback where Envoy cannot run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
import grpc.aio

from talktime_server.config import Settings
from talktime_server.failure import Failure, TooLate
from talktime_server.rpc.edge import Edge
from talktime_server.rpc.framing import MESSAGE_BYTES, message_missing
from talktime_server.rpc.replies import reply_of
from talktime_server.rpc.shapes import Incoming, Reply

# How long a caller may take to send its message after its headers.
MESSAGE_LIMIT_S = 5.0
# While it stops: so many looks in a row without a change are quiet, on a busy machine too; so long is waited for that.
QUIET_LOOKS = 10
LOOK_EVERY_S = 0.01
REFUSE_LIMIT_S = 1.0
METADATA_BYTES = 8 * 1024

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_DETAILS = "grpc-status-details-bin"

OPTIONS = (
    ("grpc.so_reuseport", 1),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    # Off until the caller has acknowledged our settings, so the edge measures as well.
    ("grpc.max_metadata_size", METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES),
    # A caller of Exchange needs one stream, a plain one as many as it has calls under way on its one connection.
    ("grpc.max_concurrent_streams", 1_000),
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 2),
    # Connections end now and then so that load spreads over new processes; grpcio varies the age by a tenth.
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.max_connection_age_ms", 600_000),
    ("grpc.max_connection_age_grace_ms", 5_000),
)


class AioServer:
    """One server over one edge."""

    def __init__(self, edge: Edge, settings: Settings) -> None:
        self._edge = edge
        self._paths = _EveryPath(edge)
        self._server = grpc.aio.server(options=OPTIONS)
        self._server.add_generic_rpc_handlers((self._paths,))
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{settings.port}"
        if credentials := _credentials(settings):
            self._server.add_secure_port(address, credentials)
        else:
            self._server.add_insecure_port(address)

    async def start(self) -> None:
        """Takes calls."""
        await self._server.start()

    async def stop(self, limit_s: float) -> None:
        """Lets open calls finish, at most this long.

        The library cancels the calls that wait in it when it is told to stop, and its callers cannot know whether
        they were served. So new calls are first refused with UNAVAILABLE, until none has come for a moment, and none
        has ended, whose caller may have the next one ready. Then its callers are told to go elsewhere, while what is
        still open finishes.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._edge.refuse_new()
        seen, quiet = self._stirs(), 0
        while quiet < QUIET_LOOKS and loop.time() - began < min(REFUSE_LIMIT_S, limit_s):
            await asyncio.sleep(LOOK_EVERY_S)
            last, seen = seen, self._stirs()
            quiet = quiet + 1 if seen == last else 0
        await self._server.stop(max(0.0, limit_s - (loop.time() - began)))

    def _stirs(self) -> tuple[int, int]:
        """Changes when a call comes or ends."""
        return self._paths.calls, self._edge.in_flight


class _EveryPath(grpc.GenericRpcHandler):
    """Takes every path, known or not, with bytes in and bytes out: the edge decodes, and answers for unknown ones."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self.calls = 0

    def service(self, call: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        self.calls += 1
        path = call.method
        if self._edge.streaming(path):
            return grpc.stream_stream_rpc_method_handler(partial(_exchange, self._edge, path))
        # Not unary_unary: that waits for the message without a limit before it calls us.
        return grpc.stream_unary_rpc_method_handler(partial(_unary, self._edge, path))


async def _unary(edge: Edge, path: str, _: AsyncIterator[bytes], context: Any) -> bytes:
    try:
        body = await _message(context)
    except Failure as failure:
        return _write(context, reply_of(failure))
    return _write(context, await edge.unary(_incoming(path, body, context)))


async def _message(context: Any) -> bytes:
    """The call's message, or its refusal when it does not come in time. A timer costs less than asyncio.timeout."""
    task, late = asyncio.current_task(), asyncio.Event()
    assert task is not None
    timer = asyncio.get_running_loop().call_later(MESSAGE_LIMIT_S, _interrupt, task, late)
    try:
        body = await context.read()
    except asyncio.CancelledError:
        if not late.is_set():
            raise
        task.uncancel()
        raise TooLate("MESSAGE_LATE", f"no message came in {MESSAGE_LIMIT_S:g} s") from None
    finally:
        timer.cancel()
    if body is grpc.aio.EOF:
        raise message_missing(part=False)
    return bytes(body)


def _interrupt(task: asyncio.Task[Any], late: asyncio.Event) -> None:
    late.set()
    task.cancel()


async def _exchange(
    edge: Edge, path: str, messages: AsyncIterator[bytes], context: Any
) -> AsyncIterator[bytes]:
    try:
        async with aclosing(edge.exchange(_incoming(path, b"", context), messages)) as answers:
            async for answer in answers:
                yield answer
    except Failure as failure:
        _write(context, reply_of(failure))


def _incoming(path: str, body: bytes, context: Any) -> Incoming:
    metadata = tuple(
        (name.encode(), _bytes(value)) for name, value in context.invocation_metadata()
    )
    return Incoming(path, metadata, body, context.time_remaining(), context.peer())


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def _write(context: Any, reply: Reply) -> bytes:
    if reply.code:
        context.set_code(_CODES[reply.code])
        context.set_details(reply.message)
        if reply.status_details:
            context.set_trailing_metadata(((_DETAILS, reply.status_details),))
    return reply.body


def _credentials(settings: Settings) -> grpc.ServerCredentials | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    authority = settings.tls_client_ca
    return grpc.ssl_server_credentials(
        [(settings.tls_key.read_bytes(), settings.tls_cert.read_bytes())],
        root_certificates=authority.read_bytes() if authority else None,
        require_client_auth=authority is not None,
    )
