"""A connection that takes long to come about, over a long way or to a busy machine, does come about."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from client.cutting_proxy import Way, cutting
from client.lying_server import LyingServer
from talktime import AsyncClient, Client


@pytest.fixture
async def target(server: LyingServer) -> AsyncIterator[str]:
    """A way to the server on which its first bytes come late."""
    async with cutting(server.port, Way.UP, 0) as proxy:
        proxy.late_s = 0.7
        yield proxy.target


async def test_the_first_call_waits_for_a_slow_connection(target: str) -> None:
    async with AsyncClient(target, "secret", tenant_id="acme", timeout_s=2.0) as client:
        assert (await client.authorize("ann", "USER_OUT", "+442071838750")).authorized


async def test_the_first_blocking_call_waits_for_a_slow_connection(target: str) -> None:
    def ask() -> bool:
        with Client(target, "secret", tenant_id="acme", timeout_s=2.0) as client:
            return client.authorize("ann", "USER_OUT", "+442071838750").authorized

    assert await asyncio.to_thread(ask)
