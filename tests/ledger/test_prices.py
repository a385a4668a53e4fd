"""The decks in force as a process has them at hand: switches by the store's clock, decks of tenants, decks in the shadow."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from itertools import count
from time import monotonic
from typing import TypeVar

import pytest

from ledger.world import World, open_world
from stores import StoreProcess
from talktime_server.decision import price_list
from talktime_server.decision.price_list import PriceList
from talktime_server.decision.rating import Rate
from talktime_server.decision.shadow import ShadowCounts
from talktime_server.failure import StoreAway
from talktime_server.ledger import keys
from talktime_server.ledger.decks import Decks, Scope
from talktime_server.ledger.profiles import Tenant
from talktime_server.ledger.rate_table import Row
from talktime_server.ledger.shadows import Pair, Shadows, Tally

LONDON = "+442071838750"
PATIENCE_S = 10.0
HOUR_S = 3_600
T = TypeVar("T")
_currencies = (f"T{a}{b}" for a in "ABCDEFGH" for b in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_tenants = count(1)


class Pricing:
    """A currency of a test's own, two tenants in it, and two processes' price lists."""

    def __init__(self, world: World) -> None:
        self.currency = next(_currencies)
        self.decks = Decks(world.store)
        self.shadows = Shadows(world.store)
        self.counts = ShadowCounts(self.shadows)
        self.here = PriceList(self.decks, self.counts)
        self.there = PriceList(self.decks, ShadowCounts(self.shadows))
        self.acme, self.contoso = (
            Tenant(f"{self.currency}-{name}", self.currency, "US") for name in ("acme", "contoso")
        )

    def scope(self, tenant: Tenant | None = None, *, shadow: bool = False) -> Scope:
        return Scope(self.currency, tenant.tenant_id if tenant else "", shadow)

    async def put(self, name: str, rate: int, rows: int = 1) -> str:
        """Stores a deck under the name, made its own; every number costs the rate."""
        version = f"{self.currency}-{name}"
        stored: list[Row] = [("4", name, rate, 0, 60, 60, "OUT", "")]
        stored += [(str(10**6 + n), name, rate, 0, 60, 60, "OUT", "") for n in range(rows - 1)]
        await self.decks.put(version, self.currency, 0, stored)
        return version

    async def start(self, name: str, rate: int, scope: Scope, *, ahead_ms: int = 0) -> int:
        """Stores a deck and puts it in force, so long after now; returns from when on it is."""
        version = await self.put(name, rate)
        now_ms = (await self.decks.look()).now_ms
        from_ms = now_ms + ahead_ms if ahead_ms else 0
        return await self.decks.activate(version, 1, scope, from_ms=from_ms)

    def seen(self, prices: PriceList, tenant: Tenant) -> int:
        """What a minute costs, by this process; -1 without a rate."""
        rate = prices.rate_for(tenant, LONDON)
        return rate.rate_per_minute_micros if rate else -1

    async def until(self, prices: PriceList, tenant: Tenant, rate: int) -> None:
        """Waits, without a look at the store, until a minute costs this."""
        deadline = monotonic() + PATIENCE_S
        while self.seen(prices, tenant) != rate:
            assert monotonic() < deadline
            await asyncio.sleep(0.005)


async def turns_during(work: Awaitable[T]) -> tuple[T, int]:
    """What some work gives, and how often the loop turned meanwhile."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    turning = asyncio.create_task(turn())
    try:
        return await work, turns
    finally:
        turning.cancel()


@pytest.fixture
def pricing(world: World) -> Pricing:
    return Pricing(world)


async def test_a_large_deck_read_slowly_does_not_replace_the_next(pricing: Pricing) -> None:
    """Semantics 88: whoever has heard that a deck is in force is priced by no older one."""
    large = await pricing.put("large", 1, 150_000)
    await pricing.decks.activate(large, 150_000, pricing.scope())
    slow = asyncio.create_task(pricing.here.refresh())
    from_ms = await pricing.start("small", 2, pricing.scope())
    await pricing.here.adopt(from_ms)
    await slow
    assert pricing.seen(pricing.here, pricing.acme) == 2


async def test_a_switch_between_large_decks_lets_calls_go_on(pricing: Pricing) -> None:
    """Between any two parts of the deck that comes, and any two steps of the one that goes, the loop turns."""
    parts = 12
    for name in ("old", "new"):
        version = f"{pricing.currency}-{name}"
        for part in range(parts):
            prefixes = range(10**6 + part * 2_000, 10**6 + (part + 1) * 2_000)
            stored: list[Row] = [(str(p), name, 1, 0, 60, 60, "OUT", "") for p in prefixes]
            await pricing.decks.put(version, pricing.currency, part, stored)
        at_ms, turns = await turns_during(
            pricing.decks.activate(version, parts * 2_000, pricing.scope())
        )
        assert turns > parts
        await pricing.here.adopt(at_ms)
        _, turns = await turns_during(pricing.there.adopt(at_ms))
        assert turns > parts
    await pricing.there.refresh()
    assert f"{pricing.currency}-old" not in pricing.there.at_hand()


async def test_a_deck_that_is_activated_is_read_once(pricing: Pricing, world: World) -> None:
    """It is checked and kept by one reading; one that was activated before is not checked again."""
    version = await pricing.put("once", 1)
    await pricing.here.refresh()

    async def readings() -> int:
        told = await world.store.command("INFO", "commandstats")
        return int(told.get("cmdstat_hkeys", {}).get("calls", 0))

    before = await readings()
    await pricing.here.adopt(await pricing.decks.activate(version, 1, pricing.scope()))
    assert await readings() == before + 1
    own = pricing.scope(pricing.acme)
    await pricing.here.adopt(await pricing.decks.activate(version, 1, own))
    assert await readings() == before + 1
    assert pricing.seen(pricing.here, pricing.acme) == 1


async def test_a_planned_switch_needs_no_look_at_the_store(
    pricing: Pricing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every process has the deck at hand before, and switches by itself; until then the old one prices."""
    await pricing.here.adopt(await pricing.start("old", 1, pricing.scope()))
    await pricing.start("new", 2, pricing.scope(), ahead_ms=HOUR_S * 1_000)
    for prices in (pricing.here, pricing.there):
        await prices.refresh()
        assert pricing.seen(prices, pricing.acme) == 1
    monkeypatch.setattr(price_list, "monotonic", lambda: monotonic() + HOUR_S)
    for prices in (pricing.here, pricing.there):
        assert pricing.seen(prices, pricing.acme) == 2


async def test_a_deck_put_in_force_now_begins_everywhere_at_one_instant(pricing: Pricing) -> None:
    await pricing.here.adopt(await pricing.start("old", 1, pricing.scope()))
    await pricing.there.refresh()
    from_ms = await pricing.start("new", 2, pricing.scope())
    await pricing.there.refresh()
    assert pricing.seen(pricing.there, pricing.acme) == 1
    await pricing.here.adopt(from_ms)
    assert [pricing.seen(p, pricing.acme) for p in (pricing.here, pricing.there)] == [2, 2]


async def test_a_tenants_own_deck_goes_before_the_currencys(pricing: Pricing) -> None:
    await pricing.start("common", 1, pricing.scope())
    await pricing.here.adopt(await pricing.start("own", 2, pricing.scope(pricing.acme)))
    tenants = (pricing.acme, pricing.contoso)
    assert [pricing.seen(pricing.here, tenant) for tenant in tenants] == [2, 1]
    await pricing.here.adopt(await pricing.decks.deactivate(pricing.scope(pricing.acme)))
    assert [pricing.seen(pricing.here, tenant) for tenant in tenants] == [1, 1]
    await pricing.here.refresh()
    assert f"{pricing.currency}-own" not in pricing.here.at_hand()


async def test_a_deck_is_kept_once_and_only_while_it_is_in_force_somewhere(
    pricing: Pricing,
) -> None:
    old = await pricing.put("old", 1)
    for scope in (pricing.scope(), pricing.scope(pricing.acme)):
        await pricing.here.adopt(await pricing.decks.activate(old, 1, scope))
    await pricing.here.adopt(await pricing.start("new", 2, pricing.scope()))
    assert {old, f"{pricing.currency}-new"} <= pricing.here.at_hand()
    await pricing.here.adopt(await pricing.decks.deactivate(pricing.scope(pricing.acme)))
    await pricing.here.refresh()
    assert old not in pricing.here.at_hand()


async def test_more_scopes_than_one_look_shows_are_all_seen(pricing: Pricing) -> None:
    """And afterwards a look costs one answer of a word."""
    version = await pricing.put("own", 2)
    tenants = [Tenant(f"{pricing.currency}-{n}", pricing.currency, "US") for n in range(600)]
    asks = [pricing.decks.activate(version, 1, pricing.scope(tenant)) for tenant in tenants]
    await pricing.here.adopt(max(await asyncio.gather(*asks)))
    assert {pricing.seen(pricing.here, tenant) for tenant in tenants} == {2}
    look = await pricing.decks.look()
    while not look.complete:
        look = await pricing.decks.look(look.revision)
    assert (await pricing.decks.look(look.revision)).changed == {}


async def test_an_older_stores_decks_go_on_pricing(own_store: StoreProcess) -> None:
    """It has rows of six columns, a deck's bare version for a currency, and no revisions."""
    async with open_world(own_store.url, "older") as world:
        pricing = Pricing(world)
        version = await pricing.put("old", 1)
        await world.store.command("HSET", keys.active_decks(), pricing.currency, version)
        await pricing.here.refresh()
        assert pricing.seen(pricing.here, pricing.acme) == 1
        assert (await pricing.decks.find(version)).active
        await pricing.here.adopt(await pricing.start("own", 3, pricing.scope(pricing.acme)))
        await pricing.there.refresh()
        for prices in (pricing.here, pricing.there):
            assert pricing.seen(prices, pricing.contoso) == 1
            assert pricing.seen(prices, pricing.acme) == 3


async def test_a_store_that_lost_its_last_change_is_believed(own_store: StoreProcess) -> None:
    """After a failover the store may know less than the process: what it knows counts."""
    async with open_world(own_store.url, "lost") as world:
        pricing = Pricing(world)
        await pricing.start("common", 1, pricing.scope())
        await pricing.here.adopt(await pricing.start("own", 2, pricing.scope(pricing.acme)))
        lost = str(pricing.scope(pricing.acme))
        await world.store.command("ZREM", keys.deck_changes(), lost)
        await world.store.command("HDEL", keys.active_decks(), lost)
        await pricing.here.refresh()
        assert pricing.seen(pricing.here, pricing.acme) == 1


async def test_prices_stay_while_the_store_is_away(own_store: StoreProcess) -> None:
    """Also a switch that was heard of takes place."""
    async with open_world(own_store.url, "away") as world:
        pricing = Pricing(world)
        await pricing.here.adopt(await pricing.start("old", 1, pricing.scope()))
        await pricing.start("new", 2, pricing.scope(), ahead_ms=1_000)
        await pricing.here.refresh()
        own_store.kill()
        with pytest.raises(StoreAway):
            await pricing.here.refresh()
        await pricing.until(pricing.here, pricing.acme, 2)


def compare(pricing: Pricing, tenant: Tenant, seconds: int) -> None:
    """As after a call was priced."""
    rate = pricing.here.rate_for(tenant, LONDON)
    pricing.here.compare(tenant, LONDON, rate, seconds)


async def test_a_shadow_deck_counts_and_charges_nothing(pricing: Pricing) -> None:
    await pricing.start("live", 60, pricing.scope())
    shadow = f"{pricing.currency}-shadow"
    await pricing.here.adopt(await pricing.start("shadow", 90, pricing.scope(shadow=True)))
    for seconds in (60, 120):
        compare(pricing, pricing.acme, seconds)
    assert pricing.seen(pricing.here, pricing.acme) == 60
    report = await pricing.counts.report(shadow, 10)
    assert report.total == Tally(2, 2, 180, 270)
    assert report.lines == ((Pair("live", "4", "shadow", "4"), Tally(2, 2, 180, 270)),)
    await pricing.here.adopt(await pricing.decks.deactivate(pricing.scope(shadow=True)))
    compare(pricing, pricing.acme, 60)
    assert (await pricing.counts.report(shadow, 10)).total.calls == 2


async def test_a_currencys_shadow_leaves_tenants_with_their_own_deck_alone(
    pricing: Pricing,
) -> None:
    await pricing.start("live", 60, pricing.scope())
    await pricing.start("own", 50, pricing.scope(pricing.acme))
    await pricing.start("shadow", 90, pricing.scope(shadow=True))
    own_shadow = pricing.scope(pricing.acme, shadow=True)
    await pricing.here.adopt(await pricing.start("own-shadow", 70, own_shadow))
    for tenant in (pricing.acme, pricing.contoso):
        compare(pricing, tenant, 60)
    common = await pricing.counts.report(f"{pricing.currency}-shadow", 10)
    own = await pricing.counts.report(f"{pricing.currency}-own-shadow", 10)
    assert (common.total, own.total) == (Tally(1, 1, 60, 90), Tally(1, 1, 50, 70))


async def test_counts_wait_while_the_store_is_away(own_store: StoreProcess) -> None:
    """They are sent once it is back, and those whose answer was lost do not count twice."""
    async with open_world(own_store.url, "counting") as world:
        pricing = Pricing(world)
        counts, live = pricing.counts, Rate("Live", "4", 60, 0, 60, 60, "v1")
        counts.count("v2", live, None, 60)
        own_store.kill()
        assert not await counts.flush()
        counts.count("v2", live, replace(live, rate_per_minute_micros=61), 60)
        counts.count("v2", live, live, 60)
        await own_store.start()
        deadline = monotonic() + PATIENCE_S
        while not await counts.flush():
            assert monotonic() < deadline
        assert await counts.flush()
        assert (await counts.report("v2", 10)).total == Tally(3, 2, 180, 121)
        lines = {Pair("Live", "4", "", ""): Tally(1, 1, 60, 0)}
        for _ in range(2):
            await pricing.shadows.add("counter", "v3", 1, lines)
        assert (await counts.report("v3", 10)).total == Tally(1, 1, 60, 0)
