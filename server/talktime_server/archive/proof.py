"""Proves that a store which was rebuilt is what the archive says: reads both again, and compares every tenant's money, minutes,
lots and open calls.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive.lines import Row
from talktime_server.archive.restoring import ACCOUNT, ROWS_LIVE_MS, SUMS
from talktime_server.archive.schema import open_calls, pool_rows
from talktime_server.ledger import keys
from talktime_server.ledger.account import Account
from talktime_server.ledger.meters import CONFERENCE_MARK, COUNT_MARK
from talktime_server.ledger.packed import fields_of_call
from talktime_server.ledger.store import Store

CALLS_AT_ONCE = 500
_MARKS = (COUNT_MARK.encode(), CONFERENCE_MARK.encode())


async def differences(
    connection: AsyncConnection, store: Store, sums: Sequence[Row], now_ms: int
) -> list[str]:
    """What differs for the tenants of these rows of `balances`, in a sentence each. Raises ArchiveAway,
    StoreAway.
    """
    tenants = [row["tenant_id"] for row in sums]
    minutes = await _by_tenant(connection, pool_rows, tenants)
    calls = await _by_tenant(connection, open_calls, tenants)
    asks: list[tuple[Any, ...]] = []
    for tenant_id in tenants:
        asks.append(("HMGET", keys.tenant(tenant_id), "pv", "lots", *SUMS))
        asks.append(("GET", keys.account(tenant_id)))
        asks.append(("HGETALL", keys.meters(tenant_id)))
        asks.append(("ZRANGE", keys.open_calls(tenant_id), 0, -1))
    answers = await store.commands(asks)
    found: list[str] = []
    for n, row in enumerate(sums):
        hash_, account, meters, names = answers[4 * n : 4 * n + 4]
        tenant_id = row["tenant_id"]
        kept = {each["call_id"]: each["call"] for each in calls[tenant_id]}
        wrong = [
            *_money(row, hash_, Account.read(account)),
            *_minutes(minutes[tenant_id], meters, now_ms),
            *await _calls(store, tenant_id, kept, [name.decode() for name in names]),
            *_held(row, kept.values(), minutes[tenant_id]),
        ]
        found += [f"tenant {tenant_id}: {text}" for text in wrong]
    return found


async def _by_tenant(
    connection: AsyncConnection, table: Table, tenants: Sequence[str]
) -> Mapping[str, list[Row]]:
    asked = select(table).where(table.c.tenant_id.in_(tenants))
    found: dict[str, list[Row]] = defaultdict(list)
    for row in (await connection.execute(asked)).mappings():
        found[row["tenant_id"]].append(dict(row))
    return found


def _money(row: Row, stored: Sequence[bytes | None], account: Account) -> Iterator[str]:
    profile, lots, *amounts = stored
    if profile is None:
        yield "the archive has no profile"
    for place, column in ACCOUNT.items():
        if getattr(account, place) != row[column]:
            yield f"{column} differs"
    for (name, column), amount in zip(SUMS.items(), amounts, strict=True):
        if amount is None or int(amount) != row[column]:
            yield f"{name} differs"
    if (lots or b"").decode().partition(";")[2] != row["lots"].partition(";")[2]:
        yield "lots differ"
    gone = row["spent_micros"] + row["expired_micros"] + row["refunded_micros"]
    if row["loaded_micros"] - gone != row["settled_micros"]:
        yield "money is not conserved"


def _minutes(rows: Sequence[Row], meters: Any, now_ms: int) -> Iterator[str]:
    stored = (
        meters if isinstance(meters, dict) else dict(zip(meters[::2], meters[1::2], strict=True))
    )
    found = {
        name.decode(): tuple(map(int, text.split()[:2]))
        for name, text in stored.items()
        if not name.startswith(_MARKS)
    }
    expected = {
        f"{row['pool_id']}@{row['month']}": (row["used_seconds"], row["held_seconds"])
        for row in rows
        if row["held_seconds"] or row["entered_ms"] + ROWS_LIVE_MS > now_ms
    }
    if found != expected:
        yield "minutes of pools differ"


async def _calls(
    store: Store, tenant_id: str, kept: Mapping[str, bytes], listed: Sequence[str]
) -> list[str]:
    if sorted(listed) != sorted(kept):
        return ["other calls are open"]
    wrong = []
    for start in range(0, len(listed), CALLS_AT_ONCE):
        part = listed[start : start + CALLS_AT_ONCE]
        asks = [("GET", keys.call(tenant_id, call_id)) for call_id in part]
        for call_id, packed in zip(part, await store.commands(asks), strict=True):
            if packed != kept[call_id]:
                wrong.append(f"open call {call_id} differs")
    return wrong


def _held(row: Row, calls: Any, minutes: Sequence[Row]) -> Iterator[str]:
    """What open calls hold is what is held."""
    unpacked = [fields_of_call(call) for call in calls]
    if sum(int(call[b"held"]) for call in unpacked) != row["held_micros"]:
        yield "held money is not what open calls hold"
    if sum(int(call.get(b"owed", 0)) for call in unpacked) != row["postpaid_held_micros"]:
        yield "what is held for the invoice is not what open calls hold"
    held = sum(int(each[1]) for call in unpacked for each in call.get(b"slices", ()))
    if held != sum(each["held_seconds"] for each in minutes):
        yield "held minutes are not what open calls hold"
