"""The way to the store: scripts in batches, everything else one command at a time.

What one tick of the event loop asks of a script leaves in one EVALSHA, at once when the script is
idle; while several calls of it are under way the next ones gather, so that batches grow with the
load. Nothing is ever repeated here. An answer that does not come in time leaves the outcome unknown,
and says so.
"""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from typing import Any, TypeVar

from talktime_server.failure import Failure, StoreAway
from talktime_server.ledger import keys
from talktime_server.ledger.cluster import Cluster
from talktime_server.ledger.connection import Refused, away, packed, refused, silent, slow
from talktime_server.ledger.server import CONNECT_S, Server, pool_at, pool_by_sentinels
from talktime_server.ledger.store_url import Kind, StoreUrl

BATCH = 100  # operations in one script call at most, so that none holds the store long
GATHERED = 64  # of those that only happen to be asked together: the store begins meanwhile
UNDER_WAY = 6  # calls of a script, so that neither the store nor we wait for the other
# Put in front of each script.
SHARED = ("book", "row", "call", "accounts", "lots", "pools", "sources", "leave")

Answer = list[Any]
Ask = tuple[Sequence[str], Sequence[str | bytes]]  # keys and arguments of an operation
T = TypeVar("T")


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
        self._whole = None if store.apart else _Lane(store, self, tail)
        self._lanes: dict[str, _Lane] = {}

    def __call__(
        self, names: Sequence[str], arguments: Sequence[str | bytes]
    ) -> asyncio.Future[Answer]:
        """Asks for one operation; the future gives its answer, the first place a word. Order of
        asking is order of running.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        lane = self._whole or self._lane_of(names)
        lane.add(names, arguments, partial(_give, answer))
        return answer

    def side_by_side(self, asks: Sequence[Ask]) -> asyncio.Future[list[Answer | Failure]]:
        """Asks for operations at once, at least one, each with an end of its own, in their order."""
        gathering = _Gathering(len(asks))
        for place, (names, arguments) in enumerate(asks):
            lane = self._whole or self._lane_of(names)
            lane.add(names, arguments, partial(gathering.take, place))
        return gathering.all

    def _lane_of(self, names: Sequence[str]) -> "_Lane":
        """In a cluster a script call is about one shard, and none waits for another's."""
        tag = keys.tag_of(names[0])
        if tag not in self._lanes:
            self._lanes[tag] = _Lane(self._store, self, self._tail)
        return self._lanes[tag]

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


class _Lane:
    """Operations of a script on their way to it, in their order."""

    def __init__(self, store: "Store", script: Script, tail: Sequence[str]) -> None:
        self._store = store
        self._script = script
        self._tail = tail
        self._gathered: deque[_Batch] = deque()
        self._under_way = 0

    def add(
        self,
        names: Sequence[str],
        arguments: Sequence[str | bytes],
        waiting: Callable[[Answer | Failure], None],
    ) -> None:
        """Asks for one with what else this tick of the event loop brings; `waiting` is given its answer."""
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._leave)
        if not self._gathered or len(self._gathered[-1].waiting) >= GATHERED:
            self._gathered.append(_Batch())
        batch = self._gathered[-1]
        batch.names.extend(names)
        batch.arguments.extend(arguments)
        batch.waiting.append(waiting)

    def _leave(self) -> None:
        while self._gathered and self._under_way < UNDER_WAY:
            self._under_way += 1
            self._store.spawn(self._run(self._gathered.popleft()))

    async def _run(self, batch: _Batch) -> None:
        try:
            arguments = [*batch.arguments, *self._tail]
            answers = await self._store.evaluate(self._script, batch.names, arguments)
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


class Store:
    """A Redis or Valkey, by URL: a server, one that Sentinels watch over, or a cluster (store_url.py)."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        place = StoreUrl.read(url)
        self.kind = place.kind
        self._servers = _servers(place, timeout_s)
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def apart(self) -> bool:
        """Whether shards are apart, so that no question can be about several."""
        return self.kind is Kind.CLUSTER

    async def close(self) -> None:
        """Waits for what is on the way, then closes."""
        while self._tasks:  # an end may be the next one's beginning
            await asyncio.wait(self._tasks)
        await self._servers.close()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Runs a batch beside its callers, so that a caller who gives up does not tear it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def evaluate(
        self, script: Script, names: Sequence[str], arguments: Sequence[str | bytes]
    ) -> list[Any]:
        """Runs a script once, on keys of one shard where shards are apart. Raises StoreAway or Broken."""
        ask = packed("EVALSHA", script.sha, len(names), *names, *arguments)
        try:
            return await self._servers.evaluate(script.text, ask, names[0])
        except Refused as error:
            raise refused(str(error)) from error

    async def reach(self) -> None:
        """Connects for the first time, which may take longer than an answer. Raises StoreAway."""
        end_s = time.monotonic() + CONNECT_S
        while True:
            try:
                await self._servers.reach()
                return
            except Refused as error:
                raise refused(str(error)) from error
            except StoreAway as failure:
                if not slow(failure) or time.monotonic() > end_s:
                    raise

    async def probe(self) -> None:
        """Writes a mark, to see whether the store takes writes: of a cluster, any part of it. Raises
        StoreAway.
        """
        asks = [("SET", keys.probe(shard), "1") for shard in self._servers.shards()]
        await self.reached(asks, None)

    async def command(self, *ask: Any) -> Any:
        """Runs one command that may safely be lost or repeated. Raises StoreAway or Broken."""
        try:
            return await self._servers.command(*ask)
        except Refused as error:
            raise refused(str(error)) from error

    async def commands(self, asks: Sequence[Sequence[Any]]) -> list[Any]:
        """Runs several such commands in one trip: to each server, where shards are apart."""
        answers = [_failed(answer) for answer in await self._servers.commands(asks)]
        for answer in answers:
            if isinstance(answer, Failure):
                raise answer
        return answers

    async def reached(self, asks: Sequence[Sequence[Any]], missing: Any) -> list[Any]:
        """The same, with `missing` in place of what a part of the store did not answer that is away.
        Raises StoreAway when all of it is.
        """
        answers = [_failed(answer) for answer in await self._servers.commands(asks)]
        silent = [answer for answer in answers if isinstance(answer, Failure)]
        for answer in silent:
            if len(silent) == len(answers) or not isinstance(answer, StoreAway):
                raise answer
        return [missing if isinstance(answer, Failure) else answer for answer in answers]

    async def strings(self, names: Sequence[str]) -> list[bytes | None]:
        """The strings at these keys."""
        if self.apart:
            return await self.commands([("GET", name) for name in names])
        return list(await self.command("MGET", *names))

    async def everywhere(self, *ask: Any) -> list[Any]:
        """The answer of every primary to a command without a key. Raises StoreAway or Broken."""
        try:
            return await self._servers.everywhere(*ask)
        except Refused as error:
            raise refused(str(error)) from error


def _servers(url: StoreUrl, timeout_s: float) -> Server | Cluster:
    match url.kind:
        case Kind.CLUSTER:
            return Cluster(url, timeout_s=timeout_s)
        case Kind.SENTINEL:
            return Server(pool_by_sentinels(url, timeout_s), timeout_s=timeout_s)
        case Kind.SERVER:
            return Server(pool_at(url, timeout_s), timeout_s=timeout_s)


def _failed(answer: Any) -> Any:
    return refused(str(answer)) if isinstance(answer, Refused) else answer
