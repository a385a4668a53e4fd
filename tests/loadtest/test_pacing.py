"""When operations leave, and which latencies that gives."""

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise

from loadtest.kit import UNARY, Told, authorized, generate, grpc_server
from talktime_loadtest.asking import Kind
from talktime_loadtest.orders import Orders
from talktime_loadtest.pacing import Arrivals

RATE_PER_S = 1_000.0
STALL_S = 0.4
AUTHORIZE = replace(UNARY, mix={Kind.AUTHORIZE: 1}, seconds=1.0, settle_all=False)


def test_arrivals_are_as_many_as_asked_and_know_nothing_of_each_other() -> None:
    arrivals = Arrivals(RATE_PER_S, seed=7)
    arrivals.begin(0.0)
    moments = [moment for now in range(1, 41) for moment in arrivals.until(now / 2)]
    pauses = [after - before for before, after in pairwise(moments)]
    assert moments == sorted(moments)
    assert abs(statistics.mean(pauses) * RATE_PER_S - 1) < 0.03
    # Of a Poisson process the pauses spread as widely as they are long on average.
    assert abs(statistics.stdev(pauses) * RATE_PER_S - 1) < 0.05


async def test_an_open_loop_shows_a_stall_and_a_closed_loop_hides_it() -> None:
    """While the server stands still, whoever would have called then waits too, and is counted."""
    open_loop = await _stalled(replace(AUTHORIZE, rate_per_s=300.0, in_flight=1_000))
    closed = await _stalled(replace(AUTHORIZE, in_flight=4))
    half_us = STALL_S / 2 * 1e6
    waited, hidden = (
        sum(us >= half_us for us in told.latencies_us()) for told in (open_loop, closed)
    )
    assert hidden <= 4 * 4  # four for each stall, of which the machine may have some of its own
    # So many were due in the first half of the stall.
    assert waited > 300 * STALL_S / 2 / 2


async def test_an_operation_without_room_is_dropped_and_told() -> None:
    async def slow() -> None:
        await asyncio.sleep(0.5)

    told = await _served(slow, replace(AUTHORIZE, rate_per_s=500.0, in_flight=5, seconds=0.4))
    assert told.errors["DROPPED_BY_GENERATOR"] > 0


async def _stalled(orders: Orders) -> Told:
    gate = asyncio.Event()
    gate.set()

    async def stall() -> None:
        gate.clear()
        await asyncio.sleep(STALL_S)
        gate.set()

    calls = 0
    stalls: list[asyncio.Task[None]] = []

    async def pass_gate() -> None:
        nonlocal calls
        calls += 1
        if calls == 20:
            stalls.append(asyncio.create_task(stall()))
            await asyncio.sleep(0)
        await gate.wait()

    told = await _served(pass_gate, orders)
    await asyncio.gather(*stalls)
    return told


async def _served(first: Callable[[], Awaitable[None]], orders: Orders) -> Told:
    async def answer(_: str, __: bytes) -> bytes:
        await first()
        return authorized()

    async with grpc_server(answer) as port:
        return await generate(replace(orders, port=port))
