"""Load that never stops: some tenants whose calls come and go, and an archiver in a process of its own beside them."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from archive.doings import POOLED
from house import HOUSE
from ledger.world import World, open_world

TENANTS = 8
FUNDS = 10**9
STOP_LIMIT_S = 20.0


@dataclass(slots=True)
class Load:
    """Tenants with calls."""

    worlds: list[World]
    running: list[asyncio.Task[None]] = field(default_factory=list)
    stopping: bool = False
    mark: str = "c"  # of its calls

    def start(self, pause_s: float) -> None:
        """Begins; each tenant has one call at a time and leaves every tenth open."""
        self.running = [asyncio.create_task(self._live(each, pause_s)) for each in self.worlds]

    async def stop(self) -> None:
        """Ends between two calls. Raises what went wrong meanwhile."""
        self.stopping = True
        await asyncio.gather(*self.running)

    async def versions(self) -> dict[str, int]:
        """How many lines each tenant has."""
        found = {}
        for world in self.worlds:
            found[world.tenant.tenant_id] = (await world.account()).version
        return found

    async def _live(self, world: World, pause_s: float) -> None:
        dice, number = random.Random(world.tenant.tenant_id), 0
        await world.fund(FUNDS, "f")
        while not self.stopping:
            number += 1
            await _call(world, f"{self.mark}{number}", dice)
            await asyncio.sleep(pause_s)


async def _call(world: World, call_id: str, dice: random.Random) -> None:
    payer, pooled = dice.choice(("ann", "ben")), dice.random() < 0.3
    options = {"sources": POOLED} if pooled else {}
    await world.authorize(call_id, dice.randrange(60, 600), payer=payer, **options)
    fate = dice.random()
    if fate < 0.3:
        await world.extend(call_id, 1, 60)
    if fate < 0.7:
        await world.settle(call_id, dice.randrange(0, 300))
    elif fate < 0.9:
        await world.release(call_id)


@asynccontextmanager
async def load(url: str) -> AsyncIterator[Load]:
    """Tenants in a store."""
    async with AsyncExitStack() as stack:
        names = [f"tenant{n}" for n in range(TENANTS)]
        yield Load([await stack.enter_async_context(open_world(url, name)) for name in names])


class ArchiverProcess:
    """An archiver that can be killed and started again."""

    def __init__(self, store_url: str, database_url: str, told: Path) -> None:
        self.told = told
        self._words = [sys.executable, "-m", "archive.archiver_program"]
        self._words += [store_url, database_url, str(told)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and does not wait."""
        paths = [str(HOUSE / each) for each in ("server", "client", "tests")]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        log = self.told.with_suffix(".log").open("ab")
        with log:
            self._process = subprocess.Popen(self._words, env=environ, stdout=log, stderr=log)

    def kill(self) -> None:
        """Ends it at once, wherever it is."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_LIMIT_S)

    def lags_ms(self) -> list[int]:
        """How late each line was committed, the least first."""
        return sorted(map(int, self.told.read_text().split()))
