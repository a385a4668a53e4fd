"""AsyncClient's calls share a stream by themselves when they are concurrent, and no call is worse off for it."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from client.lying_server import Hangs, LyingServer, failing, status_of
from client.stream_kit import (
    TO,
    Book,
    Code,
    Context,
    alone,
    answering,
    ask,
    failed_with,
    failure,
    grant,
    granted,
    number_in,
    stuck,
    until,
)
from talktime import (
    Applied,
    AsyncClient,
    Cancelled,
    DeadlineExceeded,
    RetrySettings,
    TalktimeError,
    TooMuch,
    Unavailable,
    batching,
)
from talktime.v1 import authorization_service_pb2 as pb
from talktime.v1 import status_pb2

SOON = RetrySettings(first_wait_s=0.001, longest_wait_s=0.002, budget_tokens=1_000)


@pytest.fixture
def server(server: LyingServer, book: Book) -> LyingServer:
    """Answers alike both ways."""
    server.script, server.serve = alone, answering(book)
    return server


async def test_a_call_that_is_alone_is_an_rpc_of_its_own(
    client: AsyncClient, server: LyingServer
) -> None:
    for number in range(3):
        await granted(client, range(number, number + 1))
    assert (server.streams, server.paths()) == (0, ["Authorize"] * 3)


async def test_concurrent_calls_share_one_stream_and_few_messages(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    await granted(client, range(100))
    assert (server.streams, len(server.seen), len(book.operations)) == (1, 1, 99)
    assert len(book.messages) <= 3
    assert book.operations[0].authorize.tenant_id == "acme"


async def test_every_kind_of_operation_goes_over_the_stream(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    await granted(client, range(2))
    extended = await client.extend("c-7", 1, 300)
    settled = await client.settle("c-7", 42)
    released = await client.release("c-8")
    assert (extended.granted_seconds, settled.duration_seconds) == (300, 42)
    assert released.state == "RELEASED"
    kinds = [o.WhichOneof("operation") for o in book.operations]
    assert kinds == ["authorize", "extend", "settle", "release"]
    assert server.paths() == ["Authorize"]


async def test_batching_can_be_switched_off(server: LyingServer) -> None:
    async with AsyncClient(server.target, "secret", timeout_s=2.0, batching=False) as client:
        await granted(client, range(50))
    assert (server.streams, len(server.seen)) == (0, 50)


async def test_a_stream_carries_the_clients_token(server: LyingServer, book: Book) -> None:
    seen: list[Any] = []

    def serve(messages: Iterator[bytes], context: Context) -> Iterator[bytes]:
        seen.append(dict(context.invocation_metadata())["authorization"])
        yield from answering(book)(messages, context)

    server.serve = serve
    async with AsyncClient(server.target, "secret", timeout_s=2.0) as client:
        await granted(client, range(5))
    assert seen == ["Bearer secret"]


async def test_more_callers_than_there_is_room_for_wait_their_turn(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    await granted(client, range(3_000))
    assert server.streams == 1
    assert len(book.operations) == 2_999
    assert max(len(pb.ExchangeRequest.FromString(m).operations) for m in book.messages) <= 256


@pytest.mark.parametrize(
    "code",
    [Code.NOT_FOUND, Code.ALREADY_EXISTS, Code.UNAVAILABLE, Code.INTERNAL, Code.UNAUTHENTICATED],
)
@pytest.mark.parametrize("outcome", list(Applied))
async def test_an_error_is_the_same_whichever_way_the_call_went(
    server: LyingServer, book: Book, code: Code, outcome: Applied
) -> None:
    server.script = [failing(code, "SOME_REASON", outcome=outcome)]
    server.serve = answering(book, lambda o: failed_with(o, code, "SOME_REASON", outcome))
    async with AsyncClient(server.target, "secret", timeout_s=2.0, retry=SOON) as client:
        by_rpc, by_stream = await asyncio.gather(failure(client, 1), failure(client, 2))
    assert len(server.seen) == len(book.operations) == by_rpc.attempts
    assert described(by_rpc) == described(by_stream)
    assert (by_rpc.call_id, by_stream.call_id) == ("c-1", "c-2")


def described(error: TalktimeError) -> tuple[object, ...]:
    return type(error), error.message, error.reason, error.outcome, error.facts, error.attempts


async def test_a_wait_the_service_asks_for_is_not_begun_when_there_is_no_time_for_it(
    server: LyingServer, book: Book
) -> None:
    retry = status_pb2.RetryInfo()
    retry.retry_delay.FromSeconds(5)
    away = status_of(Code.UNAVAILABLE, "DRAINING", retry, outcome="NOT_APPLIED")
    server.serve = answering(
        book, lambda o: pb.OperationResult(correlation_id=o.correlation_id, error=away)
    )
    async with AsyncClient(server.target, "secret", timeout_s=2.0) as hasty:
        began_s = time.monotonic()
        _, failed = await asyncio.gather(ask(hasty, 1), failure(hasty, 2))
    assert time.monotonic() - began_s < 1.9
    assert (type(failed), failed.attempts, len(book.operations)) == (Unavailable, 1, 1)


async def test_an_attempt_on_the_stream_has_its_own_limit(server: LyingServer, book: Book) -> None:
    server.serve = answering(book, lambda o: None)
    limited = RetrySettings(attempt_timeout_s=0.5)
    async with AsyncClient(server.target, "secret", timeout_s=2.0, retry=limited) as client:
        began_s = time.monotonic()
        _, failed = await asyncio.gather(ask(client, 1), failure(client, 2))
    assert time.monotonic() - began_s < 1.9
    assert (type(failed), failed.outcome) == (DeadlineExceeded, Applied.UNKNOWN)


async def test_an_operation_too_large_fails_alone_and_tells_its_call(
    client: AsyncClient, server: LyingServer
) -> None:
    asks = [ask(client, 1), client.authorize("x" * 20_000, "USER_OUT", TO, call_id="c-2")]
    good, bad = await asyncio.gather(*asks, return_exceptions=True)
    assert not isinstance(good, BaseException)
    assert isinstance(bad, TooMuch)
    assert (bad.outcome, bad.call_id) == (Applied.NOT_APPLIED, "c-2")


async def test_an_emergency_call_waits_for_no_stream(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    """Not for one that takes nothing more, nor for room on it, nor for the connection that it has filled."""
    server.serve = stuck
    long = "x" * 10_000
    crowd = [
        asyncio.create_task(
            client.authorize("alice", "USER_OUT", TO, call_id=f"c-{n}", conference_id=long)
        )
        for n in range(1_500)
    ]
    await asyncio.to_thread(until, lambda: server.streams == 1)
    await asyncio.sleep(0.1)
    for number in ("112", "911"):
        began_s = time.monotonic()
        assert (await client.authorize("alice", "USER_OUT", number, call_id="help")).authorized
        assert time.monotonic() - began_s < 1.5
    for caller in crowd:
        caller.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)


async def test_a_service_that_stops_reading_is_left_for_another_stream(
    server: LyingServer, book: Book
) -> None:
    """What it had been sent is in doubt, what it had not was answered by the other or not applied, and the next calls are."""
    streams = iter([stuck])
    server.serve = lambda messages, context: next(streams, answering(book))(messages, context)
    long = "x" * 10_000
    async with AsyncClient(server.target, "secret", timeout_s=1.0) as client:
        await ask(client, 1)
        asks = (
            client.authorize("alice", "USER_OUT", TO, call_id=f"c-{n}", conference_id=long)
            for n in range(1_500)
        )
        ended = await asyncio.gather(*asks, return_exceptions=True)
        late = [e for e in ended if isinstance(e, DeadlineExceeded)]
        assert len(late) + sum(getattr(e, "authorized", False) for e in ended) == 1_500
        outcomes = [e.outcome for e in late]
        assert set(outcomes) <= {Applied.UNKNOWN, Applied.NOT_APPLIED}
        assert 0 < outcomes.count(Applied.UNKNOWN) <= batching.MOST_IN_FLIGHT
        while server.streams < 2:  # a loop that was late itself blames no stream
            with suppress(DeadlineExceeded):
                await granted(client, range(20))
        await granted(client, range(20))
    assert server.streams == 2


async def test_what_is_cancelled_disturbs_nobody(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    server.serve = answering(book, lambda o: None if number_in(o) % 2 else grant(o))
    crowd = [asyncio.create_task(ask(client, n)) for n in range(100)]
    await asyncio.sleep(0.05)
    for caller in crowd[1::2]:
        caller.cancel()
    ended = await asyncio.gather(*crowd, return_exceptions=True)
    assert all(isinstance(e, asyncio.CancelledError) for e in ended[1::2])
    assert [getattr(e, "granted_seconds", None) for e in ended[::2]] == list(range(0, 100, 2))


async def test_closing_ends_calls_under_way_with_what_is_known_of_them(
    server: LyingServer, book: Book
) -> None:
    server.script, server.serve = [Hangs()], answering(book, lambda o: None)
    client = AsyncClient(server.target, "secret", timeout_s=2.0)
    crowd = [asyncio.create_task(failure(client, n)) for n in range(1_100)]
    await asyncio.to_thread(until, lambda: len(book.operations) == batching.MOST_IN_FLIGHT)
    began_s = time.monotonic()
    await client.close()
    ended = await asyncio.gather(*crowd)
    assert time.monotonic() - began_s < 1
    assert {type(e) for e in ended} == {Cancelled}
    assert [e.outcome for e in ended].count(Applied.NOT_APPLIED) == 1_099 - batching.MOST_IN_FLIGHT
    with pytest.raises(RuntimeError, match="closed"):
        await ask(client, 1)


async def test_closing_ends_an_idle_stream_with_a_word_to_the_service(
    server: LyingServer, book: Book
) -> None:
    async with AsyncClient(server.target, "secret", timeout_s=2.0) as client:
        await granted(client, range(5))
    assert await asyncio.to_thread(book.ended.wait, 2)


async def test_closing_does_not_wait_for_a_service_that_is_silent(
    server: LyingServer, book: Book
) -> None:
    server.serve = answering(book, lambda o: None)
    client = AsyncClient(server.target, "secret", timeout_s=0.5)
    await asyncio.gather(ask(client, 1), failure(client, 2))
    server.serve = stuck
    began_s = time.monotonic()
    await client.close()
    assert time.monotonic() - began_s < 1


LEAVES = """
import asyncio, sys
from talktime import AsyncClient

async def main():
    client = AsyncClient(sys.argv[1], "secret", timeout_s=2.0)
    calls = [asyncio.create_task(client.settle(f"c-{n}", 1)) for n in range(50)]
    await asyncio.wait(calls, timeout=1.5)

asyncio.run(main())
"""


def test_a_loop_that_ends_below_calls_under_way_ends_quietly(
    server: LyingServer, book: Book
) -> None:
    server.script, server.serve = [Hangs()], answering(book, lambda o: None)
    left = subprocess.run(
        [sys.executable, "-c", LEAVES, server.target],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (left.returncode, left.stderr) == (0, "")
    assert len(book.operations) == 49
