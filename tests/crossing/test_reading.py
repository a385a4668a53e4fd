"""The second reading against the examples that domain.md gives, and its tables against the facts it was written from."""

import csv
from collections.abc import Iterator

import pytest

from crossing import tables
from crossing.cases import Case, Number, Payer, Price, Source, Tenant
from crossing.reading import read
from crossing.staff import sizes_s
from house import HOUSE

FACTS = HOUSE.parent / "shared" / "data"
US = Number("+12025550123", "US", price=Price(20_000))
CA = Number("+14165550123", "CA", price=Price(20_000))
PR = Number("+17875550123", "PR", price=Price(20_000))
GB = Number("+442071838750", "GB", price=Price(60_000))
ZW = Number("+263712345678", "ZW", price=Price(600_000))


def payer(country: str, *licenses: str) -> Payer:
    return Payer("ann", country, licenses)


@pytest.mark.parametrize(
    ("organizer", "number", "pool"),
    [
        ("US", US, True),
        ("US", GB, True),
        ("US", ZW, False),
        ("ZW", ZW, False),
        ("ZW", US, True),
        ("ZW", GB, True),
    ],
)
def test_zone_a_goes_by_the_destination_alone(organizer: str, number: Number, pool: bool) -> None:
    """The table of domain.md 3."""
    case = Case(
        "CONF_OUT",
        payer(organizer, "MCOMEETADV", "MCOPSTNC"),
        number,
        credits_micros=10**9,
        left_s={"zone-a/MCOMEETADV": 3600},
    )
    kinds = [source.kind for source in read(case).sources]
    assert kinds == (["POOL"] if pool else ["CREDITS"])


def test_a_hundred_users_with_120_minutes_share_12_000() -> None:
    users = [Payer(f"user{n}", "DE", ("MCOPSTN5",)) for n in range(100)]
    assert sizes_s(users, {})["DE/MCOPSTN5"] == 12_000 * 60


def test_115_conferencing_licences_give_6_900_minutes() -> None:
    assert sizes_s([], {"MCOMEETADV": 115})["zone-a/MCOMEETADV"] == 6_900 * 60


def test_20_of_100_assigned_give_1_200_minutes_to_usa_and_canada() -> None:
    users = [Payer(f"user{n}", "US", ("MCOMEETADD_DIALOUT_US",)) for n in range(20)]
    sizes = sizes_s(users, {"MCOMEETADD_DIALOUT_US": 100})
    assert sizes["us-ca/MCOMEETADD_DIALOUT_US"] == 1_200 * 60


@pytest.mark.parametrize("home", ["US", "PR", "CA"])
@pytest.mark.parametrize("number", [US, PR, CA])
def test_usa_and_canada_are_domestic_for_minutes_but_not_for_the_policy(
    home: str, number: Number
) -> None:
    """domain.md 1 and 8."""
    pool = "CA/MCOPSTN1" if home == "CA" else "US/MCOPSTN1"
    left = {pool: 3600}
    case = Case("USER_OUT", payer(home, "MCOPSTN1"), number, left_s=left)
    assert read(case).sources == (Source("POOL", 600, pool=pool),)
    tenant = Tenant(policy="DialoutCPCandPSTNDomestic")
    strict = Case("USER_OUT", payer(home, "MCOPSTN1"), number, tenant, left_s=left)
    crosses = (home == "CA") != (number is CA)
    assert read(strict).reason == ("POLICY" if crosses else "")


def test_a_pool_then_credits_then_the_invoice() -> None:
    """Semantics 39: three minutes of the pool, seven of money, without a fee; credits to their last micro."""
    case = Case(
        "USER_OUT",
        payer("GB", "MCOPSTN1", "MCOPSTNC"),
        Number("+442071838750", "GB", price=Price(60_000, fee_micros=5)),
        Tenant(postpaid=True),
        credits_micros=210_001,
        left_s={"GB/MCOPSTN1": 180},
    )
    assert read(case).sources == (
        Source("POOL", 180, pool="GB/MCOPSTN1"),
        Source("CREDITS", 210, 210_001),
        Source("POSTPAID", 210, 209_999),
    )


def test_either_pool_of_mcopstn2_closes_both_unless_they_are_independent() -> None:
    left = {"GB/MCOPSTN2/domestic": 600, "GB/MCOPSTN2/international": 0}
    shut = Case("USER_OUT", payer("GB", "MCOPSTN2"), GB, left_s=left)
    assert read(shut).reason == "POOL_EXHAUSTED"
    tenant = Tenant(independent_pools=True)
    apart = Case("USER_OUT", payer("GB", "MCOPSTN2"), GB, tenant, left_s=left)
    assert read(apart).sources == (Source("POOL", 600, pool="GB/MCOPSTN2/domestic"),)


def facts(name: str) -> Iterator[dict[str, str]]:
    """Rows of a file of facts, where they lie beside this checkout."""
    if not FACTS.exists():
        pytest.skip("the files of facts are not beside this checkout")
    with (FACTS / name).open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def test_the_countries_are_those_of_the_facts() -> None:
    zone_a = {row["country_iso2"] for row in facts("conferencing_zone_a.csv")}
    listed = {row["country_iso2"] for row in facts("international_plan_destinations.csv")}
    assert (zone_a, listed) == (tables.ZONE_A, tables.LISTED_ABROAD)
    assert (len(zone_a), len(listed)) == (44, 198)


def test_the_minutes_are_those_of_the_facts() -> None:
    rows = list(facts("plan_allowances.csv"))
    domestic = {
        (row["license_sku"], row["country_iso2"]): int(row["domestic_minutes_per_license"])
        for row in rows
        if row["pooled"] == "yes"
    }
    international = {
        row["country_iso2"]: int(row["international_minutes_per_license"])
        for row in rows
        if row["license_sku"] == "MCOPSTN2"
    }
    assert (domestic, international) == (tables.DOMESTIC_MINUTES, tables.INTERNATIONAL_MINUTES)


def test_the_policies_are_those_of_the_facts() -> None:
    policies = {
        row["policy"]: (row["conferencing_dial_out"], row["user_calls"])
        for row in facts("dial_out_policies.csv")
    }
    assert {name: scopes for name, scopes in tables.POLICIES.items() if name} == policies


def test_the_dear_numbers_are_those_of_the_facts() -> None:
    supported: dict[str, list[str]] = {}
    for row in facts("premium_number_rules.csv"):
        if row["outbound_supported"] == "yes":
            supported.setdefault(row["country_iso2"], []).append(row["number_prefix"])
    assert supported == tables.DEAR_SUPPORTED


def test_the_emergency_numbers_are_those_of_the_facts() -> None:
    numbers: dict[str, set[str]] = {country: set() for country in tables.EMERGENCY_NUMBERS}
    for row in facts("emergency_numbers.csv"):
        numbers.get(row["country_iso2"], set()).add(row["number"])
    assert numbers == tables.EMERGENCY_NUMBERS
