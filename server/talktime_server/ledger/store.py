"""The way to the store: scripts in batches, everything else one command at a time.

What one tick of the event loop asks of a script leaves in one EVALSHA. The driver never repeats
anything: its default of ten tries would apply a movement of money ten times over. An answer that
does not come in time leaves the outcome unknown, and says so.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import hiredis
from redis import exceptions as redis_errors
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, NoScriptError, RedisError, ResponseError

from talktime_server.failure import Applied, Broken, Failure, StoreAway
from talktime_server.ledger import keys

BATCH = 100  # operations in one script call, so that none holds the store longer than about a millisecond
CONNECTIONS = 16
SHARED = ("book", "lots", "sources", "leave")  # put in front of each script
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
NOT_SENT = (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)

Answer = list[Any]


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
    waiting: list[asyncio.Future[Answer]] = field(default_factory=list)
    before: "_Batch | None" = None  # of the same tick, asked first and so run first
    running: asyncio.Task[None] | None = None
    failed: bool = False


class Script:
    """One decision of the ledger, asked in batches. Every operation brings the same number of keys
    and arguments.
    """

    def __init__(self, store: "Store", name: str) -> None:
        here = files("talktime_server.ledger.lua")
        text = "".join(here.joinpath(f"{part}.lua").read_text() for part in (*SHARED, name))
        self.name = name
        self.text = text.encode()
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()
        self._store = store
        self._next: _Batch | None = None

    def __call__(
        self, names: Sequence[str], arguments: Sequence[str | bytes]
    ) -> asyncio.Future[Answer]:
        """Asks for one operation; the future gives its answer, the first place a word. Order of
        asking is order of running.
        """
        loop = asyncio.get_running_loop()
        batch = self._next
        if batch is None or len(batch.waiting) >= BATCH:
            batch = self._next = _Batch(before=batch)
            loop.call_soon(self._leave, batch)
        answer: asyncio.Future[Answer] = loop.create_future()
        batch.names.extend(names)
        batch.arguments.extend(arguments)
        batch.waiting.append(answer)
        return answer

    async def together(
        self, asks: Sequence[tuple[Sequence[str], Sequence[str]]], mode: str
    ) -> list[Answer]:
        """Asks for operations that are one step: in a script call of their own, at most BATCH."""
        assert 0 < len(asks) <= BATCH
        names = [name for ask in asks for name in ask[0]]
        arguments = [argument for ask in asks for argument in ask[1]]
        asking = self._store.evaluate(self, names, [*arguments, mode])
        running: asyncio.Task[Any] = self._store.spawn(asking)
        answers: list[Answer] = await asyncio.shield(running)
        for answer in answers:
            if answer[0] == b"error":
                raise refused(answer[1].decode(errors="replace"))
        return answers

    def _leave(self, batch: _Batch) -> None:
        if self._next is batch:
            self._next = None
        before, batch.before = batch.before, None
        batch.running = self._store.spawn(self._run_after(before, batch))

    async def _run_after(self, before: _Batch | None, batch: _Batch) -> None:
        """Connections do not keep the order among themselves, so a batch waits for the one before; what
        failed there would fail here too, and nobody waits for it twice.
        """
        if before and before.running:
            await asyncio.wait([before.running])
            if before.failed:
                self._fail(batch, away("the store failed the operations before"))
                return
        await self._run(batch)

    async def _run(self, batch: _Batch) -> None:
        try:
            answers = await self._store.evaluate(self, batch.names, batch.arguments)
            assert len(answers) == len(batch.waiting)
        except Failure as failure:
            self._fail(batch, failure)
        except BaseException:
            self._fail(batch, silent())
            raise
        else:
            for waiting, answer in zip(batch.waiting, answers, strict=True):
                self._give(waiting, answer)

    @staticmethod
    def _give(waiting: asyncio.Future[Answer], answer: Answer) -> None:
        if waiting.done():  # its caller gave up; the id makes a repeat safe
            return
        if answer[0] == b"error":
            waiting.set_exception(refused(answer[1].decode(errors="replace")))
        else:
            waiting.set_result(answer)

    @staticmethod
    def _fail(batch: _Batch, failure: Failure) -> None:
        batch.failed = True
        for waiting in batch.waiting:
            if not waiting.done():
                waiting.set_exception(failure)


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
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Waits for what is on the way, then closes."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._redis.aclose()
        await self._pool.disconnect()

    def spawn(self, work: Any) -> asyncio.Task[None]:
        """Runs a batch beside its callers, so that a caller who gives up does not tear it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def evaluate(
        self, script: Script, names: list[str], arguments: Sequence[str | bytes]
    ) -> list[Any]:
        """Runs a script once; loads it first where the store does not know it, which is the one
        thing worth a second try.
        """
        try:
            connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py leaves it bare
        except NOT_SENT as error:
            raise away("the store cannot be reached") from error
        try:
            return await self._evaluate(connection, script, names, arguments)
        except (BusyLoadingError, ResponseError) as error:
            raise refused(told(error)) from error
        except NOT_SENT as error:
            raise silent() from error
        finally:
            await self._pool.release(connection)

    async def _evaluate(
        self,
        connection: AbstractConnection,
        script: Script,
        names: list[str],
        arguments: Sequence[str | bytes],
    ) -> list[Any]:
        ask = ("EVALSHA", script.sha, len(names), *names, *arguments)
        try:
            return list(await self._exchange(connection, ask))
        except NoScriptError:
            await self._exchange(connection, ("SCRIPT", "LOAD", script.text))
            return list(await self._exchange(connection, ask))

    @staticmethod
    async def _exchange(connection: AbstractConnection, ask: tuple[Any, ...]) -> Any:
        """One question, one answer. A connection with a doubtful answer on it is dropped, never
        reused.
        """
        try:
            await connection.send_packed_command([hiredis.pack_command(ask)])
            return await connection.read_response()
        except ResponseError:
            raise
        except BaseException:
            await connection.disconnect(nowait=True)
            raise

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
