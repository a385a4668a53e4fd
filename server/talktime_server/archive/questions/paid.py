"""What was paid on each day, and since when there is anything to tell of."""

from sqlalchemy import BigInteger, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive.days import DAY_MS
from talktime_server.archive.schema import usage_rows

_ROWS = usage_rows.c


async def first_ms(connection: AsyncConnection, tenant_id: str) -> int | None:
    """When the tenant's first call ended, whatever paid it: a tenant whose pools were enough for a month spent nothing in
    it, which is a pace too. None without calls.
    """
    begun = select(func.min(_ROWS.ended_ms)).where(_ROWS.tenant_id == tenant_id)
    first: int | None = (await connection.execute(begun)).scalar()
    return first


async def by_credits(
    connection: AsyncConnection, tenant_id: str, from_ms: int, until_ms: int
) -> dict[int, int]:
    """What credits paid, in micros, by the beginning of each day on which they did."""
    day = _ROWS.ended_ms - _ROWS.ended_ms % DAY_MS
    micros = cast(func.sum(_ROWS.connection_fee_micros + _ROWS.charge_micros), BigInteger)
    ask = select(day.label("day"), micros.label("micros")).where(
        _ROWS.tenant_id == tenant_id,
        _ROWS.ended_ms >= from_ms,
        _ROWS.ended_ms < until_ms,
        _ROWS.postpaid.is_(False),
    )
    return {row.day: row.micros for row in await connection.execute(ask.group_by(day))}
