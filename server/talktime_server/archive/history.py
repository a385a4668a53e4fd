"""The archive as everybody reads it: a tenant's lines and what they come to, calls as they last stood, and the steps of
recharges.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive.database import Database
from talktime_server.archive.lines import entry_of
from talktime_server.archive.schema import balances, entries, pool_rows, recharge_steps
from talktime_server.ledger.entries import Entry
from talktime_server.ledger.journal import Archived
from talktime_server.ledger.packed import Fields, fields_of


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
    """Reads a database that is open. Everything here raises ArchiveAway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self, tenant_id: str) -> int:
        """The number of the tenant's last archived line; 0: none is archived."""
        async with self._database.connect() as connection:
            asked = select(balances.c.version).where(balances.c.tenant_id == tenant_id)
            return int((await connection.execute(asked)).scalar() or 0)

    async def sums(self, tenant_id: str) -> Archived:
        """What the tenant's archived lines come to; all of one moment."""
        async with self._database.connect() as connection:
            asked = select(balances).where(balances.c.tenant_id == tenant_id)
            row = (await connection.execute(asked)).mappings().first()
            if row is None:
                return Archived()
            return Archived(
                row["version"],
                row["settled_micros"],
                row["held_micros"],
                row["postpaid_micros"],
                row["postpaid_held_micros"],
                row["entered_ms"],
                await _minutes(connection, tenant_id),
            )

    async def page(
        self, tenant_id: str, after_version: int, count: int, reference: str = ""
    ) -> list[Entry]:
        """Up to `count` lines with later versions, in their order; those of one call or funding, when a
        reference is given.
        """
        table = entries
        asked = select(table).where(table.c.tenant_id == tenant_id, table.c.version > after_version)
        if reference:
            asked = asked.where(table.c.reference_id == reference)
        async with self._database.connect() as connection:
            found = await connection.execute(asked.order_by(table.c.version).limit(count))
            return [entry_of(row) for row in found.mappings()]

    async def packed_call(self, tenant_id: str, call_id: str) -> bytes | None:
        """A call as it stood after its last line, as the scripts pack it; None for one that was never
        granted (semantics 8).
        """
        table = entries
        asked = select(table.c.call).where(
            table.c.tenant_id == tenant_id,
            table.c.reference_id == call_id,
            table.c.call.is_not(None),
        )
        async with self._database.connect() as connection:
            newest = asked.order_by(table.c.version.desc()).limit(1)
            packed: bytes | None = (await connection.execute(newest)).scalar()
        return packed

    async def recharge_steps(
        self, tenant_id: str, before_version: int, count: int
    ) -> list[RechargeStep]:
        """Up to `count` steps with earlier versions (0: from the newest on), the newest first."""
        table = recharge_steps
        asked = select(table).where(table.c.tenant_id == tenant_id)
        if before_version:
            asked = asked.where(table.c.version < before_version)
        async with self._database.connect() as connection:
            found = await connection.execute(asked.order_by(table.c.version.desc()).limit(count))
            return [_step(row) for row in found.mappings()]


async def _minutes(connection: AsyncConnection, tenant_id: str) -> dict[str, tuple[int, int, int]]:
    table = pool_rows
    rows = await connection.execute(select(table).where(table.c.tenant_id == tenant_id))
    return {
        f"{row.pool_id}@{row.month}": (row.used_seconds, row.held_seconds, row.entered_ms)
        for row in rows
    }


def _step(row: Any) -> RechargeStep:
    return RechargeStep(
        row["version"],
        row["charge_id"],
        row["state"],
        fields_of(row["details"]),
        row["entered_ms"],
    )
