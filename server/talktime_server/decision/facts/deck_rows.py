"""The demo deck: invented rates, the same for everybody, over prefixes that exist.

A price is drawn from the digest of what it is for, so that it needs no list, never changes by
itself, and one country's lines cost the same under each of its prefixes. Two places are left
without a rate on purpose, for who wants to see NO_RATE.

Calls that come in have rows of their own where their price is another: on toll-free numbers of the
North American plan by the caller's country, where callers in the United States are under one name
with the plan and others are not; and on numbers that a conference is dialled by (domain.md 4).
"""

import csv
from collections.abc import Iterable, Iterator
from hashlib import sha256
from importlib import resources

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from talktime_server.decision.facts.digit_patterns import DIGITS
from talktime_server.decision.facts.number_ranges import (
    KINDS,
    NO_COUNTRY,
    CallingCode,
    Label,
    Range,
)

HEADER = (
    "prefix",
    "destination",
    "rate_per_minute",
    "connection_fee",
    "initial_seconds",
    "increment_seconds",
    "currency",
    "direction",
    "origin",
)

# North American premium numbers, and the Faroe Islands.
PREFIX_WITHOUT_RATE = "1900"
COUNTRY_WITHOUT_RATE = "FO"

NORTH_AMERICA = "1"
_LONGEST_SPECIAL_PREFIX = 5
_MOST_MOBILE_PREFIXES = 3

# Countries with much traffic, where minutes are cheap.
_BUSY = frozenset(
    {
        "AT", "AU", "BE", "CA", "CH", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "HR", "HU",
        "IE", "IT", "JP", "LT", "LU", "LV", "MX", "NL", "NO", "NZ", "PL", "PR", "PT", "RO", "SE",
        "SG", "SI", "SK", "US", "ZA",
    }
)  # fmt: skip

_NETWORKS = {
    "800": "Universal Freephone",
    "808": "Universal Shared Cost",
    "870": "Inmarsat",
    "878": "Universal Personal Numbers",
    "881": "Satellite Networks",
    "882": "International Networks",
    "883": "International Networks",
    "888": "Disaster Relief",
    "979": "Universal Premium",
}

_SUFFIXES = {
    "ORDINARY": "",
    "MOBILE": " - Mobile",
    "TOLL_FREE": " - Toll-free",
    "SHARED_COST": " - Shared cost",
    "PREMIUM": " - Premium",
}

# Cheapest and dearest rate, in ten-thousandths, for busy and for other countries.
_RATES = {
    "ORDINARY": ((60, 300), (300, 4500)),
    "MOBILE": ((200, 1200), (800, 5500)),
    "TOLL_FREE": ((300, 300), (400, 1500)),
    "SHARED_COST": ((500, 1500), (800, 3000)),
    "PREMIUM": ((6000, 15000), (9000, 25000)),
}
_NETWORK_RATES = (25000, 90000)

_TOLL_FREE_AREAS = ("800", "833", "844", "855", "866", "877", "888")
# Callers of these are told apart on toll-free numbers of the North American plan.
_TOLL_FREE_ORIGINS = ("US", "CA", "PR", "BB", "BS", "DO", "JM", "TT")
_FARTHER_RATES = (500, 2500)
# Where numbers to dial into a conference are, by their calling codes.
_DIAL_IN = {
    "31": "NL", "33": "FR", "34": "ES", "353": "IE", "39": "IT", "41": "CH", "44": "GB", "46": "SE",
    "49": "DE", "52": "MX", "55": "BR", "61": "AU", "65": "SG", "81": "JP", "91": "IN",
}  # fmt: skip
_DIAL_IN_RATES = (20, 150)


def deck_rows(classes: Iterable[Range]) -> list[tuple[str, ...]]:
    """The deck with its header, by prefix."""
    labels = {
        prefix: label for prefix, label in _labelled(list(classes)) if _has_rate(prefix, label)
    }
    names = _country_names()
    outbound = [(*_row(prefix, labels[prefix], names), "OUT", "") for prefix in sorted(labels)]
    inbound = [*_toll_free_rows(names), *_dial_in_rows(labels, names)]
    return [HEADER, *outbound, *sorted(inbound)]


def _toll_free_rows(names: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """Toll-free numbers of the North American plan, by the caller's country."""
    for area in _TOLL_FREE_AREAS:
        prefix = NORTH_AMERICA + area
        yield _inbound(prefix, "Other countries - Toll-free", _farther(""))
        for origin in _TOLL_FREE_ORIGINS:
            at_home = origin == "US"
            rate = _rate(prefix, Label(origin, "TOLL_FREE")) if at_home else _farther(origin)
            name = "North America" if at_home else names[origin]
            yield _inbound(prefix, f"{name} - Toll-free", rate, origin)


def _dial_in_rows(labels: dict[str, Label], names: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """Numbers that a conference is dialled by, and their countries' toll-free ones, which a shorter
    prefix must not price.
    """
    rate = _draw("North America dial-in", *_DIAL_IN_RATES)
    yield _inbound(NORTH_AMERICA, "North America - Dial-in", rate)
    for prefix, country in _DIAL_IN.items():
        rate = _draw(f"{country} dial-in", *_DIAL_IN_RATES)
        yield _inbound(prefix, f"{names[country]} - Dial-in", rate)
    for prefix, label in labels.items():
        if label.word == "TOLL_FREE" and label.country in _DIAL_IN.values():
            yield *_row(prefix, label, names), "IN", ""


def _farther(origin: str) -> int:
    return _draw(f"{origin} to North America", *_FARTHER_RATES)


def _inbound(prefix: str, name: str, rate: int, origin: str = "") -> tuple[str, ...]:
    return prefix, name, _decimal(rate), _decimal(0), "60", "60", "USD", "IN", origin


def _has_rate(prefix: str, label: Label) -> bool:
    return prefix != PREFIX_WITHOUT_RATE and label.country != COUNTRY_WITHOUT_RATE


def _labelled(classes: list[Range]) -> Iterator[tuple[str, Label]]:
    """Mobiles first, so that a class found there does not speak for a prefix that the classes know
    better.
    """
    yield from _mobiles()
    for prefix, label in classes:
        if prefix == NORTH_AMERICA:
            yield from ((part, label) for part in _around(prefix, PREFIX_WITHOUT_RATE))
        elif label.word == "ORDINARY" or _is_special(prefix, label):
            yield prefix, label


def _is_special(prefix: str, label: Label) -> bool:
    """Whether a class that is not ordinary gets a line of its own."""
    known = label.country in _BUSY or label.country == NO_COUNTRY
    return known and len(prefix) <= _LONGEST_SPECIAL_PREFIX


def _around(prefix: str, hole: str) -> Iterator[str]:
    """The fewest prefixes that cover all of one but a hole; no area code begins with 0 or 1."""
    for digit in "23456789" if prefix == NORTH_AMERICA else DIGITS:
        longer = prefix + digit
        if hole.startswith(longer):
            yield from _around(longer, hole) if longer != hole else ()
        else:
            yield longer


def _mobiles() -> Iterator[tuple[str, Label]]:
    """Mobile prefixes of one national digit, where a country has few of them; elsewhere one rate
    serves both.
    """
    words = dict.fromkeys(KINDS, "OTHER") | {"mobile": "MOBILE"}
    for code, countries in COUNTRY_CODE_TO_REGION_CODE.items():
        plan = CallingCode(code, words=words, usual=("OTHER", "MOBILE"), max_digits=1)
        found = [r for r in plan.ranges() if r.label == Label(countries[0], "MOBILE")]
        if len(found) <= _MOST_MOBILE_PREFIXES and countries[0] != NO_COUNTRY:
            yield from found


def _row(prefix: str, label: Label, names: dict[str, str]) -> tuple[str, ...]:
    initial, increment = ("30", "6") if _draw(f"{label.country} step", 0, 5) == 0 else ("60", "60")
    return (
        prefix,
        _destination(prefix, label, names),
        _decimal(_rate(prefix, label)),
        _decimal(_fee(label)),
        initial,
        increment,
        "USD",
    )


def _destination(prefix: str, label: Label, names: dict[str, str]) -> str:
    if label.country == NO_COUNTRY:
        return _NETWORKS[prefix[:3]]
    return names[label.country] + _SUFFIXES[label.word]


def _rate(prefix: str, label: Label) -> int:
    if label.country == NO_COUNTRY:
        return _draw(prefix[:3], *_NETWORK_RATES)
    busy, other = _RATES[label.word]
    return _draw(f"{label.country} {label.word}", *(busy if label.country in _BUSY else other))


def _fee(label: Label) -> int:
    if label.word in ("PREMIUM", "SHARED_COST"):
        return _draw(f"{label.country} {label.word} fee", 2, 50) * 100
    charged = label.country not in _BUSY and _draw(f"{label.country} fee", 0, 4) == 0
    return 200 if charged else 0


def _draw(what: str, lowest: int, highest: int) -> int:
    digest = int.from_bytes(sha256(what.encode()).digest()[:8], "big")
    return lowest + digest % (highest - lowest + 1)


def _decimal(ten_thousandths: int) -> str:
    return f"{ten_thousandths // 10_000}.{ten_thousandths % 10_000:04d}"


def _country_names() -> dict[str, str]:
    table = resources.files(__package__).joinpath("countries.csv").read_text(encoding="utf-8")
    return {row["country"]: row["name"] for row in csv.DictReader(table.splitlines())}
