"""Opens the archive, however long it is away: nothing that calls need waits for it."""

import asyncio

import structlog

from talktime_server.archive.database import Database
from talktime_server.failure import ArchiveAway

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0

_log = structlog.get_logger("talktime.archive")


async def until_open(database: Database) -> None:
    """Tries until the archive is open and its tables are there. Raises Unsafe when this version may not
    write them.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            await database.open()
            return
        except ArchiveAway:
            _log.warning("archive_away", again_after_s=pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
