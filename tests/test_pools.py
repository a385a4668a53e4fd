"""Pools of minutes: their sizes by country and plan, who shares them, and which licences are counted (domain.md 3)."""

import pytest

from talktime_server.decision import catalog, pools
from talktime_server.decision.pools import PoolState, pools_of
from talktime_server.ledger.profiles import Payer, Tenant

TENANT = Tenant("contoso", "USD", "US")
ZONE_1 = ["US", "PR", "CA", "GB"]
_ZONE_2 = "AT BE HR CZ DK EE FI FR DE HU IE IT LV LT LU NL NZ NO PL PT RO SG SK SI ZA ES SE CH"
ZONE_2 = _ZONE_2.split()
PLANS = ("MCOPSTN8", "MCOPSTN5", "MCOPSTN6", "MCOPSTN1", "MCOPSTN2")
HOUR_S = 3600


def minutes(country: str, *skus: str) -> list[int]:
    return [p.seconds_per_license // 60 for p in pools.domestic_pools(skus, country, "alice")]


@pytest.mark.parametrize("country", ZONE_1)
def test_sizes_in_the_first_zone(country: str) -> None:
    assert minutes(country, *PLANS) == [120, 120, 240, 3000, 3000]


@pytest.mark.parametrize("country", ZONE_2)
def test_sizes_in_the_second_zone(country: str) -> None:
    assert minutes(country, *PLANS) == [120, 120, 240, 1200, 1200]


def test_sizes_in_mexico() -> None:
    """The small plans are not sold there."""
    assert minutes("MX", *PLANS) == [120, 1200, 1200]
    assert minutes("MX", "MCOPSTN5", "MCOPSTN6") == []


@pytest.mark.parametrize("country", [*ZONE_1, *ZONE_2, "MX"])
def test_international_minutes_are_600(country: str) -> None:
    (pool,) = pools.international_pools(PLANS, country)
    assert pool.seconds_per_license == 600 * 60


@pytest.mark.parametrize("country", ["AU", "JP", "ZW", "AQ"])
def test_plans_bring_no_pooled_minutes_where_they_are_not_sold(country: str) -> None:
    assert minutes(country, *PLANS) == [120]
    assert pools.international_pools(PLANS, country) == ()


@pytest.mark.parametrize("sku", ["MCOPSTN_PAYG_1", "MCOPSTN_PAYG_2", "PAYG_MEXICO", "MCOPSTN9"])
def test_other_plans_bring_none(sku: str) -> None:
    assert minutes("US", sku) == minutes("DE", sku) == minutes("MX", sku) == []


def test_puerto_rico_shares_the_pool_of_the_united_states() -> None:
    ours = pools.domestic_pools(("MCOPSTN1",), "PR", "alice")
    assert ours == pools.domestic_pools(("MCOPSTN1",), "US", "bob")
    assert ours[0].counted == "MCOPSTN1:US"


def test_a_plan_for_each_user_is_not_shared() -> None:
    (pool,) = pools.domestic_pools(("MCOPSTN8",), "CA", "alice")
    assert (pool.pool_id, pool.counted, pool.bought) == ("CA/MCOPSTN8/alice", "", 1)


def test_either_pool_of_a_plan_closes_the_other() -> None:
    (home,) = pools.domestic_pools(("MCOPSTN2",), "DE", "")
    (abroad,) = pools.international_pools(("MCOPSTN2",), "DE")
    assert (home.closed_with, home.closed_with_seconds) == (abroad.pool_id, 600 * 60)
    assert (abroad.closed_with, abroad.closed_with_seconds) == (home.pool_id, 1200 * 60)
    assert home.counted == abroad.counted == "MCOPSTN2:DE"


def test_independent_pools_are_a_switch() -> None:
    (home,) = pools.domestic_pools(("MCOPSTN2",), "DE", "", independent=True)
    (abroad,) = pools.international_pools(("MCOPSTN2",), "DE", independent=True)
    assert home.closed_with == abroad.closed_with == ""


def test_the_conferencing_pool_counts_bought_licences_and_the_other_one_assigned() -> None:
    skus, bought = (
        ("MCOMEETADD_DIALOUT_US", "MCOMEETADV"),
        {"MCOMEETADV": 115, "MCOMEETADD_DIALOUT_US": 9},
    )
    zone_a, us_ca = pools.conferencing_pools(skus, "CA", bought)
    assert (zone_a.pool_id, zone_a.counted, zone_a.bought) == (
        "zone-a/MCOMEETADV",
        "MCOMEETADV:",
        115,
    )
    assert (us_ca.pool_id, us_ca.bought) == ("us-ca/MCOMEETADD_DIALOUT_US", 0)
    assert zone_a.seconds_per_license == us_ca.seconds_per_license == HOUR_S
    assert [p.pool_id for p in pools.conferencing_pools(skus, "GB", {})] == ["zone-a/MCOMEETADV"]
    assert pools.conferencing_pools(skus, "KE", {}) == ()


@pytest.mark.parametrize(
    ("country", "licenses", "names"),
    [
        ("US", "", ()),
        ("US", "MCOPSTN1 MCOPSTNC MCOEV", ("MCOPSTN1:US",)),
        ("PR", "MCOPSTN2 MCOPSTN1", ("MCOPSTN1:US", "MCOPSTN2:US")),
        ("DE", "MCOMEETADV MCOPSTN5", ("MCOMEETADV:", "MCOPSTN5:DE")),
        ("DE", "MCOMEETADD_DIALOUT_US", ("MCOMEETADD_DIALOUT_US:",)),
        ("US", "MCOPSTN8 MCOPSTN9 MCOPSTN_PAYG_1", ()),
        ("MX", "MCOPSTN5 MCOPSTN1", ("MCOPSTN1:MX",)),
        ("AU", "MCOPSTN1", ()),
        ("US", "MCOMEETACPEA CONF_DIALOUT_US_CA MCOMEETADD_TATA", ()),
        ("US", "MCOPSTN1 MCOPSTN1", ("MCOPSTN1:US",)),
    ],
)
def test_the_counts_a_payer_adds_to(country: str, licenses: str, names: tuple[str, ...]) -> None:
    payer = Payer("alice", country, licenses=tuple(licenses.split()))
    assert catalog.counted_licenses(payer) == names


@pytest.mark.parametrize("country", [*ZONE_1, *ZONE_2, "MX", "AU"])
def test_a_pool_is_counted_by_the_name_its_holders_add_to(country: str) -> None:
    payer = Payer("alice", country, licenses=tuple(catalog.licenses()))
    opened = (
        *pools.domestic_pools(payer.licenses, country, "alice"),
        *pools.international_pools(payer.licenses, country),
        *pools.conferencing_pools(payer.licenses, "US", {}),
    )
    counted = {pool.counted for pool in opened if pool.counted}
    assert counted == set(catalog.counted_licenses(payer))


def shown(
    counts: dict[str, int], uses: dict[str, tuple[int, int]], tenant: Tenant = TENANT
) -> dict[str, PoolState]:
    return {state.pool_id: state for state in pools_of(tenant, counts, uses)}


def test_a_hundred_users_share_twelve_thousand_minutes() -> None:
    """The example of the text."""
    state = shown({"MCOPSTN5:US": 100}, {"US/MCOPSTN5": (600, 120)})["US/MCOPSTN5"]
    assert state == PoolState("US/MCOPSTN5", "MCOPSTN5", 100, 720_000, 600, 120, 719_280, False)


def test_licences_bought_size_the_conferencing_pool() -> None:
    tenant = Tenant("contoso", "USD", "US", bought_licenses=(("MCOMEETADV", 115),))
    assert shown({"MCOMEETADV:": 20}, {}, tenant)["zone-a/MCOMEETADV"].size_seconds == 6_900 * 60
    assert shown({"MCOMEETADV:": 200}, {}, tenant)["zone-a/MCOMEETADV"].licenses == 200
    by_assigned = shown({"MCOMEETADD_DIALOUT_US:": 20}, {}, tenant)["us-ca/MCOMEETADD_DIALOUT_US"]
    assert by_assigned.size_seconds == 1_200 * 60


def test_a_used_up_pool_closes_the_other_of_its_plan() -> None:
    uses = {"GB/MCOPSTN2/international": (35_940, 60)}
    both = shown({"MCOPSTN2:GB": 1}, uses)
    home = both["GB/MCOPSTN2/domestic"]
    assert (home.closed, home.available_seconds, home.size_seconds) == (True, 0, 180_000)
    assert not both["GB/MCOPSTN2/international"].closed
    independent = Tenant("contoso", "USD", "US", independent_plan_pools=True)
    assert not shown({"MCOPSTN2:GB": 1}, uses, independent)["GB/MCOPSTN2/domestic"].closed


def test_one_second_short_of_used_up_closes_nothing() -> None:
    both = shown({"MCOPSTN2:GB": 1}, {"GB/MCOPSTN2/domestic": (179_940, 0)})
    assert both["GB/MCOPSTN2/international"].available_seconds == 36_000


def test_pools_without_licences_are_shown_once_they_were_used() -> None:
    assert shown({}, {}) == {}
    state = shown({}, {"DE/MCOPSTN1": (60, 0)})["DE/MCOPSTN1"]
    assert (state.licenses, state.size_seconds, state.available_seconds) == (0, 0, 0)
    assert not state.closed


def test_a_users_own_pool_is_known_by_its_use() -> None:
    state = shown({}, {"US/MCOPSTN8/alice": (600, 60)})["US/MCOPSTN8/alice"]
    assert (state.sku, state.licenses, state.available_seconds) == ("MCOPSTN8", 1, 6_540)


@pytest.mark.parametrize(
    "pool_id", ["", "US", "US/MCOPSTN8/", "XX/NOPE/alice", "zone-b/MCOMEETADV"]
)
def test_what_is_no_pool_is_left_out(pool_id: str) -> None:
    assert shown({}, {pool_id: (60, 0)}) == {}


def test_a_smaller_pool_than_was_used_has_nothing_left() -> None:
    state = shown({"MCOPSTN5:US": 1}, {"US/MCOPSTN5": (9_000, 0)})["US/MCOPSTN5"]
    assert state.available_seconds == 0
