"""The second reading's countries (domain.md 1): what is domestic for the policy, and what for minutes."""

from crossing import tables
from crossing.cases import Case, Number


def as_one(country: str) -> str:
    """Puerto Rico is the United States here."""
    return "US" if country == "PR" else country


def same_country(case: Case) -> bool:
    """Domestic for the policy: the United States and Canada are abroad to each other."""
    return as_one(case.number.country) == as_one(case.who.country)


def domestic_for_pools(case: Case) -> bool:
    """Domestic for minutes: the United States, Puerto Rico and Canada are one."""
    north = ("US", "PR", "CA")
    return same_country(case) or (case.number.country in north and case.who.country in north)


def listed_abroad(number: Number) -> bool:
    """Whether the international minutes of MCOPSTN2 reach there."""
    return tables.RETIRED.get(number.country, number.country) in tables.LISTED_ABROAD
