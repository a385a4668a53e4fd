"""One connection to the store that many share: what a tick of the event loop asks leaves in one write, and answers
are matched to questions by their order.

The driver makes the connection (addresses, TLS, names and passwords are its business) and hands it
over. From then on a question has one of three ends: its answer; `away`, when it was never sent; or
`silent`, when it was, and nobody knows what became of it. A connection that owes answers and gives
none for too long is dropped whole: an answer that comes late must not be taken for another's.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import hiredis
from redis import exceptions as redis_errors
from redis.asyncio.connection import AbstractConnection

from talktime_server.failure import Applied, Broken, Failure, StoreAway

# Errors by which a store says that it ran nothing.
REFUSALS = (
    "ASK ",
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED ",
    "NOREPLICAS",
    "NOSCRIPT",
    "OOM",
    "READONLY",
    "TRYAGAIN",
)
NOT_SENT = (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)

Answers = asyncio.Future[Any]
T = TypeVar("T")


class Refused(Exception):
    """The store answered with an error; the text is the store's."""


def packed(*ask: Any) -> bytes:
    """A command, as the store takes it."""
    command: bytes = hiredis.pack_command(ask)
    return command


_ASKING = packed("ASKING")


def away(message: str) -> StoreAway:
    """The store was not reached: nothing happened."""
    return StoreAway("STORE_AWAY", message)


def silent() -> StoreAway:
    """The store was asked and did not answer: nobody knows."""
    return StoreAway(
        "STORE_SILENT",
        "the store did not answer in time; repeat with the same id",
        applied=Applied.UNKNOWN,
    )


def refused(text: str) -> Failure:
    """What an error of the store means for the operation. Its text is for the log alone; and as it
    may have come from the middle of a script, nobody knows what was done before.
    """
    if text.startswith(REFUSALS):
        return StoreAway("STORE_REFUSES", "the store takes no writes now")
    broken = Broken("STORE_ERROR", "the store answered with an error", applied=Applied.UNKNOWN)
    broken.__cause__ = redis_errors.ResponseError(text)
    return broken


async def in_time(making: asyncio.Future[T], timeout_s: float) -> T:
    """A connection that is just made, if it is there in time; else it goes on, for the next who asks: begun anew each
    time, it might never be done. Raises the driver's TimeoutError.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await asyncio.shield(making)
    except TimeoutError as late:
        text = f"not connected within {timeout_s:g} s"
        raise redis_errors.TimeoutError(text) from late


def slow(failure: StoreAway) -> bool:
    """Whether the store may only have been late."""
    return isinstance(failure.__cause__, redis_errors.TimeoutError)


class Connection:
    """Asks and hears answers, in order; connects when it is first asked, and again after each loss."""

    def __init__(
        self, connect: Callable[[], Awaitable[AbstractConnection]], *, timeout_s: float
    ) -> None:
        self._connect = connect
        self._timeout_s = timeout_s
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[_Wire] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def ask(self, command: bytes) -> Any:
        """The answer to a command, packed as the store takes it. Raises Refused, and StoreAway."""
        wire = self._wire
        if wire is None or wire.over:
            wire = await self._reconnected()
        return await wire.ask(command)

    async def ask_ahead(self, command: bytes) -> Any:
        """The same of a server of a cluster to whom the key is just moving: it must be told, in the same
        breath, that we know.
        """
        wire = self._wire
        if wire is None or wire.over:
            wire = await self._reconnected()
        wire.ask(_ASKING).add_done_callback(_passed_over)
        return await wire.ask(command)

    def renew(self) -> None:
        """The next question goes over a new connection; what is under way is still answered over this."""
        if self._wire and not self._wire.over:
            ending = asyncio.create_task(self._wire.finish())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            self._wire = None

    async def close(self) -> None:
        """Hangs up; who still waits for an answer is told that the store is silent."""
        if self._connecting:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._wire:
            await self._wire.drop()
        if self._ending:
            await asyncio.wait(self._ending)

    async def _reconnected(self) -> "_Wire":
        """The new connection; those who wait for it together wait for one, in their order, and no longer than
        for an answer.
        """
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._open())
            self._connecting.add_done_callback(self._connected)
        try:
            return await in_time(self._connecting, self._timeout_s)
        except NOT_SENT as error:
            raise away("the store cannot be reached") from error

    async def _open(self) -> "_Wire":
        if self._wire:
            await self._wire.drop()
        self._wire = _Wire(await self._connect(), self._timeout_s)
        return self._wire

    def _connected(self, task: asyncio.Task["_Wire"]) -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # those who waited have heard of it


def _passed_over(answer: Answers) -> None:
    """What comes after it tells as much."""
    if not answer.cancelled():
        answer.exception()


class _Wire(asyncio.Protocol):
    """A connection from its beginning to its loss."""

    def __init__(self, connection: AbstractConnection, timeout_s: float) -> None:
        self.over = False
        self._connection = connection
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=Refused)
        self._asked: deque[tuple[Answers, float]] = deque()  # and when
        self._heard_at = 0.0
        self._leaving: list[bytes] = []
        self._patience: asyncio.TimerHandle | None = None
        writer = connection._writer  # the driver has no other name for it
        assert writer is not None
        self._transport = writer.transport
        self._transport.set_protocol(self)

    def ask(self, command: bytes) -> Answers:
        answer: Answers = self._loop.create_future()
        if self.over:  # lost while its asker was on the way here
            answer.set_exception(away("the store hung up"))
            return answer
        now = self._loop.time()
        if not self._leaving:
            self._loop.call_soon(self._leave)
        self._leaving.append(command)
        self._asked.append((answer, now))
        if self._patience is None:
            self._patience = self._loop.call_at(now + self._timeout_s, self._lose_patience)
        return answer

    def data_received(self, data: bytes) -> None:
        """Hands each answer to who has waited longest."""
        self._heard_at = self._loop.time()
        self._reader.feed(data)
        while self._asked and (answer := self._reader.gets()) is not False:
            waiting, _ = self._asked.popleft()
            if waiting.done():  # its asker was cancelled
                continue
            if isinstance(answer, Refused):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody knows what became of what was asked."""
        self._end()

    async def finish(self) -> None:
        """Drops it when it owes no answer any more."""
        if owed := [answer for answer, _ in self._asked]:
            await asyncio.wait(owed)
        await self.drop()

    async def drop(self) -> None:
        self._end()
        with suppress(*NOT_SENT):
            await self._connection.disconnect(nowait=True)

    def _leave(self) -> None:
        if not self.over:
            self._transport.write(b"".join(self._leaving))
        self._leaving.clear()

    def _lose_patience(self) -> None:
        self._patience = None
        if not self._asked:
            return
        due = max(self._asked[0][1], self._heard_at) + self._timeout_s
        if due > self._loop.time():
            self._patience = self._loop.call_at(due, self._lose_patience)
        else:
            self._transport.abort()
            self._end()

    def _end(self) -> None:
        """Those who were not sent yet were asked last."""
        self.over = True
        if self._patience:
            self._patience.cancel()
        unsent = len(self._leaving)
        while self._asked:
            waiting, _ = self._asked.pop()
            if not waiting.done():
                waiting.set_exception(away("the store hung up") if unsent > 0 else silent())
            unsent -= 1
