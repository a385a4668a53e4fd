"""A load of calls with ids of their own, what was first answered to each, and the proof afterwards."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from service.site import LONDON, MINUTE, Site
from talktime import (
    AsyncClient,
    Authorization,
    DeadlineExceeded,
    Settlement,
    TalktimeError,
    Unavailable,
)

T = TypeVar("T", Authorization, Settlement)
CLIENTS = 4  # on connections of their own, so that every process has some of the load
AT_ONCE = 48
DURATION_S = 45
PATIENCE_TRIES, PATIENCE_PAUSE_S = 10, 0.2


@dataclass
class Load:
    """Calls of one site, each authorized and settled."""

    site: Site
    count: int
    authorized: dict[int, Authorization] = field(default_factory=dict)
    settled: dict[int, Settlement] = field(default_factory=dict)
    failed: list[TalktimeError] = field(default_factory=list)
    asked: int = 0

    async def run(self, middle: Callable[[], Awaitable[None]]) -> None:
        """Makes every call once; what fails is noted. `middle` happens when half of them are asked."""
        room, struck = asyncio.Semaphore(AT_ONCE), asyncio.Event()
        async with clients_of(self.site) as clients:

            async def one(n: int) -> None:
                async with room:
                    self.asked += 1
                    if self.asked == self.count // 2:
                        struck.set()
                    await self._call(clients[n % CLIENTS], n)

            async def strike() -> None:
                await struck.wait()
                await middle()

            await asyncio.gather(strike(), *(one(n) for n in range(self.count)))

    async def _call(self, client: AsyncClient, n: int) -> None:
        try:
            self.authorized[n] = await self._authorize(client, n)
            self.settled[n] = await client.settle(f"call-{n}", DURATION_S)
        except TalktimeError as error:
            self.failed.append(error)

    @staticmethod
    async def _authorize(client: AsyncClient, n: int) -> Authorization:
        return await client.authorize(
            "alice", "USER_OUT", LONDON, call_id=f"call-{n}", requested_seconds=60
        )

    async def repeat(self) -> None:
        """Repeats every operation with its id: the first answers come again, and what is missing is done now."""
        room = asyncio.Semaphore(AT_ONCE)
        not_applied = {e.call_id for e in self.failed if e.outcome == "NOT_APPLIED"}
        async with clients_of(self.site) as clients:

            async def one(n: int) -> None:
                async with room:
                    client = clients[n % CLIENTS]
                    call, tries = await answered(lambda: self._authorize(client, n))
                    if n not in self.authorized and f"call-{n}" in not_applied and tries == 1:
                        assert not call.replayed, "an error said NOT_APPLIED and was wrong"
                    receipt, _ = await answered(lambda: client.settle(f"call-{n}", DURATION_S))
                    self._compare(n, call, receipt)

            await asyncio.gather(*(one(n) for n in range(self.count)))

    def _compare(self, n: int, call: Authorization, receipt: Settlement) -> None:
        if first := self.authorized.get(n):
            assert call.replayed
            assert unmarked(call) == unmarked(first)
        if settled := self.settled.get(n):
            assert receipt.replayed
            assert unmarked(receipt) == unmarked(settled)
        assert receipt.charged_micros == MINUTE

    def prove(self) -> None:
        """Everything was charged once, and nothing else moved."""
        balance = self.site.balance()
        assert balance.spent_micros == self.count * MINUTE
        assert (balance.open_calls, self.site.money().held_micros) == (0, 0)
        assert self.site.operator.check_conservation().conserved


async def answered(ask: Callable[[], Awaitable[T]]) -> tuple[T, int]:
    """The answer, and how often it was asked for: a busy machine may be late, and the id makes asking again safe."""
    for tries in count(1):
        try:
            return await ask(), tries
        except (Unavailable, DeadlineExceeded):
            if tries == PATIENCE_TRIES:
                raise
            # A store that has just started again refuses at once, for as long as it reads its journal.
            await asyncio.sleep(PATIENCE_PAUSE_S)
    raise AssertionError("unreachable")


def unmarked(answer: T) -> T:
    """An answer as it was first given."""
    return dataclasses.replace(answer, replayed=False)


@asynccontextmanager
async def clients_of(site: Site) -> AsyncIterator[list[AsyncClient]]:
    """Several clients of a site's router, closed at the end."""
    service = site.service
    clients = [
        AsyncClient(service.address, service.router, tenant_id=site.tenant_id, timeout_s=2.0)
        for _ in range(CLIENTS)
    ]
    try:
        yield clients
    finally:
        await asyncio.gather(*(client.close() for client in clients))
