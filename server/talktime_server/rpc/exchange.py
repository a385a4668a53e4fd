"""The Exchange stream: many operations per message, each answered by its correlation id.

Framing, limits, order and the end of the stream are here; what an operation means is in
authorization.py. A failed operation is answered with its status and the stream lives on; a message
that cannot be trusted as a whole ends it.
"""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Sequence,
)
from contextlib import aclosing
from typing import Any

from talktime.v1.authorization_service_pb2 import ExchangeRequest, Operation
from talktime_server.failure import Applied, Failure, Invalid, TooMuch, Violation
from talktime_server.rpc.deadline import MAX_TIMEOUT_S, Deadlines, too_late
from talktime_server.rpc.decoding import decode
from talktime_server.rpc.limiter import Limiter, Limits
from talktime_server.rpc.order import TenantOrder
from talktime_server.rpc.refusals import Refusals
from talktime_server.rpc.replies import Result, failed_operation, message_of
from talktime_server.rpc.shapes import (
    ADMIN_BODY_BYTES,
    Draining,
    Identity,
    Lane,
    PassesFirst,
    Role,
    Stream,
    Visit,
)

PATH = "/talktime.v1.AuthorizationService/Exchange"
MAX_OPERATIONS = 256
MAX_UNSENT = 256

# What carries out operations that may run together. It keeps the order within a tenant, yields results
# as they are known, answers each operation once (a failed one with `failed_operation`), and may raise
# Failure for all it has not answered.
Operations = Callable[[list[Operation], Identity], AsyncGenerator[Sequence[Result], None]]

_LANES = {
    "authorize": Lane.ORDINARY,
    "extend": Lane.ORDINARY,
    "settle": Lane.ENDING,
    "release": Lane.ENDING,
}


class Exchange:
    """Serves Exchange streams; one limiter counts the operations of all of them."""

    def __init__(
        self,
        operations: Operations,
        passes_first: PassesFirst | None = None,
        *,
        limits: Limits | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        limits = limits or Limits()
        most, most_per_tenant = limits.exchange_in_flight, limits.exchange_in_flight_per_tenant
        self.operations = operations
        self.passes_first = passes_first
        self.limiter = Limiter(most, most_per_tenant, limits.kept_percent)
        self.refusals = refusals or Refusals()
        self.deadlines = Deadlines()

    def stream(self) -> Stream:
        """The row for the edge's table."""
        return Stream(PATH, frozenset({Role.ROUTER, Role.OPERATOR}), self.serve)

    async def serve(
        self, messages: AsyncIterator[bytes], visit: Visit
    ) -> AsyncGenerator[bytes, None]:
        """Answers one stream until its client, its deadline, a bad message or the drain ends it."""
        conversation = _Conversation(self, visit)
        conversation.begin(messages)
        try:
            while not conversation.over:
                await conversation.stirred()
                for results in conversation.take_answers():
                    yield message_of(results)
                    conversation.sent(len(results))
            if conversation.end:
                raise conversation.end
        finally:
            await conversation.close()


class _Conversation:
    """One open stream: a task that reads, tasks that carry out operations, and the answers to be sent."""

    def __init__(self, house: Exchange, visit: Visit) -> None:
        self.end: Failure | None = None
        self._house = house
        self._visit = visit
        self._order = TenantOrder()
        # From correlation id to the tenant it is counted for; None for what passes uncounted.
        self._unanswered: dict[int, str | None] = {}
        self._answers: list[Result] = []
        self._unsent = 0
        self._reading = True
        self._cut = False
        self._stir = asyncio.Event()
        self._room = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will be answered."""
        return self._cut or not (self._reading or self._unanswered or self._answers)

    def begin(self, messages: AsyncIterator[bytes]) -> None:
        reader = self._start(self._read(messages))
        self._start(self._drain(reader))
        if self._visit.timeout_s is not None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._visit.timeout_s, self._run_out)

    async def stirred(self) -> None:
        """Waits until there is something to send, or the stream is over."""
        await self._stir.wait()
        self._stir.clear()

    def take_answers(self) -> Iterator[list[Result]]:
        """The answers at hand, in messages of a bounded size."""
        while self._answers and not self._cut:
            results = self._answers[:MAX_OPERATIONS]
            del self._answers[:MAX_OPERATIONS]
            yield results

    def sent(self, count: int) -> None:
        """Makes room for reading on."""
        self._unsent -= count
        self._room.set()

    async def close(self) -> None:
        """Ends what still runs; the outcome of cut operations is unknown to the caller, who repeats them."""
        if self._deadline:
            self._deadline.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for tenant in self._unanswered.values():
            if tenant is not None:
                self._house.limiter.leave(tenant)
        self._unanswered.clear()

    async def _read(self, messages: AsyncIterator[bytes]) -> None:
        try:
            async for body in messages:
                self._visit.confirm()
                self._take(body)
                while self._unsent >= MAX_UNSENT:
                    self._room.clear()
                    await self._room.wait()
        except Failure as failure:
            self.end = failure
        except Exception as error:  # As in the edge: no bug's text may leave.
            self.end = self._broken(error)
        finally:
            self._reading = False
            self._stir.set()

    async def _drain(self, reader: asyncio.Task[None]) -> None:
        await self._visit.draining.wait()
        if self._reading:
            self.end = Draining.now()
            reader.cancel()

    def _run_out(self) -> None:
        self.end = too_late(Applied.UNKNOWN)
        self._cut = True
        self._stir.set()

    def _take(self, body: bytes) -> None:
        if len(body) > ADMIN_BODY_BYTES:
            raise TooMuch("MESSAGE_TOO_LARGE", f"the message is over {ADMIN_BODY_BYTES} bytes")
        operations = decode(ExchangeRequest, body).operations
        if len(operations) > MAX_OPERATIONS:
            text = f"has more than {MAX_OPERATIONS} items"
            raise Invalid.fields([Violation("operations", "TOO_MANY_ITEMS", text)])
        try:
            for operation in operations:
                self._admit(operation)
        finally:  # What came before a bad one is carried out, or the stream would wait for it for ever.
            self._dispatch()
            self._stir.set()

    def _admit(self, operation: Operation) -> None:
        """Takes an operation in, lets it pass at once, or answers it with what is wrong."""
        correlation_id = operation.correlation_id
        if correlation_id in self._unanswered:
            text = "is that of another operation in flight"
            raise Invalid.fields([Violation("correlation_id", "CORRELATION_IN_USE", text)])
        self._unsent += 1
        try:
            if passing := self._passing(operation):
                self._unanswered[correlation_id] = None
                self._start(self._pass(correlation_id, passing))
                return
            tenant = self._enter(operation)
        except Failure as failure:
            self._house.refusals.failed(PATH, failure, self._visit.identity.name)
            self._answers.append(failed_operation(correlation_id, failure))
            return
        self._unanswered[correlation_id] = tenant
        self._order.add(tenant, operation)

    def _passing(self, operation: Operation) -> Awaitable[Any] | None:
        if self._house.passes_first is None or not operation.HasField("authorize"):
            return None
        return self._house.passes_first(operation.authorize, self._visit.identity)

    def _enter(self, operation: Operation) -> str:
        kind = operation.WhichOneof("operation")
        if kind is None:
            raise Invalid.fields([Violation("operation", "MISSING_FIELD", "is required")])
        asked, identity = getattr(operation, kind).tenant_id, self._visit.identity
        tenant = identity.tenant(asked) if asked else identity.only_tenant
        self._house.limiter.enter(tenant, _LANES[kind])
        return tenant

    def _dispatch(self) -> None:
        if operations := self._order.take():
            self._start(self._run(operations))

    async def _run(self, operations: list[Operation]) -> None:
        """Carries out what may run together, and answers whatever its handler did not."""
        left = {operation.correlation_id for operation in operations}
        failure = await self._carry_out(operations, left)
        if left and failure is None:
            failure = self._broken(AssertionError("operations were not answered"))
        for correlation_id in sorted(left):
            assert failure is not None
            self._answered(failed_operation(correlation_id, failure))
        self._dispatch()
        self._stir.set()

    async def _carry_out(self, operations: list[Operation], left: set[int]) -> Failure | None:
        """Runs the handler, takes what it answers out of `left`, and returns what it failed with."""
        try:
            answering = self._take_results(operations, left)
            await self._house.deadlines.within(answering, MAX_TIMEOUT_S, Applied.UNKNOWN)
        except Failure as failure:
            return failure
        except Exception as error:  # As in the edge: no bug's text may leave.
            return self._broken(error)
        return None

    async def _take_results(self, operations: list[Operation], left: set[int]) -> None:
        async with aclosing(self._house.operations(operations, self._visit.identity)) as answering:
            async for results in answering:
                for result in results:
                    left.remove(result.correlation_id)
                    self._answered(result)
                self._dispatch()
                self._stir.set()

    async def _pass(self, correlation_id: int, passing: Awaitable[Any]) -> None:
        """Answers an emergency call, which waits for nobody and is not counted."""
        try:
            answer = await self._house.deadlines.within(passing, MAX_TIMEOUT_S, Applied.UNKNOWN)
            result = Result(correlation_id, "authorize", answer)
        except Failure as failure:
            result = failed_operation(correlation_id, failure)
        except Exception as error:  # As in the edge: no bug's text may leave.
            result = failed_operation(correlation_id, self._broken(error))
        self._answered(result)
        self._stir.set()

    def _answered(self, result: Result) -> None:
        tenant = self._unanswered.pop(result.correlation_id)
        if tenant is not None:
            self._house.limiter.leave(tenant)
            self._order.answered(tenant)
        self._answers.append(result)

    def _broken(self, error: Exception) -> Failure:
        who = self._visit.identity.name
        return self._house.refusals.broken(PATH, error, who, Applied.UNKNOWN)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
