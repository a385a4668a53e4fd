"""A store as data version 1 wrote it, literally: a tenant with payers, calls of every state, its journal, and a deck."""

import json
import zlib
from typing import Any

from talktime_server.ledger import keys
from talktime_server.ledger.store import Store

OWNER = "contoso"
NUMBER = "+442071838750"
LICENSES = {"ann": [], "ben": ["MCOPSTN1", "MCOPSTNC"], "eve": ["MCOMEETADV", "MCOPSTN1"]}
DECK_ROWS = [["44", "Kingdom", 60, 0, 60, 60], ["447", "Kingdom - Mobile", 120, 5, 1, 1]]
OPEN = {"extended": "ann", "settled": "ann", "released": "ann", "again": "ann", "expired": "ben"}
BEGUN_AGO_MS = 30_000
LEASE_MS = 720_000
MONEY = (9880, 3000)  # settled and held after all of it
PACK = "redis.call('SET', KEYS[1], cmsgpack.pack(cjson.decode(ARGV[1])))"
# kind, reference, settled and held deltas, seconds
JOURNAL = [
    ("FUND", "f1", 10_000, 0, 0),
    ("HOLD", "old-settled", 0, 600, 600),
    ("SETTLE", "old-settled", -120, -600, 61),
    ("HOLD", "old-released", 0, 600, 600),
    ("RELEASE", "old-released", 0, -600, 0),
    ("HOLD", "old-expired", 0, 600, 600),
    ("EXPIRE", "old-expired", 0, -600, 0),
    *(("HOLD", call_id, 0, 600, 600) for call_id in OPEN),
]


async def write_old_store(store: Store) -> None:
    """Writes everything that the tenant has."""
    seconds, _ = await store.command("TIME")
    begun_ms = int(seconds) * 1000 - BEGUN_AGO_MS
    await write_profiles(store)
    await _write_money(store, begun_ms)
    for call_id, payer in OPEN.items():
        await _write_open_call(store, call_id, payer, begun_ms)
    for call_id, call in _receipts(begun_ms).items():
        await _pack(store, call_id, call)
        await store.command("EXPIRE", keys.call(OWNER, call_id), 86_400)
    await _write_deck(store, begun_ms)


async def write_profiles(
    store: Store, licenses: dict[str, list[str]] = LICENSES, owner: str = OWNER
) -> None:
    """A tenant and its payers, none of them counted."""
    tenant = (
        f'{{"charge_orphans":false,"country":"US","currency":"USD","cut_running_calls":false,'
        f'"default_grant_seconds":600,"default_rate_per_minute_micros":0,"display_name":"",'
        f'"floor_micros":0,"inbound_grace_micros":0,"lease_grace_seconds":120,"max_open_calls":0,'
        f'"max_open_calls_per_payer":0,"max_payer_hold_percent":0,"max_rate_per_minute_micros":0,'
        f'"min_grant_seconds":0,"suspended":false,"tenant_id":"{owner}"}}'
    )
    profile = ("pv", "1", "p", tenant, "cur", "USD", "pe", str(1 + len(licenses)))
    asks: list[tuple[Any, ...]] = [
        ("HSET", keys.old_tenant(owner), *profile),
        ("ZADD", keys.tenants(keys.shard_of(owner)), 0, owner),
    ]
    for payer_id, skus in licenses.items():
        body = (
            f'{{"block_reason":"","blocked":false,"country":"US","display_name":"",'
            f'"licenses":{json.dumps(skus, separators=(",", ":"))},'
            f'"max_rate_per_minute_micros":0,"payer_id":"{payer_id}"}}'
        )
        asks.append(("HSET", keys.payer(owner, payer_id), "pv", "1", "p", body))
        asks.append(("ZADD", keys.payers(owner), 0, payer_id))
    await store.commands(asks)


async def _write_money(store: Store, at_ms: int) -> None:
    settled, held = MONEY
    sums = {"hw": at_ms, "v": len(JOURNAL), "settled": settled, "held": held, "spent": 120}
    sums |= {"loaded": 10_000, "lot": at_ms + 365 * 86_400_000, "abandoned": 1}
    await store.command(
        "HSET", keys.old_tenant(OWNER), *(part for row in sums.items() for part in row)
    )
    receipt = ("amount", 10_000, "days", 365, "settled", 10_000, "held", 0, "expiry", sums["lot"])
    await store.command("HSET", keys.funding(OWNER, "f1"), *receipt)
    await store.command("HSET", keys.busy(OWNER), "ann", "4 2400", "ben", "1 600")
    shard = keys.shard_of(OWNER)
    for version, (kind, reference, s, h, d) in enumerate(JOURNAL, 1):
        line = ("t", OWNER, "v", version, "k", kind, "r", reference, "s", s, "h", h, "d", d)
        await store.command("XADD", keys.journal(shard), "*", *line, "at", at_ms)
    await store.command("ZADD", keys.due(shard), at_ms + LEASE_MS, OWNER)


async def _write_open_call(store: Store, call_id: str, payer: str, at_ms: int) -> None:
    call = _call(payer, "OPEN", at_ms) | {"held": 600, "epoch": str(1 + len(LICENSES))}
    await _pack(store, call_id, call)
    await store.command("ZADD", keys.open_calls(OWNER), call["lease"], call_id)


def _receipts(at_ms: int) -> dict[str, dict[str, Any]]:
    """Ten numbers for a settle, eleven for what was given back."""
    refused = {"why": "NO_LICENSE", "granted": 0, "lease": 0, "first": [0] * 4 + [10_000, 0, at_ms]}
    back = [0, 0, 0, 0, 0, 0, 0, 9880, 0, at_ms, 600]
    return {
        "old-settled": _call("ann", "SETTLED", at_ms)
        | {"done": [61, 120, 120, 0, 0, 0, 0, 9880, 0, at_ms]},
        "old-released": _call("ann", "RELEASED", at_ms) | {"done": back},
        "old-expired": _call("ann", "EXPIRED", at_ms) | {"done": back, "epoch": "4"},
        "old-refused": _call("ann", "REFUSED", at_ms) | refused,
    }


def _call(payer: str, state: str, at_ms: int) -> dict[str, Any]:
    facts = ("USER_OUT", payer, "+12025550100", NUMBER, "", "600", "")
    found = ("ORDINARY", "GB", "Kingdom", "44", "v1")
    return {
        "facts": "\x1f".join((*facts, *found)),
        "payer": payer,
        "source": "CREDITS",
        "terms": {"rate": 60, "fee": 0, "initial": 60, "increment": 60},
        "state": state,
        "held": 0,
        "granted": 600,
        "lease": at_ms + LEASE_MS,
        "first": [600, 600, 720, 0, *MONEY, at_ms],
    }


async def _pack(store: Store, call_id: str, call: dict[str, Any]) -> None:
    await store.command("EVAL", PACK, 1, keys.call(OWNER, call_id), json.dumps(call))


async def _write_deck(store: Store, at_ms: int) -> None:
    part = zlib.compress(json.dumps(DECK_ROWS, separators=(",", ":")).encode(), 1)
    deck = ("currency", "USD", "rows", 2, "n:0", 2, "p:0", part, "revision", 1, "sealed", "1")
    await store.command("HSET", keys.deck("v1"), *deck, "at", at_ms)
    await store.command("ZADD", keys.decks(), 0, "v1")
    await store.command("HSET", keys.active_decks(), "USD", "v1")
