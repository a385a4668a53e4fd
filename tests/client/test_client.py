"""Both clients ask alike: what they send, and what they give back."""

import asyncio
import inspect
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

import talktime
from client.lying_server import GRANTED, Answer, Fails, LyingServer, sent
from talktime import (
    AsyncClient,
    CallFields,
    CallType,
    Client,
    InternalError,
    Leg,
)
from talktime.v1 import account_service_pb2 as accounts
from talktime.v1 import authorization_service_pb2 as calls

Code = grpc.StatusCode
Make = Callable[..., Any]


def test_both_clients_offer_the_same_methods() -> None:
    def public(kind: type[Any]) -> dict[str, Any]:
        return {n: v for n, v in vars(kind).items() if not n.startswith("_")}

    blocking, asynchronous = public(Client), public(AsyncClient)
    assert set(asynchronous) - set(blocking) == {"exchange"}
    assert set(blocking) <= set(asynchronous)
    for name, method in blocking.items():
        theirs = inspect.signature(asynchronous[name])
        assert list(inspect.signature(method).parameters) == list(theirs.parameters), name
        assert method.__doc__, name


def test_every_rpc_that_is_served_has_a_method() -> None:
    later = {"SetRechargeRule", "ListCalls", "GetUsageReport", "ExportCalls"}
    rpcs = {
        method.name
        for pb in (calls, accounts)
        for service in pb.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    for rpc in rpcs - later:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", rpc).lower()
        assert hasattr(AsyncClient, name), rpc


def test_authorize_sends_what_was_asked_and_reads_what_was_answered(
    make: Make, server: LyingServer
) -> None:
    answer = make(tenant_id="acme").authorize(
        "alice",
        CallType.USER_OUT,
        "+442079460018",
        call_id="site-1-call-1",
        from_number="+12125550123",
        conference_id="room",
        requested_seconds=60,
        routing_number="+442079460019",
        conference_budget_micros=5_000_000,
    )
    assert sent(server, calls.AuthorizeRequest) == calls.AuthorizeRequest(
        tenant_id="acme",
        call_id="site-1-call-1",
        payer_id="alice",
        call_type=calls.CALL_TYPE_USER_OUT,
        from_number="+12125550123",
        to_number="+442079460018",
        conference_id="room",
        requested_seconds=60,
        routing_number="+442079460019",
        conference_budget_micros=5_000_000,
    )
    assert server.seen[0].metadata["authorization"] == "Bearer secret"
    assert answer.authorized
    assert answer.call_id == "site-1-call-1"
    assert answer.granted_seconds == 600


def test_a_call_without_an_id_gets_one_of_its_own(make: Make, server: LyingServer) -> None:
    face = make()
    ids = [face.authorize("alice", "USER_OUT", "+442079460018").call_id for _ in range(20)]
    assert len(set(ids)) == 20
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._~-]{15,63}", i) for i in ids)
    assert [sent(server, calls.AuthorizeRequest, n).call_id for n in range(20)] == ids


def test_the_id_the_library_made_is_told_by_the_error(make: Make, server: LyingServer) -> None:
    server.script = [Fails(Code.INTERNAL)]
    with pytest.raises(InternalError) as caught:
        make().authorize("alice", "USER_OUT", "+442079460018")
    assert caught.value.call_id == sent(server, calls.AuthorizeRequest).call_id != ""


def test_numbers_are_read_as_dialled_in_the_default_region(make: Make, server: LyingServer) -> None:
    make(default_region="GB").authorize(
        "alice", "USER_OUT", "020 7946 0018", from_number="0044 20 7946 0019", routing_number=""
    )
    request = sent(server, calls.AuthorizeRequest)
    assert (request.to_number, request.from_number) == ("+442079460018", "+442079460019")
    assert request.routing_number == ""


def test_an_emergency_number_is_sent_as_dialled(make: Make, server: LyingServer) -> None:
    make(default_region="GB").authorize("alice", "USER_OUT", "112")
    assert sent(server, calls.AuthorizeRequest).to_number == "112"


def test_without_a_default_region_numbers_are_sent_as_given(
    make: Make, server: LyingServer
) -> None:
    make().authorize("alice", "USER_OUT", "020 7946 0018")
    assert sent(server, calls.AuthorizeRequest).to_number == "020 7946 0018"


def test_a_number_that_cannot_be_read_is_never_sent(make: Make, server: LyingServer) -> None:
    with pytest.raises(ValueError, match="WRONG_LENGTH"):
        make(default_region="GB").authorize("alice", "USER_OUT", "7946 0018")
    assert server.seen == []


def test_the_other_operations_send_what_was_asked(make: Make, server: LyingServer) -> None:
    server.script = [b""]
    face = make(tenant_id="acme")
    call = CallFields("alice", CallType.USER_OUT, "+442079460018", from_number="+12125550123")
    face.extend("c-1", 2, 300)
    face.settle("c-1", 42)
    face.settle("c-1", 42, call, tenant_id="other")
    face.release("c-1")
    face.quote(
        "alice", "CONF_OUT", "+442079460018", conference_id="room", conference_budget_micros=7
    )
    face.get_call("c-1")
    assert server.paths() == ["Extend", "Settle", "Settle", "Release", "Quote", "GetCall"]
    assert sent(server, calls.ExtendRequest, 0) == calls.ExtendRequest(
        tenant_id="acme", call_id="c-1", sequence=2, additional_seconds=300
    )
    assert not sent(server, calls.SettleRequest, 1).HasField("call")
    late = sent(server, calls.SettleRequest, 2)
    assert late.tenant_id == "other"
    assert late.call.to_number == "+442079460018"
    assert late.call.call_type == calls.CALL_TYPE_USER_OUT
    assert sent(server, calls.QuoteRequest, 4) == calls.QuoteRequest(
        tenant_id="acme",
        payer_id="alice",
        call_type=calls.CALL_TYPE_CONF_OUT,
        to_number="+442079460018",
        conference_id="room",
        conference_budget_micros=7,
    )


def test_a_call_to_a_number_of_nobody_names_no_payer(make: Make, server: LyingServer) -> None:
    make().authorize("", CallType.UNASSIGNED_IN, "+442079460018")
    request = sent(server, calls.AuthorizeRequest)
    assert (request.payer_id, request.call_type) == ("", calls.CALL_TYPE_UNASSIGNED_IN)


def test_a_batch_sends_its_legs_and_reads_a_verdict_for_each(
    make: Make, server: LyingServer
) -> None:
    refused = calls.AuthorizeResponse(
        outcome=calls.OUTCOME_REFUSED, reason=calls.REASON_SPEND_LIMIT
    )
    server.script = [
        calls.AuthorizeBatchResponse(verdicts=[GRANTED, refused, GRANTED], authorized_legs=2)
    ]
    first = Leg("olga", "CONF_OUT", "020 7946 0018", call_id="leg-1")
    legs = [
        replace(first, conference_id="room", conference_budget_micros=9),
        Leg("olga", CallType.CONF_OUT, "+442079460019", requested_seconds=60),
        Leg("olga", CallType.CONF_OUT, "+442079460020"),
    ]
    face = make(tenant_id="acme", default_region="GB")
    batch = face.authorize_batch(iter(legs), all_or_none=True)
    request = sent(server, calls.AuthorizeBatchRequest)
    assert (request.tenant_id, request.all_or_none) == ("acme", True)
    assert request.legs[0].call == calls.AuthorizeRequest(
        call_id="leg-1",
        payer_id="olga",
        call_type=calls.CALL_TYPE_CONF_OUT,
        to_number="+442079460018",
        conference_id="room",
        conference_budget_micros=9,
    )
    assert request.legs[1].call.requested_seconds == 60
    assert [verdict.call_id for verdict in batch.verdicts] == [leg.call_id for leg in legs]
    assert [leg.call.call_id for leg in request.legs] == [leg.call_id for leg in legs]
    assert [verdict.authorized for verdict in batch.verdicts] == [True, False, True]
    assert batch.authorized_legs == 2


def test_every_leg_has_an_id_before_it_is_sent() -> None:
    ids = {Leg("olga", "CONF_OUT", "+442079460018").call_id for _ in range(20)}
    assert len(ids) == 20


def test_a_batch_with_a_verdict_too_few_is_malformed(make: Make, server: LyingServer) -> None:
    server.script = [calls.AuthorizeBatchResponse(verdicts=[GRANTED], authorized_legs=1)]
    legs = [Leg("olga", "CONF_OUT", "+442079460018") for _ in range(2)]
    with pytest.raises(InternalError, match="MALFORMED_ANSWER"):
        make().authorize_batch(legs)


def test_one_blocking_client_serves_many_threads(server: LyingServer) -> None:
    with Client(server.target, "secret", timeout_s=2.0) as client:
        found: list[bool] = []

        def ask() -> None:
            answers = (client.authorize("alice", "USER_OUT", "+442079460018") for _ in range(10))
            found.extend(answer.authorized for answer in answers)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [True] * 80


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": 2.1}, "timeout_s"),
        ({"timeout_s": float("nan")}, "timeout_s"),
        ({"default_region": "UK"}, "UNKNOWN_REGION"),
        ({"token": ""}, "token"),
        ({"token": "two words"}, "token"),
        ({"token": "new\nline"}, "token"),
        ({"ca": b"x", "credentials": grpc.ssl_channel_credentials()}, "ca, credentials"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(
    kind: Any, settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        kind("127.0.0.1:1", **{"token": "secret", **settings})
    assert "two words" not in str(caught.value)


def test_no_repr_shows_the_token(make: Make) -> None:
    face = make(token="very-secret-token")
    assert "very-secret" not in repr(face.client) + repr(face.client._terms)


def test_help_shows_a_method_as_what_it_is() -> None:
    signature = str(inspect.signature(Client.authorize))
    assert signature.startswith("(self, /, payer_id: str")
    assert signature.endswith("-> talktime.answers.Authorization")


def test_the_examples_in_the_documentation_run(server: LyingServer) -> None:
    """Each indented block of client.py's text is run as it stands, against a server."""
    assert talktime.client.__doc__ is not None
    blocks = list(_blocks(talktime.client.__doc__))
    assert len(blocks) == 2
    server.script = _documented
    server.serve = _grant_all
    for block in blocks:
        code = block.replace("calls.example.net:7788", server.target)
        scope = {"token": "secret", "numbers": ["+442079460018"] * 3, "asyncio": asyncio}
        scope |= {"AsyncClient": AsyncClient}
        body = "\n".join("    " + line for line in code.splitlines())
        exec(f"async def example():\n{body}\n    return locals()", scope)
        left = asyncio.run(scope["example"]())  # type: ignore[operator]  # made by exec just above
        assert left.get("receipt") or len(left["legs"]) == 3


def _blocks(text: str) -> Iterator[str]:
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE):
        yield re.sub(r"^    ", "", block, flags=re.MULTILINE)


def _documented(path: str, body: bytes) -> Answer:
    return GRANTED if path.endswith("/Authorize") else b"\x08\x01"


def _grant_all(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    for message in messages:
        operations = calls.ExchangeRequest.FromString(message).operations
        yield calls.ExchangeResponse(
            results=[
                calls.OperationResult(correlation_id=o.correlation_id, authorize=GRANTED)
                for o in operations
            ]
        ).SerializeToString()
