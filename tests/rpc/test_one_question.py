"""The edge lets a listener in as it does a caller: token, role, tenant, and a limit for each tenant."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from rpc.edge_kit import Kit
from talktime.v1.account_service_pb2 import WatchBalanceRequest, WatchBalanceResponse
from talktime_server.failure import Failure
from talktime_server.rpc.account_methods import READERS, account_stream
from talktime_server.rpc.edge import Edge
from talktime_server.rpc.limiter import Limits
from talktime_server.rpc.shapes import Identity
from talktime_server.rpc.tokens import Tokens

WATCH = "/talktime.v1.AccountService/WatchBalance"


async def watch(
    request: WatchBalanceRequest, identity: Identity
) -> AsyncGenerator[WatchBalanceResponse, None]:
    identity.tenant(request.tenant_id)
    yield WatchBalanceResponse(version=1)
    await asyncio.Event().wait()


def edge_of(kit: Kit, limits: Limits | None = None) -> Edge:
    stream = account_stream("WatchBalance", WatchBalanceRequest, READERS, watch)
    return Edge([], [stream], tokens=Tokens(kit.path), limits=limits)


async def asking(tenant: str) -> AsyncIterator[bytes]:
    yield WatchBalanceRequest(tenant_id=tenant).SerializeToString()


def listening(
    edge: Edge, kit: Kit, tenant: str, token: str = "operator"
) -> AsyncGenerator[bytes, None]:
    return edge.exchange(kit.call(path=WATCH, token=token), asking(tenant))


@pytest.mark.parametrize(
    ("token", "tenant", "reason"),
    [
        ("nobody", "acme", "UNAUTHENTICATED"),
        ("router", "acme", "ROLE_FORBIDDEN"),
        ("auditor", "globex", "TENANT_MISMATCH"),
        ("operator", "", "MISSING_FIELD"),
    ],
)
async def test_who_may_not_listen_is_told_why(
    kit: Kit, token: str, tenant: str, reason: str
) -> None:
    with pytest.raises(Failure) as refused:
        await anext(listening(edge_of(kit), kit, tenant, token))
    assert refused.value.reason == reason


async def test_a_tenant_has_so_many_listeners_and_others_have_theirs(kit: Kit) -> None:
    edge = edge_of(kit, Limits(streams=3, streams_per_tenant=2))
    first, second = listening(edge, kit, "acme"), listening(edge, kit, "acme")
    for stream in (first, second):
        await anext(stream)
    with pytest.raises(Failure) as refused:
        await anext(listening(edge, kit, "acme"))
    assert refused.value.reason == "TENANT_OVERLOADED"
    third = listening(edge, kit, "globex")
    await anext(third)
    with pytest.raises(Failure) as refused:
        await anext(listening(edge, kit, "globex"))
    assert refused.value.reason == "OVERLOADED"
    await first.aclose()
    again = listening(edge, kit, "acme")
    await anext(again)
    for stream in (second, third, again):
        await stream.aclose()
    assert edge.in_flight == 0


async def test_a_listener_is_sent_away_by_the_drain_and_later_ones_are_not_let_in(kit: Kit) -> None:
    edge = edge_of(kit)
    stream = listening(edge, kit, "acme")
    await anext(stream)
    edge.drain()
    for ending in (stream, listening(edge, kit, "acme")):
        with pytest.raises(Failure) as refused:
            await anext(ending)
        assert refused.value.reason == "DRAINING"


async def test_one_who_asks_nothing_is_not_waited_for(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silence() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    monkeypatch.setattr("talktime_server.rpc.one_question.QUESTION_LIMIT_S", 0.01)
    with pytest.raises(Failure) as refused:
        await anext(edge_of(kit).exchange(kit.call(path=WATCH, token="operator"), silence()))
    assert refused.value.reason == "MESSAGE_LATE"
