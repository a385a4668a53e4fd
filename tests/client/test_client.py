"""Both clients ask alike: what they send, and what they give back."""

import asyncio
import inspect
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

import talktime
from client.lying_server import GRANTED, Answer, Fails, LyingServer
from talktime import (
    AsyncClient,
    CallFields,
    CallType,
    Client,
    InternalError,
    Payer,
    RateRow,
    Tenant,
)
from talktime.account_requests import MAX_PART_ROWS
from talktime.v1 import account_service_pb2 as accounts
from talktime.v1 import authorization_service_pb2 as calls

Code = grpc.StatusCode
Make = Callable[..., Any]


def sent(server: LyingServer, kind: type[Any], index: int = -1) -> Any:
    """A request as it reached the server."""
    return kind.FromString(server.seen[index].body)


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
    later = {"AuthorizeBatch", "SetRechargeRule", "ListCalls", "GetUsageReport", "ExportCalls"}
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
    face.quote("alice", "CONF_OUT", "+442079460018", requested_seconds=60)
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
    assert sent(server, calls.QuoteRequest, 4).call_type == calls.CALL_TYPE_CONF_OUT


def test_account_methods_send_and_read_records(make: Make, server: LyingServer) -> None:
    server.script = _echo
    face = make(tenant_id="acme")
    tenant = Tenant("acme", "USD", "US", min_grant_seconds=30)
    payer = Payer("alice", "GB", ("MCOPSTNC",))
    assert face.put_tenant(tenant) == tenant
    assert face.put_payer(payer) == payer
    face.get_tenant()
    face.suspend_tenant(running_calls="CUT")
    face.resume_tenant("other")
    face.get_payer("alice")
    face.assign_licenses("alice", add=["A"], remove=["B"])
    face.add_funds("invoice-1", 5_000_000, expire_days=30)
    face.get_balance()
    face.activate_rate_deck("d-1", 10)
    face.get_rate_decks("+442079460018")
    face.check_conservation()
    assert sent(server, accounts.GetTenantRequest, 2).tenant_id == "acme"
    assert (
        sent(server, accounts.SuspendTenantRequest, 3).running_calls == accounts.RUNNING_CALLS_CUT
    )
    assert sent(server, accounts.ResumeTenantRequest, 4).tenant_id == "other"
    assert sent(server, accounts.AssignLicensesRequest, 6).remove_licenses == ["B"]
    assert sent(server, accounts.AddFundsRequest, 7).amount_micros == 5_000_000


def _echo(path: str, body: bytes) -> bytes:
    """PutTenant and PutPayer answer with what they got; the answer's field is as deep as the request's."""
    if path.endswith("/PutTenant"):
        tenant = accounts.PutTenantRequest.FromString(body).tenant
        return accounts.PutTenantResponse(tenant=tenant).SerializeToString()
    if path.endswith("/PutPayer"):
        payer = accounts.PutPayerRequest.FromString(body).payer
        return accounts.PutPayerResponse(payer=payer).SerializeToString()
    return b""


def test_lists_go_through_all_pages(make: Make, server: LyingServer) -> None:
    def pages(path: str, body: bytes) -> Answer:
        token = accounts.ListEntriesRequest.FromString(body).page_token
        number = int(token or 0)
        return accounts.ListEntriesResponse(
            entries=[accounts.Entry(version=number * 2 + n) for n in (1, 2)],
            next_page_token=str(number + 1) if number < 2 else "",
        )

    server.script = pages
    entries = make().list_entries(reference_id="c-1", page_size=2)
    assert [entry.version for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert sent(server, accounts.ListEntriesRequest).reference_id == "c-1"
    assert sent(server, accounts.ListEntriesRequest).page_size == 2


def test_a_list_that_leads_to_itself_ends(make: Make, server: LyingServer) -> None:
    server.script = [accounts.ListPayersResponse(next_page_token="again")]
    with pytest.raises(InternalError, match="MALFORMED_ANSWER"):
        make().list_payers()


def test_lists_of_tenants_and_payers(make: Make, server: LyingServer) -> None:
    server.script = [
        accounts.ListTenantsResponse(tenants=[accounts.Tenant(tenant_id="a")]),
        accounts.ListPayersResponse(payers=[accounts.Payer(payer_id="p")]),
    ]
    face = make()
    assert [t.tenant_id for t in face.list_tenants()] == ["a"]
    assert [p.payer_id for p in face.list_payers(tenant_id="a")] == ["p"]


def test_a_deck_goes_up_in_parts_that_the_service_takes(make: Make, server: LyingServer) -> None:
    """Long names fill a part before its 2000 rows do."""
    names = ["x" * 64 if n < 6000 else "short" for n in range(12_000)]
    rows = [RateRow(str(n + 1), name, 10**9, 10**9, 3600, 3600) for n, name in enumerate(names)]
    stored: list[int] = []
    server.script = lambda path, body: _stored(stored, body)
    heard: list[tuple[int, int]] = []
    total = make().put_rate_deck(
        "d-1", "USD", iter(rows), on_progress=lambda done, of: heard.append((done, of))
    )
    parts = [sent(server, accounts.PutRateDeckRequest, n) for n in range(len(server.seen))]
    assert total == 12_000
    assert heard[-1] == (12_000, 12_000)
    assert len(heard) == len(parts)
    assert [part.part for part in parts] == list(range(len(parts)))
    assert all(len(part.rows) <= MAX_PART_ROWS for part in parts)
    assert all(len(seen.body) < 256 * 1024 for seen in server.seen)
    assert any(len(part.rows) == MAX_PART_ROWS for part in parts)
    assert [row.prefix for part in parts for row in part.rows] == [row.prefix for row in rows]


def _stored(so_far: list[int], body: bytes) -> Answer:
    so_far.append(len(accounts.PutRateDeckRequest.FromString(body).rows))
    return accounts.PutRateDeckResponse(stored_rows=sum(so_far))


def test_a_deck_without_rows_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="rows"):
        make().put_rate_deck("d-1", "USD", [])


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
