"""The guarantees over Exchange: random lives of calls, while processes are killed every few seconds and the store twice.

Short by default. TALKTIME_LOAD_KILL_SECONDS says how long the killing goes on; the figures are printed at its end.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import TypeVar

import pytest

from service.conftest import put_decks
from service.lives import Asking, Lives
from service.running import Service, until
from service.site import MINUTE, Site
from talktime import AsyncClient, DeadlineExceeded, RetrySettings, Unavailable
from talktime_server.config import Engine

T = TypeVar("T")
KILL_S = float(os.environ.get("TALKTIME_LOAD_KILL_SECONDS", "3"))
WORKER_PERIOD_S = min(5.0, KILL_S / 2.5)
CLIENTS = 4
CALLERS_EACH = 24
POOR_MINUTES = 300
HEALING_S = 20


@pytest.fixture
def battered(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that this test ill-treats."""
    running = Service(engine, tmp_path_factory.mktemp("battered")).start()
    try:
        put_decks(running)
        yield running
    finally:
        running.stop()


class Killer:
    """Ends processes of a service as a power cut would."""

    def __init__(self, service: Service) -> None:
        self.workers = 0
        self.stores = 0
        self.done = False
        self._service = service

    async def strike(self) -> None:
        """A serving process every few seconds, in turn; the store after a third and two thirds of the time."""
        began_s = time.monotonic()
        while (passed_s := time.monotonic() - began_s) < KILL_S or min(
            self.stores, self.workers
        ) < 2:
            if passed_s > KILL_S * (self.stores + 1) / 3 and self.stores < 2:
                await asyncio.to_thread(self._service.kill_store)
                self.stores += 1
            elif passed_s > WORKER_PERIOD_S * (self.workers + 1):
                self._kill_worker()
            await asyncio.sleep(0.02)
        self.done = True

    def _kill_worker(self) -> None:
        workers = self._service.supervisor.workers
        if workers:
            os.kill(workers[self.workers % len(workers)], signal.SIGKILL)
            self.workers += 1


@pytest.mark.timeout(120 + 4 * KILL_S)
async def test_no_kill_loses_or_doubles_an_operation_on_a_stream(battered: Service) -> None:
    """semantics 1, 6, 12, 80, 83, 85: two sites with money enough, and one that runs out of it."""
    sites = [Site.open(battered) for _ in range(3)]
    for site, minutes in zip(sites, (10**7, 10**7, POOR_MINUTES), strict=True):
        site.fund(minutes * MINUTE)
    killer, began_s = Killer(battered), time.monotonic()
    async with AsyncExitStack() as stack:
        askers = [await _asking(stack, battered, n) for n in range(CLIENTS)]
        lives = [Lives(site, askers, random.Random(n)) for n, site in enumerate(sites)]
        callers = [
            lives[n % len(lives)].go_on(lambda: killer.done) for n in range(CLIENTS * CALLERS_EACH)
        ]
        await asyncio.gather(killer.strike(), *callers)
        took_s = time.monotonic() - began_s
        await asyncio.gather(*(each.repeat() for each in lives))
    for each in lives:
        entries = _patiently(each.site.entries)
        each.prove(entries)
        each.site.close()
    asked = sum(len(each.answers) for each in lives)
    errors = {what: n for each in lives for what, n in each.errors.items()}
    told = f"{asked / took_s:,.0f}/s, {killer.workers} processes and {killer.stores} stores killed"
    print(f"\n{battered.engine}: {asked:,} operations, {told}, {errors}")
    assert killer.stores == 2
    assert killer.workers >= 2


async def _asking(stack: AsyncExitStack, service: Service, number: int) -> Asking:
    """Streams of one's own and those that a client makes by itself; with repeats and without."""
    once = number < CLIENTS // 2
    retry = RetrySettings(attempts=1) if once else RetrySettings()
    client = await stack.enter_async_context(
        AsyncClient(service.address, service.router, timeout_s=1.0, retry=retry)
    )
    own = number % 2 == 0
    return (await stack.enter_async_context(client.exchange()) if own else client), once


def _patiently(ask: Callable[[], T]) -> T:
    """Asks until the last process that was killed is back, and quick enough again."""

    def tried() -> list[T]:
        try:
            return [ask()]
        except (Unavailable, DeadlineExceeded):
            return []

    return until(tried, HEALING_S)[0]
