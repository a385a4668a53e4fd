"""Ends the holds of calls that nobody spoke of again, for tenants that are idle; busy ones sweep as
they go.
"""

import asyncio
import random

import structlog

from talktime_server.failure import Broken, Failure, NotFound, StoreAway
from talktime_server.ledger import keys
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.ledger import Ledger
from talktime_server.ledger.store import Store

PERIOD_S = 1.0
TENANTS_AT_ONCE = 20  # of a shard, and as many calls of each as a script names at a time
CALLS_AT_ONCE = 100

log = structlog.get_logger()


class Sweeper:
    """Walks the due index of every shard. Several may run: a hold ends once whoever comes first."""

    def __init__(self, store: Store, ledger: Ledger, directory: Directory) -> None:
        self._store = store
        self._ledger = ledger
        self._directory = directory

    async def run(self) -> None:
        """Sweeps until cancelled; a store that is away is asked again at the next turn."""
        while True:
            await asyncio.sleep(PERIOD_S * random.uniform(0.5, 1.5))
            try:
                await self.sweep()
            except Failure as failure:
                log.warning("sweep_failed", reason=failure.reason)

    async def sweep(self) -> int:
        """One turn over all shards; returns how many holds were looked at."""
        seconds, micros = await self._store.command("TIME")
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        asks = [
            (
                "ZRANGEBYSCORE",
                keys.due(shard),
                "-inf",
                now_ms,
                "LIMIT",
                0,
                TENANTS_AT_ONCE,
            )
            for shard in range(keys.SHARDS)
        ]
        tenants = [found for shard in await self._store.reached(asks, ()) for found in shard]
        return sum([await self._sweep_or_pass(found.decode(), now_ms) for found in tenants])

    async def _sweep_or_pass(self, tenant_id: str, now_ms: int) -> int:
        """One tenant whose records are wrong is no reason to leave the others' money held."""
        try:
            return await self._sweep_tenant(tenant_id, now_ms)
        except (Broken, NotFound) as failure:
            log.error("sweep_passed_over", tenant_id=tenant_id, reason=failure.reason)
            return 0
        except StoreAway as failure:
            if not self._store.apart:
                raise
            # The others may be somewhere else.
            log.warning("sweep_passed_over", tenant_id=tenant_id, reason=failure.reason)
            return 0

    async def _sweep_tenant(self, tenant_id: str, now_ms: int) -> int:
        tenant = await self._directory.fresh_tenant(tenant_id)
        calls = keys.open_calls(tenant_id)
        head = await self._store.command("ZRANGE", calls, 0, 0)
        due = await self._store.command(
            "ZRANGEBYSCORE", calls, "-inf", now_ms, "LIMIT", 0, CALLS_AT_ONCE
        )
        # With nothing due the index is early: asking for the head sets it right.
        ids = [call_id.decode() for call_id in due or head]
        await self._ledger.expire(tenant, ids or [""])
        return len(due)
