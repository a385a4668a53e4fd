"""Decks at a time, of one tenant, and in the shadow: the switch under calls, the price that is frozen, and the report."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.running import until
from service.site import LONDON, MINUTE, TOLL_FREE, Site
from service.test_deck import new_version, rate_of
from service.test_money import own_currency
from talktime import Authorization, Client, Conflict, InvalidRequest, NotFound, RateRow, ShadowLine

PLENTY = 10**12
FAR = "+263242700123"
# A process prices a call a moment before the store decides it; on a busy machine the moment may be long.
BEFORE, AFTER = timedelta(milliseconds=5), timedelta(seconds=2)

MakeSite = Callable[..., Site]


def put(site: Site, currency: str, *rows: RateRow) -> str:
    """Stores a deck; London costs so much unless other rows are given."""
    version = new_version()
    site.operator.put_rate_deck(version, currency, rows)
    return version


def london(name: str, rate: int) -> RateRow:
    return RateRow("44", name, rate)


@pytest.fixture
def currency() -> str:
    return own_currency()


@pytest.fixture
def funded(make_site: MakeSite, currency: str) -> Callable[[], Site]:
    """Makes tenants in one currency, with a deck in force by which London costs a unit of the tests."""

    def make() -> Site:
        site = make_site(currency_code=currency)
        site.fund(PLENTY)
        return site

    operator = make_site().operator
    version = new_version()
    operator.put_rate_deck(version, currency, [london("Old", MINUTE)])
    operator.activate_rate_deck(version, 1)
    return make


def seen(call: Authorization) -> str:
    """By which row a call is priced."""
    return call.rate.destination if call.rate else str(call.reason)


def clock(site: Site) -> datetime:
    """The store's."""
    return datetime.fromtimestamp(site.now_ms() / 1000, UTC)


class Callers:
    """Routers on connections of their own, so that every process has some, who ask until they are told to stop."""

    def __init__(self, clients: list[Client], tenant_id: str) -> None:
        self._over = threading.Event()
        self._calls: list[Authorization] = []
        self._failures: list[Exception] = []
        self._threads = [
            threading.Thread(target=self._ask, args=(client, tenant_id)) for client in clients
        ]

    @contextmanager
    def asking(self) -> Iterator[list[Authorization]]:
        """The calls they asked for, oldest first."""
        for thread in self._threads:
            thread.start()
        try:
            yield self._calls
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()
        assert not self._failures

    def _ask(self, client: Client, tenant_id: str) -> None:
        try:
            while not self._over.wait(0.01):
                call = client.authorize(
                    "alice", "USER_OUT", LONDON, requested_seconds=60, tenant_id=tenant_id
                )
                self._calls.append(call)
        except Exception as failure:
            self._failures.append(failure)


def test_a_deck_begins_at_its_time_under_calls_and_open_calls_keep_theirs(
    funded: Callable[[], Site], currency: str, crowd: list[Client]
) -> None:
    """semantics 35, 88: no process is started again, none is early or late, and no price changes under a call."""
    site = funded()
    early = site.call(LONDON)
    version = put(site, currency, london("New", 2 * MINUTE))
    begins = clock(site) + timedelta(seconds=4)
    planned = site.operator.activate_rate_deck(version, 1, activate_time=begins)
    (scope,) = planned.scopes
    assert (planned.active, scope.tenant_id, scope.shadow) == (False, "", False)
    with Callers(crowd[:4], site.tenant_id).asking() as calls:
        until(lambda: calls and seen(calls[-1]) == "New", 20.0)
        until(lambda: clock(site) > begins + AFTER, 20.0)
        enough = len(calls) + 20
        until(lambda: len(calls) >= enough, 20.0)
    before = {seen(call) for call in calls if at(call) < begins - BEFORE}
    after = {seen(call) for call in calls if at(call) > begins + AFTER}
    assert (before, after) == ({"Old"}, {"New"})
    assert rate_of(site.operator, version, LONDON)
    longer = site.router.extend(early.call_id, sequence=1, additional_seconds=60)
    assert longer.rate is not None
    assert longer.rate.rate_per_minute_micros == MINUTE
    assert site.settle(early, 120).charged_micros == 2 * MINUTE


def at(call: Authorization) -> datetime:
    assert call.decided_time is not None
    return call.decided_time


def test_a_later_plan_takes_the_place_of_the_one_before(
    funded: Callable[[], Site], currency: str
) -> None:
    site = funded()
    first, second = (put(site, currency, london(name, 1)) for name in ("First", "Second"))
    day = clock(site) + timedelta(days=30)
    site.operator.activate_rate_deck(first, 1, activate_time=day)
    planned = site.operator.activate_rate_deck(second, 1, activate_time=day + timedelta(days=1))
    assert [scope.active_time for scope in planned.scopes] == [
        (day + timedelta(days=1)).replace(microsecond=(day.microsecond // 1000) * 1000)
    ]
    decks = {deck.deck_version: deck for deck in site.operator.get_rate_decks().decks}
    assert decks[first].scopes == ()
    assert seen(site.call(LONDON)) == "Old"


def test_a_tenants_own_deck_goes_before_its_currencys(
    funded: Callable[[], Site], currency: str, crowd: list[Client]
) -> None:
    """For that tenant alone, in every process, and not for calls that are open."""
    site, neighbour = funded(), funded()
    version = put(site, currency, london("Own", MINUTE // 2))
    early = site.call(LONDON)
    for _ in range(2):  # an activation again changes nothing
        deck = site.operator.activate_rate_deck(version, 1, deck_tenant_id=site.tenant_id)
        assert [scope.tenant_id for scope in deck.scopes] == [site.tenant_id]

    def everywhere(row: str) -> bool:
        calls = [_ask(client, site) for client in crowd]
        return {seen(call) for call in calls} == {row}

    until(lambda: everywhere("Own"))
    assert seen(neighbour.call(LONDON)) == "Old"
    assert site.settle(early, 60).charged_micros == MINUTE
    for _ in range(2):
        site.operator.deactivate_rate_deck(deck_tenant_id=site.tenant_id)
    until(lambda: everywhere("Old"))


def _ask(client: Client, site: Site, number: str = LONDON) -> Authorization:
    return client.authorize(
        "alice", "USER_OUT", number, requested_seconds=60, tenant_id=site.tenant_id
    )


def test_a_deck_of_another_currency_prices_no_tenant(funded: Callable[[], Site]) -> None:
    site = funded()
    other = own_currency()
    version = put(site, other, london("Own", 1))
    with pytest.raises(Conflict) as refused:
        site.operator.activate_rate_deck(version, 1, deck_tenant_id=site.tenant_id)
    assert refused.value.reason == "CURRENCY_MISMATCH"
    with pytest.raises(NotFound):
        site.operator.activate_rate_deck(version, 1, deck_tenant_id="nobody-at-all")


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({}, ["currency_code", "shadow"]),
        ({"currency_code": "EUR"}, ["shadow"]),
        ({"shadow": True}, ["currency_code"]),
        ({"currency_code": "eur", "shadow": True}, ["currency_code"]),
        ({"deck_tenant_id": "a b"}, ["tenant_id"]),
    ],
)
def test_what_cannot_be_taken_out_of_force_is_named(
    site: Site, asked: dict[str, Any], fields: list[str]
) -> None:
    """Every currency keeps its deck."""
    with pytest.raises(InvalidRequest) as refused:
        site.operator.deactivate_rate_deck(**asked)
    assert [violation.field for violation in refused.value.violations] == fields


def test_a_shadow_deck_counts_the_calls_of_every_process_and_charges_none(
    funded: Callable[[], Site], currency: str, crowd: list[Client]
) -> None:
    """Differences are listed with the largest first, also where the shadow has no rate; a repeat does not count."""
    site = funded()
    live = put(
        site, currency, london("Live", MINUTE), RateRow("263", "Far", 10), RateRow("33", "Same", 5)
    )
    shadow = put(site, currency, london("Shadow", 2 * MINUTE), RateRow("33", "Same", 5))
    site.operator.activate_rate_deck(live, 3)
    site.operator.activate_rate_deck(shadow, 2, shadow=True)
    until(lambda: site.operator.get_shadow_report(shadow).calls == 0)
    calls = [_ask(client, site) for client in crowd]
    calls += [_ask(crowd[0], site, FAR), _ask(crowd[1], site, "+33199001234")]
    assert {seen(call) for call in calls} == {"Live", "Far", "Same"}
    site.router.authorize(
        "alice", "USER_OUT", LONDON, requested_seconds=60, call_id=calls[0].call_id
    )
    until(lambda: site.operator.get_shadow_report(shadow).calls >= len(calls), 15.0)
    report = site.operator.get_shadow_report(shadow)
    n = len(crowd)
    assert (report.calls, report.differing_calls) == (n + 2, n + 1)
    assert (report.live_micros, report.shadow_micros) == (n * MINUTE + 15, 2 * n * MINUTE + 5)
    assert report.lines == (
        ShadowLine("Live", "44", "Shadow", "44", n, n * MINUTE, 2 * n * MINUTE),
        ShadowLine("Far", "263", "", "", 1, 10, 0),
    )
    assert len(site.operator.get_shadow_report(shadow, page_size=1).lines) == 1
    site.operator.deactivate_rate_deck(currency, shadow=True)
    assert site.settle(calls[0], 60).charged_micros == MINUTE


def test_a_report_on_no_deck_is_not_found(site: Site) -> None:
    with pytest.raises(NotFound) as unknown:
        site.operator.get_shadow_report("no-such-deck")
    assert unknown.value.reason == "UNKNOWN_DECK"


def test_a_call_that_comes_in_toll_free_is_priced_by_its_callers_country(
    funded: Callable[[], Site], currency: str
) -> None:
    """domain.md 4: callers in the United States fall under North America, others have rates of their own."""
    site = funded()
    names = {"US": "North America", "CA": "Canada", "PR": "Puerto Rico", "": "Others"}
    rows = [
        RateRow("1800", name, 100 * n, direction="IN", origin=origin)
        for n, (origin, name) in enumerate(names.items(), 1)
    ]
    deck = put(site, currency, *rows, RateRow("1", "Out", 7))
    site.operator.activate_rate_deck(deck, len(rows) + 1)
    site.put_payer("line", licenses=("MCOEV_VIRTUALUSER",))
    callers = {
        "+14255550100": ("North America", "US"),
        "+14165550100": ("Canada", "CA"),
        "+17875550100": ("Puerto Rico", "PR"),
        "+442079460018": ("Others", ""),
    }
    for caller, (destination, origin) in callers.items():
        call = site.router.authorize("line", "UCAP_IN", TOLL_FREE, from_number=caller)
        assert call.rate is not None
        assert (call.rate.destination, call.rate.origin) == (destination, origin)
    outbound = site.call("+18005550123")
    assert outbound.rate is None or seen(outbound) == "Out"
