"""Calls whose receipts the store keeps no more, as the archive has them (semantics 8).

That the archive has no such call lets a settle charge by its own fields. So it is said only when the archive could know:
when no line waits in the store that is as old as a receipt gets, and when no line of before calls were archived names it.
"""

from collections.abc import Sequence
from typing import Any

from talktime_server.archive.database import Database
from talktime_server.archive.history import History
from talktime_server.archive.places import START, place
from talktime_server.failure import ArchiveAway, Conflict
from talktime_server.ledger import keys
from talktime_server.ledger.store import Store
from talktime_server.words import EntryKind

_ENDS = (EntryKind.SETTLE, EntryKind.RELEASE, EntryKind.EXPIRE)


class LateCalls:
    """Reads an archive beside its store, which keeps the receipt of an ended call for `receipt_life_ms`."""

    def __init__(self, database: Database, store: Store, *, receipt_life_ms: int) -> None:
        self._database = database
        self._store = store
        self._history = History(database)
        self._receipt_life_ms = receipt_life_ms

    async def packed_call(self, tenant_id: str, call_id: str) -> bytes | None:
        """A call as it stood after its last line, as the scripts pack it; None for one that never was, or that
        ended by time and was charged nothing. Raises ArchiveAway, also when the archive is too far behind to
        tell; StoreAway; Conflict RECEIPT_EXPIRED for a call that ended in a line that brings no call along.
        """
        # First this, or a line that is archived in between would be missed by both.
        if await self._waited_ms(tenant_id) >= self._receipt_life_ms:
            raise ArchiveAway("ARCHIVE_BEHIND", "the archive is behind the store; try again")
        packed = await self._history.packed_call(tenant_id, call_id)
        if packed is None and await self._ended(tenant_id, call_id):
            raise Conflict("RECEIPT_EXPIRED", "the call ended long ago, and how is not known")
        return packed

    async def _waited_ms(self, tenant_id: str) -> int:
        """How long the oldest line of the tenant's shard waits to be archived; 0: none does."""
        shard = keys.shard_of(tenant_id)
        async with self._database.connect() as connection:
            from talktime_server.archive import positions

            reached = (await positions.read(connection)).get(shard, START)
        asks: Sequence[tuple[Any, ...]] = [
            ("XRANGE", keys.journal(shard), f"({reached}", "+", "COUNT", 1),
            ("TIME",),
        ]
        lines, (seconds, micros) = await self._store.commands(asks)
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        return max(0, now_ms - place(lines[0][0].decode())[0]) if lines else 0

    async def _ended(self, tenant_id: str, call_id: str) -> bool:
        """Whether a line of before calls were archived ended it. One that ended by time, and of which nothing was
        proven, was charged nothing.
        """
        async with self._database.connect() as connection:
            from talktime_server.archive.questions import past

            lines = await past.ends(connection, tenant_id, call_id, _ENDS)
        return any(kind is not EntryKind.EXPIRE or seconds for kind, seconds in lines)
