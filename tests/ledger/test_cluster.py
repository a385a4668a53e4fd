"""The store as a cluster: every shard finds its primary, also while it moves, and one primary that is away is missed by its own
tenants alone.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import pytest
import pytest_asyncio
from redis.asyncio import RedisCluster

from clusters import ClusterProcess, Member, slot_of, tenant_in, until
from ledger.cluster_kit import MINUTE, answers, counting, mark, talking
from ledger.old_rows import OWNER, write_old_store
from ledger.world import World, open_world
from talktime_server.decision.catalog import counted_licenses
from talktime_server.failure import Applied, StoreAway
from talktime_server.ledger import keys, safety
from talktime_server.ledger.ledger import Ledger
from talktime_server.ledger.store import Store
from talktime_server.ledger.sweeper import Sweeper
from talktime_server.ledger.upgrade import Upgrade
from talktime_server.ledger.versions import Versions

CALLS = 5
SHORT_S = 1.0  # a store's patience


@pytest_asyncio.fixture
async def store(cluster: ClusterProcess) -> AsyncIterator[Store]:
    store = Store(cluster.url, timeout_s=10.0)
    yield store
    await store.close()


async def test_every_shard_has_a_home_and_conserves_its_money(cluster: ClusterProcess) -> None:
    async with AsyncExitStack() as stack:
        worlds = [
            await stack.enter_async_context(open_world(cluster.url, tenant_in(shard, "every")))
            for shard in range(keys.SHARDS)
        ]

        async def talk(world: World) -> None:
            await world.fund(CALLS * MINUTE)
            await asyncio.gather(*(world.authorize(f"c{n}", MINUTE) for n in range(CALLS)))
            await asyncio.gather(*(world.settle(f"c{n}", MINUTE) for n in range(CALLS)))
            proof = await world.prove()
            assert (proof.conserved, proof.balance.spent_micros) == (True, CALLS * MINUTE)

        await asyncio.gather(*(talk(world) for world in worlds))
        one, ids = worlds[0], [world.tenant.tenant_id for world in worlds]
        listed = await one.directory.list_tenants("every", keys.SHARDS)
        assert [each.tenant_id for each in listed] == sorted(ids)
        versions = await Versions(one.store).of(ids)
        assert set(versions.values()) == {(await one.account()).version}
    assert all([await each.ask("DBSIZE") for each in cluster.members])


async def test_the_map_is_the_one_that_the_driver_has(
    cluster: ClusterProcess, store: Store
) -> None:
    host, port = cluster.members[1].address
    async with RedisCluster(host=host, port=port, protocol=2) as driver:
        for shard in range(keys.SHARDS):
            await store.command("SET", mark(shard, "map"), shard)
            assert await driver.get(mark(shard, "map")) == str(shard).encode()
    asks = [("GET", mark(shard, "map")) for shard in reversed(range(keys.SHARDS))]
    answers = await store.commands([*asks, ("TIME",)])
    assert answers[:-1] == [str(shard).encode() for shard in reversed(range(keys.SHARDS))]


async def test_what_one_tick_asks_of_several_shards_comes_apart(store: Store) -> None:
    """A script call may touch one slot alone; the order within a shard is the order of asking."""
    script, marks = counting(store), [mark(shard, "apart") for shard in range(4)]
    answers = await asyncio.gather(*(script([marks[n % 4]], []) for n in range(1_000)))
    assert [answer[1] for answer in answers] == [n // 4 + 1 for n in range(1_000)]


async def test_a_primary_that_is_away_is_missed_by_its_own_tenants_alone(
    cluster: ClusterProcess,
) -> None:
    """Even the one that has what all shards share: calls, sweeps and health go on; it comes back, and so do they."""
    victim = await cluster.home(0)
    here = 0
    there = await _shard_elsewhere(cluster, victim)
    async with (
        open_world(cluster.url, tenant_in(there, "lucky")) as lucky,
        open_world(cluster.url, tenant_in(here, "unlucky"), timeout_s=SHORT_S) as unlucky,
        talking(lucky, "l") as going_on,
    ):
        await unlucky.fund(10_000)
        await unlucky.authorize("a", MINUTE)
        victim.process.kill()
        await going_on.come_through(2)
        with pytest.raises(StoreAway) as away:
            await unlucky.authorize("b", MINUTE)
        assert away.value.applied is Applied.NOT_APPLIED
        with pytest.raises(StoreAway):
            await unlucky.directory.fresh_tenant(unlucky.tenant.tenant_id)
        await going_on.come_through(20)
        await unlucky.store.probe()
        assert await unlucky.store.command("TIME")
        await Sweeper(unlucky.store, unlucky.ledger, unlucky.directory).sweep()
        await victim.process.start()
        await until(lambda: answers(unlucky, "b"))
        assert not (await unlucky.settle("a", MINUTE)).replayed
        assert (await unlucky.prove()).conserved
    assert not going_on.failed


async def _shard_elsewhere(cluster: ClusterProcess, member: Member) -> int:
    for shard in range(keys.SHARDS):
        if await cluster.home(shard) is not member:
            return shard
    raise AssertionError


async def test_a_primary_that_stands_still_leaves_doubt_and_one_effect(
    cluster: ClusterProcess,
) -> None:
    """Nobody asks twice, neither we nor the driver: what was asked once has run once when it goes on."""
    shard = 41
    store = Store(cluster.url, timeout_s=SHORT_S)
    script, name, other = counting(store), mark(shard, "still"), mark(shard, "driver")
    home = await cluster.home(shard)
    assert (await script([name], []))[1] == 1
    await store.command("INCR", other)
    home.process.signal(signal.SIGSTOP)
    try:
        with pytest.raises(StoreAway) as doubt:
            await script([name], [])
        with pytest.raises(StoreAway):
            await store.command("INCR", other)
        assert (doubt.value.reason, doubt.value.applied) == ("STORE_SILENT", Applied.UNKNOWN)
    finally:
        home.process.signal(signal.SIGCONT)
    assert int(await home.ask("GET", name)) == 2
    assert int(await home.ask("GET", other)) <= 2
    assert (await script([name], []))[1] == 3
    await store.close()


async def test_a_shard_that_nobody_has_is_refused_and_found_again(
    cluster: ClusterProcess, store: Store
) -> None:
    """The server says so that had it, or the map; the other shards are not touched by it."""
    shard, script = 51, counting(store)
    name, home = mark(shard, "nobody"), await cluster.home(51)
    assert (await script([name], []))[1] == 1
    for member in cluster.members:
        await member.ask("CLUSTER", "DELSLOTS", slot_of(shard))
    for _ in range(2):
        with pytest.raises(StoreAway) as refused:
            await script([name], [])
        assert refused.value.applied is Applied.NOT_APPLIED
        await until(lambda: _forgotten(store, shard))
    await home.ask("CLUSTER", "ADDSLOTS", slot_of(shard))
    await until(cluster.whole)
    assert (await script([name], []))[0] == b"ok"


async def _forgotten(store: Store, shard: int) -> bool:
    with suppress(StoreAway):
        await store.command("GET", mark(shard, "nobody"))
    answers = await store.reached([("GET", mark(n, "x")) for n in range(keys.SHARDS)], b"away")
    return list(answers) == [b"away" if n == shard else None for n in range(keys.SHARDS)]


async def test_a_cluster_that_is_nowhere_keeps_nobody_waiting(cluster: ClusterProcess) -> None:
    store = Store("redis+cluster://127.0.0.1:1,127.0.0.1:2", timeout_s=SHORT_S)
    for ask in (store.command("TIME"), store.probe(), store.commands([("GET", mark(1, "x"))])):
        with pytest.raises(StoreAway):
            await ask
    with pytest.raises(StoreAway) as away:
        await counting(store)([mark(1, "x")], [])
    assert away.value.applied is Applied.NOT_APPLIED
    await store.close()


async def test_one_server_of_a_cluster_is_refused_as_the_store(cluster: ClusterProcess) -> None:
    host, port = cluster.members[0].address
    store = Store(f"redis://{host}:{port}", timeout_s=10.0)
    (finding,) = await safety.inspect(store)
    assert finding.fatal
    assert "redis+cluster://" in finding.text
    await store.close()


async def test_a_cluster_whose_part_takes_all_along_is_told_of(
    cluster: ClusterProcess, store: Store
) -> None:
    assert await safety.inspect(store) == []
    one, name = cluster.members[1], "cluster-require-full-coverage"
    await one.ask("CONFIG", "SET", name, "yes")
    (finding,) = await safety.inspect(store)
    await one.ask("CONFIG", "SET", name, "no")
    assert (finding.setting, finding.fatal) == (name, False)


async def test_an_older_store_is_brought_up_to_date(cluster: ClusterProcess, store: Store) -> None:
    await cluster.empty()
    await write_old_store(store)
    await Upgrade(store, counted_licenses).run()
    async with open_world(cluster.url, OWNER) as world:
        assert (await world.settle("settled", 61)).call.ending
        assert isinstance(world.ledger, Ledger)
        assert await store.command("GET", keys.stored_version()) == b"5"
    await cluster.empty()
