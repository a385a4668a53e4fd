"""One of several holds the lease; the next has it at once when it was given up, and soon when its holder is gone."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from stores import StoreProcess
from talktime_server.ledger.lease import Lease
from talktime_server.ledger.store import Store


@pytest_asyncio.fixture
async def store(own_store: StoreProcess) -> AsyncIterator[Store]:
    """A store of the test's own: all who share one share its lease."""
    store = Store(own_store.url, timeout_s=5.0)
    yield store
    await store.close()


async def test_one_of_several_holds_it(store: Store) -> None:
    first, second = Lease(store, "first"), Lease(store, "second")
    assert [await first.look(), await second.look(), await first.look()] == [True, False, True]
    assert (first.held.is_set(), first.lost.is_set()) == (True, False)
    assert (second.held.is_set(), second.lost.is_set()) == (False, True)


async def test_what_was_given_up_is_the_next_ones_at_once(store: Store) -> None:
    first, second = Lease(store, "first"), Lease(store, "second")
    await first.look()
    await second.give_up()
    assert await first.look()
    await first.give_up()
    assert first.lost.is_set()
    assert [await second.look(), await first.look()] == [True, False]


async def test_one_who_was_killed_holds_it_no_longer_than_its_time(store: Store) -> None:
    first, second = Lease(store, "first", lease_s=0.05), Lease(store, "second")
    await first.look()
    async with asyncio.timeout(5):
        while not await second.look():
            await asyncio.sleep(0.01)
    assert not await first.look()


async def test_the_next_of_the_same_name_takes_over_at_once(store: Store) -> None:
    assert await Lease(store, "first").look()
    assert await Lease(store, "first").look()


async def test_without_the_store_it_is_held_until_it_ran_out_and_no_longer(
    own_store: StoreProcess, store: Store
) -> None:
    lease = Lease(store, "first", lease_s=0.5)
    assert await lease.look()
    own_store.kill()
    assert await lease.look()
    async with asyncio.timeout(5):
        while await lease.look():
            await asyncio.sleep(0.01)
    assert lease.lost.is_set()
