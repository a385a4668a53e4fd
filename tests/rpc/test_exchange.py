"""Exchange: order within a tenant, no waiting across tenants, and a stream that outlives what fails on it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from rpc.edge_kit import EXCHANGE, Kit, good_request
from talktime.v1.authorization_service_pb2 import (
    AuthorizeResponse,
    ExchangeRequest,
    ExchangeResponse,
    Operation,
    OperationResult,
    SettleRequest,
)
from talktime.v1.status_pb2 import ErrorInfo
from talktime_server.failure import Failure, NotFound, Unauthenticated
from talktime_server.rpc import token_file
from talktime_server.rpc.edge import Edge, Identity
from talktime_server.rpc.exchange import MAX_OPERATIONS, MAX_UNSENT, Exchange
from talktime_server.rpc.limiter import Limits
from talktime_server.rpc.replies import Result, failed_operation
from talktime_server.rpc.tokens import CHECK_EVERY_S, Tokens


def ask(correlation_id: int, tenant: str = "acme", **changes: Any) -> Operation:
    request = good_request(tenant_id=tenant, **changes)
    return Operation(correlation_id=correlation_id, authorize=request)


def message(*operations: Operation) -> bytes:
    return ExchangeRequest(operations=operations).SerializeToString()


@dataclass
class Desk:
    """Carries out operations as authorization.py will: in order, holding back the tenants it is told to."""

    started: list[int] = field(default_factory=list)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    failing: dict[int, Exception] = field(default_factory=dict)
    forgotten: set[int] = field(default_factory=set)

    async def __call__(
        self, operations: list[Operation], identity: Identity
    ) -> AsyncGenerator[Sequence[Result], None]:
        self.started += [operation.correlation_id for operation in operations]
        later = [op for op in operations if op.authorize.tenant_id in self.held]
        yield [self._result(op) for op in operations if op not in later and self._answers(op)]
        for operation in later:
            await self.held[operation.authorize.tenant_id].wait()
            yield [self._result(operation)]

    def _answers(self, operation: Operation) -> bool:
        return operation.correlation_id not in self.forgotten

    def _result(self, operation: Operation) -> Result:
        correlation_id = operation.correlation_id
        error = self.failing.get(correlation_id)
        if isinstance(error, NotFound):
            return failed_operation(correlation_id, error)
        if error:
            raise error
        return Result(correlation_id, "authorize", AuthorizeResponse())


class Client:
    """One stream of a caller: says what it is told to, hears what comes."""

    def __init__(
        self, kit: Kit, desk: Desk, limits: Limits | None = None, edge: Edge | None = None
    ) -> None:
        self.edge = edge or kit.edge(limits, desk)
        self.sent = 0
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        call = kit.call(path=EXCHANGE, token="operator")
        self.answers = self.edge.exchange(call, self._messages())

    def say(self, *operations: Operation) -> None:
        self._queue.put_nowait(message(*operations))

    def say_bytes(self, body: bytes) -> None:
        self._queue.put_nowait(body)

    def finish(self) -> None:
        self._queue.put_nowait(None)

    async def hear(self, count: int) -> list[OperationResult]:
        """The next results, at least so many."""
        results: list[OperationResult] = []
        while len(results) < count:
            body = await asyncio.wait_for(anext(self.answers), 5)
            results += ExchangeResponse.FromString(body).results
        return results

    async def hear_all(self) -> list[OperationResult]:
        bodies = [body async for body in self.answers]
        return [result for body in bodies for result in ExchangeResponse.FromString(body).results]

    async def _messages(self) -> AsyncIterator[bytes]:
        while (body := await self._queue.get()) is not None:
            self.sent += 1
            yield body


def ids(results: Sequence[OperationResult]) -> list[int]:
    return [result.correlation_id for result in results]


def reason(result: OperationResult) -> str:
    return ErrorInfo.FromString(result.error.details[0].value).reason


async def test_every_operation_is_answered_once_and_the_end_is_clean(kit: Kit) -> None:
    client = Client(kit, Desk())
    for base in range(0, 100, 10):
        client.say(*(ask(base + n) for n in range(10)))
    client.finish()
    results = await client.hear_all()
    assert ids(results) == list(range(100))
    assert client.edge.in_flight == 0


async def test_tenants_do_not_wait_for_each_other_and_keep_their_own_order(kit: Kit) -> None:
    desk = Desk(held={"slow": asyncio.Event()})
    client = Client(kit, desk)
    client.say(ask(1, "slow"), ask(2, "quick"))
    client.say(ask(3, "slow"), ask(4, "quick"))
    client.say(ask(5, "slow"), ask(6, "quick"))
    assert ids(await client.hear(3)) == [2, 4, 6]
    assert not {3, 5} & set(desk.started)
    desk.held["slow"].set()
    assert ids(await client.hear(3)) == [1, 3, 5]
    client.finish()
    assert await client.hear_all() == []


async def test_a_failed_operation_does_not_end_the_stream(kit: Kit) -> None:
    failing = {2: NotFound("UNKNOWN_TENANT", "there is no such tenant"), 4: ValueError("secret")}
    client = Client(kit, Desk(failing=failing, forgotten={6}))
    client.say(ask(1), ask(2), ask(3))
    results = await client.hear(3)
    assert [reason(r) if r.HasField("error") else "" for r in results] == ["", "UNKNOWN_TENANT", ""]
    client.say(ask(4))
    (broken,) = await client.hear(1)
    assert reason(broken) == "INTERNAL"
    assert "secret" not in str(broken)
    client.say(ask(6))
    assert reason((await client.hear(1))[0]) == "INTERNAL"
    client.say(ask(7), Operation(correlation_id=8))
    by_id = {result.correlation_id: result for result in await client.hear(2)}
    assert by_id[7].HasField("authorize")
    assert reason(by_id[8]) == "MISSING_FIELD"
    client.finish()
    await client.hear_all()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"\xff\xff", "MALFORMED_MESSAGE"),
        (b"\x0a\x00" * (MAX_OPERATIONS + 1), "TOO_MANY_ITEMS"),
        (b"\x0a\x00" * 200_000, "MESSAGE_TOO_LARGE"),
        (message(ask(9), ask(9)), "CORRELATION_IN_USE"),
    ],
)
async def test_a_message_that_cannot_be_trusted_ends_the_stream_after_what_came_before(
    kit: Kit, body: bytes, expected: str
) -> None:
    client = Client(kit, Desk())
    client.say(ask(1))
    client.say_bytes(body)
    assert ids(await client.hear(1))[0] == 1
    with pytest.raises(Failure) as failure:
        await client.hear_all()
    assert failure.value.reason == expected
    assert client.edge.in_flight == 0


async def test_reading_stops_while_too_much_is_unanswered(kit: Kit) -> None:
    desk = Desk(held={"acme": asyncio.Event()})
    client = Client(kit, desk)
    for correlation_id in range(3 * MAX_UNSENT):
        client.say(ask(correlation_id))
    client.finish()
    hearing = asyncio.create_task(client.hear_all())
    for _ in range(5 * MAX_UNSENT):
        await asyncio.sleep(0)
    assert client.sent <= MAX_UNSENT + 1
    desk.held["acme"].set()
    assert ids(await hearing) == list(range(3 * MAX_UNSENT))


async def test_a_drain_answers_what_was_read_and_sends_the_client_elsewhere(kit: Kit) -> None:
    desk = Desk(held={"slow": asyncio.Event()})
    client = Client(kit, desk)
    client.say(ask(1, "slow"), ask(2, "slow"), ask(3))
    assert ids(await client.hear(1)) == [3]
    client.edge.drain()
    hearing = asyncio.create_task(client.hear(2))
    await asyncio.sleep(0)
    desk.held["slow"].set()
    assert ids(await hearing) == [1, 2]
    with pytest.raises(Failure) as failure:
        await client.hear_all()
    assert (failure.value.code.name, failure.value.reason) == ("UNAVAILABLE", "DRAINING")
    assert failure.value.applied == "NOT_APPLIED"
    with pytest.raises(Failure) as failure:
        await anext(client.edge.exchange(kit.call(path=EXCHANGE), client._messages()))
    assert failure.value.reason == "DRAINING"


async def test_overload_refuses_operations_and_keeps_room_for_settles_and_emergencies(
    kit: Kit,
) -> None:
    desk = Desk(held={"slow": asyncio.Event()})
    limits = Limits(exchange_in_flight=5, exchange_in_flight_per_tenant=5)
    client = Client(kit, desk, limits)
    client.say(*(ask(n, "slow") for n in range(4)))
    settle = Operation(correlation_id=5, settle=SettleRequest(tenant_id="b", call_id="ab"))
    client.say(ask(4), settle, ask(6, to_number="112"))
    results = {result.correlation_id: result for result in await client.hear(3)}
    assert reason(results[4]) == "OVERLOADED"
    assert not results[5].HasField("error")
    assert results[6].authorize.number_class == 5
    desk.held["slow"].set()
    client.finish()
    assert sorted(ids(await client.hear_all())) == [0, 1, 2, 3]


async def test_another_tenants_operation_is_refused_alone(kit: Kit) -> None:
    edge = kit.edge(operations=Desk())

    async def messages() -> AsyncIterator[bytes]:
        yield message(ask(1, "other"), ask(2), ask(3, ""))

    answers = [body async for body in edge.exchange(kit.call(path=EXCHANGE), messages())]
    results = [r for body in answers for r in ExchangeResponse.FromString(body).results]
    by_id = {result.correlation_id: result for result in results}
    assert reason(by_id[1]) == "TENANT_MISMATCH"
    assert by_id[2].HasField("authorize")
    assert by_id[3].HasField("authorize")


@pytest.mark.parametrize(("token", "code"), [("auditor", 7), ("expired", 16)])
async def test_a_stream_asks_who_is_there_before_it_reads(kit: Kit, token: str, code: int) -> None:
    async def messages() -> AsyncIterator[bytes]:
        raise AssertionError("nothing is read")
        yield b""

    edge = kit.edge(operations=Desk())
    with pytest.raises(Failure) as failure:
        await anext(edge.exchange(kit.call(path=EXCHANGE, token=token), messages()))
    assert failure.value.code == code


async def test_a_stream_ends_at_its_deadline_with_an_unknown_outcome(kit: Kit) -> None:
    desk = Desk(held={"slow": asyncio.Event()})
    edge = kit.edge(operations=desk)

    async def messages() -> AsyncIterator[bytes]:
        yield message(ask(1, "slow"))
        await asyncio.Event().wait()

    call = kit.call(path=EXCHANGE, token="operator", timeout_s=0.05)
    with pytest.raises(Failure) as failure:
        await anext(edge.exchange(call, messages()))
    assert failure.value.reason == "DEADLINE_EXCEEDED"
    assert failure.value.applied == "UNKNOWN"
    assert edge.in_flight == 0


async def test_a_client_that_goes_away_leaves_no_slot_taken(kit: Kit) -> None:
    desk = Desk(held={"slow": asyncio.Event()})
    limits = Limits(exchange_in_flight=5, exchange_in_flight_per_tenant=5)
    edge = kit.edge(limits, desk)
    for _ in range(3):
        client = Client(kit, desk, edge=edge)
        client.say(ask(1), *(ask(n, "slow") for n in range(2, 5)))
        assert ids(await client.hear(1)) == [1]
        await client.answers.aclose()
        assert edge.in_flight == 0
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_a_token_that_was_taken_back_ends_its_stream_at_the_next_message(kit: Kit) -> None:
    """What was read before it is answered."""
    ticks, desk = Ticks(), Desk(held={"slow": asyncio.Event()})
    tokens = Tokens(kit.path, ticks=ticks)
    client = Client(kit, desk, edge=Edge([], [Exchange(desk).stream()], tokens=tokens))
    client.say(ask(1, "slow"))
    first = asyncio.create_task(client.hear(1))
    while not desk.started:
        await asyncio.sleep(0)
    revoked = next(record.id for record in token_file.listed(kit.path) if record.name == "o1")
    assert token_file.revoke(kit.path, revoked)
    ticks.now_s += CHECK_EVERY_S
    client.say(ask(2, "quick"))
    desk.held["slow"].set()
    assert ids(await first) == [1]
    with pytest.raises(Unauthenticated):
        await client.hear(1)
    assert desk.started == [1]


@dataclass
class Ticks:
    """Time as the tokens see it."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s
