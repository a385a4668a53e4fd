"""What holds for every test of the house."""

import gc
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import structlog
from hypothesis import settings

from clusters import ClusterProcess


def pytest_configure() -> None:
    """Looking for cycles after every 700 objects costs a tenth of the suite's time; and a busy machine that takes long for
    an example has not found a fault.
    """
    gc.set_threshold(20_000, 20, 50)
    settings.register_profile("house", deadline=None)
    settings.load_profile("house")


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """A command that a test runs in this process sets the log up, and writes it to where that test looks."""
    yield
    structlog.reset_defaults()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster() -> AsyncIterator[ClusterProcess]:
    """A cluster that lives as long as the tests; every test brings tenants of its own."""
    process = ClusterProcess()
    try:
        await process.start()
        yield process
    finally:
        process.stop()
