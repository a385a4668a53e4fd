"""Who may call: suspension, licences, emergency and toll-free calls, tenants kept apart (semantics, tenancy and policy)."""

from collections.abc import Callable

import pytest

from service.running import until
from service.site import AT_HOME, HARARE, LICENSES, LONDON, MINUTE, TOLL_FREE, Site
from talktime import (
    CallFields,
    CallType,
    Client,
    Conflict,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    NotPermitted,
)
from talktime_server.rpc.shapes import Role

MakeSite = Callable[..., Site]


def token_known(router: Client) -> bool:
    """Whether the process at hand has read the tokens file since it changed."""
    try:
        router.get_call("leg-0")
    except NotFound:
        return True
    except NotAuthenticated:
        return False
    raise AssertionError("there is no such call")


def test_a_suspended_tenants_calls_run_out_but_are_not_extended(site: Site) -> None:
    """semantics 66: drain, the default."""
    call = site.call()
    tenant = site.operator.suspend_tenant()
    assert (tenant.status, tenant.running_calls) == ("SUSPENDED", "DRAIN")
    assert site.call().reason == "TENANT_SUSPENDED"
    more = site.router.extend(call.call_id, 1, 60)
    assert (more.authorized, more.reason) == (False, "TENANT_SUSPENDED")
    assert more.granted_seconds == 60
    assert site.settle(call, 50).charged_micros == MINUTE


def test_a_suspension_that_cuts_ends_running_calls_at_their_next_extend(site: Site) -> None:
    """semantics 66: cut."""
    call = site.call()
    site.operator.suspend_tenant(running_calls="CUT")
    more = site.router.extend(call.call_id, 1, 60)
    assert (more.authorized, more.reason) == (False, "TENANT_SUSPENDED")
    assert more.granted_seconds == 0
    assert site.settle(call, 20).charged_micros == MINUTE


def test_a_resumed_tenant_calls_again(site: Site) -> None:
    """semantics 66"""
    call = site.call()
    site.operator.suspend_tenant()
    site.set(display_name="another name")
    assert site.call().reason == "TENANT_SUSPENDED"
    site.operator.resume_tenant()
    assert site.call().authorized
    assert site.router.extend(call.call_id, 1, 60).authorized


def test_a_suspension_is_seen_by_the_next_call_in_every_process(
    site: Site, crowd: list[Client]
) -> None:
    """semantics 66, 87"""

    def reasons() -> list[str | None]:
        return [
            client.authorize("alice", "USER_OUT", AT_HOME, tenant_id=site.tenant_id).reason
            for client in crowd
        ]

    assert reasons() == [None] * len(crowd)
    site.operator.suspend_tenant()
    assert reasons() == ["TENANT_SUSPENDED"] * len(crowd)
    site.operator.resume_tenant()
    assert reasons() == [None] * len(crowd)


@pytest.mark.parametrize(
    ("taken", "reason"), [("MCOPSTN1", "NO_LICENSE"), ("MCOPSTNC", "NO_CREDITS_LICENSE")]
)
def test_a_licence_taken_away_ends_extends_and_leaves_the_hold(
    site: Site, crowd: list[Client], taken: str, reason: str
) -> None:
    """semantics 67: seen by the next call in every process."""
    calls = [site.call() for _ in crowd]
    for client, call in zip(crowd, calls, strict=True):
        assert client.extend(call.call_id, 1, 60, tenant_id=site.tenant_id).authorized
    site.operator.assign_licenses("alice", remove=[taken])
    for client, call in zip(crowd, calls, strict=True):
        more = client.extend(call.call_id, 2, 60, tenant_id=site.tenant_id)
        assert (more.authorized, more.reason, more.granted_seconds) == (False, reason, 120)
        fresh = client.authorize("alice", "USER_OUT", LONDON, tenant_id=site.tenant_id)
        assert (fresh.authorized, fresh.reason) == (False, reason)
    assert site.money().held_micros == 2 * MINUTE * len(calls)
    assert site.settle(calls[0], 120).charged_micros == 2 * MINUTE


def test_a_licence_given_back_lets_the_call_be_extended_again(site: Site) -> None:
    """semantics 67"""
    call = site.call()
    site.operator.assign_licenses("alice", remove=["MCOPSTN1"])
    assert not site.router.extend(call.call_id, 1, 60).authorized
    site.operator.assign_licenses("alice", add=["MCOPSTN5"])
    assert site.router.extend(call.call_id, 2, 60).granted_seconds == 120


def test_a_dial_out_asks_for_the_organizers_licences(site: Site) -> None:
    """semantics 71: who is called, and who asked for it, does not count."""
    site.put_payer("organizer", licenses=("MCOMEETADV", "MCOPSTNC"))
    site.put_payer("participant", licenses=("MCOPSTN2", "MCOPSTNC"))

    def leg(payer_id: str) -> str | None:
        call = site.router.authorize(payer_id, "CONF_OUT", HARARE, conference_id="townhall")
        return call.reason

    assert leg("organizer") is None
    assert leg("participant") == "NO_LICENSE"
    site.put_payer("organizer", licenses=("MCOMEETADV",))
    assert leg("organizer") == "NO_CREDITS_LICENSE"


@pytest.mark.parametrize("number", ["112", "911"])
def test_an_emergency_call_passes_whatever_else_would_refuse_it(
    make_site: MakeSite, number: str
) -> None:
    """semantics 73: no money, suspended, blocked, no licence; with the store away in test_faults.py."""
    site = make_site(max_open_calls=1)
    site.put_payer("alice", licenses=())
    site.operator.block_payer("alice", "lost phone")
    site.operator.suspend_tenant()
    for n in range(3):
        call = site.call(number, call_id=f"help-{n}", from_number=AT_HOME)
        assert call.authorized
        assert (call.number_class, call.granted_seconds) == ("EMERGENCY", 86_400)
        assert [(s.kind, s.amount_micros) for s in call.sources] == [("EMERGENCY", 0)]
    until(lambda: site.kinds("help-2") == ["RECORD"])
    assert site.router.settle("help-2", 300).charged_micros == 0
    assert site.sums() == (0, 0)


def test_a_wrong_field_does_not_keep_an_emergency_call(site: Site) -> None:
    """semantics 73"""
    call = site.router.authorize(
        "nobody at all", "USER_OUT", "911", call_id="x", requested_seconds=0
    )
    assert call.authorized


def test_an_emergency_number_of_elsewhere_is_none_for_a_payer_we_know(site: Site) -> None:
    """semantics 73: 999 is the British one; alice is at home in the US."""
    with pytest.raises(InvalidRequest) as refused:
        site.call("999")
    assert refused.value.reason == "NOT_E164"
    site.put_payer("nigel", country="GB")
    assert site.router.authorize("nigel", "USER_OUT", "999").authorized


def test_a_toll_free_number_is_refused_at_zero_so_that_a_notice_can_be_played(
    make_site: MakeSite,
) -> None:
    """semantics 74"""
    site = make_site()
    call = site.router.authorize("alice", "CONF_IN", TOLL_FREE, from_number=LONDON)
    assert (call.authorized, call.reason) == (False, "INSUFFICIENT_CREDITS")
    site.fund(30_000)
    call = site.router.authorize("alice", "CONF_IN", TOLL_FREE, from_number=LONDON)
    assert (call.granted_seconds, call.final_grant) == (60, True)


def test_a_toll_free_number_rings_below_zero_as_far_as_the_tenant_permits(
    make_site: MakeSite,
) -> None:
    """semantics 74: the grace amount, for calls that come in alone."""
    site = make_site(inbound_grace_micros=60_000, floor_micros=-60_000)
    site.put_payer("desk", licenses=("MCOEV_VIRTUALUSER",))
    call = site.router.authorize("desk", "UCAP_IN", TOLL_FREE)
    assert (call.granted_seconds, call.final_grant) == (120, True)
    assert site.call(LONDON).reason == "INSUFFICIENT_CREDITS"
    assert site.settle(call, 120).charged_micros == 60_000
    assert site.sums() == (-60_000, 0)
    again = site.router.authorize("desk", "UCAP_IN", TOLL_FREE)
    assert again.reason == "INSUFFICIENT_CREDITS"


def test_the_tenant_comes_from_the_token_and_no_other_is_served(
    site: Site, make_site: MakeSite
) -> None:
    """semantics 76"""
    other = make_site()
    service = site.service
    token = service.token(Role.ROUTER, [site.tenant_id])
    with Client(service.address, token, timeout_s=2.0) as router:
        until(lambda: token_known(router))
        call = router.authorize("alice", "USER_OUT", LONDON, requested_seconds=60)
        assert call.authorized
        assert site.router.get_call(call.call_id).state == "OPEN"
        with pytest.raises(NotPermitted) as refused:
            router.authorize("alice", "USER_OUT", LONDON, tenant_id=other.tenant_id)
        assert refused.value.reason == "TENANT_MISMATCH"
        with pytest.raises(NotPermitted):
            router.get_call(call.call_id, tenant_id=other.tenant_id)
    with pytest.raises(NotFound):
        other.router.get_call(call.call_id)


def test_a_change_of_a_payer_is_seen_by_the_next_call_in_every_process(
    site: Site, crowd: list[Client]
) -> None:
    """semantics 87"""
    site.fund(100_000_000)

    def reasons() -> set[str | None]:
        return {
            client.authorize("alice", "USER_OUT", LONDON, tenant_id=site.tenant_id).reason
            for client in crowd
        }

    assert reasons() == {None}
    site.operator.block_payer("alice", "lost phone")
    assert reasons() == {"PAYER_BLOCKED"}
    site.operator.unblock_payer("alice")
    site.put_payer("alice", max_rate_per_minute_micros=1)
    assert reasons() == {"RATE_CEILING"}
    site.put_payer("alice", licenses=LICENSES[1:])
    assert reasons() == {"NO_LICENSE"}
    site.put_payer("alice")
    assert reasons() == {None}


def test_a_payer_made_now_may_call_in_every_process_that_had_not_known_it(
    site: Site, crowd: list[Client]
) -> None:
    """semantics 87"""

    def reasons() -> set[str | None]:
        return {
            client.authorize("carol", "USER_OUT", AT_HOME, tenant_id=site.tenant_id).reason
            for client in crowd
        }

    assert reasons() == {"PAYER_UNKNOWN"}
    site.put_payer("carol")
    assert reasons() == {None}


def test_a_call_nobody_asked_about_is_charged_by_the_licences_of_now_in_every_process(
    site: Site, crowd: list[Client]
) -> None:
    """semantics 14 and 87"""
    fields = CallFields("alice", CallType.USER_OUT, AT_HOME)

    def charges(word: str) -> set[int]:
        return {
            client.settle(f"{word}-{n}", 60, fields, tenant_id=site.tenant_id).charged_micros
            for n, client in enumerate(crowd)
        }

    assert charges("planned") == {0}
    site.put_payer("alice", licenses=())
    assert charges("bare") == {20_000}
    site.put_payer("alice")
    assert charges("again") == {0}


def test_a_premium_number_is_barred_whatever_the_licences(site: Site) -> None:
    assert site.call("+449098790000").reason == "PREMIUM_BARRED"


def test_a_released_call_is_not_extended(site: Site) -> None:
    """semantics 22"""
    call = site.call()
    site.router.release(call.call_id)
    with pytest.raises(Conflict) as clash:
        site.router.extend(call.call_id, 1, 60)
    assert clash.value.reason == "ALREADY_RELEASED"
