"""Who calls: in each country a payer of each kind, and how large the pools are that their licences make."""

from collections.abc import Iterable, Mapping
from typing import Any

from crossing import tables
from crossing.cases import Lists, Payer

PLAN_FOR_ALL = "MCOPSTN8 MCOPSTN5 MCOPSTN6 MCOPSTN1 MCOPSTN2 MCOPSTNC"
ALL_ROUND = "MCOPSTN2 MCOPSTNC MCOMEETADV MCOEV_VIRTUALUSER"
EVERYTHING = f"{PLAN_FOR_ALL} MCOPSTN9 MCOPSTN_PAYG_1 MCOMEETADV MCOMEETACPEA CONF_DIALOUT_US_CA"

LICENSE_SETS = [
    "",
    # One plan, without the credits licence and with it
    "MCOPSTN1",
    "MCOPSTN2",
    "MCOPSTN5",
    "MCOPSTN6",
    "MCOPSTN8",
    "MCOPSTN9",
    "MCOPSTN1 MCOPSTNC",
    "MCOPSTN2 MCOPSTNC",
    "MCOPSTN6 MCOPSTNPP",
    "MCOPSTN8 MCOPSTNPP",
    "MCOPSTN9 MCOPSTNC",
    # Several
    "MCOPSTN1 MCOPSTN2",
    "MCOPSTN5 MCOPSTN1 MCOPSTNC",
    "MCOPSTN8 MCOPSTN2",
    PLAN_FOR_ALL,
    # Pay-as-you-go
    "MCOPSTN_PAYG_1",
    "MCOPSTN_PAYG_2",
    "PAYG_MEXICO",
    "MCOPSTN_PAYG_1 MCOPSTNC",
    "MCOPSTN_PAYG_2 MCOPSTN1",
    # Conferencing of each kind
    "MCOMEETADV",
    "MCOMEETADV MCOPSTNC",
    "MCOMEETADD_CN_GLOBAL",
    "MCOMEETADD_CN_GLOBAL MCOPSTNC",
    "MCOMEETADD_TATA",
    "MCOMEETADD_TATA MCOPSTNPP",
    "MCOMEETADD_DIALOUT_US",
    "MCOMEETADD_DIALOUT_US MCOPSTNC",
    "MCOMEETADV MCOMEETADD_DIALOUT_US",
    "MCOMEETADV CONF_DIALOUT_US_CA",
    "MCOMEETADD_DIALOUT_US CONF_DIALOUT_US_CA MCOPSTNC",
    "CONF_DIALOUT_US_CA",
    "MCOMEETACPEA",
    "MCOMEETACPEA MCOPSTNC",
    "MCOMEETACPEA_GOV",
    "MCOMEETADV MCOMEETACPEA",
    "MCOMEETACPEA CONF_DIALOUT_US_CA",
    # Conferencing beside a plan
    "MCOMEETADV MCOPSTN1",
    "MCOMEETADV MCOPSTN2 MCOPSTNC",
    "MCOMEETADV MCOPSTN8",
    "MCOMEETADD_CN_GLOBAL MCOPSTN1",
    "MCOMEETADD_DIALOUT_US MCOPSTN2",
    # Resource accounts
    "MCOEV",
    "MCOEV_VIRTUALUSER",
    "MCOEV_VIRTUALUSER_GOV",
    "MCOEV_VIRTUALUSER MCOPSTN1",
    "MCOEV_VIRTUALUSER MCOPSTN_PAYG_2",
    # Odd ones: of no use here, a credits licence that lost what it came with, and all at once
    "MCOCAP",
    "MCOPSTNC",
    "MCOEV_VIRTUALUSER MCOPSTNC",
    EVERYTHING,
]
COUNTRIES = ["US", "CA", "PR", "GB", "FR", "AT", "DE", "MX", "ZW", "JP"]
UNKNOWN = "unknown"


def in_country(country: str) -> dict[str, Payer]:
    """A country's payers by their kind: by licences, and some with a word of their own."""
    plain = {
        licenses: payer(country, f"l{place}", licenses)
        for place, licenses in enumerate(LICENSE_SETS)
    }
    policies = {
        f"own {policy}": payer(country, f"p{place}", ALL_ROUND, policy=policy)
        for place, policy in enumerate(tables.POLICIES)
        if policy
    }
    others = {
        "blocked": payer(country, "blocked", ALL_ROUND, blocked=True),
        "no toll-free dial-in": payer(country, "notollfree", ALL_ROUND, toll_free_off=True),
        "own ceiling": payer(country, "ceiling", ALL_ROUND, ceiling_micros=60_000),
        "own blocked prefixes": payer(
            country, "barred", ALL_ROUND, lists=Lists(("442", "881", "5"))
        ),
        "own allowed prefixes": payer(
            country,
            "fenced",
            ALL_ROUND,
            lists=Lists(("4484", "1416"), ("1", "4", "44844", "33892")),
        ),
    }
    return plain | policies | others


def payer(country: str, name: str, licenses: str, **words: Any) -> Payer:
    """A payer with words of its own; an id names its country."""
    return Payer(f"{country.lower()}-{name}", country, tuple(licenses.split()), **words)


STAFF = {country: in_country(country) for country in COUNTRIES}
KINDS = [*STAFF["US"], UNKNOWN]


def everybody() -> list[Payer]:
    """All payers of a tenant."""
    return [payer for payers in STAFF.values() for payer in payers.values()]


def sizes_s(payers: Iterable[Payer], bought: Mapping[str, int]) -> dict[str, int]:
    """Seconds of each pool in a month: of plans and of dialling to USA and Canada by the licences assigned, of dialling to
    Zone A by those bought when they are more (domain.md 3).
    """
    minutes: dict[str, int] = {}
    for payer in payers:
        for pool, added in minutes_of(payer):
            minutes[pool] = minutes.get(pool, 0) + added
    zone_a = "zone-a/MCOMEETADV"
    least = bought.get("MCOMEETADV", 0) * tables.CONFERENCE_MINUTES
    minutes[zone_a] = max(minutes.get(zone_a, 0), least)
    return {pool: 60 * added for pool, added in minutes.items()}


def minutes_of(payer: Payer) -> Iterable[tuple[str, int]]:
    """What each of a payer's licences adds to which pool."""
    country = "US" if payer.country == "PR" else payer.country
    for sku in payer.licenses:
        domestic = tables.DOMESTIC_MINUTES.get((sku, payer.country))
        if sku == "MCOPSTN2" and domestic:
            yield f"{country}/MCOPSTN2/domestic", domestic
            yield f"{country}/MCOPSTN2/international", tables.INTERNATIONAL_MINUTES[payer.country]
        elif domestic:
            yield f"{country}/{sku}", domestic
    if "MCOPSTN8" in payer.licenses:
        yield f"{country}/MCOPSTN8/{payer.payer_id}", tables.OWN_MINUTES
    if "MCOMEETADV" in payer.licenses:
        yield "zone-a/MCOMEETADV", tables.CONFERENCE_MINUTES
    if "MCOMEETADD_DIALOUT_US" in payer.licenses:
        yield "us-ca/MCOMEETADD_DIALOUT_US", tables.CONFERENCE_MINUTES
