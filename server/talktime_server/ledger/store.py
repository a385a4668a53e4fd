"""The way to the store: scripts in batches, everything else one command at a time.

What one tick of the event loop asks of a script leaves in one EVALSHA, at once when the script is
idle; while several calls of it are under way the next ones gather, so that batches grow with the
load. The driver never repeats anything: its default of ten tries would apply a movement of money
ten times over. An answer that does not come in time leaves the outcome unknown, and says so.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from typing import Any, TypeVar

import hiredis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from talktime_server.failure import Applied, Broken, Failure, StoreAway
from talktime_server.ledger import keys
from talktime_server.ledger.connection import Connection, Refused, away, silent

BATCH = 100  # operations in one script call at most, so that none holds the store long
GATHERED = 64  # of those that only happen to be asked together: the store begins meanwhile
UNDER_WAY = 6  # calls of a script, so that neither the store nor we wait for the other
CONNECTIONS = 16
SHARED = ("book", "accounts", "lots", "sources", "leave")  # put in front of each script
# Errors by which a store says that it ran nothing.
REFUSALS = (
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "NOSCRIPT",
    "OOM",
    "READONLY",
    "TRYAGAIN",
)

Answer = list[Any]
Ask = tuple[Sequence[str], Sequence[str | bytes]]  # keys and arguments of an operation
T = TypeVar("T")


def packed(*ask: Any) -> bytes:
    """A command, as the store takes it."""
    command: bytes = hiredis.pack_command(ask)
    return command


def told(error: RedisError) -> str:
    """What the store said: where the driver knows the first word, it keeps that apart."""
    return f"{error.status_code} {error}" if error.status_code else str(error)


def refused(text: str) -> Failure:
    """What an error of the store means for the operation. Its text is for the log alone; and as it
    may have come from the middle of a script, nobody knows what was done before.
    """
    if text.startswith(REFUSALS):
        return StoreAway("STORE_REFUSES", "the store takes no writes now")
    broken = Broken("STORE_ERROR", "the store answered with an error", applied=Applied.UNKNOWN)
    broken.__cause__ = ResponseError(text)
    return broken


@dataclass(slots=True)
class _Batch:
    names: list[str] = field(default_factory=list)
    arguments: list[str | bytes] = field(default_factory=list)
    waiting: list[Callable[[Answer | Failure], None]] = field(default_factory=list)


class _Gathering:
    """The answers of operations that were asked side by side, as they come."""

    def __init__(self, count: int) -> None:
        self.all: asyncio.Future[list[Answer | Failure]]
        self.all = asyncio.get_running_loop().create_future()
        self._answers: list[Any] = [None] * count
        self._missing = count

    def take(self, place: int, answer: Answer | Failure) -> None:
        self._answers[place] = answer
        self._missing -= 1
        if not self._missing and not self.all.done():
            self.all.set_result(self._answers)


class Script:
    """One step of the ledger, asked in batches. `parts` are texts in front of its own; `tail` is what
    it takes after the arguments of all operations.
    """

    def __init__(
        self, store: "Store", name: str, parts: Sequence[str] = (), tail: Sequence[str] = ()
    ) -> None:
        here = files("talktime_server.ledger.lua")
        texts = (here.joinpath(f"{part}.lua").read_text() for part in (*SHARED, *parts, name))
        self.name = name
        self.text = "".join(texts).encode()
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()
        self._store = store
        self._tail = tail
        self._gathered: deque[_Batch] = deque()
        self._under_way = 0

    def __call__(
        self, names: Sequence[str], arguments: Sequence[str | bytes]
    ) -> asyncio.Future[Answer]:
        """Asks for one operation; the future gives its answer, the first place a word. Order of
        asking is order of running.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._add(names, arguments, partial(_give, answer))
        return answer

    def side_by_side(self, asks: Sequence[Ask]) -> asyncio.Future[list[Answer | Failure]]:
        """Asks for operations at once, at least one, each with an end of its own, in their order."""
        gathering = _Gathering(len(asks))
        for place, (names, arguments) in enumerate(asks):
            self._add(names, arguments, partial(gathering.take, place))
        return gathering.all

    def _add(
        self,
        names: Sequence[str],
        arguments: Sequence[str | bytes],
        waiting: Callable[[Answer | Failure], None],
    ) -> None:
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._leave)
        if not self._gathered or len(self._gathered[-1].waiting) >= GATHERED:
            self._gathered.append(_Batch())
        batch = self._gathered[-1]
        batch.names.extend(names)
        batch.arguments.extend(arguments)
        batch.waiting.append(waiting)

    async def together(self, asks: Sequence[Ask], *tail: str) -> list[Answer]:
        """Asks for operations that are one step: in a script call of their own, at most BATCH. `tail`
        stands in place of the script's own.
        """
        assert 0 < len(asks) <= BATCH
        names = [name for ask in asks for name in ask[0]]
        arguments = [argument for ask in asks for argument in ask[1]]
        asking = self._store.evaluate(self, names, [*arguments, *tail])
        running: asyncio.Task[list[Answer]] = self._store.spawn(asking)
        answers = await asyncio.shield(running)
        for answer in answers:
            if answer[0] == b"error":
                raise refused(answer[1].decode(errors="replace"))
        return answers

    def _leave(self) -> None:
        while self._gathered and self._under_way < UNDER_WAY:
            self._under_way += 1
            self._store.spawn(self._run(self._gathered.popleft()))

    async def _run(self, batch: _Batch) -> None:
        try:
            answers = await self._store.evaluate(self, batch.names, [*batch.arguments, *self._tail])
            assert len(answers) == len(batch.waiting)
        except Failure as failure:
            self._fail(batch, failure)
        except BaseException:
            self._fail(batch, silent())
            raise
        else:
            self._end(batch, answers)
        finally:
            self._under_way -= 1
            self._leave()

    def _fail(self, batch: _Batch, failure: Failure) -> None:
        """Those who stood behind are not made to wait for the same store in vain."""
        self._end(batch, [failure] * len(batch.waiting))
        while isinstance(failure, StoreAway) and self._gathered:
            batch = self._gathered.popleft()
            self._end(batch, [away("the store failed those before")] * len(batch.waiting))

    @staticmethod
    def _end(batch: _Batch, answers: Sequence[Answer | Failure]) -> None:
        for waiting, answer in zip(batch.waiting, answers, strict=True):
            if not isinstance(answer, Failure) and answer[0] == b"error":
                waiting(refused(answer[1].decode(errors="replace")))
            else:
                waiting(answer)


def _give(waiting: asyncio.Future[Answer], answer: Answer | Failure) -> None:
    if waiting.done():  # its caller gave up; the id makes a repeat safe
        return
    if isinstance(answer, Failure):
        waiting.set_exception(answer)
    else:
        waiting.set_result(answer)


@contextmanager
def _heard_cancellation() -> Iterator[None]:
    """The driver sends within asyncio.wait_for, which on Python 3.11 loses a cancellation that comes
    just as it ends: whoever was told to stop would go on for ever.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    yield
    if task and task.cancelling() > before:
        raise asyncio.CancelledError


class Store:
    """A Redis or Valkey server, by URL (redis://, rediss:// or unix://)."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._redis: Redis = Redis(connection_pool=self._pool)
        self._scripts = Connection(self._connect, timeout_s=timeout_s)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def _connect(self) -> AbstractConnection:
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py leaves it bare
        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it bare
        return connection

    async def close(self) -> None:
        """Waits for what is on the way, then closes."""
        while self._tasks:  # an end may be the next one's beginning
            await asyncio.wait(self._tasks)
        await self._scripts.close()
        await self._redis.aclose()
        await self._pool.disconnect()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Runs a batch beside its callers, so that a caller who gives up does not tear it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def evaluate(
        self, script: Script, names: Sequence[str], arguments: Sequence[str | bytes]
    ) -> list[Any]:
        """Runs a script once; loads it first where the store does not know it, which is the one
        thing worth a second try.
        """
        ask = packed("EVALSHA", script.sha, len(names), *names, *arguments)
        try:
            return await self._evaluate(script, ask)
        except Refused as error:
            raise refused(str(error)) from error

    async def _evaluate(self, script: Script, ask: bytes) -> list[Any]:
        try:
            return list(await self._scripts.ask(ask))
        except Refused as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        await self._scripts.ask(packed("SCRIPT", "LOAD", script.text))
        return list(await self._scripts.ask(ask))

    async def probe(self) -> None:
        """Writes a mark, to see whether the store takes writes. Raises StoreAway."""
        await self.command("SET", keys.probe(), "1")

    async def command(self, *ask: Any) -> Any:
        """Runs one command that may safely be lost or repeated. Raises StoreAway or Broken."""
        try:
            with _heard_cancellation():
                return await self._redis.execute_command(*ask)  # type: ignore[no-untyped-call]  # redis-py leaves it bare
        except ResponseError as error:
            raise refused(told(error)) from error
        except (RedisError, OSError) as error:
            raise away("the store cannot be reached") from error

    async def commands(self, asks: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Runs several such commands in one trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for ask in asks:
            pipeline.execute_command(*ask)
        try:
            with _heard_cancellation():
                return list(await pipeline.execute())
        except ResponseError as error:
            raise refused(told(error)) from error
        except (RedisError, OSError) as error:
            raise away("the store cannot be reached") from error
