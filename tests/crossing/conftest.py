"""One real store for the walk; every test brings a tenant of its own."""

from collections.abc import AsyncIterator

import pytest_asyncio

from stores import StoreProcess


@pytest_asyncio.fixture
async def crossing_store() -> AsyncIterator[StoreProcess]:
    """A store for one stretch of the walk."""
    process = StoreProcess(appendonly="no")
    try:
        await process.start()
        yield process
    finally:
        process.stop()
