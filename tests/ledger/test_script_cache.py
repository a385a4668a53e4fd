"""The store's cache of scripts may be empty at any time: after a restart, after a fail-over (semantics 7)."""

import asyncio
from typing import Any

from ledger.world import World


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


async def test_scripts_forgotten_in_the_middle_of_everything_disturb_nobody(world: World) -> None:
    await world.fund(200 * 60)

    async def call(n: int) -> None:
        await world.authorize(f"c{n}", 60)
        if n % 20 == 0:
            await world.store.command("SCRIPT", "FLUSH")
        await world.extend(f"c{n}", 1, 60)
        await world.settle(f"c{n}", 60)

    await asyncio.gather(*(call(n) for n in range(100)))
    proof = await world.prove()
    assert (proof.balance.spent_micros, proof.balance.open_calls) == (100 * 60, 0)
    assert proof.conserved
