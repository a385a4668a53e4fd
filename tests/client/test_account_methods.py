"""Both clients ask about accounts and decks alike: what they send, and what they give back."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from client.lying_server import Answer, LyingServer, sent
from talktime import InternalError, Payer, PayerChanges, RateRow, ShadowLine, Tenant
from talktime.deck_requests import MAX_PART_ROWS
from talktime.v1 import account_service_pb2 as accounts

Make = Callable[..., Any]


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
    face.block_payer("alice", "fraud")
    face.unblock_payer("alice")
    assert sent(server, accounts.GetTenantRequest, 2).tenant_id == "acme"
    assert (
        sent(server, accounts.SuspendTenantRequest, 3).running_calls == accounts.RUNNING_CALLS_CUT
    )
    assert sent(server, accounts.ResumeTenantRequest, 4).tenant_id == "other"
    assert sent(server, accounts.AssignLicensesRequest, 6).remove_licenses == ["B"]
    assert sent(server, accounts.AddFundsRequest, 7).amount_micros == 5_000_000
    block = sent(server, accounts.BlockPayerRequest, 12)
    assert (block.tenant_id, block.payer_id, block.reason) == ("acme", "alice", "fraud")
    unblock = sent(server, accounts.UnblockPayerRequest, 13)
    assert (unblock.tenant_id, unblock.payer_id, unblock.reason) == ("acme", "alice", "")


def test_many_payers_go_in_one_request(make: Make, server: LyingServer) -> None:
    server.script = [accounts.PutPayersResponse(created=1, changed=2, unchanged=997)]
    payers = [Payer(f"user-{n}", "GB", ("MCOPSTN1",), max_open_calls=n) for n in range(1000)]
    assert make(tenant_id="acme").put_payers(iter(payers)) == PayerChanges(1, 2, 997)
    request = sent(server, accounts.PutPayersRequest)
    assert request.tenant_id == "acme"
    assert [payer.payer_id for payer in request.payers] == [payer.payer_id for payer in payers]
    assert request.payers[7].max_open_calls == 7


def test_a_request_of_a_thousand_payers_may_pass_a_deck_part_in_size(
    make: Make, server: LyingServer
) -> None:
    server.script = [b""]
    payers = [Payer(f"user-{n}", "GB", display_name="x" * 128) for n in range(1000)]
    payers = [replace(payer, allowed_prefixes=("44",) * 100) for payer in payers]
    make().put_payers(payers)
    assert 256 * 1024 < len(server.seen[0].body) < 1024 * 1024


def test_the_record_of_blocks_is_listed(make: Make, server: LyingServer) -> None:
    line = accounts.Block(payer_id="alice", reason="fraud", blocked=True)
    line.block_time.FromSeconds(1_700_000_000)
    server.script = [accounts.ListBlocksResponse(blocks=[line])]
    (block,) = make().list_blocks(page_size=5)
    assert (block.payer_id, block.reason, block.blocked) == ("alice", "fraud", True)
    assert block.block_time == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert sent(server, accounts.ListBlocksRequest).page_size == 5


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


def test_a_deck_comes_into_force_at_a_time_for_one_tenant(make: Make, server: LyingServer) -> None:
    server.script = [b""]
    face = make(tenant_id="acme")
    at = datetime(2026, 12, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    face.activate_rate_deck("d-1", 10, deck_tenant_id="zen", activate_time=at, shadow=True)
    face.activate_rate_deck("d-1", 10)
    face.deactivate_rate_deck("USD", shadow=True)
    face.deactivate_rate_deck(deck_tenant_id="zen")
    request = sent(server, accounts.ActivateRateDeckRequest, 0)
    assert (request.tenant_id, request.shadow) == ("zen", True)
    assert request.activate_time.ToDatetime(tzinfo=UTC) == at
    now = sent(server, accounts.ActivateRateDeckRequest, 1)
    assert (now.tenant_id, now.HasField("activate_time")) == ("", False)
    assert sent(server, accounts.DeactivateRateDeckRequest, 2) == (
        accounts.DeactivateRateDeckRequest(currency_code="USD", shadow=True)
    )
    assert sent(server, accounts.DeactivateRateDeckRequest, 3).tenant_id == "zen"


def test_a_time_without_a_zone_is_refused(make: Make, server: LyingServer) -> None:
    nobody_knows_where = datetime(2026, 12, 1)  # noqa: DTZ001  # the case under test
    with pytest.raises(ValueError, match="activate_time"):
        make().activate_rate_deck("d-1", 10, activate_time=nobody_knows_where)
    assert server.seen == []


def test_a_shadow_report_reads_as_plain_values(make: Make, server: LyingServer) -> None:
    line = accounts.ShadowLine(live_destination="Great Britain", live_prefix="44", calls=3)
    server.script = [accounts.GetShadowReportResponse(calls=9, differing_calls=3, lines=[line])]
    report = make().get_shadow_report("d-1", page_size=5)
    assert (report.calls, report.differing_calls) == (9, 3)
    assert report.lines == (ShadowLine("Great Britain", "44", "", "", 3, 0, 0),)
    assert sent(server, accounts.GetShadowReportRequest).deck_version == "d-1"
