"""The end of the grpcio engine: whoever asks again just then hears that it ends, and is not left without knowing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from clusters import free_ports
from rpc.edge_kit import AUTHORIZE, Kit, good_request
from talktime_server.config import Settings
from talktime_server.rpc.aio import AioServer

CALLERS, LIMIT_S = 20, 8.0


@pytest_asyncio.fixture
async def channels(kit: Kit) -> AsyncIterator[tuple[AioServer, list[grpc.aio.Channel]]]:
    """A server, and the connections of its callers, each with a call behind it."""
    (port,) = free_ports(1)
    server = AioServer(kit.edge(), Settings.read({}, port=port))
    await server.start()
    own = [("grpc.use_local_subchannel_pool", 1)]
    found = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", own) for _ in range(CALLERS)]
    try:
        assert await asyncio.gather(*(ended(kit, each) for each in found)) == ["OK"] * CALLERS
        yield server, found
    finally:
        await asyncio.gather(*(each.close() for each in found))
        await server.stop(0)


async def ended(kit: Kit, channel: grpc.aio.Channel) -> str:
    """How a call ends."""
    token = [(name.decode(), value) for name, value in [kit.bearer("router")]]
    ask: Any = channel.unary_unary(AUTHORIZE)
    try:
        await ask(good_request().SerializeToString(), metadata=token, timeout=LIMIT_S)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


@pytest.mark.parametrize("open_s", [0.1, 0.4, 1.2, 1.5])
async def test_the_next_call_after_an_open_one_is_refused_and_not_cancelled(
    kit: Kit, channels: tuple[AioServer, list[grpc.aio.Channel]], open_s: float
) -> None:
    server, callers = channels

    all_begun = asyncio.Barrier(CALLERS + 1)

    async def slow() -> None:
        await all_begun.wait()
        await asyncio.sleep(open_s)

    async def one_after_the_other(channel: grpc.aio.Channel) -> tuple[str, str]:
        return await ended(kit, channel), await ended(kit, channel)

    kit.book.before = slow
    before = len(kit.book.seen)
    asking = [asyncio.create_task(one_after_the_other(each)) for each in callers]
    await all_begun.wait()
    await server.stop(LIMIT_S)
    ends = Counter(await asyncio.gather(*asking))
    assert ends == {("OK", "UNAVAILABLE"): CALLERS}
    assert len(kit.book.seen) - before == CALLERS
