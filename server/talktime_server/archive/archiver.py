"""The archiver: one loop that takes every shard's journal to SQL, and lets the store forget what is safely there.

SQL decides how far it is: a position moves in the transaction that adds the lines, so a process that dies anywhere leaves
either both or neither, and two archivers at once do each other no harm. While SQL is away the lines wait in the store,
and calls go on. A line that is missing is never passed over: its shard stops, untrimmed, with an alarm.
"""

import asyncio
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive import adding, positions
from talktime_server.archive.adding import Different, Missing
from talktime_server.archive.database import Database
from talktime_server.archive.lines import ABOUT_CALLS
from talktime_server.archive.places import START, place
from talktime_server.archive.positions import Moved
from talktime_server.archive.schema import facts
from talktime_server.archive.state import ArchiveStatus, status_of
from talktime_server.failure import Failure, Unsafe
from talktime_server.ledger import keys
from talktime_server.ledger.entries import Entry, entry_of
from talktime_server.ledger.store import Store

SHARDS_AT_ONCE = 16  # asked in one trip
LINES_AT_ONCE = 128  # of a shard: a trip holds the store for about a millisecond
BATCH = 500  # lines in one transaction, and a shard's lines more
IDLE_S = 0.15
QUIET_AFTER_S, QUIET_S = 2.0, 0.5  # where nothing happens, looking often is all that it costs
FIRST_PAUSE_S = 0.2  # after trouble, and twice as long each time, up to
LONGEST_PAUSE_S = 5.0
ALARM_AFTER_S = 60.0  # of SQL being away
TRIM_EVERY_S = 5.0
KEEP_MS = 60_000  # others read the last minute of the stream
TRIMMED_AT_ONCE = 1000  # lines in one command, so that it does not hold the store
AWAY = "the archive's database cannot be reached: lines wait in the store"

log = structlog.get_logger()


class Follower(Protocol):
    """Writes what follows from new lines, on the connection that adds them and nowhere else."""

    async def follow(self, connection: AsyncConnection, lines: Sequence[Entry]) -> None:
        """The lines in the order of the journal; they come again when the transaction is rolled back."""


@dataclass(frozen=True, slots=True)
class _Page:
    """What came of a shard's stream after a position."""

    shard: int
    entries: list[Entry]
    full: bool


@dataclass(slots=True)
class _Shard:
    """Where a shard is: as committed, and from where it is read again when its lines do not fit."""

    committed: str
    again: str | None = None  # reading anew from the start has come this far
    stopped: bool = False
    alarmed: bool = True  # perhaps, by an archiver before

    @property
    def after(self) -> str:
        return self.committed if self.again is None else self.again


@dataclass(slots=True)
class _Trouble:
    """Since when the archive is away."""

    since_s: float | None = None
    tries: int = 0

    def pause_s(self, now_s: float) -> float:
        """How long to wait now; jittered, so that processes do not come back as one."""
        self.since_s = now_s if self.since_s is None else self.since_s
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**self.tries)
        self.tries = min(self.tries + 1, 10)
        return float(longest * random.uniform(0.5, 1.0))


@dataclass(slots=True)
class _Round:
    """What one look at all shards came to."""

    full: bool = False
    now_ms: int = 0


class Archiver:
    """Takes the journal of a store to a database that is open. `followers` write beside it; lines stay in
    the stream for `keep_ms` though they are archived.
    """

    def __init__(
        self,
        store: Store,
        database: Database,
        *,
        followers: Sequence[Follower] = (),
        keep_ms: int = KEEP_MS,
    ) -> None:
        self._store = store
        self._database = database
        self._followers = followers
        self._keep_ms = keep_ms
        self._shards: dict[int, _Shard] = {}
        self._trouble = _Trouble()
        self._trimmed_s = self._told_s = self._kept_s = float("-inf")

    async def run(self) -> None:
        """Archives until it is cancelled. Raises Unsafe when the store belongs to another archive."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                busy = await self.step()
                self._trouble = _Trouble()
                pause_s = 0.0 if busy else self._idle_s(loop.time())
            except Unsafe:
                raise
            except Exception as error:
                pause_s = self._trouble.pause_s(loop.time())
                self._shards = {}  # what was committed is read again: an answer may have been lost
                self._complain(error, loop.time())
            await asyncio.sleep(pause_s)

    def _idle_s(self, now_s: float) -> float:
        return QUIET_S if now_s - self._kept_s > QUIET_AFTER_S else IDLE_S

    async def step(self) -> bool:
        """Looks at every shard once; whether more is waiting. Raises ArchiveAway, StoreAway, Unsafe."""
        if not self._shards:
            await self._attach()
        done = _Round()
        try:
            await self._look(done)
        except Moved:  # another archiver is at work: what it committed is read
            self._shards = {}
            return False
        if asyncio.get_running_loop().time() >= self._trimmed_s + TRIM_EVERY_S:
            await self._start_again_where_set_back()
            await self._trim(done.now_ms)
        return done.full

    async def _look(self, done: _Round) -> None:
        """Reads all shards before it writes: what came of few lines each goes in one transaction."""
        numbers = [n for n, shard in self._shards.items() if not shard.stopped]
        pages: list[_Page] = []
        for start in range(0, len(numbers), SHARDS_AT_ONCE):
            pages += await self._read(numbers[start : start + SHARDS_AT_ONCE], done)
        for group in _groups([page for page in pages if page.entries]):
            await self._keep(group, done)

    async def status(self) -> ArchiveStatus:
        """How far the archive is, and what is wrong. Raises ArchiveAway, StoreAway."""
        return await status_of(self._database, self._store)

    @property
    def alarms(self) -> tuple[str, ...]:
        """What cannot be told by the database, because it is away."""
        since_s = self._trouble.since_s
        now_s = asyncio.get_running_loop().time()
        return (AWAY,) if since_s is not None and now_s - since_s >= ALARM_AFTER_S else ()

    async def _attach(self) -> None:
        committed = await positions.attach(self._database, self._store)
        self._shards = {n: _Shard(position) for n, position in sorted(committed.items())}
        await self._start_again_where_set_back()

    async def _start_again_where_set_back(self) -> None:
        """A store that was restored, or a replica that took over, may write new lines below a position:
        they would never be seen.
        """
        asks = [("XREVRANGE", keys.journal(n), "+", "-", "COUNT", 1) for n in self._shards]
        for (n, shard), last in zip(
            self._shards.items(), await self._store.reached(asks, []), strict=True
        ):
            if last and shard.again is None and place(last[0][0].decode()) < place(shard.committed):
                log.warning("archive_reads_again", shard=n)
                shard.again = START

    async def _read(self, numbers: Sequence[int], done: _Round) -> list[_Page]:
        asks: list[tuple[Any, ...]] = [
            ("XRANGE", keys.journal(n), f"({self._shards[n].after}", "+", "COUNT", LINES_AT_ONCE)
            for n in numbers
        ]
        *found, time = await self._store.reached([*asks, ("TIME",)], [])
        if not time:
            return []
        seconds, micros = time
        done.now_ms = int(seconds) * 1000 + int(micros) // 1000
        return [_page(n, rows) for n, rows in zip(numbers, found, strict=True)]

    async def _keep(self, pages: Sequence[_Page], done: _Round) -> None:
        """Adds the lines of some shards in one transaction; those of a shard that do not fit spoil the
        transaction, and come alone the next time.
        """
        expected = {page.shard: self._shards[page.shard].committed for page in pages}
        reached = {page.shard: page.entries[-1].position for page in pages}
        try:
            async with self._database.begin() as connection:
                await positions.lock(connection, expected)
                lines = [(page.shard, page.entries) for page in pages]
                new = await adding.add(connection, lines)
                for follower in self._followers if new else ():
                    await follower.follow(connection, new)
                await positions.move(connection, reached, done.now_ms)
                await self._calm(connection, reached)
        except (Missing, Different) as wrong:
            await self._doubt(wrong)
            done.full = True
            return
        self._kept_s = asyncio.get_running_loop().time()
        for page in pages:
            self._reach(page, reached[page.shard])
        done.full = done.full or any(page.full for page in pages)

    async def _calm(self, connection: AsyncConnection, reached: Iterable[int]) -> None:
        names = [alarm_of(n) for n in reached if self._shards[n].alarmed]
        if names:
            await connection.execute(delete(facts).where(facts.c.name.in_(names)))

    def _reach(self, page: _Page, position: str) -> None:
        shard = self._shards[page.shard]
        shard.committed, shard.alarmed = position, False
        if shard.again is not None:
            shard.again = position if page.full else None

    async def _doubt(self, wrong: Missing | Different) -> None:
        """A missing line may stand before the position: the shard is read from its start, once. What is
        still missing then, or stands there with another content, needs a person.
        """
        shard = self._shards[wrong.shard]
        if isinstance(wrong, Missing) and shard.again is None:
            log.warning("archive_reads_again", shard=wrong.shard)
            shard.again = START
            return
        shard.stopped = True
        log.error("archive_alarm", shard=wrong.shard, alarm=str(wrong))
        async with self._database.begin() as connection:
            await positions.put_fact(connection, alarm_of(wrong.shard), str(wrong))

    async def _trim(self, now_ms: int) -> None:
        """Has the store forget what SQL says that it has, but for the last minute, which others read."""
        self._trimmed_s = asyncio.get_running_loop().time()
        async with self._database.connect() as connection:
            committed = await positions.read(connection)
        left = [n for n, shard in self._shards.items() if not shard.stopped and shard.again is None]
        while left:
            asks = [_trimming(n, committed[n], now_ms - self._keep_ms) for n in left]
            gone = await self._store.reached(asks, 0)
            left = [n for n, lines in zip(left, gone, strict=True) if lines > TRIMMED_AT_ONCE // 2]

    def _complain(self, error: Exception, now_s: float) -> None:
        """Trouble with the way is expected, and told once it lasts; anything else is a bug."""
        if not isinstance(error, Failure):
            log.error("archive_failed", exc_info=error)
        elif self.alarms and now_s - self._told_s >= ALARM_AFTER_S:
            self._told_s = now_s
            log.error("archive_alarm", alarm=AWAY, reason=error.reason)


def alarm_of(shard: int) -> str:
    """The name of the fact that tells what is wrong with a shard."""
    return f"{positions.ALARM}{shard:02}"


def _page(shard: int, rows: Sequence[Any]) -> _Page:
    """The lines of a page. Of the lines that one script wrote about a call only the last brings the call
    along: a page that is full does not end before it.
    """
    entries = [entry_of(position.decode(), fields) for position, fields in rows]
    full, end = len(entries) == LINES_AT_ONCE, len(entries)
    while full and end > 1 and entries[end - 1].kind in ABOUT_CALLS and not entries[end - 1].call:
        end -= 1
    return _Page(shard, entries[: end if end > 1 else None], full)


def _groups(pages: Sequence[_Page]) -> Iterator[list[_Page]]:
    """Pages that go together in one transaction."""
    group: list[_Page] = []
    for page in pages:
        group.append(page)
        if sum(len(each.entries) for each in group) >= BATCH:
            yield group
            group = []
    if group:
        yield group


def _trimming(shard: int, committed: str, before_ms: int) -> tuple[Any, ...]:
    least = min(place(committed), (max(before_ms, 0), 0))
    stream, bound = keys.journal(shard), f"{least[0]}-{least[1]}"
    return ("XTRIM", stream, "MINID", "~", bound, "LIMIT", TRIMMED_AT_ONCE)
