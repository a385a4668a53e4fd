"""Answers that are streams: rows of an export and readings of a balance, over connections that break."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import grpc
import pytest

from client.lying_server import Fails, Hangs, LyingServer, Parts, failing, sent
from talktime import (
    AsyncClient,
    CallFilter,
    Client,
    InternalError,
    NotFound,
    RetrySettings,
    Unavailable,
)
from talktime.v1 import account_service_pb2 as pb
from talktime.v1.authorization_service_pb2 import Balance

Make = Callable[..., Any]
AWAY = Fails(grpc.StatusCode.UNAVAILABLE)


def part(first: int, count: int, of: int = 0) -> pb.ExportCallsResponse:
    rows = [pb.UsageRow(usage_id=str(first + each)) for each in range(count)]
    return pb.ExportCallsResponse(rows=rows, row_count=of)


def money(version: int, settled_micros: int) -> pb.WatchBalanceResponse:
    told = pb.WatchBalanceResponse(
        version=version, balance=Balance(settled_micros=settled_micros, currency_code="USD")
    )
    told.read_time.FromSeconds(1_800_000_000 + version)
    return told


def test_an_export_gives_every_row_and_its_progress(make: Make, server: LyingServer) -> None:
    server.script = [Parts([part(0, 500, of=1200), part(500, 500), part(1000, 200)])]
    heard: list[tuple[int, int]] = []
    rows = make(tenant_id="acme").export_calls(
        CallFilter(country="GB"), on_progress=lambda done, of: heard.append((done, of))
    )
    assert [row.usage_id for row in rows] == [str(each) for each in range(1200)]
    assert heard == [(500, 1200), (1000, 1200), (1200, 1200)]
    asked = sent(server, pb.ExportCallsRequest)
    assert (asked.tenant_id, asked.filter.country) == ("acme", "GB")
    # Long timeouts are rounded on the way.
    assert 3000 < server.seen[0].left_s < 4000


def test_an_export_may_be_empty_and_grow_meanwhile(make: Make, server: LyingServer) -> None:
    server.script = [Parts([]), Parts([part(0, 3, of=2)])]
    face = make()
    assert face.export_calls() == []
    assert len(face.export_calls()) == 3


def test_an_export_that_has_not_begun_is_asked_again(make: Make, server: LyingServer) -> None:
    server.script = [Parts([AWAY]), Parts([part(0, 2, of=2)])]
    assert len(make().export_calls()) == 2
    assert server.paths() == ["ExportCalls"] * 2


@pytest.mark.parametrize(
    "parts",
    [[part(0, 2, of=5), AWAY], [part(0, 2, of=5)], [part(0, 2, of=5), part(2, 2)]],
    ids=["broken", "ended", "short"],
)
def test_a_part_of_an_export_never_looks_like_all_of_it(
    make: Make, server: LyingServer, parts: list[Any]
) -> None:
    server.script = [Parts(parts)]
    with pytest.raises(Unavailable):
        make().export_calls()
    assert len(server.seen) == 1


def test_an_export_of_garbage_is_an_error(make: Make, server: LyingServer) -> None:
    server.script = [Parts([b"\xff\xff"])]
    with pytest.raises(InternalError, match="MALFORMED_ANSWER"):
        make().export_calls()


def test_an_export_takes_no_longer_than_it_may(make: Make, server: LyingServer) -> None:
    server.script = [Parts([part(0, 1, of=2), Hangs()])]
    with pytest.raises(Exception, match="DEADLINE_EXCEEDED"):
        make().export_calls(timeout_s=0.2)


@pytest.fixture(params=["blocking", "asynchronous"])
def watch(request: pytest.FixtureRequest, server: LyingServer) -> Callable[..., list[Any]]:
    """So many readings of a balance, by either client; then it goes."""

    async def some(count: int, patience_s: float) -> list[Any]:
        found = []
        async with AsyncClient(server.target, "secret", retry=RetrySettings()) as client:
            async for reading in client.watch_balance(patience_s=patience_s):
                found.append(reading)
                if len(found) == count:
                    break
        return found

    def readings(count: int, patience_s: float = 10.0) -> list[Any]:
        if request.param == "asynchronous":
            return asyncio.run(some(count, patience_s))
        with Client(server.target, "secret") as client:
            return list(islice(client.watch_balance(patience_s=patience_s), count))

    return readings


def test_a_watch_tells_what_changes(watch: Callable[..., list[Any]], server: LyingServer) -> None:
    server.script = [Parts([money(1, 10), money(2, 7), money(3, 7), Hangs()])]
    told = watch(3)
    assert [(each.version, each.balance.settled_micros) for each in told] == [
        (1, 10),
        (2, 7),
        (3, 7),
    ]


def test_a_watch_that_breaks_goes_on_and_repeats_nothing(
    watch: Callable[..., list[Any]], server: LyingServer
) -> None:
    """It breaks, ends without a word, and is refused for a while; each new stream begins with what is known."""
    server.script = [
        Parts([money(1, 10), money(2, 7), AWAY]),
        Parts([money(2, 7)]),
        Parts([AWAY]),
        Parts([AWAY]),
        Parts([AWAY]),
        Parts([AWAY]),
        Parts([money(2, 7), money(5, 1), Hangs()]),
    ]
    assert [each.version for each in watch(3)] == [1, 2, 5]
    assert len(server.seen) == 7


def test_a_watch_gives_up_when_the_service_stays_away(
    watch: Callable[..., list[Any]], server: LyingServer
) -> None:
    server.script = [Parts([money(1, 10), AWAY]), Parts([AWAY])]
    with pytest.raises(Unavailable):
        watch(2, patience_s=0.3)


def test_a_watch_that_never_began_fails_soon(
    watch: Callable[..., list[Any]], server: LyingServer
) -> None:
    server.script = [Parts([AWAY])]
    with pytest.raises(Unavailable) as failed:
        watch(1)
    assert (failed.value.attempts, len(server.seen)) == (3, 3)


def test_a_watch_of_nobody_is_refused(watch: Callable[..., list[Any]], server: LyingServer) -> None:
    server.script = [Parts([failing(grpc.StatusCode.NOT_FOUND, "UNKNOWN_TENANT")])]
    with pytest.raises(NotFound, match="UNKNOWN_TENANT"):
        watch(1)


def test_a_closed_client_streams_nothing(server: LyingServer) -> None:
    client = Client(server.target, "secret")
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        next(_readings(client))


def _readings(client: Client) -> Iterator[Any]:
    return client.watch_balance()
