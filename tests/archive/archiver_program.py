"""An archiver in a process of its own, to be killed: `python -m archive.archiver_program STORE DATABASE FILE`. The file gets, for
each line, how many milliseconds after it was written it was committed.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive.archiver import Archiver
from talktime_server.archive.database import Database
from talktime_server.failure import ArchiveAway
from talktime_server.ledger.entries import Entry
from talktime_server.ledger.store import Store

AGAIN_S = 0.05


class Clock:
    """Notes when lines were written that are about to be committed."""

    def __init__(self) -> None:
        self.written_ms: list[int] = []

    async def follow(self, connection: AsyncConnection, lines: Sequence[Entry]) -> None:
        self.written_ms += [int(line.position.partition("-")[0]) for line in lines]


async def run(store_url: str, database_url: str, told: Path) -> None:
    """Archives until it is killed."""
    clock, store, database = Clock(), Store(store_url, timeout_s=5.0), Database(database_url)
    await _open(database)

    class Told(Archiver):
        async def step(self) -> bool:
            clock.written_ms = []
            busy = await super().step()
            now_ms = time.time() * 1000
            if clock.written_ms:
                with told.open("a") as file:
                    file.writelines(f"{now_ms - at_ms:.0f}\n" for at_ms in clock.written_ms)
            return busy

    await Told(store, database, followers=[clock]).run()


async def _open(database: Database) -> None:
    while True:
        try:
            await database.open()
            return
        except ArchiveAway:
            await asyncio.sleep(AGAIN_S)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
