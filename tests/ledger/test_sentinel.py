"""A store that Sentinels watch over: whoever is the primary now is found at each connect, and one that is it no more is left."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from clusters import until
from ledger.cluster_kit import MINUTE, answers, counting, mark
from ledger.world import open_world
from sentinels import NAME, WatchedStore
from stores import StoreProcess
from talktime_server.failure import Applied, StoreAway
from talktime_server.ledger import keys, safety
from talktime_server.ledger.store import Store


@pytest_asyncio.fixture
async def watched() -> AsyncIterator[WatchedStore]:
    store = WatchedStore()
    try:
        await store.start()
        yield store
    finally:
        store.stop()


async def test_after_a_failover_the_new_primary_goes_on_with_all_that_was_copied(
    watched: WatchedStore,
) -> None:
    """First the primary hands over, and lives on as a replica; then the new one dies."""
    async with open_world(watched.url, "acme", timeout_s=2.0) as world:
        await world.fund(10_000)
        await world.authorize("a", MINUTE)
        await watched.copied()
        await watched.hand_over()
        await until(lambda: answers(world, "b"))
        assert await watched.primary.ask("EXISTS", keys.call("acme", "b"))
        await watched.copied()
        watched.primary.process.kill()
        assert not await answers(world, "c")
        await until(lambda: answers(world, "c"))
        assert await watched.replica.ask("EXISTS", keys.call("acme", "c"))
        assert (await world.authorize("b", MINUTE)).replayed
        assert (await world.settle("a", MINUTE)).call.ending
        assert (await world.prove()).conserved


async def test_a_primary_that_was_demoted_is_left_at_once(own_store: StoreProcess) -> None:
    """It keeps its connections, and refuses each write: nothing ran, and the next question goes over a new one."""
    store = Store(own_store.url, timeout_s=2.0)
    script, name = counting(store), mark(0, "demoted")
    assert (await script([name], []))[1] == 1
    await store.command("REPLICAOF", "127.0.0.1", "1")
    before = await _connections(store)
    with pytest.raises(StoreAway) as away:
        await script([name], [])
    assert (away.value.reason, away.value.applied) == ("STORE_REFUSES", Applied.NOT_APPLIED)
    await store.command("REPLICAOF", "NO", "ONE")
    assert (await script([name], []))[1] == 2
    assert await _connections(store) == before + 1
    await store.close()


async def _connections(store: Store) -> int:
    return int((await store.command("INFO", "stats"))["total_connections_received"])


async def test_a_primary_that_needs_no_replica_is_told_of(watched: WatchedStore) -> None:
    """Of two that take movements, one throws them away."""
    store = Store(watched.url, timeout_s=2.0)
    (finding,) = await safety.inspect(store)
    assert (finding.setting, finding.fatal) == ("min-replicas-to-write", False)
    await watched.primary.ask("CONFIG", "SET", "min-replicas-to-write", 1)
    assert await safety.inspect(store) == []
    await store.close()


async def test_a_name_that_no_sentinel_knows_is_a_store_that_is_away(
    watched: WatchedStore,
) -> None:
    store = Store(watched.url.replace(NAME, "another"), timeout_s=2.0)
    with pytest.raises(StoreAway):
        await store.command("TIME")
    with pytest.raises(StoreAway) as away:
        await counting(store)([mark(0, "x")], [])
    assert away.value.applied is Applied.NOT_APPLIED
    await store.close()
