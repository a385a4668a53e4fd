"""The decks in force as a process has them at hand."""

import asyncio

from ledger.world import World
from talktime_server.decision.price_list import PriceList
from talktime_server.ledger import keys
from talktime_server.ledger.decks import Decks, Row

CURRENCY = "XTS"  # no other test's


async def put(world: World, version: str, rows: list[Row]) -> None:
    """Stores a deck; which one is in force is set apart."""
    await Decks(world.store).put(version, CURRENCY, 0, rows)


async def put_in_force(world: World, version: str) -> None:
    await world.store.command("HSET", keys.active_decks(), CURRENCY, version)


async def test_a_large_deck_read_slowly_does_not_replace_the_next(world: World) -> None:
    """Semantics 88: whoever has heard that a deck is in force is priced by no older one."""
    large = [(str(10**6 + n), "Large", 1, 0, 60, 60) for n in range(150_000)]
    await put(world, "large", large)
    await put(world, "small", [("44", "Small", 2, 0, 60, 60)])
    await put_in_force(world, "large")
    prices = PriceList(Decks(world.store))
    try:
        slow = asyncio.create_task(prices.refresh())
        await asyncio.sleep(0.02)
        assert not slow.done()
        await put_in_force(world, "small")
        await prices.refresh()
        await slow
        rate = prices.rate_for(CURRENCY, "+442071838750")
        assert rate is not None
        assert rate.deck_version == "small"
    finally:
        await world.store.command("HDEL", keys.active_decks(), CURRENCY)
