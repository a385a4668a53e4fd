"""The store dies in the middle of two thousand calls, and comes back with what it had answered."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from ledger.world import World, open_world
from stores import StoreProcess
from talktime_server.failure import Applied, NotFound, StoreAway
from talktime_server.ledger.operations import Outcome

CALLS = 2000
AT_ONCE = 50
PRICE = 60
TIMEOUT_S = 10.0

Told = Outcome | StoreAway


@pytest_asyncio.fixture
async def durable_store() -> AsyncIterator[StoreProcess]:
    """A store that answers only what is on disk: what it answered is there again, whatever ends it."""
    process = StoreProcess(appendfsync="always")
    try:
        await process.start()
        yield process
    finally:
        process.stop()


@dataclass(slots=True)
class Day:
    """Calls that are authorized and settled, and what each was told."""

    world: World
    authorized: dict[str, Told] = field(default_factory=dict)
    settled: dict[str, Told] = field(default_factory=dict)

    async def call(self, call_id: str) -> None:
        self.authorized[call_id] = await told(self.world.authorize(call_id, PRICE))
        if isinstance(self.authorized[call_id], Outcome):
            self.settled[call_id] = await told(self.world.settle(call_id, PRICE))

    async def calls(self, killed_at: int, store: StoreProcess) -> None:
        room = asyncio.Semaphore(AT_ONCE)

        async def in_turn(n: int) -> None:
            async with room:
                await self.call(f"c{n}")
            if len(self.settled) == killed_at:
                store.kill()
                self.settled["killed"] = StoreAway("STORE_AWAY", "counted once")

        await asyncio.gather(*(in_turn(n) for n in range(CALLS)))
        del self.settled["killed"]


async def told(asking: "asyncio.Future[Outcome] | object") -> Told:
    """An answer, or the failure."""
    try:
        return await asking  # type: ignore[misc,no-any-return]  # a coroutine of the ledger
    except StoreAway as failure:
        return failure


@pytest.mark.timeout(120)
@pytest.mark.parametrize("killed_at", [1, 700, 1900])
async def test_a_store_that_was_killed_gives_the_first_answers_again(
    durable_store: StoreProcess, killed_at: int
) -> None:
    """Semantics 3, 80 and 83: nothing that was answered is lost, nothing is charged twice, no micro is missing."""
    async with open_world(durable_store.url, "acme", timeout_s=TIMEOUT_S) as world:
        await world.fund(CALLS * PRICE)
        day = Day(world)
        await day.calls(killed_at, durable_store)
        kinds = Counter(type(each).__name__ for each in day.authorized.values())
        assert set(kinds) == {"Outcome", "StoreAway"}
        await durable_store.start()
        await not_applied_is_never_wrong(world, day)
        await first_answers_come_again(world, day)
        proof = await world.prove()
        assert proof.conserved
        assert proof.balance.spent_micros == CALLS * PRICE
        assert proof.balance.money.settled_micros == 0


async def not_applied_is_never_wrong(world: World, day: Day) -> None:
    for call_id, failure in day.authorized.items():
        if isinstance(failure, StoreAway) and failure.applied is Applied.NOT_APPLIED:
            with pytest.raises(NotFound):
                await world.ledger.show("acme", call_id)


async def first_answers_come_again(world: World, day: Day) -> None:
    ids = [f"c{n}" for n in range(CALLS)]
    for call_id, again in zip(
        ids, await asyncio.gather(*(world.authorize(i, PRICE) for i in ids)), strict=True
    ):
        first = day.authorized[call_id]
        if isinstance(first, Outcome):
            assert again.replayed
            assert again.call.first == first.call.first
    settles = await asyncio.gather(*(world.settle(call_id, PRICE) for call_id in ids))
    for call_id, settle in zip(ids, settles, strict=True):
        once = day.settled.get(call_id)
        if isinstance(once, Outcome):
            assert settle.replayed
            assert settle.call == once.call
