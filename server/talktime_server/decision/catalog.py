"""The built-in facts, read once from the CSV files of `facts/`: numbers, countries, licences, plans
and their minutes, zones, policies, premium rules, the demo deck.

Everything here is frozen and cached; `facts/README.md` says where each file comes from.
"""

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from types import MappingProxyType

from talktime_server.decision.deck_file import DeckFile, read_csv
from talktime_server.decision.numbering import NumberPlan, PrefixClass
from talktime_server.ledger.profiles import Payer
from talktime_server.words import CallType, NumberClass

_FACTS = "talktime_server.decision.facts"
_MINUTE_S = 60
EVERYWHERE = "*"  # a fact that holds in every country without one of its own


class LicenseKind(StrEnum):
    """What a licence is for."""

    CALLING_PLAN = "CALLING_PLAN"
    PAY_AS_YOU_GO = "PAY_AS_YOU_GO"
    CREDITS = "CREDITS"
    CONFERENCING = "CONFERENCING"
    CONFERENCING_PER_MINUTE = "CONFERENCING_PER_MINUTE"
    CONFERENCING_ADD_ON = "CONFERENCING_ADD_ON"
    PHONE = "PHONE"
    COMMON_AREA_PHONE = "COMMON_AREA_PHONE"
    RESOURCE_ACCOUNT = "RESOURCE_ACCOUNT"


class Zone(StrEnum):
    """Destinations that a conferencing licence may dial out to from a pool (domain.md 3)."""

    ZONE_A = "zone-a"
    US_CA = "us-ca"


class ConferencingScope(StrEnum):
    """Where a dial-out policy lets conferences call."""

    ANY = "ANY"
    ORGANIZER_COUNTRY = "ORGANIZER_COUNTRY"
    ZONE_A = "ZONE_A"
    NONE = "NONE"


class UserScope(StrEnum):
    """Where a dial-out policy lets users call."""

    INTERNATIONAL = "INTERNATIONAL"
    DOMESTIC = "DOMESTIC"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class License:
    """A licence as assigned (`sku`) and as usage reports name it (`usage_capability`, empty when
    they do not). The SKU of a licence whose own is not `published` is the name we give it.
    """

    sku: str
    kind: LicenseKind
    usage_capability: str
    name: str
    published: bool


@dataclass(frozen=True, slots=True)
class Allowance:
    """Seconds of talk time that one licence of a plan brings in a calendar month; those of plans
    that are not `pooled` are their user's own.
    """

    sku: str
    domestic_seconds: int
    international_seconds: int
    pooled: bool


@dataclass(frozen=True, slots=True)
class ConferencingAllowance:
    """Seconds of dial-out to a zone that one licence brings the whole tenant in a calendar month;
    `bought_count`: licences that are bought count before they are assigned.
    """

    sku: str
    zone: Zone
    seconds: int
    bought_count: bool


@dataclass(frozen=True, slots=True)
class DialOutPolicy:
    """One of the twelve: where conferences and users may call, two settings apart (domain.md 8)."""

    name: str
    conferencing: ConferencingScope
    user_calls: UserScope


@dataclass(frozen=True, slots=True)
class PremiumRule:
    """Whether a premium or shared-cost number may be called by who is licensed in `country`. With a
    `prefix` it speaks for the numbers under it, whatever their class.
    """

    country: str
    prefix: str
    number_class: NumberClass
    allowed: bool

    @property
    def name(self) -> str:
        """As explanations name it: "premium.GB.44843"."""
        return f"premium.{self.country}.{self.prefix or self.number_class.lower()}"


@dataclass(frozen=True, slots=True)
class Availability:
    """What is sold in a country: calling plans ("YES", "NO", "PARTNER": by a local carrier), and
    credits.
    """

    calling_plan: str
    credits: bool


@cache
def licenses() -> Mapping[str, License]:
    """Every known licence by its SKU, calling plans in the order in which their pools are used."""
    found = (
        License(
            row["sku"],
            LicenseKind(row["kind"]),
            row["usage_capability"],
            row["name"],
            row["sku_published"] == "yes",
        )
        for row in rows("licenses")
        if row["sku"]
    )
    return MappingProxyType({license_.sku: license_ for license_ in found})


@cache
def skus(*kinds: LicenseKind) -> frozenset[str]:
    """The SKUs of the licences of some kinds."""
    return frozenset(sku for sku, license_ in licenses().items() if license_.kind in kinds)


@cache
def actors() -> Mapping[CallType, str]:
    """Who each call type is charged for: "user", "organizer", "resource account" or "tenant"."""
    return MappingProxyType(
        {
            CallType(row["call_type"]): row["actor"].lower().replace("_", " ")
            for row in rows("call_types")
        }
    )


@cache
def countries() -> Mapping[str, str]:
    """The name of every country by its ISO 3166-1 alpha-2 code."""
    return MappingProxyType({row["country"]: row["name"] for row in rows("countries")})


@cache
def availability() -> Mapping[str, Availability]:
    """What is sold in the countries that the published pages speak of."""
    return MappingProxyType(
        {
            row["country"]: Availability(row["calling_plan"], row["credits"] == "YES")
            for row in rows("country_availability")
        }
    )


@cache
def allowances(country: str) -> Mapping[str, Allowance]:
    """The minutes of each calling plan for who is licensed in a country, by SKU in the order of
    use; a plan that is not here has none there (domain.md 3).
    """
    zones = {row["country"]: row["zone"] for row in rows("plan_countries")}
    here = (EVERYWHERE, zones.get(country))
    found = {row["sku"]: row for row in rows("plan_allowances") if row["zone"] in here}
    return MappingProxyType({sku: _allowance(found[sku]) for sku in licenses() if sku in found})


@cache
def pool_countries() -> Mapping[str, str]:
    """The country whose pool a country shares, for those without their own: Puerto Rico's is the
    United States'.
    """
    shared = (row for row in rows("plan_countries") if row["pool_country"] != row["country"])
    return MappingProxyType({row["country"]: row["pool_country"] for row in shared})


@cache
def international_destinations() -> frozenset[str]:
    """The countries that the international minutes of MCOPSTN2 reach."""
    return frozenset(row["country"] for row in rows("international_destinations"))


@cache
def zone_countries(zone: Zone) -> frozenset[str]:
    """The countries of a dial-out zone."""
    return frozenset(row["country"] for row in rows("dial_out_zones") if row["zone"] == zone)


@cache
def conferencing_allowances() -> tuple[ConferencingAllowance, ...]:
    """The dial-out pools of conferencing licences that are in force, in the order of use."""
    return tuple(
        ConferencingAllowance(
            row["sku"],
            Zone(row["zone"]),
            int(row["minutes_per_license"]) * _MINUTE_S,
            row["counted"] == "BOUGHT",
        )
        for row in rows("conferencing_allowances")
        if row["shared_by"] == "TENANT" and not row["valid_to"]
    )


@cache
def dial_out_policies() -> Mapping[str, DialOutPolicy]:
    """The twelve policies by name."""
    found = (
        DialOutPolicy(
            row["policy"], ConferencingScope(row["conferencing"]), UserScope(row["user_calls"])
        )
        for row in rows("dial_out_policies")
    )
    return MappingProxyType({policy.name: policy for policy in found})


@cache
def premium_rules(country: str) -> tuple[PremiumRule, ...]:
    """The rules for who is licensed in a country, those with a prefix before those for a class, and
    everywhere's last.
    """
    found = [
        PremiumRule(
            row["country"], row["prefix"], NumberClass(row["number_class"]), row["allowed"] == "yes"
        )
        for row in rows("premium_rules")
        if row["country"] in (country, EVERYWHERE)
    ]
    return tuple(sorted(found, key=lambda rule: (rule.country == EVERYWHERE, not rule.prefix)))


@cache
def number_plan() -> NumberPlan:
    """The numbers of the world, and the emergency numbers of each country."""
    classes = [
        PrefixClass(row["prefix"], row["country"], NumberClass(row["number_class"]))
        for row in rows("number_classes")
    ]
    return NumberPlan(classes, _emergency_numbers())


@cache
def demo_deck() -> DeckFile:
    """Invented rates over real prefixes, for trying talktime out."""
    return read_csv(_text("demo_deck").splitlines())


def counted_licenses(payer: Payer) -> tuple[str, ...]:
    """The names of the counts that a payer adds one to, sorted: one for each licence whose minutes
    are pooled, as "MCOPSTN1:US" for a plan's and "MCOMEETADV:" for the whole tenant's.
    """
    held = set(payer.licenses)
    country = pool_countries().get(payer.country, payer.country)
    plans = allowances(payer.country).values()
    names = [count_name(a.sku, country) for a in plans if a.sku in held and a.pooled]
    tenant_wide = (count_name(a.sku) for a in conferencing_allowances() if a.sku in held)
    return tuple(sorted((*names, *tenant_wide)))


def count_name(sku: str, pool_country: str = "") -> str:
    """The name under which licences of a pool are counted; a tenant-wide pool has no country."""
    return f"{sku}:{pool_country}"


@cache
def files() -> tuple[str, ...]:
    """The names of the fact files, as `rows` takes them."""
    names = (entry.name for entry in resources.files(_FACTS).iterdir())
    return tuple(sorted(name.removesuffix(".csv") for name in names if name.endswith(".csv")))


def rows(name: str) -> list[dict[str, str]]:
    """A fact file as it is written: "licenses" for facts/licenses.csv."""
    return list(csv.DictReader(_text(name).splitlines()))


def _allowance(row: Mapping[str, str]) -> Allowance:
    return Allowance(
        row["sku"],
        int(row["domestic_minutes"]) * _MINUTE_S,
        int(row["international_minutes"]) * _MINUTE_S,
        row["pooled"] == "yes",
    )


def _emergency_numbers() -> dict[str, frozenset[str]]:
    numbers: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows("emergency_numbers"):
        numbers[row["country"]].add(row["number"])
    return {country: frozenset(found) for country, found in numbers.items()}


def _text(name: str) -> str:
    return resources.files(_FACTS).joinpath(f"{name}.csv").read_text(encoding="utf-8")
