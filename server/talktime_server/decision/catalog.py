"""The built-in facts, read once from the CSV files of `facts/`: number classes, emergency numbers,
countries, licences, the demo deck.
"""

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from types import MappingProxyType

from talktime_server.decision.numbering import NumberPlan, PrefixClass
from talktime_server.decision.rating import DeckFile, read_csv
from talktime_server.words import NumberClass

_FACTS = "talktime_server.decision.facts"


class LicenseKind(StrEnum):
    """What a licence is for."""

    CALLING_PLAN = "CALLING_PLAN"
    PAY_AS_YOU_GO = "PAY_AS_YOU_GO"
    CREDITS = "CREDITS"
    CONFERENCING = "CONFERENCING"
    CONFERENCING_PER_MINUTE = "CONFERENCING_PER_MINUTE"
    PHONE = "PHONE"
    COMMON_AREA_PHONE = "COMMON_AREA_PHONE"


@dataclass(frozen=True, slots=True)
class License:
    """A licence as bought (`sku`) and as usage reports name it (`usage_capability`, empty when they
    do not).
    """

    sku: str
    kind: LicenseKind
    usage_capability: str
    name: str


@cache
def licenses() -> Mapping[str, License]:
    """Every known licence by its SKU."""
    found = (
        License(row["sku"], LicenseKind(row["kind"]), row["usage_capability"], row["name"])
        for row in _table("licenses.csv")
    )
    return MappingProxyType({license_.sku: license_ for license_ in found})


@cache
def skus(*kinds: LicenseKind) -> frozenset[str]:
    """The SKUs of the licences of some kinds."""
    return frozenset(sku for sku, license_ in licenses().items() if license_.kind in kinds)


@cache
def countries() -> Mapping[str, str]:
    """The name of every country by its ISO 3166-1 alpha-2 code."""
    return MappingProxyType({row["country"]: row["name"] for row in _table("countries.csv")})


@cache
def number_plan() -> NumberPlan:
    """The numbers of the world, and the emergency numbers of each country."""
    classes = [
        PrefixClass(row["prefix"], row["country"], NumberClass(row["number_class"]))
        for row in _table("number_classes.csv")
    ]
    return NumberPlan(classes, _emergency_numbers())


@cache
def demo_deck() -> DeckFile:
    """Invented rates over real prefixes, for trying talktime out."""
    return read_csv(_text("demo_deck.csv").splitlines())


def _emergency_numbers() -> dict[str, frozenset[str]]:
    numbers: defaultdict[str, set[str]] = defaultdict(set)
    for row in _table("emergency_numbers.csv"):
        numbers[row["country"]].add(row["number"])
    return {country: frozenset(found) for country, found in numbers.items()}


def _table(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(_text(name).splitlines()))


def _text(name: str) -> str:
    return resources.files(_FACTS).joinpath(name).read_text(encoding="utf-8")
