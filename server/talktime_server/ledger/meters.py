"""The meters read back: licences assigned, and the minutes of each pool by month."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from talktime_server.ledger import keys
from talktime_server.ledger.account import Account
from talktime_server.ledger.operations import Meters
from talktime_server.ledger.records import Pool
from talktime_server.ledger.store import Store

PAGE = 1000
COUNT_MARK = "n:"  # a row that counts licences
CONFERENCE_MARK = "c:"  # a row of a conference's budget


async def read_meters(store: Store, tenant_id: str, pools: Sequence[Pool]) -> Meters:
    """What these pools are sized by and have given in the tenant's month: the store's, or a later one
    that its clock has seen. Only their rows are read: a tenant may have one for each of its users.
    """
    (seconds, _), kept = await store.commands([("TIME",), ("GET", keys.account(tenant_id))])
    month = month_of(max(int(seconds) * 1000, Account.read(kept).mark_ms))
    counted = sorted({pool.counted for pool in pools if pool.counted})
    named = sorted({name for pool in pools for name in (pool.pool_id, pool.closed_with) if name})
    fields = [f"{COUNT_MARK}{name}" for name in counted] + [f"{name}@{month}" for name in named]
    if not fields:
        return Meters(month, {}, {})
    rows = await store.command("HMGET", keys.meters(tenant_id), *fields)
    counts = zip(counted, rows, strict=False)
    uses = zip(named, rows[len(counted) :], strict=True)
    return Meters(
        month,
        {name: int(row) for name, row in counts if row},
        {name: _use(row) for name, row in uses if row},
    )


async def read_pool_rows(store: Store, tenant_id: str) -> dict[str, tuple[int, int]]:
    """What is used and held, in seconds, by pool and month as "US/MCOPSTN1@202611"."""
    marks = (COUNT_MARK, CONFERENCE_MARK)
    return {
        name: _use(row) async for name, row in _rows(store, tenant_id) if not name.startswith(marks)
    }


def month_of(now_ms: int) -> int:
    """The calendar month (UTC) of an instant, as 202611."""
    at = datetime.fromtimestamp(now_ms / 1000, UTC)
    return at.year * 100 + at.month


async def _rows(store: Store, tenant_id: str) -> AsyncIterator[tuple[str, bytes]]:
    cursor = b"0"
    while True:
        cursor, rows = await store.command("HSCAN", keys.meters(tenant_id), cursor, "COUNT", PAGE)
        pairs = rows.items() if isinstance(rows, dict) else zip(rows[::2], rows[1::2], strict=True)
        for name, row in pairs:
            yield name.decode(), row
        if int(cursor) == 0:
            return


def _use(row: bytes) -> tuple[int, int]:
    used, held, _ = row.split()
    return int(used), int(held)
