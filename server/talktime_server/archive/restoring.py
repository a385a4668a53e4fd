"""A tenant as the store keeps it, put together from what the archive has: the keys of some tenants at a time.

Every key of a tenant is deleted before it is written, so that all of this may be cut off and done again.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive import schema
from talktime_server.archive.days import DAY_MS
from talktime_server.archive.lines import Line, Row, entry_of
from talktime_server.archive.lots_text import Lots, lot_fields
from talktime_server.archive.spending import LOOK_BACK_MS, Spending
from talktime_server.ledger import keys
from talktime_server.ledger.account import USE, Account
from talktime_server.ledger.meters import COUNT_MARK
from talktime_server.ledger.packed import Fields, fields_of, fields_of_call
from talktime_server.ledger.profiles import tenant_of
from talktime_server.ledger.store import Store
from talktime_server.words import EntryKind, RechargeState

COMMANDS_AT_ONCE = 500
ROWS_LIVE_MS = 100 * DAY_MS  # of pools that nothing holds (leave.lua)
MOST_BLOCKS = 10_000  # lines of a record of blocks (put_profile.lua)
# Places of a tenant's account, fields of its hash, and the columns they come from.
ACCOUNT = {
    "mark_ms": "entered_ms",
    "version": "version",
    "settled_micros": "settled_micros",
    "held_micros": "held_micros",
    "spent_micros": "spent_micros",
    "invoiced_micros": "postpaid_micros",
    "owed_micros": "postpaid_held_micros",
}
SUMS = {
    "loaded": "loaded_micros",
    "expired": "expired_micros",
    "refunded": "refunded_micros",
    "uncollected": "uncollected_micros",
    "abandoned": "abandoned_calls",
}
# What a receipt has besides its kind and amount, by the names in the line's details.
_FUNDED = {"days": b"days", "note": b"note", "settled": b"settled", "held": b"held"}
_FUNDED |= {"expiry": b"expiry", "funding": b"funding", "total": b"total"}


class Writer:
    """Gathers commands, and sends many in one trip."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asks: list[tuple[Any, ...]] = []

    async def put(self, *ask: Any) -> None:
        """Runs a command, now or with those that come after it."""
        self._asks.append(ask)
        if len(self._asks) >= COMMANDS_AT_ONCE:
            await self.flush()

    async def flush(self) -> None:
        """Runs what was gathered. Raises StoreAway."""
        asks, self._asks = self._asks, []
        if asks:
            await self._store.commands(asks)


@dataclass(slots=True)
class _Tenant:
    """What is gathered of a tenant before its own keys are written."""

    sums: Row
    spending: Spending
    profile: dict[str, Any] = field(default_factory=dict)
    epoch: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    leases: dict[str, int] = field(default_factory=dict)
    calls: list[Fields] = field(default_factory=list)
    recharge: dict[Any, Any] = field(default_factory=dict)
    trigger: str = ""
    claims: int = 0

    @property
    def tenant_id(self) -> str:
        return str(self.sums["tenant_id"])


class Restorer:
    """Writes tenants to a store as of `now_ms`, the store's time; reads one state of the archive."""

    def __init__(self, connection: AsyncConnection, writer: Writer, now_ms: int) -> None:
        self._connection = connection
        self._writer = writer
        self._now_ms = now_ms

    async def restore(self, sums: Sequence[Row]) -> None:
        """The tenants of these rows of `balances`."""
        tenants = {row["tenant_id"]: _Tenant(row, Spending(row["entered_ms"])) for row in sums}
        for tenant_id in tenants:
            await self._clear(tenant_id)
        async for row in self._rows(schema.profiles, tenants):
            await self._profile(tenants[row["tenant_id"]], row)
        async for row in self._rows(schema.pool_rows, tenants):
            await self._pool(row)
        async for row in self._rows(schema.open_calls, tenants):
            await self._call(tenants[row["tenant_id"]], row)
        async for row in self._rows(schema.fundings, tenants):
            await self._funding(row)
        async for row in self._rows(schema.recharge_steps, tenants):
            _follow_recharge(tenants[row["tenant_id"]], fields_of(row["details"]))
        await self._lines(tenants)
        for tenant in tenants.values():
            await self._tenant(tenant)

    async def _rows(
        self, table: Table, tenants: dict[str, _Tenant], *only: Any
    ) -> AsyncIterator[Row]:
        asked = select(table).where(table.c.tenant_id.in_(list(tenants)), *only)
        found = await self._connection.stream(asked.order_by(*table.primary_key))
        async for row in found.mappings():
            yield dict(row)

    async def _clear(self, tenant_id: str) -> None:
        whole = (keys.tenant, keys.account, keys.payers, keys.busy, keys.meters)
        names = (*whole, keys.blocks, keys.open_calls, keys.recharge)
        await self._writer.put("DEL", *(name(tenant_id) for name in names))

    async def _profile(self, tenant: _Tenant, row: Row) -> None:
        tenant.epoch = max(tenant.epoch, row["epoch"])
        tenant.counts.update(row["counts"].split())
        fields = {"pv": row["profile_version"], "p": row["body"], "j": 1}
        if row["counts"]:
            fields["n"] = row["counts"]
        if row["payer_id"]:
            key = keys.payer(tenant.tenant_id, row["payer_id"])
            await self._writer.put("HSET", key, *_flat(fields))
            await self._writer.put("ZADD", keys.payers(tenant.tenant_id), 0, row["payer_id"])
        else:
            profile = tenant_of(row["body"], row["profile_version"])
            tenant.profile = fields | {"cur": profile.currency}
            tenant.spending.costly_micros = profile.costly_rate_per_minute_micros

    async def _pool(self, row: Row) -> None:
        if row["held_seconds"] or row["entered_ms"] + ROWS_LIVE_MS > self._now_ms:
            name = f"{row['pool_id']}@{row['month']}"
            text = f"{row['used_seconds']} {row['held_seconds']} {row['entered_ms'] // DAY_MS}"
            await self._writer.put("HSET", keys.meters(row["tenant_id"]), name, text)

    async def _call(self, tenant: _Tenant, row: Row) -> None:
        call = fields_of_call(row["call"])
        tenant.leases[row["call_id"]] = int(call[b"lease"])
        tenant.calls.append(call)
        tenant.spending.hold(call)
        await self._writer.put("SET", keys.call(tenant.tenant_id, row["call_id"]), row["call"])

    async def _funding(self, row: Row) -> None:
        said = fields_of(row["details"])
        # What an adjustment took is below zero in its receipt; what was taken back of a funding is not.
        adjusted = row["kind"] == EntryKind.ADJUST.value
        amount = row["amount_micros"] if adjusted else abs(row["amount_micros"])
        fields: dict[str, Any] = {"kind": row["kind"], "amount": amount}
        fields |= {name: said[place] for name, place in _FUNDED.items() if place in said}
        if row["refunded_micros"]:
            fields["refunded"] = row["refunded_micros"]
        key = keys.funding(row["tenant_id"], row["funding_id"])
        await self._writer.put("DEL", key)
        await self._writer.put("HSET", key, *_flat(fields))

    async def _lines(self, tenants: dict[str, _Tenant]) -> None:
        """What was spent lately, and the whole record of blocks."""
        since_ms = self._now_ms - LOOK_BACK_MS
        table = schema.entries
        async for row in self._rows(table, tenants, table.c.entered_ms >= since_ms):
            line = Line.of(entry_of(row))
            tenants[row["tenant_id"]].spending.add(line, row["payer_id"])
        async for row in self._rows(table, tenants, table.c.kind == EntryKind.PROFILE.value):
            block = fields_of(row["details"]).get(b"block")
            if block:
                # Time and version only grow, so the place in the record can be made of them.
                place = f"{row['entered_ms']}-{row['version']}"
                key = keys.blocks(row["tenant_id"])
                bound = ("MAXLEN", "~", MOST_BLOCKS, place)
                await self._writer.put(
                    "XADD", key, *bound, "at", row["entered_ms"], *json.loads(block)
                )

    async def _tenant(self, tenant: _Tenant) -> None:
        """The tenant's own keys, and its places in the indexes of its shard."""
        owner, put = tenant.tenant_id, self._writer.put
        shard = keys.shard_of(owner)
        lots = lot_fields(tenant.sums["lots"], tenant.calls)
        await put("SET", keys.account(owner), _account(tenant, lots).pack())
        fields = {name: tenant.sums[column] for name, column in SUMS.items()} | tenant.profile
        if lots.text:
            fields["lots"] = lots.text
        if tenant.claims:
            fields["re"] = tenant.claims
        await put("HSET", keys.tenant(owner), *_flat(fields))
        meters: dict[str, Any] = {f"{COUNT_MARK}{n}": count for n, count in tenant.counts.items()}
        meters |= tenant.spending.budget_rows()
        if meters:
            await put("HSET", keys.meters(owner), *_flat(meters))
        if rows := tenant.spending.rows():
            await put("HSET", keys.busy(owner), *_flat(rows))
        await put("ZADD", keys.tenants(shard), 0, owner)
        if tenant.leases:
            pairs = [part for name, lease in tenant.leases.items() for part in (lease, name)]
            for start in range(0, len(pairs), COMMANDS_AT_ONCE):
                part = pairs[start : start + COMMANDS_AT_ONCE]
                await put("ZADD", keys.open_calls(owner), *part)
            await put("ZADD", keys.due(shard), min(tenant.leases.values()), owner)
        await self._recharge(tenant)

    async def _recharge(self, tenant: _Tenant) -> None:
        owner, row = tenant.tenant_id, tenant.recharge
        if not row:
            return
        await self._writer.put("HSET", keys.recharge(owner), *_flat(row))
        claimed = row[b"state"] == RechargeState.ARMED.encode() and tenant.claims > int(
            row[b"epoch"]
        )
        due_ms = tenant.sums["entered_ms"] if claimed else int(row[b"next_ms"])
        if due_ms:
            await self._writer.put("ZADD", keys.recharges(keys.shard_of(owner)), due_ms, owner)


def _follow_recharge(tenant: _Tenant, said: Fields) -> None:
    """The last line has the last word; a claim leaves the row as it is."""
    tenant.recharge = said.get(b"row", tenant.recharge)
    tenant.trigger = said.get(b"rt", b"").decode()
    tenant.claims = int(said.get(b"re", tenant.claims))


def _account(tenant: _Tenant, lots: Lots) -> Account:
    used = tenant.spending.tenant.numbers(tenant.sums["entered_ms"])
    micros = tenant.trigger.removeprefix("s")
    places = {place: tenant.sums[column] for place, column in ACCOUNT.items()}
    places |= dict(zip(USE, used, strict=True))
    return Account(
        profile=tenant.profile.get("pv", 0),
        epoch=tenant.epoch,
        next_expiry_ms=lots.next_expiry_ms,
        generation=lots.generation,
        trigger_micros=int(micros or -1),
        on_settled=int(micros != tenant.trigger),
        **places,
    )


def _flat(fields: dict[Any, Any]) -> list[Any]:
    return [part for pair in fields.items() for part in pair]
