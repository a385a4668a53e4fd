"""The sweeper: tenants whom nobody asks for get their abandoned money back too."""

import asyncio
import time

from ledger.world import World
from talktime_server.ledger import keys
from talktime_server.ledger.records import INCLUDED
from talktime_server.ledger.sweeper import Sweeper
from talktime_server.words import CallState

LIMIT_S = 10.0


async def state_of(world: World, call_id: str) -> CallState:
    return (await world.ledger.show(world.tenant.tenant_id, call_id)).state


async def swept_until(world: World, sweeper: Sweeper, state: CallState) -> None:
    """Sweeps until the call is in that state: the store's own clock has to come there."""
    deadline = time.monotonic() + LIMIT_S
    while await state_of(world, "a") is not state:
        assert time.monotonic() < deadline
        await sweeper.sweep()
        await asyncio.sleep(0.01)


async def test_an_idle_tenants_holds_end_with_their_lease(world: World) -> None:
    """Semantics 25 and 26: two sweepers at once end a hold once."""
    owner = world.tenant.tenant_id
    await world.set(lease_grace_seconds=0, charge_orphans=True)
    await world.fund(5000)
    await world.authorize("a", 1)
    await world.authorize("later", 600)
    sweepers = [Sweeper(world.store, world.ledger, world.directory) for _ in range(2)]
    await sweepers[0].sweep()
    assert await state_of(world, "a") is CallState.OPEN
    await asyncio.gather(*(swept_until(world, each, CallState.EXPIRED) for each in sweepers))
    balance = await world.ledger.balance(world.tenant)
    assert (balance.abandoned_calls, balance.open_calls) == (1, 1)
    later = await world.ledger.show(owner, "later")
    due = await world.store.command("ZSCORE", keys.due(keys.shard_of(owner)), owner)
    assert float(due) == later.lease_ms
    assert (await world.prove()).conserved


async def test_a_tenant_whose_calls_have_ended_leaves_the_index(world: World) -> None:
    owner = world.tenant.tenant_id
    await world.set(lease_grace_seconds=0)
    await world.authorize("a", 1, sources=INCLUDED)
    await world.settle("a", 1)
    sweeper = Sweeper(world.store, world.ledger, world.directory)
    due = keys.due(keys.shard_of(owner))
    deadline = time.monotonic() + LIMIT_S
    while await world.store.command("ZSCORE", due, owner) is not None:
        assert time.monotonic() < deadline
        await sweeper.sweep()
        await asyncio.sleep(0.01)


async def test_an_index_of_nobody_stops_no_other_tenant(world: World) -> None:
    """One record that cannot be read is no reason to leave everybody else's money held."""
    owner = world.tenant.tenant_id
    ghost = next(
        name for n in range(10_000) if keys.shard_of(name := f"ghost{n}") == keys.shard_of(owner)
    )
    await world.store.command("ZADD", keys.due(keys.shard_of(ghost)), 1, ghost)
    await world.set(lease_grace_seconds=0)
    await world.fund(5000)
    await world.authorize("a", 1)
    sweeper = Sweeper(world.store, world.ledger, world.directory)
    try:
        await swept_until(world, sweeper, CallState.EXPIRED)
    finally:
        await world.store.command("ZREM", keys.due(keys.shard_of(ghost)), ghost)


async def test_a_tenant_whose_profile_cannot_be_read_stops_no_other(world: World) -> None:
    owner = world.tenant.tenant_id
    broken = next(
        name for n in range(10_000) if keys.shard_of(name := f"broken{n}") == keys.shard_of(owner)
    )
    await world.store.command("HSET", keys.tenant(broken), "pv", 1, "p", "{}")
    await world.store.command("ZADD", keys.due(keys.shard_of(broken)), 1, broken)
    await world.set(lease_grace_seconds=0)
    await world.fund(5000)
    await world.authorize("a", 1)
    sweeper = Sweeper(world.store, world.ledger, world.directory)
    try:
        await swept_until(world, sweeper, CallState.EXPIRED)
    finally:
        await world.store.command("ZREM", keys.due(keys.shard_of(broken)), broken)
