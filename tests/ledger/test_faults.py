"""A store that answers late, not at all, or is gone: the ledger says what it knows, never asks twice, and the id makes it whole."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import pytest
import pytest_asyncio

from ledger.proxy import Fault, Proxy, open_proxy
from ledger.world import World, open_world
from stores import StoreProcess
from talktime_server.failure import Applied, NotFound, StoreAway
from talktime_server.ledger.operations import Funding, Outcome
from talktime_server.ledger.store import GATHERED, UNDER_WAY

TIMEOUT_S = 0.5
# A caller waits for a connection, then for its greeting, then for the answer; the rest is for a busy machine.
PATIENCE_S = 3 * TIMEOUT_S + 4.0
BROKEN = [Fault.LOSE_ANSWER, Fault.HANG_UP_AFTER, Fault.HANG_UP_BEFORE]
RAN = {Fault.LOSE_ANSWER, Fault.HANG_UP_AFTER}


@dataclass(frozen=True, slots=True)
class BadLine:
    """The same tenant twice: over a line that may be hurt, and directly."""

    proxy: Proxy
    far: World
    near: World


@pytest_asyncio.fixture
async def line(own_store: StoreProcess) -> AsyncIterator[BadLine]:
    async with (
        open_world(own_store.url, "acme") as near,
        open_proxy(own_store.socket) as proxy,
        open_world(proxy.url, "acme", timeout_s=TIMEOUT_S) as far,
    ):
        await near.fund(10_000)
        await near.authorize("open", 600)
        await know_scripts(near)
        yield BadLine(proxy, far, near)


async def know_scripts(world: World) -> None:
    """Lets the store meet every script, so that an answer lost is the answer of one that ran."""
    for ask in (world.settle("nobody", 60), world.release("nobody"), world.extend("nobody", 1, 60)):
        with suppress(NotFound):
            await ask


OPERATIONS: dict[str, Callable[[World], Awaitable[object]]] = {
    "authorize": lambda world: world.authorize("new", 600),
    "extend": lambda world: world.extend("open", 1, 600),
    "settle": lambda world: world.settle("open", 61),
    "release": lambda world: world.release("open"),
    "fund": lambda world: world.ledger.funds.add("acme", "f1", 7, 30),
}


@pytest.mark.parametrize("fault", BROKEN, ids=str)
@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_answer_that_is_lost_leaves_the_outcome_unknown_and_one_effect(
    line: BadLine, name: str, fault: Fault
) -> None:
    """Semantics 6 and 83: nothing is asked twice behind the caller's back; its repeat gets the first answer."""
    operation = OPERATIONS[name]
    before = (await line.near.prove()).entries
    line.proxy.fault, line.proxy.scripts = fault, 0
    with pytest.raises(StoreAway) as caught:
        await operation(line.far)
    assert (caught.value.reason, caught.value.applied) == ("STORE_SILENT", Applied.UNKNOWN)
    assert line.proxy.scripts == (fault in RAN)
    again = await operation(line.near)
    assert isinstance(again, Outcome | Funding)
    assert again.replayed == (fault in RAN)
    proof = await line.near.prove()
    assert proof.entries == before + 1
    assert proof.conserved


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_store_that_is_not_there_was_not_asked(line: BadLine, name: str) -> None:
    """Promise 2: the word says that nothing happened, and nothing did."""
    before = (await line.near.prove()).entries
    await line.far.store.close()
    async with open_world(line.proxy.url, "acme", timeout_s=TIMEOUT_S) as far:
        line.proxy.socket.unlink()
        await line.proxy.hang_up()
        with pytest.raises(StoreAway) as caught:
            await OPERATIONS[name](far)
        assert (caught.value.reason, caught.value.applied) == ("STORE_AWAY", Applied.NOT_APPLIED)
    assert (await line.near.prove()).entries == before


async def test_an_answer_that_comes_too_late_is_never_taken_for_another_ones(
    line: BadLine,
) -> None:
    """Semantics 82: a connection with an answer on its way is thrown away."""
    await line.near.fund(10**6, "more")
    line.proxy.fault, line.proxy.delay_s = Fault.DELAY, 2 * TIMEOUT_S
    with pytest.raises(StoreAway) as caught:
        await line.far.authorize("late", 60)
    assert caught.value.applied is Applied.UNKNOWN
    line.proxy.fault = Fault.NONE
    calls = {n: line.far.authorize(f"c{n}", 60 * n) for n in range(1, 41)}
    for n, outcome in zip(calls, await asyncio.gather(*calls.values()), strict=True):
        assert outcome.call.granted_seconds == 60 * n
    assert (await line.near.authorize("late", 60)).replayed


async def test_callers_that_repeat_until_they_are_answered_pay_once(line: BadLine) -> None:
    """Semantics 3 and 6: three answers in ten are lost, and nobody sees it in the money."""
    chance = Random(7)

    async def until_answered(ask: Callable[[], Awaitable[Outcome]]) -> Outcome:
        while True:
            line.proxy.fault = Fault.HANG_UP_AFTER if chance.random() < 0.3 else Fault.NONE
            with suppress(StoreAway):
                return await ask()

    async def call(n: int) -> None:
        await until_answered(lambda: line.far.authorize(f"c{n}", 60))
        settled = await until_answered(lambda: line.far.settle(f"c{n}", 60))
        assert settled.call.ending is not None
        assert settled.call.ending.charged_micros == 60

    await asyncio.gather(*(call(n) for n in range(100)))
    proof = await line.near.prove()
    assert (proof.balance.spent_micros, proof.balance.open_calls) == (6000, 1)
    assert proof.conserved


@pytest.mark.parametrize("met", [True, False])
async def test_a_store_that_stands_still_keeps_nobody_waiting(
    line: BadLine, own_store: StoreProcess, met: bool
) -> None:
    """Semantics 81 and 82: every caller is answered in time, and NOT_APPLIED is never wrong afterwards."""
    if met:
        await line.far.authorize("before", 60)
    own_store.signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        told = await asyncio.gather(
            *(line.far.authorize(f"c{n}", 60) for n in range(3000)), return_exceptions=True
        )
        took_s = time.monotonic() - began
    finally:
        own_store.signal(signal.SIGCONT)
    assert took_s < PATIENCE_S
    assert all(isinstance(each, StoreAway) for each in told)
    doubtful = [each for each in told if getattr(each, "applied", None) is Applied.UNKNOWN]
    # Who had not left yet is in no doubt.
    assert len(doubtful) == (UNDER_WAY * GATHERED if met else 0)
    for n, failure in enumerate(told):
        if isinstance(failure, StoreAway) and failure.applied is Applied.NOT_APPLIED:
            with pytest.raises(NotFound):
                await line.near.ledger.show("acme", f"c{n}")
    assert (await line.near.prove()).conserved


async def test_a_caller_that_gives_up_disturbs_nobody(line: BadLine) -> None:
    """Semantics 85: its operation was on the way with others; they get their answers, and so does its repeat."""
    line.proxy.fault, line.proxy.delay_s = Fault.DELAY, TIMEOUT_S / 5
    callers = [asyncio.create_task(line.far.authorize(f"c{n}", 60)) for n in range(60)]
    await asyncio.sleep(0)
    given_up = callers[::3]
    for caller in given_up[:10]:
        caller.cancel()
    while line.proxy.scripts == 0:
        await asyncio.sleep(0.001)
    for caller in given_up[10:]:
        caller.cancel()
    told = await asyncio.gather(*callers, return_exceptions=True)
    for n, each in enumerate(told):
        assert isinstance(each, asyncio.CancelledError if n % 3 == 0 else Outcome)
    line.proxy.fault = Fault.NONE
    for n in range(60):
        await line.near.authorize(f"c{n}", 60)
    proof = await line.near.prove()
    assert (proof.balance.open_calls, proof.balance.money.held_micros) == (61, 60 * 60 + 600)
    assert proof.conserved


async def test_giving_up_on_a_batch_leaves_connections_and_answers_in_order(
    line: BadLine,
) -> None:
    """A hundred times: no connection is left with somebody else's answer on it."""
    for n in range(100):
        caller = asyncio.create_task(line.far.authorize(f"c{n}", 60))
        for _ in range(n % 7):
            await asyncio.sleep(0)
        caller.cancel()
        with suppress(asyncio.CancelledError):
            await caller
        shown = await line.near.ledger.show("acme", "open")
        assert (await line.far.ledger.show("acme", "open")) == shown
    assert (await line.near.prove()).conserved
