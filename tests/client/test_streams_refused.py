"""Where streams do not work, AsyncClient's calls are RPCs of their own, and tell what those would tell."""

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from client.lying_server import Fails, LyingServer, fail, failing
from client.stream_kit import (
    Book,
    Code,
    Context,
    alone,
    answering,
    ask,
    failure,
    granted,
    stuck,
)
from talktime import (
    Applied,
    AsyncClient,
    DeadlineExceeded,
    RetrySettings,
    TalktimeError,
    Unavailable,
    batching,
)

# gRPC may lose a stream's status to a write that met its end; then the next stream gets it.
REFUSED_ONCE = (1, 2)
TRIES = 40


@pytest.fixture
def server(server: LyingServer, book: Book) -> LyingServer:
    """Answers alike both ways."""
    server.script, server.serve = alone, answering(book)
    return server


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that failed are not tried again within a test, however slow it is."""
    monkeypatch.setattr(batching, "_FIRST_PAUSE_S", 60.0)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("attempts", [3, 4])  # of one or two gRPC may lose the status
async def test_a_service_without_exchange_is_asked_by_rpcs(
    server: LyingServer, attempts: int
) -> None:
    server.serve = lambda messages, context: fail(context, Fails(Code.UNIMPLEMENTED))
    retry = RetrySettings(attempts=attempts)
    async with AsyncClient(server.target, "secret", timeout_s=2.0, retry=retry) as client:
        for _ in range(3):
            await granted(client, range(40))
    assert server.streams in REFUSED_ONCE
    assert len(server.seen) == 120


async def test_an_error_after_a_refused_stream_is_that_of_the_rpc(server: LyingServer) -> None:
    """gRPC may lose the status of a refused stream, and then nobody knows: so it is tried until it does not."""
    server.serve = lambda messages, context: fail(context, Fails(Code.UNIMPLEMENTED))
    freely = RetrySettings(first_wait_s=0.001, longest_wait_s=0.002, budget_tokens=1_000)
    ends = []
    for _ in range(TRIES):
        server.script = [failing(Code.UNAVAILABLE, "STORE_AWAY", outcome="NOT_APPLIED")]
        async with AsyncClient(server.target, "secret", timeout_s=2.0, retry=freely) as client:
            failed = await asyncio.gather(*(failure(client, n) for n in range(2)))
        assert {f.attempts for f in failed} == {3}
        ends.append({f.outcome for f in failed})
        if ends[-1] == {Applied.NOT_APPLIED}:
            break
    assert {Applied.NOT_APPLIED} in ends
    assert set().union(*ends) <= {Applied.NOT_APPLIED, Applied.UNKNOWN}


@pytest.mark.usefixtures("patient")
async def test_a_service_with_too_many_streams_is_asked_by_rpcs(server: LyingServer) -> None:
    crowded = failing(Code.RESOURCE_EXHAUSTED, "OVERLOADED", outcome="NOT_APPLIED")
    server.serve = lambda messages, context: fail(context, crowded)
    async with AsyncClient(server.target, "secret", timeout_s=2.0) as client:
        await granted(client, range(40))
    assert server.streams in REFUSED_ONCE
    assert len(server.seen) == 40


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    "cut",
    [
        lambda context: None,
        lambda context: fail(context, Fails(Code.INTERNAL)),
        lambda context: fail(context, Fails(Code.UNKNOWN)),
        lambda context: fail(context, Fails(Code.DEADLINE_EXCEEDED)),
        lambda context: fail(context, Fails(Code.UNAVAILABLE)),
    ],
    ids=["a clean end", "internal", "unknown", "deadline exceeded", "unavailable"],
)
async def test_a_proxy_that_cuts_streams_is_passed_by_rpcs(
    client: AsyncClient, server: LyingServer, cut: Callable[[Context], None]
) -> None:
    def serve(messages: Iterator[bytes], context: Context) -> Iterator[bytes]:
        next(messages)
        cut(context)
        return iter(())

    server.serve = serve
    for _ in range(3):
        await granted(client, range(40))
    assert (server.streams, len(server.seen)) == (2, 120)


async def test_one_attempt_means_none_again_also_when_a_stream_is_cut(server: LyingServer) -> None:
    def serve(messages: Iterator[bytes], context: Context) -> Iterator[bytes]:
        next(messages)
        return iter(())

    server.serve = serve
    once = RetrySettings(attempts=1)
    async with AsyncClient(server.target, "secret", timeout_s=2.0, retry=once) as client:
        _, failed = await asyncio.gather(ask(client, 1), failure(client, 2))
    assert (type(failed), failed.outcome) == (Unavailable, Applied.UNKNOWN)
    assert (failed.attempts, len(server.seen)) == (1, 1)


@pytest.mark.usefixtures("patient")
async def test_a_proxy_that_swallows_streams_costs_a_few_deadlines_and_no_more(
    server: LyingServer,
) -> None:
    server.serve = stuck
    async with AsyncClient(server.target, "secret", timeout_s=2.0) as client:
        failed: list[TalktimeError] = []
        while not failed or server.streams < 2:
            ended = await asyncio.gather(
                *(ask(client, n, 0.25) for n in range(5)), return_exceptions=True
            )
            failed += [e for e in ended if isinstance(e, TalktimeError)]
        assert {type(e) for e in failed} == {DeadlineExceeded}
        await granted(client, range(40))
        assert server.streams == 2


async def test_streams_are_tried_again_after_a_pause_that_grows(
    server: LyingServer, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "_FIRST_PAUSE_S", 0.05)
    came_s: list[float] = []

    def refuse(messages: Iterator[bytes], context: Context) -> Iterator[bytes]:
        came_s.append(time.monotonic())
        fail(context, Fails(Code.UNIMPLEMENTED))

    server.serve = refuse
    async with AsyncClient(server.target, "secret", timeout_s=2.0) as client:
        tries: list[
            list[float]
        ] = []  # one that gRPC loses the status of is followed at once by another
        while len(tries) < 4:
            known = len(came_s)
            await granted(client, range(3))
            if came_s[known:]:
                tries.append(came_s[known:])
        pauses = [later[0] - earlier[-1] for earlier, later in pairwise(tries)]
        assert pauses[0] >= 0.04
        assert pauses[1] >= 0.08
        assert pauses[2] >= 0.16
        server.serve = answering(book)
        while not book.operations:
            await granted(client, range(3))
