"""Shards that move from one primary of a cluster to another: whoever asks is told, and every outcome is exact."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from clusters import ClusterProcess, tenant_in
from ledger.cluster_kit import counting, mark, talking
from ledger.world import open_world
from talktime_server.failure import Applied
from talktime_server.ledger.store import Store


@pytest_asyncio.fixture
async def store(cluster: ClusterProcess) -> AsyncIterator[Store]:
    store = Store(cluster.url, timeout_s=10.0)
    yield store
    await store.close()


async def test_a_shard_moves_key_by_key_while_calls_run_and_every_outcome_is_exact(
    cluster: ClusterProcess,
) -> None:
    """What a script needs may be half here and half there: then nothing runs, and it is said."""
    shard = 11
    source = await cluster.home(shard)
    target = cluster.other(source)
    async with (
        open_world(cluster.url, tenant_in(shard, "moving")) as world,
        open_world(cluster.url, tenant_in(shard + 1, "staying")) as other,
        talking(other, "s") as staying,
        talking(world, "m") as moving,
    ):
        await moving.come_through(20)
        await cluster.begin_move(shard, source, target)
        while await cluster.move_keys(shard, source, target, 10):
            await staying.come_through(2)
        await cluster.end_move(shard, target)
        await moving.come_through(20)
    assert moving.failed
    assert {failure.applied for failure in moving.failed} == {Applied.NOT_APPLIED}
    assert not staying.failed
    assert await cluster.home(shard) is target
    await cluster.move(shard, target, source)


async def test_who_has_an_old_map_is_told_and_goes_there(
    cluster: ClusterProcess, store: Store
) -> None:
    """At once and once: by a script, by the driver, and among many."""
    shard, script = 21, counting(store)
    name = mark(shard, "old-map")
    assert (await script([name], []))[1] == 1
    source = await cluster.home(shard)
    target = cluster.other(source)
    await cluster.move(shard, source, target)
    assert await store.commands([("GET", name), ("GET", mark(22, "none"))]) == [b"1", None]
    await cluster.move(shard, target, source)
    assert (await script([name], []))[1] == 2
    await cluster.move(shard, source, target)
    assert await store.command("INCR", name) == 3
    await cluster.move(shard, target, source)
    answers = await asyncio.gather(*(script([name], []) for _ in range(3)))
    assert [answer[1] for answer in answers] == [4, 5, 6]


async def test_a_key_that_has_gone_ahead_is_asked_there(
    cluster: ClusterProcess, store: Store
) -> None:
    """And the next one where it was: the shard has not moved yet."""
    shard, script = 31, counting(store)
    gone, stays = mark(shard, "gone"), mark(shard, "stays")
    await store.command("SET", gone, 5)
    source = await cluster.home(shard)
    target = cluster.other(source)
    await cluster.begin_move(shard, source, target)
    host, port = target.address
    await source.ask("MIGRATE", host, port, gone, 0, 5_000)
    await store.command("SET", stays, 1)  # a new key goes to where they all go
    assert await store.command("GET", gone) == b"5"
    assert await store.commands([("GET", gone), ("GET", stays)]) == [b"5", b"1"]
    assert (await script([gone], []))[1] == 6
    assert (await script([gone], []))[1] == 7
    while await cluster.move_keys(shard, source, target, 100):
        pass
    await cluster.end_move(shard, target)
    assert await store.command("GET", gone) == b"7"
    await cluster.move(shard, target, source)


async def test_servers_that_do_not_tell_their_name_are_found_where_they_answered(
    cluster: ClusterProcess,
) -> None:
    """On one machine, as here, or behind one address."""
    shard, setting = 52, "cluster-preferred-endpoint-type"
    for member in cluster.members:
        await member.ask("CONFIG", "SET", setting, "unknown-endpoint")
    store = Store(cluster.url, timeout_s=10.0)
    script, name = counting(store), mark(shard, "nameless")
    assert (await script([name], []))[1] == 1
    source = await cluster.home(shard)
    target = cluster.other(source)
    await cluster.move(shard, source, target)
    assert (await script([name], []))[1] == 2
    await cluster.move(shard, target, source)
    assert await store.command("INCR", name) == 3
    await store.close()
    for member in cluster.members:
        await member.ask("CONFIG", "SET", setting, "ip")
