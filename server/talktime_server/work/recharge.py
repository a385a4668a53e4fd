"""The worker of recharges: walks the index of every shard and carries on what is due, many tenants at once.

Any number of these may run: a step is written by whoever comes first, and a charge has one id whoever asks for it.
"""

import asyncio
import random

import structlog

from talktime_server.failure import Failure
from talktime_server.ledger.recharges import Recharges
from talktime_server.work.charging import Charging

PERIOD_S = 1.0
SHORT_PERIOD_S = 0.2  # while something is about to be due
TENANTS_AT_ONCE = 20
REST_S = 5.0  # for a tenant whose turn failed, so that it does not keep the others waiting

_log = structlog.get_logger("talktime.recharge")


class RechargeWorker:
    """Looks, again and again; one look is `turn`."""

    def __init__(self, recharges: Recharges, charging: Charging) -> None:
        self._recharges = recharges
        self._charging = charging
        self._at_work: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Works until cancelled; a store that is away is asked again at the next look."""
        try:
            while True:
                period_s = await self._look()
                await asyncio.sleep(period_s * random.uniform(0.8, 1.2))
        finally:
            await self._stop()

    async def _look(self) -> float:
        try:
            return await self.turn()
        except Failure as failure:
            _log.warning("recharge_look_failed", reason=failure.reason)
            return PERIOD_S

    async def turn(self) -> float:
        """One look: sets to work on what is due, without waiting for it; how long the next look may wait, in seconds."""
        due = await self._recharges.due()
        for tenant_id in due.tenant_ids:
            if len(self._at_work) >= TENANTS_AT_ONCE:
                break
            if tenant_id not in self._at_work:
                self._begin(tenant_id)
        return SHORT_PERIOD_S if due.soon or due.tenant_ids else PERIOD_S

    async def idle(self) -> None:
        """Waits until nothing is worked on any more."""
        while self._at_work:
            await asyncio.wait(self._at_work.values())

    def _begin(self, tenant_id: str) -> None:
        task = asyncio.create_task(self._serve(tenant_id))
        self._at_work[tenant_id] = task
        task.add_done_callback(lambda _: self._at_work.pop(tenant_id, None))

    async def _serve(self, tenant_id: str) -> None:
        """One tenant whose recharge cannot go on is no reason to leave the others."""
        try:
            await self._charging.serve(tenant_id)
        except Failure as failure:
            _log.error("recharge_failed", tenant_id=tenant_id, reason=failure.reason)
            await asyncio.sleep(REST_S)
        except Exception:
            _log.exception("recharge_broken", tenant_id=tenant_id)
            await asyncio.sleep(REST_S)

    async def _stop(self) -> None:
        tasks = list(self._at_work.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
