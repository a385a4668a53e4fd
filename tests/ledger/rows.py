"""The rows that a tenant has in the store, read back, and the same as the plain ledger adds them up."""

from typing import Any

import msgpack

from ledger.plain import PlainLedger
from ledger.plain_call import DAY_MS, month_of
from ledger.plain_meters import minutes, payer_limits
from ledger.world import PAYERS, World
from talktime_server.ledger import keys

SUMS = ["loaded", "expired", "refunded", "uncollected", "abandoned"]
MONEY = [
    "settled_micros",
    "held_micros",
    "spent_micros",
    "invoiced_micros",
    "owed_micros",
    "version",
]
USE = [
    "open",
    "held",
    "day",
    "day_spent",
    "month",
    "month_spent",
    "costly",
    "told",
    "second",
    "started",
]
CONFERENCE_DAYS = 2  # a conference's row may be dropped when it did not move for longer


async def kept_rows(world: World) -> dict[str, Any]:
    """Everything that is counted for the tenant, as of its clock."""
    owner = world.tenant.tenant_id
    sums = await world.store.command("HMGET", world.key, *SUMS)
    account = await world.account()
    now_ms = account.mark_ms
    payers = [*PAYERS, ""]
    uses = await world.store.command("HMGET", keys.busy(owner), *payers)
    kept: dict[str, Any] = {name: int(amount or 0) for name, amount in zip(SUMS, sums, strict=True)}
    kept |= {name: getattr(account, name) for name in MONEY}
    kept["use"] = _use(account[-len(USE) :], now_ms, 1000)
    for payer, row in zip(payers, uses, strict=True):
        numbers = tuple(map(int, msgpack.unpackb(row))) if row else (0,) * len(USE)
        kept[f"use of {payer}"] = _use(numbers, now_ms, payer_limits(world.tenant, payer)[1])
    meters = await world.store.command("HGETALL", keys.meters(owner))
    for name, row in meters.items():
        if not name.startswith(b"n:"):
            kept[name.decode()] = tuple(map(int, row.split()))
    return kept


def _use(numbers: tuple[int, ...], now_ms: int, window_ms: int) -> tuple[int, ...]:
    """Open calls, what they hold, what was spent today and this month, costly calls, whether its limit was told
    today, calls begun in this second or minute.
    """
    use = dict(zip(USE, numbers, strict=True))
    today, month = use["day"] == now_ms // DAY_MS, use["month"] == month_of(now_ms)
    return (
        use["open"],
        use["held"],
        use["day_spent"] * today,
        use["month_spent"] * month,
        use["costly"] * today,
        use["told"] * today,
        use["started"] * (use["second"] == now_ms // window_ms),
    )


def old(name: str, model: PlainLedger) -> bool:
    """Whether a row may be dropped: a conference's whose legs hold nothing and that did not move for days."""
    day = model.meters.rows[name]
    held = _meter_rows(model)[name][1]
    return name.startswith("c:") and not held and day + CONFERENCE_DAYS < model.now_ms // DAY_MS


def plain_rows(model: PlainLedger) -> dict[str, Any]:
    """What `kept_rows` should find."""
    money, calls = model.money, list(model.calls.values())
    sums = (
        model.loaded,
        model.expired,
        model.refunded,
        model.uncollected,
        model.abandoned,
        money.settled_micros,
        money.held_micros,
        model.spent,
        sum(call.invoiced for call in calls),
        sum(call.owed for call in calls),
        model.entries,
    )
    rows: dict[str, Any] = dict(zip(SUMS + MONEY, sums, strict=True))
    rows["use"] = (0, 0, *_counted(model, None, 1000))
    for payer in [*PAYERS, ""]:
        own = model.open_calls(payer)
        held = sum(call.hold + call.owed for call in own)
        window_ms = payer_limits(model.settings, payer)[1]
        rows[f"use of {payer}"] = (len(own), held, *_counted(model, payer, window_ms))
    return rows | _meter_rows(model)


def _counted(model: PlainLedger, payer: str | None, window_ms: int) -> tuple[int, ...]:
    now_ms, meters = model.now_ms, model.meters
    told = (now_ms // DAY_MS, "tenant" if payer is None else "payer", payer or "")
    return (
        meters.spent(now_ms, by_month=False, payer=payer),
        meters.spent(now_ms, by_month=True, payer=payer),
        meters.costly(now_ms, payer),
        int(told in meters.told),
        meters.begun(now_ms, window_ms, payer),
    )


def _meter_rows(model: PlainLedger) -> dict[str, tuple[int, int, int]]:
    rows = {}
    for name, day in model.meters.rows.items():
        if name.startswith("c:"):
            conference = name.removeprefix("c:")
            used = model.meters.spent(model.now_ms, by_month=False, conference=conference)
            legs = [call for call in model.open_calls() if call.conference == conference]
            held = sum(call.hold + call.owed for call in legs)
        else:
            pool_id, _, month = name.rpartition("@")
            used, held = minutes(model.calls.values(), pool_id, int(month))
        rows[name] = (used, held, day)
    return rows
