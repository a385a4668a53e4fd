"""Recharges in the store: shown at one moment, and moved on by one step at a time.

A step is decided in plain Python by what was shown, and written only when that is still so: neither
another worker, nor a webhook, nor a change of the rule, nor a claim that the hot path takes can come
between. Everybody else decides anew.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from talktime_server.failure import StoreAway
from talktime_server.ledger import keys
from talktime_server.ledger.profiles import unknown_tenant
from talktime_server.ledger.recharge_rows import Recharge, Step, View, pairs_of
from talktime_server.ledger.records import Money
from talktime_server.ledger.store import Script, Store

ROUNDS = 50  # of deciding anew, before a caller is told to come back
SOON_MS = 1000
TENANTS_AT_ONCE = 50  # of a shard

Decide = Callable[[View], Step | None]


@dataclass(frozen=True, slots=True)
class Due:
    """The tenants whose recharge is to be looked at now, the longest due first, and whether others are within a second."""

    tenant_ids: tuple[str, ...]
    soon: bool


class Recharges:
    """Every tenant's recharge."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._show = Script(store, "recharge_show")
        self._write = Script(store, "recharge")

    async def view(self, tenant_id: str) -> View:
        """A tenant's recharge now. Raises NotFound for an unknown tenant."""
        names = (keys.tenant(tenant_id), keys.account(tenant_id), keys.recharge(tenant_id))
        word, *rest = await self._show(names, (tenant_id,))
        if word == b"no_tenant":
            raise unknown_tenant()
        now_ms, settled, held, claims, row = rest
        recharge = Recharge.read(pairs_of(row)) if row else Recharge()
        return View(tenant_id, int(now_ms), Money(int(settled), int(held)), int(claims), recharge)

    async def change(self, tenant_id: str, decide: Decide) -> Step | None:
        """Moves a recharge on by what `decide` makes of it, and gives that; None leaves it as it is.

        `decide` may be asked several times and must do nothing else. Raises NotFound, and StoreAway when others keep
        moving the recharge.
        """
        for _ in range(ROUNDS):
            view = await self.view(tenant_id)
            step = decide(view)
            if step is None or await self.write(view, step):
                return step
        raise StoreAway("CONTENDED", "others keep changing this recharge; try again")

    async def write(self, view: View, step: Step) -> bool:
        """Writes a step that was decided by `view`; False when the recharge is not as it was then."""
        owner = view.tenant_id
        shard = keys.shard_of(owner)
        names = (
            keys.tenant(owner),
            keys.account(owner),
            keys.recharge(owner),
            keys.journal(shard),
            keys.recharges(shard),
        )
        word, *_ = await self._write(names, _arguments(view, step))
        if word == b"no_tenant":
            raise unknown_tenant()
        return bool(word == b"new")

    async def due(self) -> Due:
        """Who is to be looked at by now, of all shards."""
        seconds, micros = await self._store.command("TIME")
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        asks = [_asking(shard, now_ms) for shard in range(keys.SHARDS)]
        rows = await self._store.reached(asks, [])
        found = sorted((float(at), name) for row in rows for name, at in _scored(row))
        ids = tuple(name.decode() for at, name in found if at <= now_ms)
        return Due(ids, len(ids) < len(found))


def _asking(shard: int, now_ms: int) -> tuple[Any, ...]:
    bounds = ("-inf", now_ms + SOON_MS, "WITHSCORES", "LIMIT", 0, TENANTS_AT_ONCE)
    return ("ZRANGEBYSCORE", keys.recharges(shard), *bounds)


def _scored(row: list[Any]) -> list[tuple[bytes, Any]]:
    """Members and scores: the driver pairs them, or leaves them in one line."""
    if row and isinstance(row[0], (tuple, list)):
        return [(name, at) for name, at in row]
    return list(zip(row[::2], row[1::2], strict=True))


def _arguments(view: View, step: Step) -> tuple[str, ...]:
    recharge, line = step.recharge, step.line
    # A claim that was not taken up stays one: it is looked at now, and no other is taken beside it.
    claimed = recharge.watched != "" and view.claims > recharge.epoch
    due_ms = view.now_ms if claimed else recharge.next_ms
    return (
        view.tenant_id,
        str(view.recharge.steps),
        str(view.claims),
        json.dumps(recharge.names_and_values()),
        line.charge_id if line else "",
        line.text() if line else "",
        "" if claimed else recharge.watched,
        str(due_ms) if due_ms else "",
    )
