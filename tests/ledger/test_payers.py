"""Payers as they are written: the counts of their licences stay exact, blocks are recorded, many go in few trips."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
import redis

from ledger.world import World, open_world
from stores import StoreProcess
from talktime_server.decision.catalog import counted_licenses
from talktime_server.failure import Applied, Conflict, NotFound, StoreAway
from talktime_server.ledger import keys
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.payers import PayerChanges
from talktime_server.ledger.profiles import Payer

PLANS = ("MCOPSTN1", "MCOPSTN2", "MCOPSTN5", "MCOPSTN8", "MCOMEETADV", "MCOPSTNC")


def elsewhere(world: World) -> Directory:
    """Another process, with a cache of its own."""
    return Directory(world.store, counted_licenses)


async def counts(world: World) -> dict[str, int]:
    """The stored counts of licences that are not 0."""
    row = await world.store.command("HGETALL", keys.meters(world.tenant.tenant_id))
    found = {name.decode(): value for name, value in row.items() if name.startswith(b"n:")}
    return {name[2:]: int(value) for name, value in found.items() if int(value)}


async def recount(world: World) -> dict[str, int]:
    """The same, counted payer by payer."""
    payers = await world.directory.list_payers(world.tenant.tenant_id, "", 10_000)
    return dict(Counter(name for payer in payers for name in counted_licenses(payer)))


async def test_a_count_follows_the_licences_of_payers(world: World) -> None:
    owner = world.tenant.tenant_id
    await world.directory.put_payer(owner, Payer("ann", "US", licenses=("MCOPSTN1", "MCOPSTNC")))
    await world.directory.put_payer(owner, Payer("ben", "PR", licenses=("MCOPSTN1", "MCOMEETADV")))
    assert await counts(world) == {"MCOPSTN1:US": 2, "MCOMEETADV:": 1} == await recount(world)
    await world.directory.assign_licenses(owner, "ben", add=("MCOPSTN2",), remove=("MCOPSTN1",))
    await world.directory.put_payer(owner, Payer("ann", "GB", licenses=("MCOPSTN1",)))
    moved = {"MCOPSTN1:GB": 1, "MCOPSTN2:US": 1, "MCOMEETADV:": 1}
    assert await counts(world) == moved == await recount(world)


async def test_counts_are_exact_when_many_change_many_at_once(world: World) -> None:
    """Fifty administrators, four processes, ten payers."""
    owner, dice = world.tenant.tenant_id, random.Random(7)
    names = [f"user{n}" for n in range(10)]
    await world.directory.put_payers(owner, [Payer(name, "US") for name in names])
    processes = [elsewhere(world) for _ in range(4)]

    async def change(directory: Directory) -> None:
        name, given = dice.choice(names), tuple(dice.sample(PLANS, 2))
        if dice.random() < 0.2:
            await directory.put_payer(owner, Payer(name, dice.choice(("US", "GB")), licenses=given))
        else:
            taken = tuple(dice.sample(PLANS, 2))
            await directory.assign_licenses(owner, name, add=given, remove=taken)

    for _ in range(4):
        await asyncio.gather(*(change(processes[n % 4]) for n in range(50)))
        assert await counts(world) == await recount(world) != {}


async def test_what_was_counted_by_an_older_catalogue_is_taken_back_by_it(world: World) -> None:
    """Versions of the service may mix, and name counts otherwise: none is counted twice, and none is left over."""
    owner, payer = world.tenant.tenant_id, Payer("ann", "US", licenses=("MCOPSTN1",))
    older = Directory(world.store, lambda _: ("MCOPSTN1:older",))
    await older.put_payer(owner, payer)
    assert await counts(world) == {"MCOPSTN1:older": 1}
    await world.directory.put_payer(owner, payer)
    assert await counts(world) == {"MCOPSTN1:US": 1}


async def blocks(world: World) -> list[tuple[str, str, bool]]:
    lines = await world.directory.list_blocks(world.tenant.tenant_id, "", 100)
    return [(line.payer_id, line.reason, line.blocked) for line in lines]


async def test_blocking_and_unblocking_are_recorded_once_each(world: World) -> None:
    owner, directory = world.tenant.tenant_id, world.directory
    ann = replace(world.payers["ann"], display_name="Ann Ö", phone_number="+12025550111")
    await directory.put_payer(owner, ann)
    before_ms = await world.now_ms()
    for _ in range(2):
        blocked = await directory.block_payer(owner, "ann", 'said "no", twice')
        assert (blocked.blocked, blocked.block_reason) == (True, 'said "no", twice')
    (line,) = await directory.list_blocks(owner, "", 100)
    assert (line.display_name, line.phone_number) == ("Ann Ö", "+12025550111")
    assert before_ms <= line.at_ms <= await world.now_ms()
    for _ in range(2):
        free = await directory.unblock_payer(owner, "ann", "paid")
        assert (free.blocked, free.block_reason) == (False, "")
    assert await blocks(world) == [("ann", "paid", False), ("ann", 'said "no", twice', True)]


async def test_another_reason_is_recorded_too(world: World) -> None:
    owner = world.tenant.tenant_id
    for reason in ("suspicion", "fraud", "fraud"):
        payer = await world.directory.block_payer(owner, "ann", reason)
    assert payer.block_reason == "fraud"
    assert await blocks(world) == [("ann", "fraud", True), ("ann", "suspicion", True)]


async def test_a_payer_that_is_written_stays_blocked_as_it_was(world: World) -> None:
    owner = world.tenant.tenant_id
    made = await world.directory.put_payer(owner, Payer("eve", "US", blocked=True))
    assert not made.blocked
    await world.directory.block_payer(owner, "ann", "fraud")
    for written in (Payer("ann", "GB"), Payer("ann", "FR", block_reason="another")):
        await world.directory.put_payers(owner, [written])
        payer = await world.directory.put_payer(owner, written)
        assert (payer.blocked, payer.block_reason) == (True, "fraud")
    assert await blocks(world) == [("ann", "fraud", True)]


async def test_the_record_is_read_page_by_page_the_newest_first(world: World) -> None:
    owner = world.tenant.tenant_id
    for n in range(5):
        await world.directory.block_payer(owner, "ann", f"reason {n}")
    first = await world.directory.list_blocks(owner, "", 3)
    rest = await world.directory.list_blocks(owner, first[-1].position, 3)
    assert [line.reason for line in (*first, *rest)] == [f"reason {n}" for n in (4, 3, 2, 1, 0)]


async def test_nobody_is_neither_blocked_nor_recorded(world: World) -> None:
    owner = world.tenant.tenant_id
    for ask in (world.directory.block_payer, world.directory.unblock_payer):
        with pytest.raises(NotFound):
            await ask(owner, "nobody", "why")
        with pytest.raises(NotFound):
            await ask(f"{owner}-not", "ann", "why")
    assert await blocks(world) == []


def many(count: int, display_name: str = "") -> list[Payer]:
    return [Payer(f"user{n:03}", "US", display_name, ("MCOPSTN1",)) for n in range(count)]


async def test_many_payers_are_written_and_what_came_of_each_is_counted(world: World) -> None:
    owner, put = world.tenant.tenant_id, world.directory.put_payers
    assert await put(owner, many(250)) == PayerChanges(250, 0, 0)
    assert await put(owner, many(250)) == PayerChanges(0, 0, 250)
    other = [*many(100, display_name="renamed"), *many(300)[100:]]
    assert await put(owner, other) == PayerChanges(50, 100, 150)
    listed = await world.directory.list_payers(owner, "user", 500)
    assert [(p.payer_id, p.display_name) for p in listed] == [
        (p.payer_id, p.display_name) for p in other
    ]
    assert await counts(world) == {"MCOPSTN1:US": 300}


async def test_a_rule_that_is_broken_leaves_all_unwritten(world: World) -> None:
    owner = world.tenant.tenant_id
    seen: list[Payer | None] = []

    def refuse(stored: Sequence[Payer | None]) -> None:
        seen.extend(stored)
        raise Conflict("NOT_SO", "a rule of the business")

    with pytest.raises(Conflict) as caught:
        await world.directory.put_payers(owner, [Payer("ann", "GB"), *many(150)], refuse)
    assert caught.value.applied is Applied.NOT_APPLIED
    assert [payer and payer.country for payer in seen] == ["US", *[None] * 150]
    assert await world.directory.list_payers(owner, "ben", 10) == []


async def test_payers_that_several_import_at_once_are_each_created_once(world: World) -> None:
    owner = world.tenant.tenant_id
    came = await asyncio.gather(
        *(elsewhere(world).put_payers(owner, many(150, display_name=f"{n}")) for n in range(5))
    )
    assert sum(changes.created for changes in came) == 150
    assert {c.created + c.changed + c.unchanged for c in came} == {150}
    assert await counts(world) == {"MCOPSTN1:US": 150}


async def test_nobody_has_many_payers_neither(world: World) -> None:
    with pytest.raises(NotFound) as caught:
        await world.directory.put_payers(f"{world.tenant.tenant_id}-not", many(2))
    assert caught.value.reason == "UNKNOWN_TENANT"


async def test_an_import_that_breaks_off_says_that_some_may_be_written(
    own_store: StoreProcess,
) -> None:
    """After its first hundred the store takes no writes: that alone would be NOT_APPLIED."""
    asked = Counter[str]()

    def counted(payer: Payer) -> tuple[str, ...]:
        asked["payers"] += 1
        if asked["payers"] == 101:
            with redis.Redis(unix_socket_path=str(own_store.socket)) as store:
                store.config_set("min-replicas-to-write", 1)
        return counted_licenses(payer)

    async with open_world(own_store.url, "acme") as world:
        with pytest.raises(StoreAway) as caught:
            await Directory(world.store, counted).put_payers("acme", many(150))
        assert (caught.value.reason, caught.value.applied) == ("STORE_REFUSES", Applied.UNKNOWN)
        await world.store.command("CONFIG", "SET", "min-replicas-to-write", 0)
        assert await counts(world) == {"MCOPSTN1:US": 100}
        assert await world.directory.put_payers("acme", many(150)) == PayerChanges(50, 0, 100)
