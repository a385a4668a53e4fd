"""What the store's own state means for callers: settings that would lose money, and writes it does not take."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ledger.world import World, open_world
from stores import StoreProcess, contents
from talktime_server.failure import Applied, Broken, StoreAway
from talktime_server.ledger.safety import inspect

NOWHERE = ("127.0.0.1", "1")


@pytest_asyncio.fixture
async def alone(own_store: StoreProcess) -> AsyncIterator[World]:
    """A ledger whose store may be hurt: 5000 micros, and the call a that holds 600."""
    async with open_world(own_store.url, "acme") as world:
        await world.fund(5000)
        await world.authorize("a", 600)
        yield world


async def test_a_safe_store_is_found_safe(world: World) -> None:
    assert await inspect(world.store) == []


@pytest.mark.parametrize(
    ("setting", "value", "fatal"),
    [
        ("maxmemory-policy", "allkeys-lru", True),
        ("maxmemory-policy", "volatile-ttl", True),
        ("appendonly", "no", False),
        ("appendfsync", "no", False),
    ],
)
async def test_a_setting_that_would_lose_money_is_named(
    own_store: StoreProcess, setting: str, value: str, fatal: bool
) -> None:
    async with open_world(own_store.url, "acme") as world:
        await world.store.command("CONFIG", "SET", setting, value)
        findings = await inspect(world.store)
        assert [(found.setting, found.fatal) for found in findings] == [(setting, fatal)]
        assert setting in findings[0].text


async def test_a_full_store_refuses_and_nothing_is_half_applied(alone: World) -> None:
    """Semantics 9: and once there is room, everything is decided as if nothing had been."""
    before = await contents(alone.store)
    await alone.store.command("CONFIG", "SET", "maxmemory", "1")
    for operation in (
        alone.authorize("b", 600),
        alone.authorize("c", 60_000),
        alone.extend("a", 1, 600),
        alone.extend("a", 2, 60_000),
        alone.settle("a", 60),
        alone.settle("x", 60, alone.unreserved()),
        alone.settle("y", 60),
        alone.release("a"),
        alone.fund(7, "f1"),
        alone.set(display_name="Contoso"),
    ):
        with pytest.raises(StoreAway) as caught:
            await operation
        assert (caught.value.reason, caught.value.applied) == ("STORE_REFUSES", Applied.NOT_APPLIED)
    assert await contents(alone.store) == before
    await alone.store.command("CONFIG", "SET", "maxmemory", "0")
    await alone.play(
        """
        authorize b 600         -> granted 600 s, holds 600; 5000/1200
        extend a 1 600          -> granted 1200 s, holds 1200; 5000/1800
        settle a 60             -> charged 60; 4940/600
        fund f1 7               -> 4947/600
        """
    )


async def test_a_full_store_expires_nothing_halfway(alone: World) -> None:
    """Neither the hold nor the credits whose time is over."""
    await alone.advance(400 * 86_400)
    before = await contents(alone.store)
    await alone.store.command("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreAway):
        await alone.ledger.expire(alone.tenant, ["a"])
    with pytest.raises(StoreAway):
        await alone.ledger.balance(alone.tenant)
    assert await contents(alone.store) == before
    await alone.store.command("CONFIG", "SET", "maxmemory", "0")
    await alone.play("balance -> 0/0, spent 0, expired 5000, abandoned 1")


async def test_a_full_store_still_gives_first_answers_again(alone: World) -> None:
    """Promise 1: a receipt is only read."""
    await alone.settle("a", 60)
    await alone.store.command("CONFIG", "SET", "maxmemory", "1")
    assert (await alone.settle("a", 60)).replayed


@pytest.mark.parametrize(
    "refusing",
    [
        [("CONFIG", "SET", "min-replicas-to-write", "1")],
        [("REPLICAOF", *NOWHERE)],
        [("CONFIG", "SET", "replica-serve-stale-data", "no"), ("REPLICAOF", *NOWHERE)],
    ],
    ids=["too few replicas", "a replica itself", "a replica that lost its primary"],
)
async def test_a_store_that_takes_no_writes_says_that_nothing_happened(
    alone: World, refusing: list[tuple[str, ...]]
) -> None:
    """Promise 2: whether the script was refused or a command in it, and whatever the driver makes of the words."""
    for command in refusing:
        await alone.store.command(*command)
    for operation in (alone.settle("a", 60), alone.fund(7, "f1"), alone.store.probe()):
        with pytest.raises(StoreAway) as caught:
            await operation
        assert (caught.value.reason, caught.value.applied) == ("STORE_REFUSES", Applied.NOT_APPLIED)


async def test_an_error_of_the_stores_is_a_bug_and_its_text_stays_inside(alone: World) -> None:
    with pytest.raises(Broken) as caught:
        await alone.store.command("HGET", "tt:{s00}:probe")
    assert caught.value.reason == "STORE_ERROR"
