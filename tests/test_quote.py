"""Why a quote came out as it did, as an admin reads it."""

from dataclasses import replace
from typing import Any

import pytest

from talktime_server.decision import catalog
from talktime_server.decision.answers import Answer
from talktime_server.decision.calls import Quote
from talktime_server.decision.entitlement import entitle
from talktime_server.decision.explanation import Step
from talktime_server.decision.pools import PoolState
from talktime_server.decision.quote import explain
from talktime_server.decision.rating import Rate
from talktime_server.decision.verdict import Decision
from talktime_server.ledger.profiles import Payer, Tenant
from talktime_server.ledger.records import (
    NO_PRICE,
    Call,
    Facts,
    Grant,
    Money,
    Sources,
    Stretch,
)
from talktime_server.words import CallState, CallType, Reason, SourceKind

PLAN = catalog.number_plan()
TENANT = Tenant("contoso", "USD", "US")
US, GB = "+12125550123", "+442071838750"
RATE = Rate("United Kingdom", "44", 21_000, 0, 60, 60, "2026-07")
MONEY = Money(12_500_000, 500_000)
ABROAD = (
    "+442071838750 is an ordinary number of GB; payer alice is licensed in US,"
    " so the call is international, to a country that MCOPSTN2 reaches"
)
ANYWHERE = (
    "DialoutCPCandPSTNInternational, the default, as neither payer nor tenant names one,"
    " lets users call everywhere"
)
POOL, CREDITS, POSTPAID = SourceKind.POOL, SourceKind.CREDITS, SourceKind.POSTPAID


def quoted(
    to_number: str,
    licenses: str,
    *stretches: Stretch,
    call_type: str = "USER_OUT",
    refusal: Reason | None = None,
    tenant: Tenant = TENANT,
    country: str = "US",
    limit: str = "",
) -> Quote:
    """As the decision and the ledger together would answer it."""
    payer = Payer("alice", country, licenses=tuple(licenses.split()))
    number = PLAN.classify(to_number)
    entitlement = entitle(tenant, payer, CallType(call_type), number)
    sources = entitlement.sources
    priced = bool(sources and sources.money)
    decision = Decision(
        number,
        sources,
        entitlement.refusal,
        RATE if priced else None,
        entitlement=entitlement,
        priced=priced,
    )
    seconds = sum(stretch.seconds for stretch in stretches)
    refused = refusal or entitlement.refusal
    grant = Grant(seconds, 0, 720, False, MONEY, 0, refused, stretches=stretches, limit=limit)
    return Quote(Answer(tenant, call_with(grant), replayed=False), decision, payer)


def call_with(grant: Grant) -> Call:
    facts = Facts("USER_OUT", "alice", "", US, "", "600", "")
    return Call(CallState.OPEN, facts, None, 0, 600, 0, NO_PRICE, grant, None, None)


def told(steps: list[Step]) -> list[str]:
    return [f"{'✓' if s.passed else '✗'} {s.name}: {s.explanation}" for s in steps]


def last(quote: Quote) -> Step:
    return explain(quote)[-1]


def test_a_call_that_a_pool_and_credits_pay() -> None:
    pool = Stretch(POOL, 180, pool_id="US/MCOPSTN2/international")
    quote = quoted(GB, "MCOPSTN2 MCOPSTNC", pool, Stretch(CREDITS, 420, 147_000))
    assert told(explain(quote)) == [
        "✓ tenant: tenant contoso is active",
        "✓ payer: payer alice is known, licensed in US",
        f"✓ destination: {ABROAD}",
        f"✓ policy: {ANYWHERE}",
        "✓ licence: payer alice holds MCOPSTN2 (Domestic and international calling plan)",
        "✓ credits licence: payer alice has the credits licence",
        "✓ source: what may pay, in this order: pool US/MCOPSTN2/international, then the tenant's credits",
        "✓ rate: United Kingdom (+44): 0.021 USD a minute",
        "✓ pool: pool US/MCOPSTN2/international, 600 minutes a month for each licence: 180 s would come from it",
        "✓ credits: 12.00 USD are available; 0.147 would be held for 420 s",
    ]


def test_each_check_names_its_rule() -> None:
    quote = quoted(GB, "MCOPSTN2 MCOPSTNC", Stretch(POOL, 600, pool_id="US/MCOPSTN2/international"))
    rules = {step.name: step.rule for step in explain(quote)}
    assert rules["policy"] == "policy.DialoutCPCandPSTNInternational"
    assert rules["licence"] == "user_out.international + user_out.listed"
    assert rules["rate"] == "deck.2026-07"
    assert rules["pool"] == "pool.US/MCOPSTN2/international"


def test_a_pool_is_told_with_what_is_left_where_that_is_known() -> None:
    quote = quoted(US, "MCOPSTN1 MCOPSTNC", Stretch(POOL, 600, pool_id="US/MCOPSTN1"))
    state = PoolState("US/MCOPSTN1", "MCOPSTN1", 3, 540_000, 60_000, 0, 480_000, closed=False)
    steps = {step.name: step.explanation for step in explain(replace(quote, pools=(state,)))}
    assert steps["pool"] == (
        "pool US/MCOPSTN1, 8,000 of 9,000 minutes left this month (3 licences): 600 s would come from it"
    )
    assert steps["credits"] == "12.00 USD are available; not needed"


ROWS = [
    ("USER_OUT", US, "", "licence", "a calling plan or a pay-as-you-go plan (MCOPSTN1, MCOPSTN2,"),
    ("USER_OUT", GB, "MCOPSTN1", "credits licence", "no licence to draw on the tenant's credits"),
    ("USER_OUT", "+5371234567", "MCOPSTN2", "credits licence", "MCOPSTNC would do, and costs"),
    (
        "USER_OUT",
        "+19005550123",
        "",
        "premium",
        "payers licensed in US may not call these premium numbers",
    ),
    ("USER_OUT", "+448451234567", "", "premium", "may not call another country's shared-cost"),
    (
        "CONF_OUT",
        US,
        "MCOPSTN1",
        "licence",
        "it takes audio conferencing or audio conferencing paid",
    ),
    (
        "CONF_OUT",
        "+254201234567",
        "MCOMEETADV",
        "credits licence",
        "no pool of minutes for this call",
    ),
    ("CONF_IN", US, "", "licence", "MCOMEETADV"),
    ("UCAP_IN", US, "", "licence", "a resource account licence (MCOEV, MCOEV_VIRTUALUSER"),
    ("UCAP_OUT", US, "", "licence", "a resource account licence, a calling plan or pay-as-you-go"),
    ("USER_IN", US, "MCOPSTNC", "licence", "a calling plan or pay-as-you-go"),
]


@pytest.mark.parametrize(("call_type", "to_number", "licenses", "name", "text"), ROWS)
def test_a_refusal_ends_with_the_check_that_refused(
    call_type: str, to_number: str, licenses: str, name: str, text: str
) -> None:
    steps = explain(quoted(to_number, licenses, call_type=call_type))
    assert [step.passed for step in steps] == [True] * (len(steps) - 1) + [False]
    assert steps[-1].name == name
    assert text in steps[-1].explanation


GRANTED = [
    ("USER_OUT", US, "MCOPSTN_PAYG_1", "the tenant's credits"),
    ("USER_IN", US, "MCOPSTN1", "nothing is owed: the call is included"),
    ("CONF_IN", US, "MCOMEETADV", "nothing is owed: the call is included"),
    ("CONF_OUT", US, "MCOMEETADV CONF_DIALOUT_US_CA", "nothing is owed: the call is included"),
    ("CONF_OUT", GB, "MCOMEETADV", "pool zone-a/MCOMEETADV"),
    ("CONF_IN", "+18005550123", "", "the tenant's credits"),
    ("UCAP_OUT", US, "MCOEV MCOPSTN1", "pool US/MCOPSTN1, then the tenant's credits"),
    ("UNASSIGNED_IN", US, "", "the tenant's credits"),
]


@pytest.mark.parametrize(("call_type", "to_number", "licenses", "text"), GRANTED)
def test_a_granted_call_says_what_may_pay(
    call_type: str, to_number: str, licenses: str, text: str
) -> None:
    steps = explain(quoted(to_number, licenses, call_type=call_type))
    assert all(step.passed for step in steps)
    assert text in next(step for step in steps if step.name == "source").explanation


def test_an_organizer_is_called_one() -> None:
    steps = {step.name: step for step in explain(quoted(GB, "MCOMEETADV", call_type="CONF_OUT"))}
    told = "payer alice, the organizer, holds MCOMEETADV (Audio conferencing)"
    assert (steps["licence"].explanation, steps["licence"].rule) == (told, "conf_out.zone_a")


def test_a_plan_where_none_are_sold_is_told_so() -> None:
    quote = quoted("+61212345678", "MCOPSTN1", country="AU")
    assert "(calling plans come from a local carrier in AU)" in last(quote).explanation


@pytest.mark.parametrize(
    ("licenses", "refusal", "name", "text"),
    [
        ("MCOPSTN1", Reason.POOL_EXHAUSTED, "pool", "it is used up"),
        ("MCOPSTN1 MCOPSTNC", Reason.INSUFFICIENT_CREDITS, "credits", "which is too little"),
    ],
)
def test_what_the_ledger_refused(licenses: str, refusal: Reason, name: str, text: str) -> None:
    step = last(quoted(US, licenses, refusal=refusal))
    assert (step.name, step.passed) == (name, False)
    assert text in step.explanation


def test_a_closed_pool_names_the_one_that_closed_it() -> None:
    quote = quoted(US, "MCOPSTN2", refusal=Reason.POOL_EXHAUSTED)
    assert "closed because US/MCOPSTN2/international is" in last(quote).explanation


def test_the_invoice_pays_what_credits_do_not() -> None:
    tenant = replace(TENANT, postpaid=True)
    quote = quoted(
        US,
        "MCOPSTN_PAYG_1",
        Stretch(CREDITS, 60, 21_000),
        Stretch(POSTPAID, 540, 189_000),
        tenant=tenant,
    )
    assert (
        told(explain(quote))[-1]
        == "✓ postpaid: the tenant is billed afterwards: 0.189 USD for 540 s"
    )


@pytest.mark.parametrize(
    ("limit", "settings", "text"),
    [
        (
            "tenant open",
            {"max_open_calls": 20},
            "the tenant may have no more calls open: the limit is 20",
        ),
        (
            "payer open",
            {"max_open_calls_per_payer": 2},
            "the payer may have no more calls open: the limit is 2",
        ),
        (
            "tenant rate",
            {"max_calls_per_second": 9},
            "the tenant may start no more calls just now: the limit is 9",
        ),
        (
            "payer costly",
            {"max_costly_calls_per_day_per_payer": 3},
            "costly calls today (UTC): the limit is 3",
        ),
        ("tenant day", {"max_spend_per_day_micros": 1_500_000}, "may spend 1.50 USD a day"),
        ("payer month", {"max_spend_per_month_per_payer_micros": 10}, "spend 0.00001 USD a month"),
        ("payer share", {"max_payer_hold_percent": 5}, "may hold 5 % of the balance"),
        ("conference budget", {}, "the conference has a budget of 0.00 USD"),
    ],
)
def test_a_limit_that_refuses_is_named(limit: str, settings: dict[str, int], text: str) -> None:
    changes: dict[str, Any] = {**settings}
    tenant = replace(TENANT, **changes)
    quote = quoted(US, "MCOPSTN_PAYG_1", refusal=Reason.SPEND_LIMIT, tenant=tenant, limit=limit)
    assert (last(quote).name, last(quote).rule) == ("limits", f"limit.{limit.replace(' ', '.')}")
    assert text in last(quote).explanation


def test_a_limit_that_is_kept_is_told() -> None:
    quote = quoted(US, "MCOPSTN_PAYG_1", tenant=replace(TENANT, max_open_calls=10))
    assert ("limits", True) in [(step.name, step.passed) for step in explain(quote)]


def test_lists_of_prefixes_are_told() -> None:
    tenant = replace(TENANT, blocked_prefixes=("44",), allowed_prefixes=("4420",))
    names = [step.explanation for step in explain(quoted(GB, "MCOPSTN2", tenant=tenant))]
    assert "the tenant's lists of prefixes allow numbers under +4420" in names
    step = last(quoted(US, "MCOPSTN2", tenant=tenant))
    assert (
        step.explanation
        == "the tenant's lists of prefixes allow some prefixes, and none of this number"
    )
    assert (step.passed, step.rule) == (False, "prefixes.tenant")


AT_HOME = replace(TENANT, dial_out_policy="DialoutCPCandPSTNDomestic")
ONE, TWO = "the US, Canada and Puerto Rico count as one", "for a policy the US and Canada are two"


@pytest.mark.parametrize(
    ("to_number", "passed", "one", "two"),
    [
        ("+14165550123", False, True, True),
        ("+17875550123", True, True, False),
        (US, True, False, False),
    ],
)
def test_where_minutes_and_policy_count_countries_apart_it_is_said(
    to_number: str, passed: bool, one: bool, two: bool
) -> None:
    """Canada is domestic for minutes and abroad for a policy; Puerto Rico is domestic for both."""
    steps = {step.name: step for step in explain(quoted(to_number, "MCOPSTN1", tenant=AT_HOME))}
    assert steps["policy"].passed is passed
    assert (ONE in steps["destination"].explanation) is one
    assert (TWO in steps["policy"].explanation) is two


def test_a_policy_that_lets_nobody_call_says_nowhere() -> None:
    tenant = replace(TENANT, dial_out_policy="DialoutCPCandPSTNDisabled")
    step = last(quoted(US, "MCOPSTN1", tenant=tenant))
    assert (step.name, "lets users call nowhere" in step.explanation) == ("policy", True)


@pytest.mark.parametrize(
    ("licenses", "text"),
    [
        ("MCOPSTN1", "has no credits licence: when its pool is used up, nothing else may pay"),
        ("MCOPSTN_PAYG_1", "draws on the tenant's credits without the credits licence"),
    ],
)
def test_a_credits_licence_that_nothing_needs_is_noted_and_not_checked(
    licenses: str, text: str
) -> None:
    steps = explain(quoted(US, licenses))
    assert "credits licence" not in {step.name for step in steps}
    (noted,) = [step for step in steps if step.name == "note"]
    assert (noted.passed, text in noted.explanation) == (True, True)


def test_the_premium_rule_is_named() -> None:
    quote = quoted("+448451234567", "MCOPSTN1 MCOPSTNC", country="GB")
    step = next(step for step in explain(quote) if step.name == "premium")
    assert (step.passed, step.rule) == (True, "premium.GB.44845")
    assert step.explanation.startswith(
        "payers licensed in GB may call shared-cost numbers under +44"
    )


def unpriced(
    quote: Quote, refusal: Reason | None, rate: Rate | None, sources: Sources | None
) -> Quote:
    decision = quote.decision._replace(refusal=refusal, rate=rate, sources=sources, priced=True)
    return replace(quote, decision=decision)


def test_a_call_without_a_price() -> None:
    quote = quoted(US, "MCOPSTN1 MCOPSTNC", refusal=Reason.NO_RATE)
    step = last(unpriced(quote, Reason.NO_RATE, None, None))
    assert step == Step("rate", False, "no deck in force prices it in USD")


def test_a_call_without_a_price_may_still_have_a_pool() -> None:
    pool = Stretch(POOL, 600, pool_id="US/MCOPSTN1")
    quote = quoted(US, "MCOPSTN1 MCOPSTNC", pool)
    assert quote.decision.sources
    steps = explain(unpriced(quote, None, None, Sources(pools=quote.decision.sources.pools)))
    assert all(step.passed for step in steps)
    assert [step.name for step in steps[-2:]] == ["rate", "pool"]
    assert steps[-2].explanation == "no deck in force prices it in USD, so only pools may pay"


def test_a_rate_above_the_ceiling() -> None:
    tenant = replace(TENANT, max_rate_per_minute_micros=20_000)
    quote = quoted(US, "MCOPSTN_PAYG_1", tenant=tenant, refusal=Reason.RATE_CEILING)
    step = last(unpriced(quote, Reason.RATE_CEILING, RATE, None))
    assert step == Step("ceiling", False, "that is above the dearest rate the tenant allows, 0.02")


def test_who_may_not_call_at_all() -> None:
    quote = quoted(US, "MCOPSTN1")
    suspended = replace(quote, answer=quote.answer._replace(tenant=replace(TENANT, suspended=True)))
    assert [step.name for step in explain(suspended)] == ["tenant"]
    nobody = Quote(quote.answer, Decision(refusal=Reason.PAYER_UNKNOWN), None)
    assert told(explain(nobody))[-1] == "✗ payer: the tenant has no payer with this id"
    blocked = Payer("alice", "US", blocked=True, block_reason="left")
    refused = Quote(quote.answer, Decision(refusal=Reason.PAYER_BLOCKED), blocked)
    assert told(explain(refused))[-1] == "✗ payer: payer alice is blocked: left"


def test_a_call_to_nobodys_number_is_the_tenants() -> None:
    entitlement = entitle(TENANT, None, CallType.UNASSIGNED_IN, PLAN.classify(US))
    decision = Decision(entitlement.number, entitlement.sources, entitlement=entitlement)
    steps = explain(Quote(quoted(US, "MCOPSTN1").answer, decision, None))
    assert all(step.passed for step in steps)
    assert "nobody is assigned to the number" in steps[1].explanation
