"""A stream that breaks loses no operation and doubles none."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from client.lying_server import Fails, LyingServer, Serve, fail, failing
from client.stream_kit import (
    Book,
    Code,
    Context,
    answering,
    ask,
    failed_with,
    failure,
    grant,
    number_in,
    replies,
)
from talktime import (
    Applied,
    AsyncClient,
    DeadlineExceeded,
    Exchange,
    InternalError,
    NotAuthenticated,
    TalktimeError,
    Unavailable,
)
from talktime.v1 import authorization_service_pb2 as pb


def breaking(book: Book, how: Callable[[Context], None]) -> Serve:
    """The first stream answers the even operations of its first message and breaks; the next ones answer all."""
    first = [True]

    def serve(messages: Iterator[bytes], context: Context) -> Iterator[bytes]:
        breaks, first[0] = first[0], False
        for operations in book.reads(messages):
            if breaks:
                yield replies([grant(o) for o in operations if number_in(o) % 2 == 0])
                how(context)
                return
            yield replies([grant(o) for o in operations])

    return serve


@pytest.mark.parametrize(
    "how",
    [
        lambda context: fail(context, Fails(Code.UNAVAILABLE)),
        lambda context: fail(context, failing(Code.UNAVAILABLE, "DRAINING", outcome="UNKNOWN")),
        lambda context: None,
    ],
    ids=["unavailable", "draining", "a clean end"],
)
async def test_a_broken_stream_is_opened_again_and_the_unanswered_replayed_in_order(
    client: AsyncClient, server: LyingServer, book: Book, how: Callable[[Context], None]
) -> None:
    server.serve = breaking(book, how)
    async with client.exchange() as stream:
        answers = await asyncio.gather(*(ask(stream, n) for n in range(40)))
    assert [a.granted_seconds for a in answers] == list(range(40))
    assert server.streams == 2
    replayed = book.operations[40:]
    assert [number_in(o) for o in replayed] == list(range(1, 40, 2))
    assert replayed == book.operations[1:40:2]


async def test_a_server_that_dies_and_comes_back_answers_everything(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    """More than the budget's tokens are under way: a restart is one failure, not one for each."""
    died = threading.Event()

    def serve(messages: Iterator[bytes], context: Context) -> Iterator[bytes]:
        for operations in book.reads(messages):
            if not died.is_set():
                died.set()
                threading.Thread(target=_restart, args=(server,)).start()
                return
            yield replies([grant(o) for o in operations])

    server.serve = serve
    async with client.exchange() as stream:
        answers = await asyncio.gather(*(ask(stream, n) for n in range(100)))
    assert [a.granted_seconds for a in answers] == list(range(100))


def _restart(server: LyingServer) -> None:
    server.stop()
    server.start()


async def test_a_stream_that_always_breaks_is_given_up(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    def serve(messages: Iterator[bytes], context: Context) -> Iterator[bytes]:
        for _ in book.reads(messages):
            fail(context, Fails(Code.UNAVAILABLE))
        return iter(())

    server.serve = serve
    async with client.exchange() as stream:
        failed = await asyncio.gather(*(failure(stream, n) for n in range(5)))
    assert {type(f) for f in failed} == {Unavailable}
    assert {f.outcome for f in failed} == {Applied.UNKNOWN}
    assert {f.attempts for f in failed} == {3}
    assert server.streams == 3


async def test_without_a_service_nothing_was_applied_and_the_stream_recovers(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    server.serve = answering(book)
    async with client.exchange() as stream:
        assert (await ask(stream, 0)).authorized
        server.stop()
        await asyncio.to_thread(book.ended.wait, 2)
        failed = await asyncio.gather(*(failure(stream, n, 0.25) for n in range(20)))
        assert {f.outcome for f in failed} == {Applied.NOT_APPLIED}
        assert {type(f) for f in failed} <= {Unavailable, DeadlineExceeded}
        server.start()
        end_s = time.monotonic() + 3
        while not await _granted(stream):
            assert time.monotonic() < end_s
            await asyncio.sleep(0.02)


async def _granted(stream: Exchange) -> bool:
    try:
        return (await ask(stream, 1)).authorized
    except TalktimeError:
        return False


async def test_a_stream_that_is_refused_fails_what_it_carried_and_no_more(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    def refuse(messages: Iterator[bytes], context: Context) -> Iterator[bytes]:
        refusal = failing(Code.UNAUTHENTICATED, "TOKEN_UNKNOWN", outcome="NOT_APPLIED")
        fail(context, refusal)
        return iter(())

    server.serve = refuse
    async with client.exchange() as stream:
        failed = await asyncio.gather(*(failure(stream, n) for n in range(3)))
        assert {type(f) for f in failed} == {NotAuthenticated}
        assert {f.call_id for f in failed} == {"c-0", "c-1", "c-2"}
        # gRPC may lose the status to a write that met the end; then the next stream gets it.
        assert 1 <= server.streams <= 3
        server.serve = answering(book)
        assert (await ask(stream, 4)).authorized


async def test_an_answer_that_is_garbage_leaves_the_outcome_unknown(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    def serve(messages: Iterator[bytes], context: Context) -> Iterator[bytes]:
        for _ in book.reads(messages):
            yield b"\xff\xff\xffgarbage"

    server.serve = serve
    async with client.exchange() as stream:
        failed = await failure(stream, 1)
    assert type(failed) is InternalError
    assert (failed.reason, failed.outcome) == ("MALFORMED_ANSWER", Applied.UNKNOWN)
    assert len(book.operations) == 1


async def test_streams_that_end_between_operations_cost_none(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    def serve(messages: Iterator[bytes], context: Context) -> Iterator[bytes]:
        for operations in book.reads(messages):
            yield replies([grant(o) for o in operations])
            fail(context, Fails(Code.UNAVAILABLE))

    server.serve = serve
    async with client.exchange() as stream:
        for number in range(4):
            assert (await ask(stream, number)).granted_seconds == number
    assert server.streams > 1


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_the_service_does_no_operation_gets_the_answer_of_another(
    client: AsyncClient, server: LyingServer, book: Book, seed: int
) -> None:
    """Late, shuffled, doubled, missing, failed and cut answers: each operation ends with its own answer or an error."""
    chance = random.Random(seed)

    def serve(messages: Iterator[bytes], context: Context) -> Iterator[bytes]:
        late: list[pb.OperationResult] = []
        for operations in book.reads(messages):
            late += [_some_answer(o, chance) for o in operations]
            chance.shuffle(late)
            now, late = late[: len(late) * 3 // 4], late[len(late) * 3 // 4 :]
            yield replies(now + now[:2])
            if chance.random() < 0.3:
                fail(context, Fails(Code.UNAVAILABLE))

    server.serve = serve
    async with client.exchange(max_in_flight=20) as stream:
        ended = await asyncio.gather(*(_ended(stream, n) for n in range(200)))
    assert all(number in (n, None) for n, number in enumerate(ended))
    assert sum(number is not None for number in ended) > 50


def _some_answer(operation: pb.Operation, chance: random.Random) -> pb.OperationResult:
    if chance.random() < 0.05:
        return failed_with(operation, Code.UNAVAILABLE, "STORE_AWAY", "NOT_APPLIED")
    return grant(operation)


async def _ended(stream: Exchange, number: int) -> int | None:
    try:
        return (await ask(stream, number, 1.0)).granted_seconds
    except TalktimeError:
        return None
