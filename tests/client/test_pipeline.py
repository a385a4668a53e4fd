"""A stream carries many operations, answers each by its id, and ends cleanly."""

import asyncio
import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from client.lying_server import LyingServer
from client.stream_kit import (
    TO,
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
    Cancelled,
    DeadlineExceeded,
    NotFound,
    RetrySettings,
    TooMuch,
    Unavailable,
    call_requests,
)
from talktime.ask import Defaults
from talktime.operations import MAX_MESSAGE_BYTES, MAX_MESSAGE_OPERATIONS
from talktime.v1 import authorization_service_pb2 as pb


async def test_a_hundred_operations_share_few_messages(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    server.serve = answering(book)
    async with client.exchange() as stream:
        answers = await asyncio.gather(*(ask(stream, n) for n in range(100)))
    assert [a.granted_seconds for a in answers] == list(range(100))
    assert [a.call_id for a in answers] == [f"c-{n}" for n in range(100)]
    assert server.streams == 1
    assert len(book.messages) <= 2
    assert book.operations[0].authorize.tenant_id == "acme"


async def test_answers_are_matched_by_id_in_whatever_order_they_come(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    def serve(messages: Iterator[bytes], context: Context) -> Iterator[bytes]:
        for operations in book.reads(messages):
            results = [grant(o) for o in operations]
            random.Random(7).shuffle(results)
            # Each alone, each twice, and one that nobody asked for.
            for result in results:
                yield replies([result, result])
            yield replies([pb.OperationResult(correlation_id=10**9, release=pb.ReleaseResponse())])

    server.serve = serve
    async with client.exchange() as stream:
        answers = await asyncio.gather(*(ask(stream, n) for n in range(50)))
    assert [a.granted_seconds for a in answers] == list(range(50))


async def test_every_operation_that_a_stream_carries(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    server.serve = answering(book)
    async with client.exchange() as stream:
        granted = await ask(stream, 7)
        extended = await stream.extend("c-7", 1, 300)
        settled = await stream.settle("c-7", 42)
        released = await stream.release("c-8")
    assert (granted.granted_seconds, extended.granted_seconds) == (7, 300)
    assert (settled.duration_seconds, settled.call_id) == (42, "c-7")
    assert released.state == "RELEASED"


async def test_an_operation_that_no_stream_carries_is_refused(client: AsyncClient) -> None:
    quote = call_requests.quote(Defaults("", 1.0, None), "alice", "USER_OUT", TO)
    async with client.exchange() as stream:
        with pytest.raises(ValueError, match="authorize, extend, settle, release"):
            await stream.submit(quote)


async def test_a_message_holds_no_more_operations_than_the_service_takes(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    server.serve = answering(book)
    async with client.exchange(max_in_flight=1000) as stream:
        await asyncio.gather(*(ask(stream, n) for n in range(600)))
    sizes = [len(pb.ExchangeRequest.FromString(m).operations) for m in book.messages]
    assert sum(sizes) == 600
    assert max(sizes) == MAX_MESSAGE_OPERATIONS


async def test_a_message_holds_no_more_bytes_than_the_service_takes(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    server.serve = answering(book)
    async with client.exchange() as stream:
        long = "x" * 10_000
        asks = (
            stream.authorize("alice", "USER_OUT", TO, call_id=f"c-{n}", conference_id=long)
            for n in range(20)
        )
        await asyncio.gather(*asks)
    assert len(book.operations) == 20
    assert MAX_MESSAGE_BYTES / 2 < max(map(len, book.messages)) <= MAX_MESSAGE_BYTES


async def test_an_operation_too_large_for_the_service_fails_alone(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    server.serve = answering(book)
    async with client.exchange() as stream:
        with pytest.raises(TooMuch) as caught:
            await stream.authorize("x" * 20_000, "USER_OUT", TO)
        assert (await ask(stream, 1)).authorized
    assert caught.value.outcome is Applied.NOT_APPLIED
    assert len(book.operations) == 1


async def test_a_failed_operation_raises_what_its_own_rpc_would(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    def answer(operation: pb.Operation) -> pb.OperationResult:
        if operation.authorize.call_id == "c-1":
            return failed_with(operation, Code.NOT_FOUND, "TENANT_UNKNOWN", "NOT_APPLIED")
        return grant(operation)

    server.serve = answering(book, answer)
    async with client.exchange() as stream:
        good, bad = await asyncio.gather(ask(stream, 2), failure(stream, 1))
    assert good.authorized
    assert type(bad) is NotFound
    assert (bad.reason, bad.outcome, bad.call_id) == ("TENANT_UNKNOWN", Applied.NOT_APPLIED, "c-1")


async def test_an_unavailable_operation_is_sent_again_alone(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    def answer(operation: pb.Operation) -> pb.OperationResult:
        if book.call_ids().count("c-1") < 3 and operation.authorize.call_id == "c-1":
            return failed_with(operation, Code.UNAVAILABLE, "STORE_AWAY", "NOT_APPLIED")
        return grant(operation)

    server.serve = answering(book, answer)
    async with client.exchange() as stream:
        answers = await asyncio.gather(ask(stream, 1), ask(stream, 2))
    assert [a.granted_seconds for a in answers] == [1, 2]
    assert Counter(book.call_ids()) == {"c-1": 3, "c-2": 1}
    assert server.streams == 1


async def test_an_operation_is_sent_three_times_and_no_more(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    outcomes = iter(["NOT_APPLIED", "UNKNOWN", "NOT_APPLIED"])
    server.serve = answering(
        book, lambda o: failed_with(o, Code.UNAVAILABLE, "STORE_AWAY", next(outcomes))
    )
    async with client.exchange() as stream:
        failed = await failure(stream, 1)
    assert type(failed) is Unavailable
    assert failed.outcome is Applied.UNKNOWN
    assert failed.attempts == len(book.operations) == 3


async def test_an_outage_behind_the_stream_adds_at_most_a_tenth_to_the_load(
    server: LyingServer, book: Book
) -> None:
    server.serve = answering(
        book, lambda o: failed_with(o, Code.UNAVAILABLE, "STORE_AWAY", "NOT_APPLIED")
    )
    soon = RetrySettings(first_wait_s=0.001, longest_wait_s=0.002)
    client = AsyncClient(server.target, "secret", timeout_s=2.0, retry=soon)
    async with client, client.exchange() as stream:
        await asyncio.gather(*(failure(stream, n) for n in range(100)))
    assert 100 <= len(book.operations) <= 110


@pytest.mark.parametrize("kind", ["settle", None])
async def test_an_answer_of_another_kind_is_not_believed(
    client: AsyncClient, server: LyingServer, book: Book, kind: str | None
) -> None:
    def answer(operation: pb.Operation) -> pb.OperationResult:
        result = pb.OperationResult(correlation_id=operation.correlation_id)
        if kind is not None:
            getattr(result, kind).SetInParent()
        return result

    server.serve = answering(book, answer)
    async with client.exchange() as stream:
        failed = await failure(stream, 1)
    assert (failed.reason, failed.outcome) == ("MALFORMED_ANSWER", Applied.UNKNOWN)


async def test_an_operation_without_an_answer_ends_at_its_deadline(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    server.serve = answering(book, lambda o: None if number_in(o) == 1 else grant(o))
    async with client.exchange() as stream:
        began_s = time.monotonic()
        failed, good = await asyncio.gather(failure(stream, 1, 0.1), ask(stream, 2))
        assert time.monotonic() - began_s < 1
        assert good.authorized
        assert type(failed) is DeadlineExceeded
        assert (failed.outcome, failed.call_id) == (Applied.UNKNOWN, "c-1")


async def test_no_more_are_in_flight_than_allowed_and_what_found_no_room_was_not_applied(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    server.serve = answering(book, lambda o: None)
    async with client.exchange(max_in_flight=4) as stream:
        timeouts = [0.6] * 4 + [0.2] * 6
        asks = (failure(stream, n, timeout_s) for n, timeout_s in enumerate(timeouts))
        failed = await asyncio.gather(*asks)
        assert len(book.operations) == 4
    outcomes = [f.outcome for f in failed]
    assert outcomes == [Applied.UNKNOWN] * 4 + [Applied.NOT_APPLIED] * 6


async def test_room_comes_back(client: AsyncClient, server: LyingServer, book: Book) -> None:
    server.serve = answering(book)
    async with client.exchange(max_in_flight=3) as stream:
        answers = await asyncio.gather(*(ask(stream, n) for n in range(50)))
    assert [a.granted_seconds for a in answers] == list(range(50))
    assert max(len(pb.ExchangeRequest.FromString(m).operations) for m in book.messages) <= 3


async def test_a_cancelled_caller_disturbs_nobody(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    server.serve = answering(book, lambda o: None if number_in(o) == 1 else grant(o))
    async with client.exchange() as stream:
        waiting = asyncio.create_task(ask(stream, 1))
        assert (await ask(stream, 2)).authorized
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await ask(stream, 3)).authorized


async def test_leaving_waits_for_what_is_under_way_and_ends_the_stream(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    asked, go = threading.Event(), threading.Event()

    def answer(operation: pb.Operation) -> pb.OperationResult:
        asked.set()
        go.wait(2)
        return grant(operation)

    server.serve = answering(book, answer)
    async with client.exchange() as stream:
        waiting = asyncio.create_task(ask(stream, 5))
        await asyncio.to_thread(asked.wait, 2)
        asyncio.get_running_loop().call_later(0.1, go.set)
    assert waiting.done()
    assert (await waiting).granted_seconds == 5
    assert await asyncio.to_thread(book.ended.wait, 2)
    with pytest.raises(RuntimeError, match="closed"):
        await ask(stream, 6)


async def test_leaving_without_having_asked_opens_no_stream(
    client: AsyncClient, server: LyingServer
) -> None:
    async with client.exchange():
        pass
    assert server.streams == 0


async def test_leaving_in_haste_waits_for_nothing(
    client: AsyncClient, server: LyingServer, book: Book
) -> None:
    server.serve = answering(book, lambda o: None)
    began_s = time.monotonic()
    with contextlib.suppress(KeyError):
        async with client.exchange() as stream:
            waiting = asyncio.create_task(ask(stream, 1))
            while not book.operations:
                await asyncio.sleep(0.005)
            raise KeyError
    with pytest.raises(Cancelled) as caught:
        await waiting
    assert caught.value.outcome is Applied.UNKNOWN
    assert time.monotonic() - began_s < 1.5


async def test_closing_the_client_ends_its_streams(server: LyingServer, book: Book) -> None:
    server.serve = answering(book, lambda o: None)
    client = AsyncClient(server.target, "secret", timeout_s=2.0)
    async with client.exchange() as stream:
        waiting = asyncio.create_task(failure(stream, 1))
        while not book.operations:
            await asyncio.sleep(0.005)
        await client.close()
        assert type(await waiting) is Cancelled
        assert type(await failure(stream, 2)) is Cancelled


def test_a_stream_needs_room_for_one(server: LyingServer) -> None:
    with pytest.raises(ValueError, match="max_in_flight"):
        AsyncClient(server.target, "secret").exchange(max_in_flight=0)
