"""One real store for all tests of the ledger; every test brings tenants of its own, so nothing is ever emptied."""

from collections.abc import AsyncIterator
from itertools import count

import pytest_asyncio

from ledger.world import World, open_world
from stores import StoreProcess

_numbers = count(1)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def store_process() -> AsyncIterator[StoreProcess]:
    """A store that lives as long as the tests."""
    process = StoreProcess()
    try:
        await process.start()
        yield process
    finally:
        process.stop()


@pytest_asyncio.fixture
async def world(store_process: StoreProcess) -> AsyncIterator[World]:
    """A ledger over the shared store, with a tenant nobody else knows."""
    async with open_world(store_process.url, f"tenant{next(_numbers)}") as world:
        yield world


@pytest_asyncio.fixture
async def own_store() -> AsyncIterator[StoreProcess]:
    """A store for one test, to be hurt."""
    process = StoreProcess()
    try:
        await process.start()
        yield process
    finally:
        process.stop()
