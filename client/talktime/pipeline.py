"""Many operations on one stream: whatever is ready leaves in one message, and answers come back as they are decided.

The order of operations within a tenant is kept, also when the connection breaks: what is unanswered is sent
again, in its order and with its ids, on the next stream. An operation that the service answers with UNAVAILABLE
is sent again later, alone, so an operation that depends on another should wait for that one's answer.
"""

import asyncio
import copy
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc
from google.protobuf.message import DecodeError

from talktime import call_requests
from talktime.ask import MAX_TIMEOUT_S, Ask, Defaults, method_of
from talktime.channel import Terms, asked_to_stop
from talktime.errors import (
    Applied,
    TalktimeError,
    closed,
    error_of,
    error_of_call,
    error_of_status,
    malformed_answer,
)
from talktime.retry import Attempts, wait_s, worth_repeating
from talktime.v1 import authorization_service_pb2 as pb

P = ParamSpec("P")
T = TypeVar("T")

_Stream = grpc.aio.StreamStreamCall[Any, Any]

PATH = "/talktime.v1.AuthorizationService/Exchange"
MAX_IN_FLIGHT = 256
MAX_MESSAGE_OPERATIONS = 256
MAX_MESSAGE_BYTES = 64 * 1024
MAX_OPERATION_BYTES = 16 * 1024
# Around an operation: its tag and length, and the longest correlation id.
_FRAME_BYTES = 16
# The operations under way end within their own timeouts; then the service has as long again to end the stream.
_CLOSE_TIMEOUT_S = 2 * MAX_TIMEOUT_S
_LOST_STATUS = "Internal error from Core"
_FIELDS = {
    pb.AuthorizeRequest: "authorize",
    pb.ExtendRequest: "extend",
    pb.SettleRequest: "settle",
    pb.ReleaseRequest: "release",
}


@dataclass(slots=True)
class _Waiting:
    """An operation without its answer yet."""

    operation: pb.Operation
    field: str
    attempts: Attempts
    answer: asyncio.Future[Any]
    size_bytes: int
    # On a stream now; an operation that is not cannot have been applied since its last failure.
    sent: bool = False
    # Waits a moment before it is sent again.
    resting: bool = False

    def interrupted(self, error: TalktimeError) -> None:
        """The stream broke below it: it waits for the next one, or ends with an error of its own."""
        own = copy.copy(error)
        if not self.sent:
            own.outcome = Applied.NOT_APPLIED
        self.sent = False
        self.attempts.failed(own, charged=False)
        if self.attempts.may_repeat(own):
            self.attempts.begin()
        else:
            self.answer.set_exception(own)

    def give_up(self, error: TalktimeError) -> None:
        """Ends it with an error that no repeat would mend."""
        if not self.answer.done():
            self.answer.set_exception(self.attempts.failed(error))


def _streamed(
    build: Callable[Concatenate[Defaults, P], Ask[T]],
) -> "Callable[Concatenate[Exchange, P], Coroutine[Any, Any, T]]":
    async def method(self: "Exchange", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.submit(build(self._terms.defaults, *args, **kwargs))

    method_of(build, method)
    return method


class Exchange:
    """One stream of operations, opened when the first one comes and again when it breaks.

    At most `max_in_flight` operations wait for their answers at a time; further ones wait for room, within
    their own timeouts.
    """

    def __init__(
        self, terms: Terms, channel: Callable[[], grpc.aio.Channel], *, max_in_flight: int
    ) -> None:
        if max_in_flight < 1:
            raise ValueError("max_in_flight: at least one")
        self._terms = terms
        self._channel = channel
        self._room = asyncio.Semaphore(max_in_flight)
        self._ids = count(1)
        # By correlation id, in the order they were asked.
        self._waiting: dict[int, _Waiting] = {}
        self._unsent: deque[int] = deque()
        self._something_to_do = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._under_way = 0
        self._answers = 0
        self._closing = False

    authorize = _streamed(call_requests.authorize)
    extend = _streamed(call_requests.extend)
    settle = _streamed(call_requests.settle)
    release = _streamed(call_requests.release)

    async def submit(self, ask: Ask[T]) -> T:
        """Sends an operation and waits for its answer; raises what the operation's own RPC would raise."""
        if self._closing:
            raise RuntimeError("this stream is closed")
        waiting = _waiting_for(ask, self._terms.attempts(ask))
        self._under_way += 1
        try:
            async with asyncio.timeout(ask.timeout_s), self._room:
                message = await self._answer_of(waiting)
        except TimeoutError:
            raise waiting.attempts.failed(_too_late(waiting)) from None
        finally:
            self._under_way -= 1
            if self._closing:
                self._something_to_do.set()
        return waiting.attempts.read(lambda: ask.answer_in(message))

    async def close(self) -> None:
        """Lets the operations under way finish, then ends the stream."""
        self._closing = True
        self._something_to_do.set()
        if self._runner is not None:
            await asyncio.wait([self._runner], timeout=_CLOSE_TIMEOUT_S)
        await self._stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.close()
        else:
            # Whoever leaves in haste does not wait for answers.
            self._closing = True
            await self._stop()

    async def _stop(self) -> None:
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    async def _answer_of(self, waiting: _Waiting) -> Any:
        correlation_id = waiting.operation.correlation_id = next(self._ids)
        waiting.attempts.begin()
        self._waiting[correlation_id] = waiting
        self._unsent.append(correlation_id)
        self._something_to_do.set()
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run(), name="talktime exchange")
        try:
            return await waiting.answer
        finally:
            del self._waiting[correlation_id]

    async def _run(self) -> None:
        """Opens a stream whenever there is something to send, and again after each that broke."""
        failures = 0
        try:
            while await self._work_comes():
                answers = self._answers
                self._broken(await self._serve())
                failures = 1 if self._answers > answers else failures + 1
                if self._waiting:
                    await asyncio.sleep(wait_s(self._terms.retry, failures))
        finally:
            for waiting in self._waiting.values():
                waiting.give_up(closed())

    async def _work_comes(self) -> bool:
        """Waits for something to send; False when nothing more will come."""
        while not self._unsent:
            if self._done:
                return False
            self._something_to_do.clear()
            await self._something_to_do.wait()
        return True

    @property
    def _done(self) -> bool:
        return self._closing and not self._under_way

    async def _serve(self) -> TalktimeError:
        """Runs one stream to its end, and says why it ended."""
        try:
            open_stream: Any = self._channel().stream_stream(PATH)
            call: _Stream = open_stream(metadata=self._terms.metadata)
        except (RuntimeError, grpc.aio.UsageError):
            return closed()
        writer = asyncio.create_task(self._write(call), name="talktime exchange writer")
        try:
            await self._read(call)
        except grpc.RpcError as error:
            return _why_ended(error_of_call(error))
        except TalktimeError as error:
            return error
        except asyncio.CancelledError:
            if asked_to_stop():
                raise
            return closed()
        finally:
            call.cancel()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        # A service that drains may end its streams; what it left unanswered is asked again.
        return _ended()

    async def _write(self, call: _Stream) -> None:
        try:
            while True:
                while message := self._next_message():
                    await call.write(message)
                if self._done:
                    await call.done_writing()
                    return
                self._something_to_do.clear()
                await self._something_to_do.wait()
        except (grpc.RpcError, asyncio.InvalidStateError):
            # The stream is over; the reader hears the same, and why.
            return

    def _next_message(self) -> bytes | None:
        """Whatever is ready, as far as one message holds; None when nothing is."""
        operations: list[pb.Operation] = []
        size_bytes = 0
        while self._unsent and len(operations) < MAX_MESSAGE_OPERATIONS:
            waiting = self._waiting.get(self._unsent[0])
            if waiting is not None:
                size_bytes += waiting.size_bytes
                if operations and size_bytes > MAX_MESSAGE_BYTES:
                    break
                waiting.sent = True
                operations.append(waiting.operation)
            self._unsent.popleft()
        if not operations:
            return None
        return pb.ExchangeRequest(operations=operations).SerializeToString()

    async def _read(self, call: _Stream) -> None:
        while (body := await call.read()) is not grpc.aio.EOF:
            assert isinstance(body, bytes)
            for result in _results(body):
                self._answers += 1
                waiting = self._waiting.get(result.correlation_id)
                # An unknown id is that of an operation whose caller has stopped waiting.
                if waiting is not None and not waiting.answer.done():
                    self._take(result, waiting)

    def _take(self, result: pb.OperationResult, waiting: _Waiting) -> None:
        waiting.sent = False
        what = result.WhichOneof("result")
        if what == waiting.field:
            waiting.answer.set_result(getattr(result, what))
        elif what == "error":
            self._failed(waiting, error_of_status(result.error))
        else:
            waiting.give_up(malformed_answer("it answers another kind of operation"))

    def _failed(self, waiting: _Waiting, error: TalktimeError) -> None:
        waiting.attempts.failed(error)
        if not waiting.attempts.may_repeat(error):
            waiting.answer.set_exception(error)
            return
        waiting.resting = True
        asyncio.get_running_loop().call_later(
            waiting.attempts.wait_s(error), self._send_again, waiting
        )

    def _send_again(self, waiting: _Waiting) -> None:
        if waiting.answer.done():
            return
        waiting.resting = False
        waiting.attempts.begin()
        self._unsent.append(waiting.operation.correlation_id)
        self._something_to_do.set()

    def _broken(self, error: TalktimeError) -> None:
        """Keeps what may be sent again, in its order, and ends the rest."""
        # One failure, however many operations shared it: a restart under load must not use up the budget at
        # once. What repeats is bounded by what was in flight.
        if self._waiting and worth_repeating(error):
            self._terms.budget.failed()
        for waiting in self._waiting.values():
            if not waiting.resting and not waiting.answer.done():
                waiting.interrupted(error)
        self._unsent = deque(
            correlation_id
            for correlation_id, waiting in self._waiting.items()
            if not waiting.resting and not waiting.answer.done()
        )


def _waiting_for(ask: Ask[Any], attempts: Attempts) -> _Waiting:
    name = _FIELDS.get(type(ask.request))
    if name is None:
        raise ValueError(f"a stream carries {', '.join(_FIELDS.values())}")
    operation = pb.Operation()
    getattr(operation, name).CopyFrom(ask.request)
    size_bytes = operation.ByteSize() + _FRAME_BYTES
    if size_bytes > MAX_OPERATION_BYTES:
        # Sent, it would end the stream for all others.
        raise error_of(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"an operation has at most {MAX_OPERATION_BYTES} bytes",
            reason="MESSAGE_TOO_LARGE",
            outcome=Applied.NOT_APPLIED,
        )
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    return _Waiting(operation, name, attempts, answer, size_bytes)


def _results(body: bytes) -> Iterable[pb.OperationResult]:
    try:
        return pb.ExchangeResponse.FromString(body).results
    except DecodeError:
        raise malformed_answer("not an ExchangeResponse") from None


def _ended() -> TalktimeError:
    return error_of(grpc.StatusCode.UNAVAILABLE, "the stream ended", reason="STREAM_ENDED")


def _why_ended(error: TalktimeError) -> TalktimeError:
    """A write that meets a stream just ended puts its own INTERNAL in place of the status (gRPC's issue 36066).

    The status is lost; if it was a refusal, the next stream will get it too.
    """
    return _ended() if error.message == _LOST_STATUS else error


def _too_late(waiting: _Waiting) -> TalktimeError:
    return error_of(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "no answer came in time",
        outcome=Applied.UNKNOWN if waiting.sent else Applied.NOT_APPLIED,
    )
