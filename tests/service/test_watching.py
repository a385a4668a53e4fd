"""Whoever watches a balance hears what the money does, on both engines."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest

from service.site import MINUTE, Site
from talktime.v1.account_service_pb2 import WatchBalanceRequest, WatchBalanceResponse

WATCH = "/talktime.v1.AccountService/WatchBalance"
PATIENCE_S = 10.0


class Watcher:
    """One who listens to a tenant's money."""

    def __init__(self, channel: grpc.aio.Channel, site: Site, tenant_id: str = "") -> None:
        metadata = (("authorization", f"Bearer {site.service.operator}"),)
        watch: Any = channel.unary_stream(WATCH)
        body = WatchBalanceRequest(tenant_id=tenant_id or site.tenant_id).SerializeToString()
        self.call = watch(body, metadata=metadata)

    async def next(self) -> WatchBalanceResponse:
        body = await asyncio.wait_for(self.call.read(), PATIENCE_S)
        return WatchBalanceResponse.FromString(body)

    async def until(self, true: Callable[[WatchBalanceResponse], bool]) -> WatchBalanceResponse:
        """The next answer of which it is true."""
        while not true(reading := await self.next()):
            pass
        return reading


@asynccontextmanager
async def watching(site: Site, count: int = 1) -> AsyncIterator[list[Watcher]]:
    async with grpc.aio.insecure_channel(site.service.address) as channel:
        yield [Watcher(channel, site) for _ in range(count)]


def sums(reading: WatchBalanceResponse) -> tuple[int, int, int]:
    return (reading.balance.settled_micros, reading.balance.held_micros, reading.open_calls)


async def test_money_is_told_now_and_whenever_it_moves(site: Site) -> None:
    """Semantics 64: what is added during a call is heard of by whoever watches."""
    async with watching(site) as (watcher,):
        first = await watcher.next()
        assert sums(first) == (10_000_000, 0, 0)
        call = await asyncio.to_thread(site.call)
        reading = await watcher.until(lambda each: each.open_calls == 1)
        assert sums(reading) == (10_000_000, MINUTE, 1)
        await asyncio.to_thread(site.fund, 5_000_000)
        funded = await watcher.until(lambda each: each.version > reading.version)
        assert sums(funded) == (15_000_000, MINUTE, 1)
        await asyncio.to_thread(site.settle, call, 60)
        settled = await watcher.until(lambda each: each.open_calls == 0)
        assert sums(settled) == (15_000_000 - MINUTE, 0, 0)
        assert first.version < reading.version < funded.version < settled.version
        assert settled.read_time.ToMilliseconds() > first.read_time.ToMilliseconds()


async def test_many_watchers_hear_the_same_and_no_more_than_twice_a_second(site: Site) -> None:
    async with watching(site, 20) as watchers:
        began = time.monotonic()
        await asyncio.gather(*(watcher.next() for watcher in watchers))
        heard = [asyncio.create_task(listen(watcher, 10_000_000 + 40)) for watcher in watchers]
        for _ in range(40):
            await asyncio.to_thread(site.fund, 1)
        counts = await asyncio.gather(*heard)
        assert max(counts) <= 2 + (time.monotonic() - began) * 2


async def listen(watcher: Watcher, settled_micros: int) -> int:
    """How many answers came until the balance was this."""
    count = 1
    while (await watcher.next()).balance.settled_micros != settled_micros:
        count += 1
    return count


async def test_one_tenants_watcher_hears_nothing_of_another(
    site: Site, make_site: Callable[..., Site]
) -> None:
    other = make_site()
    async with watching(site) as (watcher,):
        await watcher.next()
        await asyncio.to_thread(other.fund, 1_000_000)
        silent = asyncio.create_task(watcher.next())
        await asyncio.wait([silent], timeout=1.2)
        assert not silent.done()
        await asyncio.to_thread(site.fund, 1)
        assert (await silent).balance.settled_micros == 10_000_001


async def test_an_unknown_tenant_is_refused(site: Site) -> None:
    async with grpc.aio.insecure_channel(site.service.address) as channel:
        watcher = Watcher(channel, site, "nobody-at-all")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await watcher.next()
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
