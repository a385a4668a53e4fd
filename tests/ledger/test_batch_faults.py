"""Batches that are one step, when the caller, the scripts or the store's memory are gone: all of a batch happened, or nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio

from ledger.proxy import Fault, Proxy, open_proxy
from ledger.story import SOURCES
from ledger.test_script_cache import script_commands
from ledger.world import World, open_world
from stores import StoreProcess, contents
from talktime_server.failure import Applied, NotFound, StoreAway
from talktime_server.ledger.operations import Outcome

TIMEOUT_S = 0.6
LEGS = ("a", "b", "c")


async def together(world: World, seconds: int = 60, *, all_or_none: bool = True) -> list[Outcome]:
    asks = [world.asking(name, seconds, sources=SOURCES["PLAN+CREDITS"]) for name in LEGS]
    return await world.ledger.authorize_batch(world.tenant, asks, all_or_none=all_or_none)


@pytest_asyncio.fixture
async def near(own_store: StoreProcess) -> AsyncIterator[World]:
    async with open_world(own_store.url, "acme") as world:
        await world.fund(10_000)
        yield world


@pytest_asyncio.fixture
async def proxy(own_store: StoreProcess, near: World) -> AsyncIterator[Proxy]:
    """Hurts lines to a store that knows the script."""
    await near.authorize("first", 60)
    async with open_proxy(own_store.socket) as proxy:
        yield proxy


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.HANG_UP_AFTER, Fault.HANG_UP_BEFORE])
async def test_a_batch_whose_answer_is_lost_happened_whole_or_not_at_all(
    near: World, proxy: Proxy, fault: Fault
) -> None:
    """Semantics 6 and 69: the outcome is unknown, and a repeat gives the first answers or the only ones."""
    async with open_world(proxy.url, "acme", timeout_s=TIMEOUT_S) as far:
        proxy.fault, proxy.scripts = fault, 0
        with pytest.raises(StoreAway) as caught:
            await together(far)
    assert caught.value.applied is Applied.UNKNOWN
    ran = fault is not Fault.HANG_UP_BEFORE
    assert proxy.scripts == ran
    assert [outcome.replayed for outcome in await together(near)] == [ran] * 3
    proof = await near.prove()
    assert (proof.balance.open_calls, proof.conserved) == (4, True)


@pytest.mark.parametrize("turns", range(8))
async def test_a_batch_whose_caller_vanishes_is_whole(
    near: World, proxy: Proxy, turns: int
) -> None:
    """Semantics 85: given up at any moment, and nobody's answers are mixed up by it."""
    async with open_world(proxy.url, "acme", timeout_s=TIMEOUT_S) as far:
        proxy.fault, proxy.delay_s = Fault.DELAY, TIMEOUT_S / 10
        caller = asyncio.create_task(together(far))
        for _ in range(turns):
            await asyncio.sleep(0)
        caller.cancel()
        with suppress(asyncio.CancelledError):
            await caller
        proxy.fault = Fault.NONE
        shown = await near.ledger.show("acme", "first")
        assert await far.ledger.show("acme", "first") == shown
    states = await asyncio.gather(*(_is_there(near, name) for name in LEGS))
    assert len(set(states)) == 1
    assert [outcome.replayed for outcome in await together(near)] == states
    assert (await near.prove()).conserved


async def _is_there(world: World, call_id: str) -> bool:
    try:
        await world.ledger.show("acme", call_id)
    except NotFound:
        return False
    return True


async def test_a_script_that_was_forgotten_is_loaded_once_for_a_batch(near: World) -> None:
    """Semantics 7."""
    await near.store.command("SCRIPT", "FLUSH")
    await near.store.command("CONFIG", "RESETSTAT")
    assert not any(outcome.replayed for outcome in await together(near))
    assert all(outcome.replayed for outcome in await together(near))
    assert await script_commands(near) == {"evalsha": 3, "script|load": 1, "eval": 0}
    assert (await near.prove()).balance.open_calls == 3


@pytest.mark.parametrize("all_or_none", [False, True])
@pytest.mark.parametrize("seconds", [60, 80_000])
async def test_a_full_store_refuses_a_batch_and_keeps_no_trace_of_it(
    near: World, all_or_none: bool, seconds: int
) -> None:
    """Semantics 9: granted or refused, and once there is room it is decided as if nothing had been."""
    await near.set(min_grant_seconds=3600 if seconds > 60 else 0)
    before = await contents(near.store)
    await near.store.command("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreAway) as caught:
        await together(near, seconds, all_or_none=all_or_none)
    assert (caught.value.reason, caught.value.applied) == ("STORE_REFUSES", Applied.NOT_APPLIED)
    assert await contents(near.store) == before
    await near.store.command("CONFIG", "SET", "maxmemory", "0")
    outcomes = await together(near, seconds, all_or_none=all_or_none)
    assert not any(outcome.replayed for outcome in outcomes)
    assert (await near.prove()).conserved


async def test_many_callers_that_repeat_lost_batches_hold_each_leg_once(
    near: World, proxy: Proxy
) -> None:
    """Semantics 3: every other answer is lost, and nobody sees it in the minutes."""
    async with open_world(proxy.url, "acme", timeout_s=TIMEOUT_S) as far:

        async def until_answered(n: int) -> list[Outcome]:
            legs = [near.asking(f"{n}-{leg}", 60, sources=SOURCES["HUNDRED"]) for leg in LEGS]
            for attempt in range(20):
                proxy.fault = Fault.NONE if (n + attempt) % 2 else Fault.HANG_UP_AFTER
                with suppress(StoreAway):
                    return await far.ledger.authorize_batch(far.tenant, legs, all_or_none=True)
            raise AssertionError("never answered")

        outcomes = [await until_answered(n) for n in range(30)]
    assert all(outcome.call.granted_seconds == 60 for each in outcomes for outcome in each)
    assert list((await near.ledger.pool_rows("acme")).values()) == [(0, 90 * 60)]
    assert (await near.prove()).conserved
