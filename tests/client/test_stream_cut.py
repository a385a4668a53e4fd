"""A stream cut at any byte, with many operations on it: each is answered once, with its own answer, and none is altered."""

import asyncio
import random

import pytest

from client.cutting_proxy import CuttingProxy, Way, cutting
from client.lying_server import LyingServer
from client.stream_kit import Book, alone, answering, ask
from talktime import AsyncClient, Exchange

IN_FLIGHT = 256
ROUNDS = 3
CUTS_EACH = 6
# What all rounds together send each way is more than this, so that every cut comes.
MOST_BYTES = {Way.UP: 24_000, Way.DOWN: 8_000}


@pytest.fixture
def server(server: LyingServer, book: Book) -> LyingServer:
    server.script, server.serve = alone, answering(book)
    return server


def places(way: Way) -> list[int]:
    """Where to cut: in the headers, and anywhere in the messages."""
    chance = random.Random(way.value)
    return [1, 50, 200, *(chance.randint(1, MOST_BYTES[way]) for _ in range(CUTS_EACH))]


@pytest.mark.parametrize("way", list(Way))
async def test_concurrent_calls_survive_a_cut_at_any_byte(
    server: LyingServer, book: Book, way: Way
) -> None:
    for left_bytes in places(way):
        async with (
            cutting(server.port, way, left_bytes) as proxy,
            AsyncClient(proxy.target, "secret", tenant_id="acme", timeout_s=2.0) as client,
        ):
            await all_answered(client, book, proxy)


@pytest.mark.parametrize("way", list(Way))
async def test_a_stream_of_ones_own_survives_a_cut_at_any_byte(
    server: LyingServer, book: Book, way: Way
) -> None:
    for left_bytes in places(way):
        async with (
            cutting(server.port, way, left_bytes) as proxy,
            AsyncClient(proxy.target, "secret", tenant_id="acme", timeout_s=2.0) as client,
            client.exchange() as stream,
        ):
            await all_answered(stream, book, proxy)
            in_order(book)


async def all_answered(stream: Exchange | AsyncClient, book: Book, proxy: CuttingProxy) -> None:
    """Every call has its own answer, and what came more than once to the service was the same each time."""
    assert (await ask(stream, 0)).authorized
    book.operations.clear()
    # A connection that does not come about is another story: then nothing was asked.
    proxy.armed = True
    for start in range(0, ROUNDS * IN_FLIGHT, IN_FLIGHT):
        numbers = range(start, start + IN_FLIGHT)
        answers = await asyncio.gather(*(ask(stream, n) for n in numbers))
        assert [a.granted_seconds for a in answers] == list(numbers)
    assert proxy.cuts == 1
    requests: dict[str, set[bytes]] = {}
    for operation in book.operations:
        body = operation.authorize.SerializeToString(deterministic=True)
        requests.setdefault(operation.authorize.call_id, set()).add(body)
    assert all(len(bodies) == 1 for bodies in requests.values())


def in_order(book: Book) -> None:
    """The first time that each operation came, it came after those asked before it; so did the last time."""
    for order in (book.call_ids(), book.call_ids()[::-1]):
        marks = [int(call_id.removeprefix("c-")) for call_id in dict.fromkeys(order)]
        assert marks in (sorted(marks), sorted(marks, reverse=True))
