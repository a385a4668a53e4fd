"""Exchange from end to end: many operations in a message, in order within a tenant, each with an answer of its own."""

import asyncio
import itertools
import queue
import signal
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from service.raw import AUTHORIZATION, bearer
from service.running import LONE, Running, Served, until
from service.site import AT_HOME, LONDON, MINUTE, Site
from service.test_identity import request_of
from talktime import AsyncClient, Conflict, TalktimeError
from talktime.v1 import authorization_service_pb2 as pb
from talktime.v1 import status_pb2

MakeSite = Callable[..., Site]
EXCHANGE = AUTHORIZATION + "Exchange"


class Conversation:
    """A stream in bytes of the contract: what is sent, and what has come back in its order."""

    def __init__(self, service: Running, token: str = "") -> None:
        self._sent: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._ids = itertools.count(1)
        self._channel = grpc.insecure_channel(service.address)
        begin: Any = self._channel.stream_stream(EXCHANGE)
        self._call = begin(
            iter(self._sent.get, None), metadata=bearer(token or service.router), timeout=5
        )

    def send(self, *operations: pb.Operation) -> None:
        """One message. Correlation ids count on, unless an operation has one."""
        for operation in operations:
            operation.correlation_id = operation.correlation_id or next(self._ids)
        self._sent.put(pb.ExchangeRequest(operations=operations).SerializeToString())

    def hear(self, count: int) -> list[pb.OperationResult]:
        """The next results; more than asked for is a failure."""
        heard: list[pb.OperationResult] = []
        while len(heard) < count:
            heard += pb.ExchangeResponse.FromString(next(self._call)).results
        assert len(heard) == count
        return heard

    def ask(self, *operations: pb.Operation) -> list[pb.OperationResult]:
        """Sends a message; gives the results in the order of the operations."""
        self.send(*operations)
        found = {result.correlation_id: result for result in self.hear(len(operations))}
        return [found[operation.correlation_id] for operation in operations]

    def end(self) -> grpc.StatusCode:
        """Says that nothing more comes; returns the stream's status."""
        self._sent.put(None)
        return self.status()

    def status(self) -> grpc.StatusCode:
        """The status that ended the stream."""
        code: grpc.StatusCode = self._call.code()
        self._channel.close()
        return code

    def close(self) -> None:
        """Lets the stream go."""
        self._sent.put(None)
        self._channel.close()


@pytest.fixture
def conversation(site: Site) -> Iterator[Conversation]:
    """A stream of the router's."""
    stream = Conversation(site.service)
    yield stream
    stream.close()


def authorize(site: Site, call_id: str, **changes: Any) -> pb.Operation:
    return pb.Operation(authorize=request_of(site, call_id=call_id, **changes))


def extend(site: Site, call_id: str, sequence: int, seconds: int = 60) -> pb.Operation:
    return pb.Operation(
        extend=pb.ExtendRequest(
            tenant_id=site.tenant_id,
            call_id=call_id,
            sequence=sequence,
            additional_seconds=seconds,
        )
    )


def settle(site: Site, call_id: str, seconds: int) -> pb.Operation:
    return pb.Operation(
        settle=pb.SettleRequest(tenant_id=site.tenant_id, call_id=call_id, duration_seconds=seconds)
    )


def release(site: Site, call_id: str) -> pb.Operation:
    return pb.Operation(release=pb.ReleaseRequest(tenant_id=site.tenant_id, call_id=call_id))


def reason_of(result: pb.OperationResult) -> str:
    """The reason of a failed operation."""
    assert result.WhichOneof("result") == "error", result
    (packed,) = [d for d in result.error.details if d.type_url.endswith("ErrorInfo")]
    return status_pb2.ErrorInfo.FromString(packed.value).reason


def test_a_whole_call_in_one_message_is_done_in_its_order(
    site: Site, conversation: Conversation
) -> None:
    first, more, ended, late = conversation.ask(
        authorize(site, "leg-1"),
        extend(site, "leg-1", 1),
        settle(site, "leg-1", 100),
        extend(site, "leg-1", 2),
    )
    assert first.authorize.granted_seconds == 60
    assert more.extend.granted_seconds == 120
    assert ended.settle.charged_micros == 2 * MINUTE
    assert reason_of(late) == "ALREADY_SETTLED"
    assert site.kinds("leg-1") == ["HOLD", "HOLD", "SETTLE"]


def test_chains_of_many_calls_in_one_message_keep_their_order(
    site: Site, conversation: Conversation
) -> None:
    chains = [
        [authorize(site, f"leg-{n}"), extend(site, f"leg-{n}", 1), settle(site, f"leg-{n}", 90)]
        for n in range(40)
    ]
    results = conversation.ask(*(operation for chain in chains for operation in chain))
    assert [r.WhichOneof("result") for r in results] == ["authorize", "extend", "settle"] * 40
    assert site.sums() == (10_000_000 - 80 * MINUTE, 0)


@pytest.mark.parametrize("messages", [1, 10])
def test_the_last_cent_goes_to_the_first_in_order(make_site: MakeSite, messages: int) -> None:
    """Also when the operations come in messages that follow each other."""
    site = make_site()
    site.fund(3 * MINUTE)
    stream = Conversation(site.service)
    operations = [authorize(site, f"leg-{n}") for n in range(20)]
    size = len(operations) // messages
    for start in range(0, len(operations), size):
        stream.send(*operations[start : start + size])
    found = stream.hear(len(operations))
    assert stream.end() is grpc.StatusCode.OK
    granted = {r.correlation_id for r in found if r.authorize.outcome == pb.OUTCOME_AUTHORIZED}
    assert granted == {1, 2, 3}


def test_a_tenant_is_the_same_named_or_not(make_site: MakeSite) -> None:
    """A token of one tenant may leave its name out: that is no other tenant, and waits in the same line."""
    site = make_site()
    lone = Site.of(site.service, LONE)
    lone.set()
    lone.put_payer("alice")
    stream = Conversation(site.service, site.service.lone_router)
    legs = [f"{site.tenant_id}-{n}" for n in range(20)]
    operations = [
        operation
        for leg in legs
        for operation in (authorize(lone, leg, to_number=AT_HOME, tenant_id=""), release(lone, leg))
    ]
    results = stream.ask(*operations)
    assert [r.WhichOneof("result") for r in results] == ["authorize", "release"] * len(legs)
    assert stream.end() is grpc.StatusCode.OK
    lone.close()


def test_money_that_an_earlier_operation_frees_is_there_for_the_next(make_site: MakeSite) -> None:
    site = make_site()
    site.fund(MINUTE)
    stream = Conversation(site.service)
    results = stream.ask(
        authorize(site, "leg-1"),
        authorize(site, "leg-2"),
        release(site, "leg-1"),
        authorize(site, "leg-3"),
        settle(site, "leg-3", 0),
        authorize(site, "leg-4"),
    )
    assert stream.end() is grpc.StatusCode.OK
    outcomes = [r.authorize.outcome for r in results if r.HasField("authorize")]
    granted, refused = pb.OUTCOME_AUTHORIZED, pb.OUTCOME_REFUSED
    assert outcomes == [granted, refused, granted, granted]
    assert results[2].release.released_micros == MINUTE


def test_an_operation_that_fails_fails_alone(site: Site, conversation: Conversation) -> None:
    results = conversation.ask(
        authorize(site, "leg-1"),
        authorize(site, "leg-2", to_number="12345"),
        settle(site, "nobodys", 60),
        pb.Operation(),
        authorize(site, "leg-3", tenant_id=""),
        authorize(site, "leg-4", tenant_id="nobody"),
        extend(site, "leg-1", 1, -1),
        settle(site, "leg-1", 60),
    )
    reasons = [reason_of(result) for result in results[1:7]]
    assert reasons == [
        "NOT_E164",
        "UNKNOWN_CALL",
        "MISSING_FIELD",
        "MISSING_FIELD",
        "UNKNOWN_TENANT",
        "OUT_OF_RANGE",
    ]
    assert results[7].settle.charged_micros == MINUTE
    assert conversation.ask(authorize(site, "leg-5"))[0].authorize.granted_seconds == 60


def test_a_repeat_in_the_same_message_gets_the_first_answer(
    site: Site, conversation: Conversation
) -> None:
    one, two, altered = conversation.ask(
        authorize(site, "leg-1"),
        authorize(site, "leg-1"),
        authorize(site, "leg-1", requested_seconds=61),
    )
    assert (one.authorize.replayed, two.authorize.replayed) == (False, True)
    two.authorize.replayed = False
    assert two.authorize == one.authorize
    assert reason_of(altered) == "IDEMPOTENCY_MISMATCH"
    (again,) = conversation.ask(authorize(site, "leg-1"))
    assert again.authorize.replayed


def test_a_unary_call_and_a_stream_share_their_receipts(
    site: Site, conversation: Conversation
) -> None:
    call = site.call(call_id="leg-1", from_number=request_of(site).from_number)
    (again,) = conversation.ask(authorize(site, "leg-1"))
    assert again.authorize.replayed
    assert again.authorize.granted_seconds == call.granted_seconds


def test_two_tenants_share_a_stream_and_keep_their_own_order(
    make_site: MakeSite, conversation: Conversation
) -> None:
    one, two = make_site(), make_site()
    for each in (one, two):
        each.fund(2 * MINUTE)
    results = conversation.ask(
        *(authorize(each, f"leg-{n}") for n in range(5) for each in (one, two))
    )
    granted = [r.authorize.outcome == pb.OUTCOME_AUTHORIZED for r in results]
    assert granted == [True] * 4 + [False] * 6
    assert (one.money().available_micros, two.money().available_micros) == (0, 0)


def test_an_emergency_call_passes_on_a_stream(site: Site, conversation: Conversation) -> None:
    site.operator.suspend_tenant()
    ordinary, help_ = conversation.ask(
        authorize(site, "leg-1"), authorize(site, "help-1", to_number="911")
    )
    assert ordinary.authorize.reason == pb.REASON_TENANT_SUSPENDED
    assert help_.authorize.outcome == pb.OUTCOME_AUTHORIZED
    until(lambda: site.kinds("help-1") == ["RECORD"])


def test_a_mark_that_is_in_use_ends_the_stream(site: Site, conversation: Conversation) -> None:
    twice = [authorize(site, "leg-1"), authorize(site, "leg-2")]
    for operation in twice:
        operation.correlation_id = 7
    conversation.send(*twice)
    with pytest.raises(grpc.RpcError):
        conversation.hear(2)
    assert conversation.status() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_clients_pipeline_carries_whole_calls(site: Site) -> None:
    """What is asked at once leaves in order; refusals and failures come to whoever asked."""
    service = site.service
    async with (
        AsyncClient(
            service.address, service.router, tenant_id=site.tenant_id, timeout_s=2.0
        ) as client,
        client.exchange() as stream,
    ):

        async def leg(call_id: str) -> int:
            call = stream.authorize(
                "alice", "USER_OUT", LONDON, call_id=call_id, requested_seconds=60
            )
            asked = (call, stream.extend(call_id, 1, 60), stream.settle(call_id, 90))
            _, more, receipt = await asyncio.gather(*asked)
            assert more.granted_seconds == 120
            return int(receipt.charged_micros)

        charged = await asyncio.gather(*(leg(f"leg-{n}") for n in range(60)))
        assert charged == [2 * MINUTE] * 60
        with pytest.raises(Conflict) as over:
            await stream.release("leg-0")
        assert over.value.reason == "ALREADY_SETTLED"
    assert site.sums() == (10_000_000 - 120 * MINUTE, 0)


async def test_a_stream_that_drains_answers_what_it_has_taken(served: Served) -> None:
    """Everything asked before the signal is answered or, by its error, not done; the rest of the stream ends."""
    site = Site.open(served)
    site.fund(1_000 * MINUTE)
    async with (
        AsyncClient(
            served.address, served.router, tenant_id=site.tenant_id, timeout_s=2.0
        ) as client,
        client.exchange() as stream,
    ):
        asked = [
            asyncio.create_task(
                stream.authorize(
                    "alice", "USER_OUT", LONDON, call_id=f"leg-{n}", requested_seconds=60
                )
            )
            for n in range(500)
        ]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        served.process.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert await asyncio.to_thread(served.process.wait, 20) == 0
    site.hang_up()
    served.start()
    again = Site.of(served, site.tenant_id)
    for n, answer in enumerate(answers):
        repeated = again.call(call_id=f"leg-{n}")
        if isinstance(answer, TalktimeError):
            assert answer.outcome == "UNKNOWN" or not repeated.replayed
        else:
            assert not isinstance(answer, BaseException)
            assert repeated.replayed
    again.close()
