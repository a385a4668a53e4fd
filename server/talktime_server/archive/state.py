"""How far the archive is: asked of the database and the store themselves, so that any process can tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from talktime_server.archive.database import Database
from talktime_server.archive.places import START, place
from talktime_server.ledger import keys
from talktime_server.ledger.store import Store

LATE_MS = 60_000  # lines that wait longer are worth an alarm
MOST_COUNTED = (
    200  # waiting lines of a shard; when there are more, all lines that it keeps are named
)


@dataclass(frozen=True, slots=True)
class ArchiveStatus:
    """Lines in the archive, lines that wait in the store and the age of the oldest of these (0: none waits), what is wrong in a
    sentence each, and when a line was last archived (0: never).
    """

    entries: int
    waiting: int
    lag_ms: int
    alarms: tuple[str, ...]
    archived_ms: int


async def status_of(database: Database, store: Store) -> ArchiveStatus:
    """How far the archive is. Raises ArchiveAway, StoreAway."""
    async with database.connect() as connection:
        from talktime_server.archive import positions

        reached = await positions.read(connection)
        entries = await positions.count_entries(connection)
        known = await positions.facts_of(connection)
    waiting, oldest_ms, now_ms = await _waiting(store, reached)
    lag_ms = max(0, now_ms - oldest_ms) if waiting else 0
    alarms = [text for name, text in sorted(known.items()) if name.startswith(positions.ALARM)]
    if lag_ms >= LATE_MS and not alarms:
        alarms = [f"lines have been waiting for {lag_ms // 1000} s: the archiver is behind or gone"]
    archived_ms = int(known.get(positions.ARCHIVED_MS, 0))
    return ArchiveStatus(entries, waiting, lag_ms, tuple(alarms), archived_ms)


async def _waiting(store: Store, reached: dict[int, str]) -> tuple[int, int, int]:
    """How many lines are behind the positions, when the oldest was written, and what time it is."""
    asks: list[tuple[Any, ...]] = [("TIME",)]
    for shard in range(keys.SHARDS):
        after = f"({reached.get(shard, START)}"
        stream = keys.journal(shard)
        asks += [("XRANGE", stream, after, "+", "COUNT", MOST_COUNTED), ("XLEN", stream)]
    (seconds, micros), *answers = await store.commands(asks)
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    pairs = list(zip(answers[::2], answers[1::2], strict=True))
    oldest = min((_at_ms(lines) for lines, _ in pairs if lines), default=now_ms)
    return (
        sum(n if len(lines) == MOST_COUNTED else len(lines) for lines, n in pairs),
        oldest,
        now_ms,
    )


def _at_ms(lines: Sequence[Any]) -> int:
    return place(lines[0][0].decode())[0]
