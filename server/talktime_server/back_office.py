"""The composition root of the back office: the one process that archives, charges and notifies, beside the serving ones.

Calls never wait for it. It may be killed at any line and started again: what it does is written down first, and is safe to
do twice. Of several back offices on one store, one works and the others stand by; that spares work and nothing else.
"""

import asyncio
from dataclasses import dataclass

import structlog

from talktime_server.archive.database import Database
from talktime_server.config import Settings
from talktime_server.failure import ArchiveAway, Failure
from talktime_server.ledger.lease import Lease
from talktime_server.ledger.store import Store
from talktime_server.work.beside import Work, ended, kept_running

# Nobody waits for the answers here, so a store may take its time.
STORE_TIMEOUT_S = 2.0
OPEN_FIRST_S, OPEN_MOST_S = 0.5, 5.0

_log = structlog.get_logger("talktime.back_office")


@dataclass(frozen=True, slots=True)
class BackOffice:
    """Everything that the process works with."""

    store: Store
    database: Database
    lease: Lease
    works: tuple[Work, ...]
    """What only one of several need do."""

    async def run(self) -> None:
        """Works until cancelled. Raises Unsafe when the archive is not one that this version may write."""
        lease = asyncio.create_task(kept_running(self.lease.run))
        try:
            await self._work()
        finally:
            await ended((lease,))

    async def finish(self) -> None:
        """What must not wait for the next start."""
        try:
            await self.lease.give_up()
        except Failure as failure:
            _log.warning("lease_not_given_up", reason=failure.reason)

    async def close(self) -> None:
        """Lets go of everything."""
        await self.database.close()
        await self.store.close()

    async def _work(self) -> None:
        await _until_open(self.database)
        while True:
            await self.lease.held.wait()
            tasks = tuple(asyncio.create_task(kept_running(work)) for work in self.works)
            try:
                await self.lease.lost.wait()
            finally:
                await ended(tasks)


async def open_back_office(settings: Settings, name: str) -> BackOffice:
    """Builds the process; `name` is the one of those that follow each other under one supervisor."""
    store = Store(settings.store_url, timeout_s=STORE_TIMEOUT_S)
    database = Database(settings.archive)
    return BackOffice(store, database, Lease(store, name), ())


async def _until_open(database: Database) -> None:
    """A database that is away is waited for: the store keeps what is to be archived."""
    pause_s = OPEN_FIRST_S
    while True:
        try:
            await database.open()
            return
        except ArchiveAway:
            _log.warning("archive_away", again_after_s=pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, OPEN_MOST_S)
