"""Tenants and payers through the real service: every field there and back, blocks, many payers at once, licences."""

from collections.abc import Callable
from dataclasses import MISSING, fields, replace
from typing import Any

import pytest

from service.raw import Raw, Reply, bearer
from service.site import AT_HOME, MINUTE, Site
from talktime import (
    BillingMode,
    BoughtLicense,
    Client,
    Conflict,
    InvalidRequest,
    NotFound,
    NotPermitted,
    OrphanCharge,
    Payer,
    PayerChanges,
    RunningCalls,
    SourceKind,
    Tenant,
    TenantStatus,
)
from talktime.v1 import account_service_pb2 as pb

MakeSite = Callable[..., Site]

# No field has its default, so that one which is lost on the way is missed.
FULL_TENANT = Tenant(
    "",
    "EUR",
    "GB",
    display_name="Größe & Söhne",
    default_grant_seconds=300,
    min_grant_seconds=30,
    lease_grace_seconds=60,
    floor_micros=-1,
    inbound_grace_micros=2,
    max_rate_per_minute_micros=3,
    default_rate_per_minute_micros=4,
    max_open_calls=5,
    max_open_calls_per_payer=6,
    max_payer_hold_percent=7,
    orphan_charge=OrphanCharge.PROVEN,
    billing_mode=BillingMode.POSTPAID,
    dial_out_policy="DialoutCPCandPSTNDomestic",
    bought_licenses=(BoughtLicense("MCOMEETADV", 10**7), BoughtLicense("MCOPSTN1", 1)),
    independent_plan_pools=True,
    plans_after_conferencing=True,
    blocked_prefixes=("1900", "4490"),
    allowed_prefixes=("1", "44"),
    max_calls_per_second=8,
    max_calls_per_second_per_payer=9,
    max_spend_per_day_micros=10**15,
    max_spend_per_month_micros=11,
    max_spend_per_day_per_payer_micros=12,
    max_spend_per_month_per_payer_micros=13,
    costly_rate_per_minute_micros=14,
    max_costly_calls_per_day=15,
    max_costly_calls_per_day_per_payer=16,
    max_unassigned_calls_per_minute=17,
)
FULL_PAYER = Payer(
    "olga",
    "GB",
    ("MCOPSTN1", "MCOPSTNC"),
    display_name="Olga Ö",
    max_rate_per_minute_micros=1,
    phone_number="+442079460018",
    dial_out_policy="DialoutCPCZoneAPSTNDomestic",
    toll_free_dial_in_off=True,
    blocked_prefixes=("1900",),
    allowed_prefixes=("44", "1"),
    max_open_calls=2,
    max_calls_per_second=3,
    max_spend_per_day_micros=4,
    max_spend_per_month_micros=5,
    max_costly_calls_per_day=6,
    user_principal_name="olga@contoso.com",
)


def left_at_default(record: Any) -> set[str]:
    """The fields of a record that say nothing."""
    return {f.name for f in fields(record) if getattr(record, f.name) in (f.default, MISSING)}


def test_every_field_of_a_tenant_is_kept(site: Site) -> None:
    asked = replace(FULL_TENANT, tenant_id=site.tenant_id)
    assert left_at_default(asked) == {"status", "running_calls", "profile_version"}
    kept = replace(
        asked, status=TenantStatus.ACTIVE, running_calls=RunningCalls.DRAIN, profile_version=2
    )
    assert site.operator.put_tenant(asked) == kept == site.operator.get_tenant()
    assert kept in list(site.operator.list_tenants())


def test_every_field_of_a_payer_is_kept(site: Site) -> None:
    assert left_at_default(FULL_PAYER) == {"blocked", "block_reason", "profile_version"}
    kept = replace(FULL_PAYER, profile_version=1)
    assert site.operator.put_payer(FULL_PAYER) == kept == site.operator.get_payer("olga")
    assert site.operator.put_payers([FULL_PAYER]) == PayerChanges(0, 0, 1)
    assert kept in list(site.operator.list_payers())


def test_what_a_tenant_leaves_open_has_the_contracts_default(site: Site) -> None:
    tenant = site.set()
    assert tenant.default_grant_seconds == 600
    assert tenant.lease_grace_seconds == 120
    assert tenant.max_unassigned_calls_per_minute == 60
    assert tenant.billing_mode is BillingMode.PREPAID
    assert tenant.dial_out_policy == ""


def violations(failed: pytest.ExceptionInfo[InvalidRequest]) -> dict[str, str]:
    return {violation.field: violation.rule for violation in failed.value.violations}


def test_every_bad_field_of_a_tenant_is_named(site: Site) -> None:
    before = site.operator.get_tenant()
    with pytest.raises(InvalidRequest) as failed:
        site.set(
            dial_out_policy="DialoutToTheMoon",
            bought_licenses=(BoughtLicense("MCOMEETADV", 1), BoughtLicense("MCOMEETADV", 0)),
            blocked_prefixes=("44", "044"),
            allowed_prefixes=("1" * 16, "4 4"),
            max_spend_per_day_micros=10**15 + 1,
            max_unassigned_calls_per_minute=-1,
        )
    assert violations(failed) == {
        "tenant.dial_out_policy": "UNKNOWN_POLICY",
        "tenant.bought_licenses[1].sku": "DUPLICATE",
        "tenant.bought_licenses[1].count": "OUT_OF_RANGE",
        "tenant.blocked_prefixes[1]": "BAD_PREFIX",
        "tenant.allowed_prefixes[0]": "BAD_PREFIX",
        "tenant.allowed_prefixes[1]": "BAD_PREFIX",
        "tenant.max_spend_per_day_micros": "OUT_OF_RANGE",
        "tenant.max_unassigned_calls_per_minute": "OUT_OF_RANGE",
    }
    assert site.operator.get_tenant() == before


def test_a_payer_is_blocked_and_unblocked_with_a_record(site: Site) -> None:
    site.put_payer("alice", display_name="Alice", phone_number="+14255550100")
    for _ in range(2):
        blocked = site.operator.block_payer("alice", "lost phone")
        assert (blocked.blocked, blocked.block_reason) == (True, "lost phone")
    assert site.call().reason == "PAYER_BLOCKED"
    site.put_payer("alice", display_name="Alicia")
    assert site.operator.get_payer("alice").blocked
    for _ in range(2):
        assert not site.operator.unblock_payer("alice").blocked
    back, away = site.operator.list_blocks()
    assert (away.payer_id, away.reason, away.blocked) == ("alice", "lost phone", True)
    assert (away.display_name, away.phone_number) == ("Alice", "+14255550100")
    assert (back.display_name, back.reason, back.blocked) == ("Alicia", "", False)
    assert away.block_time is not None
    assert back.block_time is not None
    assert away.block_time <= back.block_time


def test_a_blocked_payer_is_refused_by_the_very_next_call_of_every_process(
    site: Site, crowd: list[Client]
) -> None:
    """semantics 87: a cached profile is compared with the stored one."""

    def quotes() -> set[str]:
        answers = (
            client.quote("alice", "USER_OUT", "+442079460018", tenant_id=site.tenant_id)
            for client in crowd
        )
        return {answer.reason or "AUTHORIZED" for answer in answers}

    assert quotes() == {"AUTHORIZED"}
    site.operator.block_payer("alice", "fraud")
    assert quotes() == {"PAYER_BLOCKED"}
    site.operator.unblock_payer("alice", "sorted out")
    assert quotes() == {"AUTHORIZED"}


def test_the_record_of_blocks_is_paged_and_a_page_is_one_tenants(make_site: MakeSite) -> None:
    site, other = make_site(), make_site()
    for n in range(5):
        site.operator.block_payer("alice", f"reason {n}")
    lines = list(site.operator.list_blocks(page_size=2))
    assert [line.reason for line in lines] == [f"reason {n}" for n in (4, 3, 2, 1, 0)]
    assert list(other.operator.list_blocks()) == []


def test_a_page_token_of_another_list_is_refused(site: Site, raw: Raw) -> None:
    site.put_payer("bob")
    page = operate(site, raw, pb.ListPayersRequest(tenant_id=site.tenant_id, page_size=1))
    token = page.answer(pb.ListPayersResponse).next_page_token
    again = pb.ListBlocksRequest(tenant_id=site.tenant_id, page_token=token)
    assert operate(site, raw, again).fields == {"page_token": "BAD_PAGE_TOKEN"}


def operate(site: Site, raw: Raw, request: Any) -> Reply:
    return raw.ask(request, metadata=bearer(site.service.operator))


def test_nobody_cannot_be_blocked(site: Site) -> None:
    with pytest.raises(NotFound):
        site.operator.block_payer("nobody", "why")
    with pytest.raises(NotFound):
        site.operator.unblock_payer("nobody")


def test_a_router_blocks_nobody(site: Site) -> None:
    for ask in (
        lambda: site.router.block_payer("alice", "why"),
        lambda: site.router.unblock_payer("alice"),
        lambda: list(site.router.list_blocks()),
        lambda: site.router.put_payers([Payer("alice", "US")]),
    ):
        with pytest.raises(NotPermitted):
            ask()


def many(count: int, **more: Any) -> list[Payer]:
    return [Payer(f"user-{n:04}", "US", ("MCOPSTN1",), **more) for n in range(count)]


def test_a_thousand_payers_are_written_with_one_request(site: Site) -> None:
    assert site.operator.put_payers(many(1000)) == PayerChanges(1000, 0, 0)
    renamed = [*many(400, display_name="renamed"), *many(1000)[400:]]
    assert site.operator.put_payers(renamed) == PayerChanges(0, 400, 600)
    listed = [p for p in site.operator.list_payers(page_size=500) if p.payer_id != "alice"]
    assert [(p.payer_id, p.display_name) for p in listed] == [
        (p.payer_id, p.display_name) for p in renamed
    ]


def test_a_request_of_many_long_payers_may_have_a_mebibyte(site: Site, raw: Raw) -> None:
    long = many(1000, display_name="x" * 128, allowed_prefixes=tuple(map(str, range(100, 200))))
    request = pb.PutPayersRequest(tenant_id=site.tenant_id)
    for payer in long:
        request.payers.add(
            payer_id=payer.payer_id,
            country="US",
            display_name=payer.display_name,
            allowed_prefixes=payer.allowed_prefixes,
        )
    assert 512 * 1024 < request.ByteSize() < 1024 * 1024
    answer = operate(site, raw, request).answer(pb.PutPayersResponse)
    assert answer.created == 1000
    assert site.operator.put_payers(long) == PayerChanges(0, 1000, 0)


def test_bad_payers_are_named_by_their_place_and_none_is_written(site: Site) -> None:
    payers = many(20)
    payers[3] = replace(payers[3], country="UK")
    payers[7] = replace(payers[7], phone_number="020 7946 0018", max_open_calls=10**6 + 1)
    payers[9] = replace(payers[9], payer_id="user-0000")
    payers[11] = replace(payers[11], licenses=("MCOPSTN1", "MCOPSTN99"))
    payers[12] = replace(payers[12], dial_out_policy="DialoutToTheMoon")
    payers[13] = replace(payers[13], blocked_prefixes=("0",))
    with pytest.raises(InvalidRequest) as failed:
        site.operator.put_payers(payers)
    assert violations(failed) == {
        "payers[3].country": "UNKNOWN_COUNTRY",
        "payers[7].phone_number": "NOT_E164",
        "payers[7].max_open_calls": "OUT_OF_RANGE",
        "payers[9].payer_id": "DUPLICATE",
        "payers[11].licenses[1]": "UNKNOWN_LICENSE",
        "payers[12].dial_out_policy": "UNKNOWN_POLICY",
        "payers[13].blocked_prefixes[0]": "BAD_PREFIX",
    }
    assert [payer.payer_id for payer in site.operator.list_payers()] == ["alice"]


def test_a_thousand_bad_payers_are_told_as_far_as_an_answer_reaches(site: Site) -> None:
    with pytest.raises(InvalidRequest) as failed:
        site.operator.put_payers([replace(payer, country="UK") for payer in many(1000)])
    named = violations(failed)
    assert len(named) >= 45
    assert set(named.values()) == {"UNKNOWN_COUNTRY"}


@pytest.mark.parametrize("count", [0, 1001])
def test_a_request_has_one_to_a_thousand_payers(site: Site, count: int) -> None:
    with pytest.raises(InvalidRequest) as failed:
        site.operator.put_payers(many(count))
    assert violations(failed) == {"payers": "TOO_MANY_ITEMS" if count else "MISSING_FIELD"}


def test_the_credits_licence_is_not_given_alone(site: Site) -> None:
    """domain.md 1: what a request says whole is wrong; what it would make of what is there must not be."""
    site.put_payer("bob", licenses=())
    alone = Payer("bob", "US", ("MCOPSTNC",))
    with pytest.raises(InvalidRequest) as failed:
        site.operator.put_payer(alone)
    assert violations(failed) == {"payer.licenses": "CREDITS_LICENSE_ALONE"}
    with pytest.raises(InvalidRequest) as failed:
        site.operator.put_payers([*many(5), alone])
    assert violations(failed) == {"payers[5].licenses": "CREDITS_LICENSE_ALONE"}
    with pytest.raises(Conflict) as refused:
        site.operator.assign_licenses("bob", add=["MCOPSTNC"])
    assert refused.value.reason == "CREDITS_LICENSE_ALONE"
    assert site.operator.get_payer("bob").licenses == ()
    assert len(list(site.operator.list_payers())) == 2


def test_the_credits_licence_stays_with_who_has_it(site: Site) -> None:
    """What is taken away later does not take it back."""
    site.put_payer("bob", licenses=("MCOPSTN_PAYG_1", "MCOPSTNC"))
    site.operator.assign_licenses("bob", remove=["MCOPSTN_PAYG_1"])
    alone = Payer("bob", "US", ("MCOPSTNC",), display_name="Bob")
    assert site.operator.put_payer(alone).licenses == ("MCOPSTNC",)
    changed = replace(alone, display_name="Robert")
    assert site.operator.put_payers([changed]) == PayerChanges(0, 1, 0)


def sizes(site: Site) -> dict[str, tuple[int, int, int]]:
    """Licences, minutes and what is left of them, by pool."""
    return {
        pool.pool_id: (pool.licenses, pool.size_seconds // 60, pool.available_seconds // 60)
        for pool in site.balance().pools
    }


def test_pools_follow_licences_at_once(site: Site) -> None:
    """domain.md 3: the conferencing pool is the bought licences', a plan's the assigned ones'."""
    site.put_payer("alice", licenses=())
    assert sizes(site) == {}
    site.operator.put_payers(many(100))
    site.put_payer("pia", country="PR", licenses=("MCOPSTN1", "MCOMEETADV"))
    site.set(bought_licenses=(BoughtLicense("MCOMEETADV", 115),))
    assert sizes(site) == {
        "US/MCOPSTN1": (101, 303_000, 303_000),
        "zone-a/MCOMEETADV": (115, 6_900, 6_900),
    }
    site.operator.assign_licenses("pia", add=["MCOPSTN2"], remove=["MCOPSTN1"])
    found = sizes(site)
    assert found["US/MCOPSTN1"] == (100, 300_000, 300_000)
    assert found["US/MCOPSTN2/international"] == (1, 600, 600)


def test_the_minutes_of_a_call_are_told_by_journal_balance_and_proof(site: Site) -> None:
    site.put_payer("alice", licenses=("MCOPSTN1",))
    call = site.call(AT_HOME, requested_seconds=120)
    assert site.pools() == {"US/MCOPSTN1": (0, 120, 179_880)}
    site.settle(call, 61)
    assert site.pools() == {"US/MCOPSTN1": (120, 0, 179_880)}
    hold, settle = site.entries(call.call_id)
    assert [(p.pool_id, p.used_delta_seconds, p.held_delta_seconds) for p in hold.pools] == [
        ("US/MCOPSTN1", 0, 120)
    ]
    assert [(p.used_delta_seconds, p.held_delta_seconds) for p in settle.pools] == [(120, -120)]
    assert hold.pools[0].month == settle.pools[0].month >= 202601
    proof = site.operator.check_conservation()
    assert (proof.pool_difference_seconds, proof.postpaid_difference_micros) == (0, 0)


def test_what_goes_to_the_invoice_is_told_by_journal_and_balance(make_site: MakeSite) -> None:
    site = make_site(billing_mode=BillingMode.POSTPAID)
    call = site.call(requested_seconds=120)
    assert call.sources[0].kind is SourceKind.POSTPAID
    held = site.balance()
    assert (held.postpaid_micros, held.postpaid_held_micros) == (0, 2 * MINUTE)
    site.settle(call, 60)
    balance = site.balance()
    assert (balance.postpaid_micros, balance.postpaid_held_micros) == (MINUTE, 0)
    assert (balance.spent_today_micros, balance.spent_this_month_micros) == (MINUTE, MINUTE)
    moved = [
        (entry.postpaid_delta_micros, entry.postpaid_held_delta_micros)
        for entry in site.entries(call.call_id)
    ]
    assert moved == [(0, 2 * MINUTE), (MINUTE, -2 * MINUTE)]


def test_nobody_writes_over_a_change_that_they_did_not_see(site: Site) -> None:
    """Two admins read, both write: the second is told to read again, and loses nothing of the first's."""
    mine, yours = site.operator.get_payer("alice"), site.operator.get_payer("alice")
    site.operator.assign_licenses("alice", remove=["MCOPSTN1"])
    with pytest.raises(Conflict) as refused:
        site.operator.put_payer(replace(mine, display_name="Alice"))
    assert refused.value.reason == "VERSION_CHANGED"
    now = site.operator.put_payer(replace(yours, licenses=("MCOPSTNC",), profile_version=0))
    again = site.operator.put_payer(replace(now, display_name="Alice"))
    repeated = replace(now, display_name="Alice")
    assert site.operator.put_payer(repeated) == again
    tenant = site.operator.get_tenant()
    site.operator.put_tenant(replace(tenant, display_name="First"))
    with pytest.raises(Conflict):
        site.operator.put_tenant(replace(tenant, max_open_calls=1))
