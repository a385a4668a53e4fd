"""Tells of credits that are lost soon (domain.md 5: lots expire), once for each lot.

A step looks at every tenant's lots as the archive has them, and may be repeated, or done by two at
once: the latch of a lot is closed in the transaction that writes the notice. Lots that come within
reach in the same step are one notice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import RowMapping, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive.database import Database
from talktime_server.archive.days import DAY_MS
from talktime_server.archive.schema import balances
from talktime_server.notices import notice, sql
from talktime_server.notices.latches import lot_name
from talktime_server.notices.notice import Notice
from talktime_server.notices.tables import latches, notice_settings
from talktime_server.notices.targets import DEFAULT_EXPIRY_NOTICE_DAYS
from talktime_server.words import NoticeKind

TENANTS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Lot:
    """What is left of a funding, in micros, and when it is lost."""

    lot_id: str
    left_micros: int
    expires_ms: int

    @property
    def latch(self) -> str:
        """Its latch: money of before there were lots may come again under the same id, for another time."""
        return lot_name(f"{self.lot_id}@{self.expires_ms}")


def lots_of(text: str, settled_micros: int) -> list[Lot]:
    """The lots that are left of a balance, oldest first, by the text that the last line about them gave.

    What was charged since then is taken off the oldest; money that no lot is known of is in none.
    """
    rows = [row.split("|") for row in text.partition(";")[2].split(";") if row]
    lots = [Lot(row[0], int(row[1]), int(row[2])) for row in rows]
    charged = sum(lot.left_micros for lot in lots) - max(settled_micros, 0)
    left = []
    for lot in lots:
        taken = min(lot.left_micros, max(charged, 0))
        charged -= taken
        if lot.left_micros > taken:
            left.append(Lot(lot.lot_id, lot.left_micros - taken, lot.expires_ms))
    return left


async def tell_expiring(database: Database, now_ms: int) -> int:
    """Looks at every tenant's lots; returns how many notices were written."""
    after, told = "", 0
    while True:
        async with database.connect() as connection:
            rows = await _page(connection, after)
        for row in rows:
            told += await _tell(database, row, now_ms)
        if len(rows) < TENANTS_AT_ONCE:
            return told
        after = rows[-1]["tenant_id"]


async def _page(connection: AsyncConnection, after: str) -> Sequence[RowMapping]:
    both = balances.outerjoin(notice_settings, balances.c.tenant_id == notice_settings.c.tenant_id)
    asked = (
        select(
            balances.c.tenant_id,
            balances.c.lots,
            balances.c.settled_micros,
            notice_settings.c.expiry_notice_days,
        )
        .select_from(both)
        .where(balances.c.tenant_id > after, balances.c.lots != "")
        .order_by(balances.c.tenant_id)
        .limit(TENANTS_AT_ONCE)
    )
    return (await connection.execute(asked)).mappings().all()


async def _tell(database: Database, row: RowMapping, now_ms: int) -> int:
    days = row["expiry_notice_days"] or DEFAULT_EXPIRY_NOTICE_DAYS
    lots = lots_of(row["lots"], row["settled_micros"])
    soon = [lot for lot in lots if now_ms < lot.expires_ms <= now_ms + days * DAY_MS]
    if not soon:
        return 0
    async with database.connect() as connection:
        told = await _latched(connection, row["tenant_id"])
    if told.issuperset(lot.latch for lot in soon):
        return 0
    async with database.begin() as connection:
        return await _write(connection, row["tenant_id"], lots, soon, now_ms)


async def _write(
    connection: AsyncConnection,
    tenant_id: str,
    lots: Sequence[Lot],
    soon: Sequence[Lot],
    now_ms: int,
) -> int:
    await sql.see_what_others_write(connection)
    told = await _latched(connection, tenant_id)
    new = [lot for lot in soon if lot.latch not in told]
    if not new:
        return 0
    # The notice's id follows from its lots: somebody who tells of the same ones writes the same notice.
    rows = [{"tenant_id": tenant_id, "name": lot.latch, "value": lot.expires_ms} for lot in new]
    await sql.add_missing(connection, latches, rows)
    await _forget(connection, tenant_id, told - {lot.latch for lot in lots})
    await notice.write(connection, [_notice(tenant_id, new, now_ms)])
    return 1


def _notice(tenant_id: str, lots: Sequence[Lot], now_ms: int) -> Notice:
    first = min(lots, key=lambda lot: lot.expires_ms)
    return Notice(
        tenant_id,
        NoticeKind.CREDITS_EXPIRING,
        " ".join(lot.latch for lot in lots),
        now_ms,
        {
            "amount_micros": sum(lot.left_micros for lot in lots),
            "expires_ms": first.expires_ms,
            "lots": len(lots),
        },
    )


async def _latched(connection: AsyncConnection, tenant_id: str) -> frozenset[str]:
    named = latches.c.name.startswith(lot_name(""), autoescape=True)
    asked = select(latches.c.name).where(latches.c.tenant_id == tenant_id, named)
    return frozenset((await connection.execute(asked)).scalars())


async def _forget(connection: AsyncConnection, tenant_id: str, names: frozenset[str]) -> None:
    """Lots that are used up or lost need no latch any more."""
    if names:
        gone = (latches.c.tenant_id == tenant_id) & latches.c.name.in_(names)
        await connection.execute(delete(latches).where(gone))
