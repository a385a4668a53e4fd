"""One real store and one sandbox for the tests of recharges; every test brings a tenant of its own."""

from collections.abc import AsyncIterator
from itertools import count

import pytest
import pytest_asyncio

from recharge.stage import PATIENCE, SETTINGS, Stage, open_stage
from stores import StoreProcess
from talktime_server.payments.sandbox import Sandbox

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
async def stage(
    request: pytest.FixtureRequest, store_process: StoreProcess
) -> AsyncIterator[Stage]:
    """A tenant with 150 units of credit and no rule yet, beside a sandbox; the parameter is the patience with it."""
    owner, patience = f"recharged{next(_numbers)}", getattr(request, "param", PATIENCE)
    async with (
        Sandbox(SETTINGS) as sandbox,
        open_stage(store_process.url, owner, sandbox, patience=patience) as stage,
    ):
        await stage.world.fund(150 * stage.unit)
        yield stage
