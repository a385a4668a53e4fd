"""Turns a phone number as people write and dial it into E.164, the only form the service takes.

The facts per region (regions.csv: country code, how one dials abroad, the trunk prefix dialled inside the country, the
possible lengths) know nothing of area codes, so a number that cannot be told for sure is refused and never guessed.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

# What people put between digits: spaces, hyphens and dashes, dots, slashes, parentheses; typographic ones included.
_SEPARATORS = str.maketrans(
    "", "", " \t.-/()\u00a0\u2007\u2009\u202f\u2010\u2011\u2012\u2013\u2014\u2212"
)
_EXTENSION = re.compile(r";ext=|[#,]|\bext|\d\s*x\.?\s*\d", re.ASCII | re.IGNORECASE)
_DIALLED = re.compile(r"\+?[0-9]+", re.ASCII)
_URI = re.compile(r"[a-z]+:|[;@]", re.IGNORECASE)
_MIN_SHORT_DIGITS, _MAX_SHORT_DIGITS = 2, 6
_MIN_DIGITS, _MAX_DIGITS = 7, 15
_MAX_TEXT = 64
_MAX_COUNTRY_CODE_DIGITS = 3


class UnusableNumber(ValueError):
    """A text that cannot be turned into E.164 for sure; `rule` names why. The text itself is never repeated."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Region:
    """How one dials in one place; `lengths` are those of a number without country code and trunk prefix."""

    region: str
    country_code: str
    international_prefix: re.Pattern[str]
    trunk_prefix: str
    lengths: frozenset[int]


def normalize(text: str, region: str | None = None) -> str:
    """The E.164 form of a number as dialled in `region` (ISO 3166-1 alpha-2).

    Emergency and short numbers, 2 to 6 digits, pass unchanged; a place whose whole numbers are that short needs
    them with +.

    >>> normalize("020 7946 0018", region="GB")
    '+442079460018'
    >>> normalize("+44 (0)20 7946 0018")
    '+442079460018'
    >>> normalize("112", region="GB")
    '112'

    Raises UnusableNumber, a ValueError, whose `rule` is EMPTY, TOO_LONG, TOO_SHORT, URI, EXTENSION, LETTERS,
    BAD_CHARACTER, NO_REGION, UNKNOWN_REGION or WRONG_LENGTH.
    """
    dialled = _dialled(text)
    if dialled.startswith("+"):
        return _international(dialled[1:])
    if _MIN_SHORT_DIGITS <= len(dialled) <= _MAX_SHORT_DIGITS:
        return dialled
    place = _place(region)
    abroad = place.international_prefix.match(dialled)
    if abroad and dialled[abroad.end() : abroad.end() + 1] not in ("", "0"):
        return _international(dialled[abroad.end() :])
    return _national(dialled, place)


def _dialled(text: str) -> str:
    """The digits of a text, with its leading plus; refuses everything that is not a plain number."""
    if not text.strip():
        raise UnusableNumber("EMPTY", "there is no number")
    if len(text) > _MAX_TEXT:
        raise UnusableNumber("TOO_LONG", f"longer than {_MAX_TEXT} characters")
    bare = text.strip()
    bare = bare[4:] if bare[:5].lower() == "tel:+" else bare
    dialled = bare.translate(_SEPARATORS)
    if not _DIALLED.fullmatch(dialled):
        raise _not_a_number(bare)
    return dialled


def _not_a_number(text: str) -> UnusableNumber:
    if _EXTENSION.search(text):
        return UnusableNumber(
            "EXTENSION", "an extension cannot be dialled from outside; leave it out"
        )
    if _URI.search(text):
        return UnusableNumber("URI", 'of URIs only "tel:+" followed by digits is taken')
    if any(c.isalpha() for c in text):
        return UnusableNumber("LETTERS", "letters are not digits")
    return UnusableNumber(
        "BAD_CHARACTER", "only ASCII digits, separators and one leading + are taken"
    )


def _international(digits: str) -> str:
    """The number behind "+" or the international prefix, less a trunk prefix written by mistake, as in +44 (0)20."""
    place = _country(digits)
    if place:
        rest = digits.removeprefix(place.country_code)
        digits = place.country_code + _without_trunk(rest, place)
    return _checked(digits)


def _national(digits: str, place: Region) -> str:
    rest = _without_trunk(digits, place)
    if len(rest) not in place.lengths:
        text = (
            f"no number of region {place.region} has {len(rest)} digits; is the area code missing?"
        )
        raise UnusableNumber("WRONG_LENGTH", text)
    return _checked(place.country_code + rest)


def _without_trunk(digits: str, place: Region) -> str:
    """Takes the trunk prefix away. Where numbers may themselves begin like it, length decides; Italy's zero stays."""
    trunk = place.trunk_prefix or "0"
    rest = digits.removeprefix(trunk)
    if rest == digits or len(rest) not in place.lengths:
        return digits
    # A zero is no part of a number where it is the trunk prefix, except in the few that begin with two.
    if place.trunk_prefix.startswith("0"):
        return digits if rest.startswith("0") else rest
    return digits if len(digits) in place.lengths else rest


def _checked(digits: str) -> str:
    if digits.startswith("0"):
        raise UnusableNumber("BAD_CHARACTER", "no country code begins with 0")
    if len(digits) < _MIN_DIGITS:
        raise UnusableNumber("TOO_SHORT", f"E.164 has at least {_MIN_DIGITS} digits")
    if len(digits) > _MAX_DIGITS:
        raise UnusableNumber("TOO_LONG", f"E.164 has at most {_MAX_DIGITS} digits")
    return "+" + digits


def check_region(region: str) -> None:
    """Raises UnusableNumber unless numbers can be read as dialled in this region."""
    _place(region)


def _place(region: str | None) -> Region:
    if region is None:
        raise UnusableNumber("NO_REGION", "a number without + needs the region it is dialled in")
    place = regions().get(region.upper())
    if place is None:
        raise UnusableNumber(
            "UNKNOWN_REGION", "the region is not an ISO 3166-1 alpha-2 code with numbers of its own"
        )
    return place


def _country(digits: str) -> Region | None:
    """The main region of a number's country code; None for codes of no country, as 800, and for unassigned ones."""
    codes = _main_regions()
    for length in range(1, _MAX_COUNTRY_CODE_DIGITS + 1):
        if place := codes.get(digits[:length]):
            return place
    return None


@cache
def regions() -> Mapping[str, Region]:
    """Every region by its ISO code."""
    text = files("talktime").joinpath("regions.csv").read_text("ascii")
    return {row["region"]: _region(row) for row in csv.DictReader(text.splitlines())}


def _region(row: dict[str, str]) -> Region:
    return Region(
        region=row["region"],
        country_code=row["country_code"],
        international_prefix=re.compile(row["international_prefix"], re.ASCII),
        trunk_prefix=row["trunk_prefix"],
        lengths=frozenset(int(length) for length in row["lengths"].split()),
    )


@cache
def _main_regions() -> Mapping[str, Region]:
    """The region that comes first in regions.csv for each country code: the country that owns it."""
    first: dict[str, Region] = {}
    for place in regions().values():
        first.setdefault(place.country_code, place)
    return first
