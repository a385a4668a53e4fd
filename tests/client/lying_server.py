"""A real gRPC server on a real socket that answers as a test tells it: slowly, wrongly, or not at all.

It counts what reaches it. Unary calls are answered from a script, one answer per call, the last one for ever; a stream is served
by the function a test gives.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message

from talktime.v1 import authorization_service_pb2 as pb
from talktime.v1 import status_pb2

EXCHANGE = "/talktime.v1.AuthorizationService/Exchange"
FLOWS = ("/WatchBalance", "/ExportCalls")
TYPES = "type.googleapis.com/google.rpc."
GRANTED = pb.AuthorizeResponse(outcome=pb.OUTCOME_AUTHORIZED, granted_seconds=600)


@dataclass(frozen=True)
class Fails:
    """An answer that is an error. `details` goes into grpc-status-details-bin as it is."""

    code: grpc.StatusCode
    message: str = "no"
    details: bytes = b""


class Hangs:
    """No answer until the caller gives up."""


@dataclass(frozen=True)
class Parts:
    """What a stream answers, in this order; Hangs and Fails end it, else it ends well."""

    messages: "Sequence[Message | bytes | Fails | Hangs]"


Answer = Message | bytes | Fails | Hangs | Parts
Script = Callable[[str, bytes], Answer] | Sequence[Answer]
Serve = Callable[[Iterator[bytes], grpc.ServicerContext], Iterator[bytes]]


@dataclass
class Seen:
    """A request that reached the server."""

    path: str
    body: bytes
    metadata: dict[str, str | bytes]
    left_s: float


@dataclass
class LyingServer:
    """Runs from start() to stop(); on the same port again after that."""

    port: int = 0
    script: Script = (GRANTED,)
    serve: Serve | None = None
    seen: list[Seen] = field(default_factory=list)
    streams: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._server: grpc.Server | None = None
        self._ended = threading.Event()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> "LyingServer":
        self._ended.clear()
        self._server = grpc.server(
            ThreadPoolExecutor(8, "lying"),
            handlers=[_Everything(self)],
            # Without SO_REUSEPORT a second server cannot take half of the connections unnoticed.
            options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 1 << 20)),
        )
        self.port = self._server.add_insecure_port(self.target)
        self._server.start()
        return self

    def stop(self) -> None:
        """Ends at once: open calls and streams break."""
        if self._server is not None:
            self._ended.set()
            self._server.stop(None).wait()
            self._server = None

    def paths(self) -> list[str]:
        return [seen.path.rpartition("/")[2] for seen in self.seen]

    def unary(self, path: str, body: bytes, context: grpc.ServicerContext) -> bytes:
        answer = self._next(path, body, context)
        if isinstance(answer, Hangs):
            gave_up = threading.Event()
            context.add_callback(gave_up.set)
            gave_up.wait(10)
            return b""
        if isinstance(answer, Fails):
            return fail(context, answer)
        assert not isinstance(answer, Parts)
        return answer.SerializeToString() if isinstance(answer, Message) else answer

    def stream(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self.streams += 1
        assert self.serve is not None
        return self.serve(messages, context)

    def flow(self, path: str, body: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        """Answers one request with what the script has next for it: parts, and what ends them."""
        parts = self._next(path, body, context)
        assert isinstance(parts, Parts)
        for part in parts.messages:
            if isinstance(part, Fails):
                fail(context, part)
            if isinstance(part, Hangs):
                gave_up = threading.Event()
                context.add_callback(gave_up.set)
                gave_up.wait(10)
                return
            yield part if isinstance(part, bytes) else part.SerializeToString()

    def _next(self, path: str, body: bytes, context: grpc.ServicerContext) -> Answer:
        metadata: dict[str, str | bytes] = dict(context.invocation_metadata())
        with self._lock:
            self.seen.append(Seen(path, body, metadata, context.time_remaining() or 0.0))
            if callable(self.script):
                return self.script(path, body)
            first, *later = self.script
            self.script = later or (first,)
            return first


class _Everything(grpc.GenericRpcHandler):
    """Every method, as bytes."""

    def __init__(self, server: LyingServer) -> None:
        self._server = server

    def service(self, details: Any) -> Any:
        path = details.method
        if path == EXCHANGE:
            return grpc.stream_stream_rpc_method_handler(self._server.stream)
        if path.endswith(FLOWS):
            return grpc.unary_stream_rpc_method_handler(
                lambda body, context: self._server.flow(path, body, context)
            )
        return grpc.unary_unary_rpc_method_handler(
            lambda body, context: self._server.unary(path, body, context)
        )


def fail(context: grpc.ServicerContext, failure: Fails) -> NoReturn:
    """Ends a call with a status."""
    if failure.details:
        context.set_trailing_metadata((("grpc-status-details-bin", failure.details),))
    context.abort(failure.code, failure.message)


def status_of(
    code: grpc.StatusCode,
    reason: str,
    *more: Message,
    domain: str = "talktime",
    **metadata: str,
) -> status_pb2.Status:
    """A google.rpc.Status as the service makes them."""
    cause = status_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata)
    details = [
        Packed(type_url=TYPES + m.DESCRIPTOR.name, value=m.SerializeToString())
        for m in (cause, *more)
    ]
    return status_pb2.Status(code=code.value[0], message="a sentence", details=details)


def failing(
    code: grpc.StatusCode, reason: str, *more: Message, domain: str = "talktime", **metadata: str
) -> Fails:
    """A unary failure with the service's details."""
    status = status_of(code, reason, *more, domain=domain, **metadata)
    return Fails(code, "a sentence", status.SerializeToString())


def sent(server: LyingServer, kind: type[Any], index: int = -1) -> Any:
    """A request as it reached the server."""
    return kind.FromString(server.seen[index].body)
