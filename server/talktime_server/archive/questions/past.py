"""A tenant's past: its lines and what they come to, calls as they last stood, and the steps of recharges."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive.history import RechargeStep
from talktime_server.archive.lines import entry_of
from talktime_server.archive.schema import balances, entries, pool_rows
from talktime_server.archive.schema import recharge_steps as steps
from talktime_server.ledger.entries import Entry
from talktime_server.ledger.journal import Archived
from talktime_server.ledger.packed import fields_of
from talktime_server.words import EntryKind


async def version(connection: AsyncConnection, tenant_id: str) -> int:
    """The number of the tenant's last line; 0: there is none."""
    asked = select(balances.c.version).where(balances.c.tenant_id == tenant_id)
    return int((await connection.execute(asked)).scalar() or 0)


async def sums(connection: AsyncConnection, tenant_id: str) -> Archived:
    """What the tenant's lines come to; all of one moment."""
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
    connection: AsyncConnection, tenant_id: str, after_version: int, count: int, reference: str
) -> list[Entry]:
    """Up to `count` lines with later versions, in their order; of one call or funding, when a reference is given."""
    asked = select(entries).where(
        entries.c.tenant_id == tenant_id, entries.c.version > after_version
    )
    if reference:
        asked = asked.where(entries.c.reference_id == reference)
    found = await connection.execute(asked.order_by(entries.c.version).limit(count))
    return [entry_of(row) for row in found.mappings()]


async def packed_call(connection: AsyncConnection, tenant_id: str, call_id: str) -> bytes | None:
    """A call as it stood after its last line, as the scripts pack it; None for one that was never granted."""
    asked = select(entries.c.call).where(
        entries.c.tenant_id == tenant_id,
        entries.c.reference_id == call_id,
        entries.c.call.is_not(None),
    )
    newest = asked.order_by(entries.c.version.desc()).limit(1)
    packed: bytes | None = (await connection.execute(newest)).scalar()
    return packed


async def ends(
    connection: AsyncConnection, tenant_id: str, call_id: str, kinds: Collection[EntryKind]
) -> list[tuple[EntryKind, int]]:
    """The lines that ended a call, by kind, with the seconds that each proved."""
    asked = select(entries.c.kind, entries.c.seconds).where(
        entries.c.tenant_id == tenant_id,
        entries.c.reference_id == call_id,
        entries.c.kind.in_([kind.value for kind in kinds]),
    )
    rows = await connection.execute(asked)
    return [(EntryKind(kind), seconds or 0) for kind, seconds in rows]


async def recharge_steps(
    connection: AsyncConnection, tenant_id: str, before_version: int, count: int
) -> list[RechargeStep]:
    """Up to `count` steps with earlier versions (0: from the newest on), the newest first."""
    asked = select(steps).where(steps.c.tenant_id == tenant_id)
    if before_version:
        asked = asked.where(steps.c.version < before_version)
    found = await connection.execute(asked.order_by(steps.c.version.desc()).limit(count))
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
