"""Many operations on one stream: whatever is ready leaves in one message, and answers come back as they are decided.

The order of operations within a tenant is kept, also when the connection breaks: what is unanswered is sent
again, in its order and with its ids, on the next stream. An operation that the service answers with UNAVAILABLE
is sent again later, alone, so an operation that depends on another should wait for that one's answer.
"""

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc

from talktime import call_requests
from talktime.ask import MAX_TIMEOUT_S, Ask, Defaults, method_of
from talktime.channel import Terms, asked_to_stop
from talktime.errors import (
    NOT_CONNECTED,
    Applied,
    TalktimeError,
    closed,
    error_of,
    error_of_call,
)
from talktime.operations import Operations
from talktime.retry import Attempts, wait_s, worth_repeating

P = ParamSpec("P")
T = TypeVar("T")

_Stream = grpc.aio.StreamStreamCall[Any, Any]

PATH = "/talktime.v1.AuthorizationService/Exchange"
MAX_IN_FLIGHT = 256
# The operations under way end within their own timeouts; then the service has as long again to end the stream.
_CLOSE_TIMEOUT_S = 2 * MAX_TIMEOUT_S
# What a proxy or the transport says of a stream that it cut; and gRPC itself, whose write puts its own INTERNAL
# in place of the status when it meets a stream just ended (its issue 36066).
_CUT = frozenset(
    {
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)
# What is said of a stream that was not begun; then calls may still be RPCs of their own.
_REFUSED = frozenset({grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.RESOURCE_EXHAUSTED})


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
        self,
        terms: Terms,
        channel: Callable[[], grpc.aio.Channel],
        *,
        max_in_flight: int,
        most_vain: int | None = None,
    ) -> None:
        """After `most_vain` streams in a row that broke without an answer, or one that was refused, operations end
        with Elsewhere; None is for who has no elsewhere."""
        if max_in_flight < 1:
            raise ValueError("max_in_flight: at least one")
        self._terms = terms
        self._channel = channel
        self._most_vain = most_vain
        self._operations = Operations(max_in_flight, self._cut)
        self._runner: asyncio.Task[None] | None = None
        self._call: _Stream | None = None
        self._was_cut = False
        self._vain = 0
        self._closing = False

    authorize = _streamed(call_requests.authorize)
    extend = _streamed(call_requests.extend)
    settle = _streamed(call_requests.settle)
    release = _streamed(call_requests.release)

    async def submit(self, ask: Ask[T]) -> T:
        """Sends an operation and waits for its answer; raises what the operation's own RPC would raise."""
        return await self.carry(ask, self._terms.attempts(ask))

    async def carry(self, ask: Ask[T], attempts: Attempts) -> T:
        """Submits an operation whose attempts are counted by whoever asks."""
        if self._closing:
            raise RuntimeError("this stream is closed")
        operations = self._operations
        waiting = operations.add(ask, attempts)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run(), name="talktime exchange")
        try:
            message = await waiting.answer
        finally:
            operations.drop(waiting)
            if self._closing:
                operations.ready.set()
        return attempts.read(lambda: ask.answer_in(message))

    @property
    def answering(self) -> bool:
        """Whether a stream is open that has answered."""
        return self._call is not None and not self._vain

    @property
    def answers(self) -> int:
        """How many answers have come so far."""
        return self._operations.answers

    async def close(self, within_s: float = _CLOSE_TIMEOUT_S) -> None:
        """Lets the operations under way finish, then ends the stream."""
        self._closing = True
        self._operations.ready.set()
        if self._runner is not None:
            await asyncio.wait([self._runner], timeout=within_s)
        await self.stop()

    async def stop(self) -> None:
        """Ends the stream; operations under way end with Cancelled."""
        self._closing = True
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Whoever leaves in haste does not wait for answers.
        await (self.close() if error is None else self.stop())

    @property
    def _done(self) -> bool:
        return self._closing and not self._operations

    async def _run(self) -> None:
        """Opens a stream whenever there is something to send, and again after each that broke."""
        try:
            while await self._work_comes():
                self._vain += 1
                error = await self._serve()
                self._broken(error)
                if self._operations:
                    failures = max(1, self._vain)
                    rest_s = max(wait_s(self._terms.retry, failures), error.retry_after_s or 0.0)
                    await asyncio.sleep(rest_s)
        finally:
            self._operations.give_up(closed())

    async def _work_comes(self) -> bool:
        """Waits for something to send; False when nothing more will come."""
        while not self._operations.unsent:
            if self._done:
                return False
            await self._stirred()
        return True

    async def _stirred(self) -> None:
        self._operations.ready.clear()
        await self._operations.ready.wait()

    async def _serve(self) -> TalktimeError:
        """Runs one stream to its end, and says why it ended."""
        try:
            open_stream: Any = self._channel().stream_stream(PATH)
            call: _Stream = open_stream(metadata=self._terms.metadata)
        except (RuntimeError, grpc.aio.UsageError):
            return closed()
        self._call, self._was_cut = call, False
        writer = asyncio.create_task(self._write(call), name="talktime exchange writer")
        try:
            return await self._read(call)
        except asyncio.CancelledError:
            if asked_to_stop():
                raise
            return _ended() if self._was_cut else closed()
        finally:
            self._call = None
            call.cancel()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _write(self, call: _Stream) -> None:
        operations = self._operations
        try:
            while True:
                while message := operations.next_message():
                    await call.write(message)
                if self._done:
                    await call.done_writing()
                    return
                await self._stirred()
        except (grpc.RpcError, asyncio.InvalidStateError):
            # The stream is over; the reader hears the same, and why.
            return

    async def _read(self, call: _Stream) -> TalktimeError:
        """Hands out answers until the stream ends, and says why it did."""
        try:
            while (body := await call.read()) is not grpc.aio.EOF:
                assert isinstance(body, bytes)
                self._operations.take(body)
                self._vain = 0
        except grpc.RpcError as error:
            return _why_ended(error_of_call(error))
        except TalktimeError as error:
            return error
        # A service that drains may end its streams; what it left unanswered is asked again.
        return _ended()

    def _cut(self) -> None:
        """Gives up a stream on which nothing comes."""
        if self._call is not None:
            self._was_cut = True
            self._call.cancel()

    def _broken(self, error: TalktimeError) -> None:
        """Keeps what may be sent again, in its order, and ends the rest."""
        # One failure, however many operations shared it: a restart under load must not use up the budget at
        # once. What repeats is bounded by what was in flight.
        if self._operations and worth_repeating(error):
            self._terms.budget.failed()
        refused = self._vain > 0 and error.code in _REFUSED
        elsewhere = self._most_vain is not None and (refused or self._is_vain(error))
        self._operations.interrupted(error, refused=refused, elsewhere=elsewhere)

    def _is_vain(self, error: TalktimeError) -> bool:
        """Whether streams do not work here. Where nothing can be reached, nothing else would work either."""
        reached = error.reason != NOT_CONNECTED
        return reached and self._most_vain is not None and self._vain >= self._most_vain


def _ended() -> TalktimeError:
    return error_of(grpc.StatusCode.UNAVAILABLE, "the stream ended", reason="STREAM_ENDED")


def _why_ended(error: TalktimeError) -> TalktimeError:
    """The service gives its reasons; a status without one is that of somebody between, and of the stream alone."""
    if error.reason != error.code.name:
        return error
    if error.code is grpc.StatusCode.UNIMPLEMENTED:
        error.outcome = Applied.NOT_APPLIED
    return _ended() if error.code in _CUT else error
