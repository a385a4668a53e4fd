"""What talk costs: decks of rates by prefix, and the price of a duration, in whole micros.

A price is rounded up once, from the total duration, so that a call extended a hundred times costs
what one long grant costs. A deck prices the two ways a call can go apart: one that comes in may
depend on the country of its caller, as on toll-free numbers of the North American plan
(domain.md 4).
"""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from talktime_server.failure import Violation
from talktime_server.ledger.rate_table import AREA_DIGITS, NO_AREA, RateTable

MAX_MICROS = 10**9
MAX_STEP_SECONDS = 3600
MAX_DESTINATION_BYTES = 64
MAX_PREFIX_DIGITS = 15
# Rates of a deck that are kept once they were asked for: calls go to few of all places.
MOST_MADE = 16_384

_PREFIX = re.compile(r"[1-9][0-9]{0,14}")
_COUNTRY = re.compile(r"[A-Z]{2}")

# Spreadsheets run a cell that begins like this when the deck is exported again.
_FORMULA_MARKS = ("=", "+", "-", "@")


class Direction(StrEnum):
    """Which way a call goes: to the public network, or from it."""

    OUT = "OUT"
    IN = "IN"


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of a destination, frozen on a call; `prefix` is empty for a default rate, `origin`
    unless the caller's country made the price.
    """

    destination: str
    prefix: str
    rate_per_minute_micros: int
    connection_fee_micros: int
    initial_seconds: int
    increment_seconds: int
    deck_version: str
    origin: str = ""

    def billed_seconds(self, duration_s: int) -> int:
        """The seconds charged for a duration: the initial ones, then whole increments; none for a
        call never answered.
        """
        assert duration_s >= 0, "durations are checked at the edge"
        if duration_s == 0:
            return 0
        if duration_s <= self.initial_seconds:
            return self.initial_seconds
        steps = _divide_up(duration_s - self.initial_seconds, self.increment_seconds)
        return self.initial_seconds + steps * self.increment_seconds

    def price_micros(self, duration_s: int) -> int:
        """The price of a call of this duration, rounded up to a whole micro."""
        billed = self.billed_seconds(duration_s)
        if billed == 0:
            return 0
        return self.connection_fee_micros + _divide_up(self.rate_per_minute_micros * billed, 60)


class RateRow(NamedTuple):
    """One line of a deck; `origin` is the caller's country, on a line for calls that come in, and
    empty for any that has no line of its own. A tuple, so that tens of thousands are read quickly.
    """

    prefix: str
    destination: str
    rate_per_minute_micros: int
    connection_fee_micros: int
    initial_seconds: int
    increment_seconds: int
    direction: Direction = Direction.OUT
    origin: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What no two lines of a deck share."""
        return self.prefix, self.direction.value, self.origin


class Deck:
    """The rates of one version, in one currency; the longest prefix of a number prices it."""

    def __init__(self, version: str, currency: str, table: RateTable) -> None:
        self.version = version
        self.currency = currency
        self._table = table
        self._outbound = table.outbound.areas
        self._made: dict[int, Rate] = {}

    def __len__(self) -> int:
        return len(self._table)

    def rate_for(self, e164: str, *, inbound: bool = False, origin: str = "") -> Rate | None:
        """The rate of a number, or None when no prefix of it has one: never free, never a guess.

        A call that comes in is priced by the called number and the caller's country `origin`; one
        that no line for such calls prices costs what calling the number costs (domain.md 4).
        """
        digits = e164[1:]
        if inbound:
            rate = self._inbound_rate(digits, origin)
            if rate is not None:
                return rate
        areas = self._outbound
        for rows, lengths in (areas.get(digits[:AREA_DIGITS], NO_AREA), areas.get("", NO_AREA)):
            for length in lengths:
                row = rows.get(digits[:length])
                if row is not None:
                    return self._made.get(row) or self._make(row, digits[:length], "")
        return None

    def let_go(self) -> Iterator[None]:
        """Gives its memory back in steps, for a deck that prices no more."""
        self._made.clear()
        return self._table.let_go()

    def _inbound_rate(self, digits: str, origin: str) -> Rate | None:
        """A prefix that prices only other countries leaves the call to the next shorter one."""
        for rows, lengths in self._table.inbound.near(digits):
            for prefix in (digits[:length] for length in lengths):
                for country in (origin, ""):
                    row = rows.get(country + prefix)
                    if row is not None:
                        return self._made.get(row) or self._make(row, prefix, country)
        return None

    def _make(self, row: int, prefix: str, origin: str) -> Rate:
        if len(self._made) >= MOST_MADE:
            self._made.clear()
        destination, per_minute, fee, initial, increment = self._table.priced(row)
        rate = Rate(destination, prefix, per_minute, fee, initial, increment, self.version, origin)
        self._made[row] = rate
        return rate


def check_row(row: RateRow, *, countries: Container[str] | None = None) -> list[Violation]:
    """Every rule that a line breaks; none when it may price calls. An origin must be one of
    `countries` where these are given.
    """
    broken: list[Violation] = []
    if not _PREFIX.fullmatch(row.prefix):
        text = f'must be 1 to {MAX_PREFIX_DIGITS} digits without "+", the first not 0'
        broken.append(Violation("prefix", "BAD_PREFIX", text))
    broken += _check_destination(row.destination)
    broken += _check_range("rate_per_minute_micros", row.rate_per_minute_micros, 0, MAX_MICROS)
    broken += _check_range("connection_fee_micros", row.connection_fee_micros, 0, MAX_MICROS)
    broken += _check_range("initial_seconds", row.initial_seconds, 1, MAX_STEP_SECONDS)
    broken += _check_range("increment_seconds", row.increment_seconds, 1, MAX_STEP_SECONDS)
    if row.origin:
        broken += _check_origin(row, countries)
    return broken


def _divide_up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def _check_range(field: str, value: int, least: int, most: int) -> list[Violation]:
    if least <= value <= most:
        return []
    return [Violation(field, "OUT_OF_RANGE", f"must be {least} to {most}")]


def _check_destination(destination: str) -> list[Violation]:
    if not destination:
        return [Violation("destination", "MISSING_FIELD", "must not be empty")]
    if not destination.isprintable():
        text = "must be printable: no control, invisible or direction characters"
        return [Violation("destination", "BAD_CHARSET", text)]
    if len(destination.encode()) > MAX_DESTINATION_BYTES:
        text = f"must be at most {MAX_DESTINATION_BYTES} bytes of UTF-8"
        return [Violation("destination", "TOO_LONG", text)]
    if destination.startswith(_FORMULA_MARKS):
        text = f"must not begin with one of {' '.join(_FORMULA_MARKS)}"
        return [Violation("destination", "FORMULA", text)]
    return []


def _check_origin(row: RateRow, countries: Container[str] | None) -> list[Violation]:
    if not _COUNTRY.fullmatch(row.origin):
        return [Violation("origin", "BAD_CHARSET", "must be two capital letters, or empty")]
    if row.direction is not Direction.IN:
        text = "must be empty on a row for calls that go out: their caller's country makes no price"
        return [Violation("origin", "ORIGIN_OF_OUTBOUND", text)]
    if countries is not None and row.origin not in countries:
        return [Violation("origin", "UNKNOWN_COUNTRY", "is not a country of ISO 3166-1")]
    return []
