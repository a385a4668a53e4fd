"""The archive as everybody reads it: a tenant's lines and what they come to, calls as they last stood, and the steps of
recharges.
"""

from dataclasses import dataclass

from talktime_server.archive.database import Database
from talktime_server.ledger.entries import Entry
from talktime_server.ledger.journal import Archived
from talktime_server.ledger.packed import Fields


@dataclass(frozen=True, slots=True)
class RechargeStep:
    """One step of a tenant's recharge, or a change of its rule (no charge). `state` is a word of RechargeState; `details` is what the
    line says, its text as bytes.
    """

    version: int
    charge_id: str
    state: str
    details: Fields
    entered_ms: int


class History:
    """Reads a database. Everything here raises ArchiveAway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self, tenant_id: str) -> int:
        """The number of the tenant's last archived line; 0: none is archived."""
        async with self._database.connect() as connection:
            from talktime_server.archive.questions import past

            return await past.version(connection, tenant_id)

    async def sums(self, tenant_id: str) -> Archived:
        """What the tenant's archived lines come to; all of one moment."""
        async with self._database.connect() as connection:
            from talktime_server.archive.questions import past

            return await past.sums(connection, tenant_id)

    async def page(
        self, tenant_id: str, after_version: int, count: int, reference: str = ""
    ) -> list[Entry]:
        """Up to `count` lines with later versions, in their order; those of one call or funding, when a
        reference is given.
        """
        async with self._database.connect() as connection:
            from talktime_server.archive.questions import past

            return await past.page(connection, tenant_id, after_version, count, reference)

    async def packed_call(self, tenant_id: str, call_id: str) -> bytes | None:
        """A call as it stood after its last line, as the scripts pack it; None for one that was never
        granted (semantics 8).
        """
        async with self._database.connect() as connection:
            from talktime_server.archive.questions import past

            return await past.packed_call(connection, tenant_id, call_id)

    async def recharge_steps(
        self, tenant_id: str, before_version: int, count: int
    ) -> list[RechargeStep]:
        """Up to `count` steps with earlier versions (0: from the newest on), the newest first."""
        async with self._database.connect() as connection:
            from talktime_server.archive.questions import past

            return await past.recharge_steps(connection, tenant_id, before_version, count)
