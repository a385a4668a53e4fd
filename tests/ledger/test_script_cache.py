"""The store's cache of scripts may be empty at any time: after a restart, after a fail-over (semantics 7)."""

import asyncio
from typing import Any

from ledger.story import SOURCES
from ledger.world import World
from talktime_server.failure import Applied, StoreAway


async def script_commands(world: World) -> dict[str, int]:
    """How often scripts were run and loaded since the counters were set back."""
    stats: dict[str, Any] = await world.store.command("INFO", "commandstats")
    counted = ("evalsha", "script|load", "eval")
    return {name: int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in counted}


async def test_a_forgotten_script_is_loaded_once_and_the_operation_has_one_effect(
    world: World,
) -> None:
    await world.fund(5000)
    await world.authorize("a", 600)
    await world.store.command("SCRIPT", "FLUSH")
    await world.store.command("CONFIG", "RESETSTAT")
    await world.settle("a", 60)
    await world.settle("a", 60)
    assert await script_commands(world) == {"evalsha": 3, "script|load": 1, "eval": 0}
    proof = await world.prove()
    assert (proof.balance.spent_micros, proof.conserved) == (60, True)


async def call(world: World, call_id: str) -> None:
    await world.authorize(call_id, 60)
    await world.extend(call_id, 1, 60)
    await world.settle(call_id, 60)


async def test_scripts_forgotten_in_the_middle_of_everything_disturb_nobody(world: World) -> None:
    await world.fund(200 * 60)
    await call(world, "first")
    forgetting = world.store.command("SCRIPT", "FLUSH")
    calls = [call(world, f"c{n}") for n in range(100)]
    await asyncio.gather(*calls[:50], forgetting, *calls[50:])
    proof = await world.prove()
    assert (proof.balance.spent_micros, proof.balance.open_calls) == (101 * 60, 0)
    assert proof.conserved


async def test_scripts_forgotten_again_and_again_fail_calls_but_never_in_part(world: World) -> None:
    """A script that is gone again after it was loaded has not run, and the failure says so."""
    await world.fund(400 * 60)
    done = asyncio.Event()

    async def forget() -> None:
        while not done.is_set():
            await world.store.command("SCRIPT", "FLUSH")

    forgetting = asyncio.create_task(forget())
    failures = []
    for n in range(200):
        try:
            await world.authorize(f"c{n}", 60)
        except StoreAway as failure:
            failures.append(failure.applied)
    done.set()
    await forgetting
    assert set(failures) <= {Applied.NOT_APPLIED}
    proof = await world.prove()
    assert proof.balance.open_calls == 200 - len(failures)
    assert proof.conserved


async def test_an_authorize_with_everything_to_check_costs_one_script_call(world: World) -> None:
    """One round trip: pools, credits, the invoice, limits and a budget are judged in the same script."""
    await world.set(max_open_calls=9, max_spend_per_day_micros=900, max_costly_calls_per_day=9)
    await world.fund(60)
    await world.authorize("first", 60)
    before = await script_commands(world)
    call = await world.authorize(
        "a", 900, sources=SOURCES["PLAN+POSTPAID"], conference="party", budget=900, costly=True
    )
    after = await script_commands(world)
    assert after["evalsha"] - before["evalsha"] == 1
    assert call.call.first is not None
    assert [stretch.kind for stretch in call.call.first.stretches] == ["POOL", "POSTPAID"]
