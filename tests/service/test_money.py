"""What calls cost and what is granted for it (semantics, money and rating)."""

import asyncio
import string
import uuid
from collections.abc import Callable
from itertools import product

import pytest

from service.running import until
from service.site import (
    AT_HOME,
    BERLIN,
    DECK,
    LONDON,
    MADRID,
    MINUTE,
    MOBILE,
    PARIS,
    UNPRICED,
    Site,
)
from talktime import AsyncClient, CallFields, CallType, Client, Conflict, InvalidRequest, RateRow

MakeSite = Callable[..., Site]
_pairs = product(string.ascii_uppercase, repeat=2)


def put_deck(site: Site, currency: str, *rows: RateRow) -> str:
    """Puts a deck in force; returns its version."""
    version = f"deck-{uuid.uuid4().hex[:12]}"
    site.operator.put_rate_deck(version, currency, rows)
    site.operator.activate_rate_deck(version, len(rows))
    return version


def own_currency() -> str:
    """A currency that no other test has a deck in."""
    return "X" + "".join(next(_pairs))


def test_less_money_than_asked_for_grants_whole_steps_and_says_it_is_the_last(
    make_site: MakeSite,
) -> None:
    """semantics 31"""
    site = make_site()
    site.fund(2 * MINUTE + MINUTE // 2)
    call = site.call(requested_seconds=600)
    assert (call.granted_seconds, call.final_grant) == (120, True)
    assert site.sums() == (2 * MINUTE + MINUTE // 2, 2 * MINUTE)


@pytest.mark.parametrize(
    ("number", "money", "granted"),
    [(PARIS, 44_999, 0), (PARIS, 45_000, 30), (PARIS, 53_999, 30), (PARIS, 54_000, 36)],
)
def test_no_grant_is_shorter_than_the_first_step(
    make_site: MakeSite, number: str, money: int, granted: int
) -> None:
    """semantics 31: 45,000 micros are thirty seconds, 9,000 each step of six."""
    site = make_site()
    site.fund(money)
    call = site.call(number, requested_seconds=600)
    assert (call.granted_seconds, call.final_grant) == (granted, granted > 0)
    assert call.reason == (None if granted else "INSUFFICIENT_CREDITS")


def test_a_grant_cut_below_the_tenants_least_is_refused(make_site: MakeSite) -> None:
    """semantics 32: what was asked for in full may be as short as it likes."""
    site = make_site(min_grant_seconds=120)
    site.fund(MINUTE)
    short = site.call(requested_seconds=600)
    assert (short.authorized, short.reason) == (False, "INSUFFICIENT_CREDITS")
    assert site.call(requested_seconds=60).authorized


def test_many_extends_cost_what_one_long_grant_costs(site: Site) -> None:
    """semantics 33: 100,000 a minute by the second; rounded once, up, from the whole call."""
    short, long = site.call(MADRID, requested_seconds=1), site.call(MADRID, requested_seconds=7)
    for sequence in range(1, 7):
        site.router.extend(short.call_id, sequence, 1)
    assert site.router.get_call(short.call_id).held_micros == 11_667
    assert site.settle(short, 7).charged_micros == 11_667
    assert site.settle(long, 7).charged_micros == 11_667


def test_sums_beyond_a_doubles_digits_stay_exact(make_site: MakeSite) -> None:
    """semantics 34: 2^53 is about 9.007 * 10^15; the limit lies below it."""
    site = make_site()
    rich = 8_999_000_000_000_003
    site.enrich(rich)
    call = site.call(MADRID, requested_seconds=1)
    assert site.money().available_micros == rich - 1667
    assert site.settle(call, 1).charged_micros == 1667
    site.fund(10**12 - 4)
    assert site.sums() == (8_999_999_999_998_332, 0)
    with pytest.raises(Conflict) as limit:
        site.fund(2_000_000)
    assert limit.value.reason == "BALANCE_LIMIT"
    assert site.sums() == (8_999_999_999_998_332, 0)


def test_a_price_stays_what_it_was_when_the_call_began(make_site: MakeSite) -> None:
    """semantics 35"""
    currency = own_currency()
    site = make_site(currency_code=currency)
    old = put_deck(site, currency, RateRow("44", "Old", 60_000))
    site.fund(10_000_000)
    until(lambda: all(site.router.quote("alice", "USER_OUT", LONDON).rate for _ in range(5)))
    call = until(lambda: (found := site.call()).authorized and found)
    assert call
    new = put_deck(site, currency, RateRow("44", "New", 600_000))

    def priced_by() -> str:
        rate = site.router.quote("alice", "USER_OUT", LONDON).rate
        assert rate is not None
        return rate.deck_version

    until(lambda: priced_by() == new)
    more = site.router.extend(call.call_id, 1, 60)
    receipt = site.settle(call, 120)
    assert more.rate is not None
    assert receipt.rate is not None
    assert (more.rate.deck_version, receipt.rate.deck_version) == (old, old)
    assert receipt.charged_micros == 2 * MINUTE


def test_a_destination_without_a_rate_is_refused_and_never_free(site: Site) -> None:
    """semantics 36"""
    call = site.call(UNPRICED)
    assert (call.authorized, call.reason, call.rate) == (False, "NO_RATE", None)


def test_a_destination_without_a_rate_costs_the_tenants_default_where_it_has_one(
    make_site: MakeSite,
) -> None:
    """semantics 36"""
    site = make_site(default_rate_per_minute_micros=500_000)
    site.fund(10_000_000)
    call = site.call(UNPRICED)
    assert call.rate is not None
    assert (call.rate.prefix, call.rate.rate_per_minute_micros) == ("", 500_000)
    assert site.settle(call, 60).charged_micros == 500_000
    assert site.call(LONDON).sources[0].amount_micros == MINUTE


def test_the_longest_prefix_prices_a_number(site: Site) -> None:
    """semantics 37"""
    call = site.call(MOBILE)
    assert call.rate is not None
    assert (call.rate.prefix, call.rate.destination) == ("447", "Kingdom - Mobile")
    assert call.rate.deck_version == DECK
    assert call.sources[0].amount_micros == 2 * MINUTE


def test_a_ported_number_is_priced_by_its_routing_number(site: Site) -> None:
    """semantics 37"""
    call = site.call(LONDON, routing_number=MOBILE)
    assert call.rate is not None
    assert call.rate.prefix == "447"
    assert call.country == "GB"


@pytest.mark.parametrize("dialled", ["020 7946 0018", "0044 20 7946 0018", "+44 (0)20 7946 0018"])
def test_the_client_turns_dialled_numbers_into_the_only_form_the_service_takes(
    site: Site, dialled: str
) -> None:
    """semantics 38"""
    service = site.service
    with pytest.raises(InvalidRequest) as refused:
        site.call(dialled)
    assert refused.value.reason == "NOT_E164"
    with Client(
        service.address,
        service.router,
        tenant_id=site.tenant_id,
        default_region="GB",
        timeout_s=2.0,
    ) as local:
        call = local.authorize("alice", "USER_OUT", dialled)
    stored = site.router.get_call(call.call_id).call
    assert stored is not None
    assert stored.to_number == LONDON


def test_held_money_outlives_its_credits_and_the_rest_lapses(make_site: MakeSite) -> None:
    """semantics 41"""
    site = make_site()
    site.fund(100 * MINUTE, expire_days=1)
    site.pass_time(86_400 - 100)
    call = site.call(requested_seconds=600)
    site.pass_time(200)
    assert site.sums() == (10 * MINUTE, 10 * MINUTE)
    assert site.balance().expired_micros == 90 * MINUTE
    assert not site.call().authorized
    assert site.settle(call, 60).charged_micros == MINUTE
    balance = site.balance()
    assert site.sums() == (0, 0)
    assert (balance.spent_micros, balance.expired_micros) == (MINUTE, 99 * MINUTE)
    assert site.kinds() == ["FUND", "HOLD", "LAPSE", "SETTLE", "LAPSE"]


def test_a_tenants_currency_is_fixed(site: Site) -> None:
    """semantics 42"""
    with pytest.raises(Conflict) as refused:
        site.set(currency_code="USD")
    assert refused.value.reason == "CURRENCY_FIXED"


def test_below_zero_nothing_chargeable_starts_until_the_debt_is_paid(make_site: MakeSite) -> None:
    """semantics 43"""
    site = make_site(floor_micros=-10 * MINUTE)
    site.fund(MINUTE)
    site.settle(site.call(), 300)
    assert site.sums() == (-4 * MINUTE, 0)
    assert site.call().reason == "INSUFFICIENT_CREDITS"
    assert site.call(AT_HOME).authorized
    site.fund(4 * MINUTE)
    assert site.call().reason == "INSUFFICIENT_CREDITS"
    site.fund(MINUTE)
    assert site.call().authorized


async def test_fundings_and_charges_at_once_add_up(site: Site) -> None:
    """semantics 44"""
    service = site.service
    calls = [site.call() for _ in range(20)]
    async with (
        AsyncClient(
            service.address, service.router, tenant_id=site.tenant_id, timeout_s=2.0
        ) as router,
        AsyncClient(service.address, service.operator, tenant_id=site.tenant_id) as operator,
    ):
        await asyncio.gather(
            *(router.settle(call.call_id, 60) for call in calls),
            *(operator.add_funds(f"invoice-{n}", 7) for n in range(20)),
        )
    assert site.sums() == (10_000_000 + 20 * 7 - 20 * MINUTE, 0)


def test_an_included_call_holds_nothing_and_is_recorded(make_site: MakeSite) -> None:
    """semantics 45"""
    site = make_site()
    call = site.router.authorize("alice", "USER_IN", AT_HOME)
    assert call.authorized
    assert [(s.kind, s.amount_micros) for s in call.sources] == [("INCLUDED", 0)]
    assert call.rate is None
    receipt = site.settle(call, 3600)
    assert (receipt.charged_micros, receipt.duration_seconds) == (0, 3600)
    assert site.kinds(call.call_id) == ["RECORD", "SETTLE"]
    assert site.sums() == (0, 0)


def test_a_rate_above_the_tenants_ceiling_is_refused(make_site: MakeSite) -> None:
    """semantics 46"""
    site = make_site(max_rate_per_minute_micros=100_000)
    site.fund(10_000_000)
    assert site.call(MOBILE).reason == "RATE_CEILING"
    assert site.call(BERLIN).authorized


def test_a_payers_own_ceiling_goes_before_the_tenants(make_site: MakeSite) -> None:
    """semantics 46"""
    site = make_site(max_rate_per_minute_micros=50_000)
    site.fund(10_000_000)
    assert site.call(LONDON).reason == "RATE_CEILING"
    site.put_payer("alice", max_rate_per_minute_micros=60_000)
    assert site.call(LONDON).authorized
    assert site.call(MOBILE).reason == "RATE_CEILING"


def test_a_quote_says_what_an_authorize_would_and_holds_nothing(site: Site) -> None:
    quote = site.router.quote("alice", "USER_OUT", MOBILE, requested_seconds=60)
    call = site.call(MOBILE)
    assert (quote.outcome, quote.granted_seconds) == (call.outcome, call.granted_seconds)
    assert (quote.rate, quote.sources) == (call.rate, call.sources)
    assert [check.passed for check in quote.explain] == [True] * len(quote.explain)
    assert site.kinds() == ["FUND", "HOLD"]


def test_a_settle_charges_the_frozen_rate_though_its_fields_have_no_price_now(site: Site) -> None:
    """semantics 14, 35: the fields count only for a call that nobody knows."""
    call = site.call()
    unpriced = CallFields("alice", CallType.USER_OUT, UNPRICED)
    assert site.router.settle(call.call_id, 60, unpriced).charged_micros == MINUTE
    with pytest.raises(Conflict) as nobody_priced:
        site.router.settle("leg-unknown", 60, unpriced)
    assert nobody_priced.value.reason == "NO_RATE"
    assert site.sums() == (10_000_000 - MINUTE, 0)
