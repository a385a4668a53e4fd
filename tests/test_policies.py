"""Where a payer may call: the twelve policies, lists of prefixes, and the switch for toll-free dial-in (domain.md 8)."""

from dataclasses import replace
from typing import Any

import pytest

from talktime_server.decision import catalog, policy
from talktime_server.decision.entitlement import entitle
from talktime_server.decision.geography import domestic_for_minutes, domestic_for_policy
from talktime_server.ledger.profiles import Payer, Tenant
from talktime_server.words import CallType, Reason

PLAN = catalog.number_plan()
TENANT = Tenant("contoso", "USD", "US")
US, CA, PR, GB, KENYA = (
    "+12125550123",
    "+14165550123",
    "+17875550123",
    "+442071838750",
    "+254201234567",
)
LICENSES = ("MCOPSTN2", "MCOPSTNC", "MCOMEETADV")

# What each policy allows: conferences to the own country, Zone A and beyond it; users at home and abroad.
POLICIES = {
    "DialoutCPCandPSTNInternational": "yes yes yes yes yes",
    "DialoutCPCDomesticPSTNInternational": "yes no no yes yes",
    "DialoutCPCDisabledPSTNInternational": "no no no yes yes",
    "DialoutCPCInternationalPSTNDomestic": "yes yes yes yes no",
    "DialoutCPCInternationalPSTNDisabled": "yes yes yes no no",
    "DialoutCPCandPSTNDomestic": "yes no no yes no",
    "DialoutCPCDomesticPSTNDisabled": "yes no no no no",
    "DialoutCPCDisabledPSTNDomestic": "no no no yes no",
    "DialoutCPCandPSTNDisabled": "no no no no no",
    "DialoutCPCZoneAPSTNInternational": "yes yes no yes yes",
    "DialoutCPCZoneAPSTNDomestic": "yes yes no yes no",
    "DialoutCPCZoneAPSTNDisabled": "yes yes no no no",
}


def refusal(call_type: str, to_number: str, payer: Payer, tenant: Tenant = TENANT) -> Reason | None:
    return entitle(tenant, payer, CallType(call_type), PLAN.classify(to_number)).refusal


def alice(country: str = "US", **settings: Any) -> Payer:
    return Payer("alice", country, licenses=LICENSES, **settings)


@pytest.mark.parametrize("name", list(POLICIES))
def test_a_policy_allows_what_its_name_says(name: str) -> None:
    payer = alice(dial_out_policy=name)
    asked = [
        ("CONF_OUT", US),
        ("CONF_OUT", GB),
        ("CONF_OUT", KENYA),
        ("USER_OUT", US),
        ("USER_OUT", GB),
    ]
    allowed = ["no" if refusal(*each, payer) is Reason.POLICY else "yes" for each in asked]
    assert " ".join(allowed) == POLICIES[name]


def test_there_are_no_other_policies() -> None:
    assert set(catalog.dial_out_policies()) == set(POLICIES)


def test_without_a_policy_everything_is_allowed() -> None:
    assert policy.named("") is policy.named("DialoutCPCandPSTNInternational")
    assert refusal("USER_OUT", KENYA, alice()) is None


def test_the_payers_policy_goes_before_the_tenants() -> None:
    strict = Tenant("contoso", "USD", "US", dial_out_policy="DialoutCPCandPSTNDisabled")
    assert refusal("USER_OUT", US, alice(), strict) is Reason.POLICY
    own = alice(dial_out_policy="DialoutCPCandPSTNDomestic")
    assert refusal("USER_OUT", US, own, strict) is None


@pytest.mark.parametrize(
    "call_type", ["USER_OUT_CONF", "USER_OUT_TRANSFER", "USER_OUT_FORWARDING", "UCAP_OUT"]
)
def test_the_setting_for_users_covers_every_outbound_call_but_a_conference(call_type: str) -> None:
    payer = alice(dial_out_policy="DialoutCPCInternationalPSTNDisabled")
    assert refusal(call_type, US, payer) is Reason.POLICY


@pytest.mark.parametrize("call_type", ["USER_IN", "UCAP_IN", "CONF_IN", "UNASSIGNED_IN"])
def test_no_policy_or_list_looks_at_calls_that_come_in(call_type: str) -> None:
    payer = alice(dial_out_policy="DialoutCPCandPSTNDisabled", blocked_prefixes=("1",))
    tenant = Tenant("contoso", "USD", "US", allowed_prefixes=("44",))
    assert refusal(call_type, "+18005550123", payer, tenant) is not Reason.POLICY
    assert refusal(call_type, US, payer, tenant) is not Reason.POLICY


@pytest.mark.parametrize(
    ("ours", "theirs", "for_minutes", "for_policy"),
    [
        ("US", "US", True, True),
        ("US", "CA", True, False),
        ("CA", "US", True, False),
        ("PR", "US", True, True),
        ("US", "PR", True, True),
        ("CA", "PR", True, False),
        ("PR", "PR", True, True),
        ("GB", "GB", True, True),
        ("GB", "IM", False, False),
        ("US", "MX", False, False),
        ("US", "001", False, False),
        ("US", "", False, False),
    ],
)
def test_domestic_is_two_tests(ours: str, theirs: str, for_minutes: bool, for_policy: bool) -> None:
    assert domestic_for_minutes(ours, theirs) is for_minutes
    assert domestic_for_policy(ours, theirs) is for_policy


def test_a_domestic_policy_keeps_the_united_states_and_canada_apart() -> None:
    payer = alice(dial_out_policy="DialoutCPCandPSTNDomestic")
    assert refusal("USER_OUT", CA, payer) is Reason.POLICY
    assert refusal("USER_OUT", PR, payer) is None
    canadian = alice("CA", dial_out_policy="DialoutCPCandPSTNDomestic")
    assert refusal("CONF_OUT", US, canadian) is Reason.POLICY


LISTS = [
    # blocked, allowed, number, whether it may be called
    ("44", "", GB, False),
    ("44", "", US, True),
    ("44", "4420", GB, True),
    ("442071", "4420", GB, False),
    ("", "44", GB, True),
    ("", "44", US, False),
    ("44", "44", GB, False),
    ("1 44", "1212", "+12135550123", False),
    ("442071838750", "", GB, False),
    ("4420718387500", "", GB, True),
]


@pytest.mark.parametrize(("blocked", "allowed", "number", "may"), LISTS)
@pytest.mark.parametrize("owner", ["tenant", "payer"])
def test_the_longest_prefix_of_a_pair_of_lists_decides(
    owner: str, blocked: str, allowed: str, number: str, may: bool
) -> None:
    lists: dict[str, Any] = {
        "blocked_prefixes": tuple(blocked.split()),
        "allowed_prefixes": tuple(allowed.split()),
    }
    tenant, payer = TENANT, alice()
    if owner == "tenant":
        tenant = replace(TENANT, **lists)
    else:
        payer = replace(payer, **lists)
    found = refusal("USER_OUT", number, payer, tenant)
    assert (found is not Reason.POLICY) is may


def test_tenant_and_payer_must_both_permit() -> None:
    tenant = Tenant("contoso", "USD", "US", blocked_prefixes=("44",))
    assert refusal("USER_OUT", GB, alice(allowed_prefixes=("4420",)), tenant) is Reason.POLICY
    open_tenant = Tenant("contoso", "USD", "US", allowed_prefixes=("44", "1"))
    assert refusal("USER_OUT", GB, alice(allowed_prefixes=("1",)), open_tenant) is Reason.POLICY
    assert refusal("USER_OUT", US, alice(allowed_prefixes=("1",)), open_tenant) is None


def test_a_list_speaks_before_premium_rules_and_licences() -> None:
    payer = Payer("bob", "US", blocked_prefixes=("1900",))
    assert refusal("USER_OUT", "+19005550123", payer) is Reason.POLICY
    assert refusal("USER_OUT", "+19015550123", payer) is Reason.NO_LICENSE


def test_an_organizer_may_turn_toll_free_dial_in_off() -> None:
    payer = alice(toll_free_dial_in_off=True)
    assert refusal("CONF_IN", "+18005550123", payer) is Reason.POLICY
    assert refusal("CONF_IN", US, payer) is None
    assert refusal("USER_IN", "+18005550123", payer) is None
