"""The worker: it finds what is due, many tenants at once, and any number of it make one charge of one dip."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from recharge.stage import UNHURRIED, UNIT, Stage, charging_of, open_stage, rule
from stores import StoreProcess
from talktime_server.ledger import keys
from talktime_server.ledger.recharge_rows import Step
from talktime_server.ledger.records import Terms
from talktime_server.payments.sandbox import Token
from talktime_server.work.recharge import SHORT_PERIOD_S, RechargeWorker

CALLERS = 200
A_UNIT_IN_TEN_MINUTES = Terms(UNIT // 10, 0, 60, 60)


@asynccontextmanager
async def workers(stage: Stage, count: int) -> AsyncIterator[None]:
    """So many workers, as in so many processes, until the block ends."""
    running = [
        asyncio.create_task(
            RechargeWorker(
                stage.recharges, charging_of(stage.world, stage.recharges, stage.payments)
            ).run()
        )
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def eventually(done: Callable[[], Awaitable[bool]], timeout_s: float = 15.0) -> None:
    ends_s = time.monotonic() + timeout_s
    while not await done():
        assert time.monotonic() < ends_s
        await asyncio.sleep(0.02)


async def recharged(stage: Stage) -> bool:
    return await stage.state() == "ARMED" and len(stage.charges()) > 0


@pytest.mark.parametrize("stage", [UNHURRIED], indirect=True, ids=["unhurried"])
async def test_two_hundred_callers_through_the_trigger_at_once_are_one_charge(
    stage: Stage,
) -> None:
    """Semantics 47: whoever makes the dip takes the claim, and nobody else does."""
    await stage.set_rule(rule())
    async with workers(stage, 3):
        calls = (
            stage.world.authorize(f"c{number}", 600, terms=A_UNIT_IN_TEN_MINUTES)
            for number in range(CALLERS)
        )
        outcomes = await asyncio.gather(*calls)
        await eventually(lambda: recharged(stage))
    granted = sum(outcome.call.first.refusal is None for outcome in outcomes if outcome.call.first)
    assert granted >= 150
    (charge,) = stage.charges()
    assert (charge.times, await stage.settled()) == (1, 350)
    assert len(stage.sandbox.keys[charge.order.charge_id]) == 1
    assert (await stage.story()).count("CLAIMED") == 1
    await stage.check()


async def test_nobody_waits_for_a_slow_provider(stage: Stage, store_process: StoreProcess) -> None:
    """One tenant's provider hangs; another's dip is recharged meanwhile."""
    async with open_stage(store_process.url, f"{stage.owner}-b", stage.sandbox) as other:
        await other.world.fund(150 * UNIT)
        await stage.set_rule(rule(Token.TIMEOUT_AFTER_CHARGING))
        await stage.spend(51)
        async with workers(stage, 1):
            await eventually(lambda: _is(stage, "CHARGING"))
            await other.set_rule(rule())
            await other.spend(51)
            await eventually(lambda: recharged(other))
            await eventually(lambda: recharged(stage))
        await stage.check()
        await other.check()


async def _is(stage: Stage, state: str) -> bool:
    return await stage.state() == state


async def test_a_look_says_how_soon_the_next_one_is_worth_it(stage: Stage) -> None:
    worker = RechargeWorker(stage.recharges, stage.charging)
    await stage.set_rule(rule())
    await stage.spend(51)
    assert await worker.turn() == SHORT_PERIOD_S
    await worker.idle()
    assert (await stage.state(), await stage.settled()) == ("ARMED", 299)
    assert stage.owner not in (await stage.recharges.due()).tenant_ids


async def test_an_index_that_is_early_is_put_right(stage: Stage) -> None:
    """As after a rebuild, which has every tenant looked at once."""
    await stage.set_rule(rule(cooling_seconds=3600))
    await stage.spend(51)
    await stage.serve()
    index, row = keys.recharges(keys.shard_of(stage.owner)), await stage.row()
    await stage.world.store.command("ZADD", index, 1, stage.owner)
    await stage.serve()
    assert float(await stage.world.store.command("ZSCORE", index, stage.owner)) == row.next_ms
    await stage.set_rule(rule(enabled=False))
    await stage.world.store.command("ZADD", index, 1, stage.owner)
    await stage.serve()
    assert await stage.world.store.command("ZSCORE", index, stage.owner) is None


async def test_a_step_decided_by_what_is_not_so_any_more_is_not_written(stage: Stage) -> None:
    """Neither over another step, nor over a claim that the hot path took meanwhile."""
    await stage.set_rule(rule())
    view = await stage.recharges.view(stage.owner)
    await stage.spend(51)
    assert not await stage.recharges.write(view, Step(view.recharge))
    claimed = await stage.recharges.view(stage.owner)
    assert claimed.claimed
    both = [stage.recharges.write(claimed, Step(claimed.recharge)) for _ in range(2)]
    assert sorted(await asyncio.gather(*both)) == [False, True]
    assert (await stage.recharges.view(stage.owner)).claimed


async def test_a_worker_at_a_slow_provider_keeps_its_charge(
    stage: Stage, store_process: StoreProcess
) -> None:
    """Its deadline is put off while it waits: nobody takes over from the living."""
    owner = f"{stage.owner}-c"
    async with open_stage(store_process.url, owner, stage.sandbox, claim_ms=450) as quick:
        await quick.world.fund(150 * UNIT)
        await quick.set_rule(rule(Token.TIMEOUT_AFTER_CHARGING))
        await quick.spend(51)
        serving = asyncio.create_task(quick.serve())
        await eventually(lambda: _is(quick, "CHARGING"))
        first = (await quick.row()).owner
        deadlines = set()
        while not serving.done():
            row = await quick.row()
            if row.state == "CHARGING":
                assert row.owner == first
                deadlines.add(row.next_ms)
            await asyncio.sleep(0.02)
        await serving
        assert len(deadlines) > 1
        assert await quick.settled() == 299
        await quick.check()


async def test_a_worker_ends_whenever_it_is_told_to(stage: Stage) -> None:
    """Also in the very moment in which the store's driver would lose it."""
    for number in range(20):
        worker = RechargeWorker(stage.recharges, stage.charging)
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(number / 4_000)
        running.cancel()
        _, pending = await asyncio.wait([running], timeout=10.0)
        assert not pending
