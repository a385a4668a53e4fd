"""Which one of several does what only one need do: a lease in the store, renewed while its holder lives.

It spares work and nothing else. For a moment two may hold it (the clock of one stood still, a store came back without its
last second), so whatever is done under it must be safe when two do it.
"""

import asyncio
import random
import time

import structlog

from talktime_server.failure import Failure
from talktime_server.ledger import keys
from talktime_server.ledger.store import Store

LEASE_S = 10.0
RENEW_S = 3.0

_log = structlog.get_logger("talktime.lease")


class Lease:
    """One holder's view of the lease: `held` is set while it is ours, `lost` while it is not.

    Processes of one name follow each other, so the next takes over at once from one that was killed.
    """

    def __init__(
        self, store: Store, name: str, *, lease_s: float = LEASE_S, renew_s: float = RENEW_S
    ) -> None:
        self.held = asyncio.Event()
        self.lost = asyncio.Event()
        self.lost.set()
        self._store = store
        self._name = name
        self._lease_s = lease_s
        self._renew_s = renew_s
        self._until_s = 0.0

    async def run(self) -> None:
        """Takes the lease when it is free and keeps it, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._renew_s * random.uniform(0.8, 1.0))

    async def look(self) -> bool:
        """Takes or renews it once; whether it is ours now."""
        asked_s = time.monotonic()
        try:
            ours = await self._taken()
        except Failure:
            # Nobody else can have taken it before it ran out.
            ours = asked_s < self._until_s
        else:
            self._until_s = asked_s + self._lease_s if ours else 0.0
        self._note(ours)
        return ours

    async def give_up(self) -> None:
        """Lets the next one begin at once. Raises StoreAway; then it runs out by itself."""
        self._until_s = 0.0
        self._note(False)
        if await self._holder() == self._name:
            await self._store.command("DEL", keys.lease())

    async def _taken(self) -> bool:
        lease_ms = int(self._lease_s * 1000)
        ask = ("SET", keys.lease(), self._name, "NX", "PX", lease_ms)
        if await self._store.command(*ask) is not None:
            return True
        if await self._holder() != self._name:
            return False
        # Not one step with the look: at worst another's lease lives a little longer than its holder.
        await self._store.command("PEXPIRE", keys.lease(), lease_ms)
        return True

    async def _holder(self) -> str:
        return bytes(await self._store.command("GET", keys.lease()) or b"").decode()

    def _note(self, ours: bool) -> None:
        if ours is not self.held.is_set():
            _log.info("lease_taken" if ours else "lease_lost", name=self._name)
        on, off = (self.held, self.lost) if ours else (self.lost, self.held)
        on.set()
        off.clear()
