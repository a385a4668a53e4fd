"""One sandbox for the tests of a file; every test brings charges of its own."""

from collections.abc import AsyncIterator

import pytest_asyncio

from payments.stage import Stage, open_stage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    """A sandbox with short patience."""
    async with open_stage() as stage:
        yield stage
