"""What talk costs: decks of rates by prefix, and the price of a duration, in whole micros.

A price is rounded up once, from the total duration, so that a call extended a hundred times costs
what one long grant costs.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from talktime_server.failure import Violation

MAX_MICROS = 10**9
MAX_STEP_SECONDS = 3600
MAX_DESTINATION_BYTES = 64
MAX_PREFIX_DIGITS = 15
MAX_FILE_ROWS = 1_000_000
MAX_QUOTED_CHARACTERS = 40

_PREFIX = re.compile(r"[1-9][0-9]{0,14}")
_DECIMAL = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?")
_WHOLE = re.compile(r"[0-9]{1,9}")
_CURRENCY = re.compile(r"[A-Z]{3}")

# Spreadsheets run a cell that begins like this when the deck is exported again.
_FORMULA_MARKS = ("=", "+", "-", "@")


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of a destination, frozen on a call; `prefix` is empty for a default rate."""

    destination: str
    prefix: str
    rate_per_minute_micros: int
    connection_fee_micros: int
    initial_seconds: int
    increment_seconds: int
    deck_version: str

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


@dataclass(frozen=True, slots=True)
class RateRow:
    """One line of a deck."""

    prefix: str
    destination: str
    rate_per_minute_micros: int
    connection_fee_micros: int
    initial_seconds: int
    increment_seconds: int


class _Cells(NamedTuple):
    """One line of a deck file as text; the names are the columns'."""

    prefix: str
    destination: str
    rate_per_minute: str
    connection_fee: str
    initial_seconds: str
    increment_seconds: str
    currency: str


COLUMNS = _Cells._fields


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line of a deck file that breaks a rule; `field` is empty when the whole line does."""

    line: int
    field: str
    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class DeckFile:
    """What a deck file says. Its rows may price calls only when none is bad."""

    rows: tuple[RateRow, ...]
    currency: str
    bad: tuple[BadRow, ...]


class Deck:
    """The rates of one version, in one currency; the longest prefix of a number prices it."""

    def __init__(self, version: str, currency: str, rows: Iterable[RateRow]) -> None:
        self.version = version
        self.currency = currency
        self._rows = {row.prefix: row for row in rows}
        self._lengths = sorted({len(prefix) for prefix in self._rows}, reverse=True)

    def __len__(self) -> int:
        return len(self._rows)

    def rate_for(self, e164: str) -> Rate | None:
        """The rate of a number, or None when no prefix of it has one: never free, never a guess."""
        digits = e164[1:]
        for length in self._lengths:
            row = self._rows.get(digits[:length])
            if row is not None:
                return self._rate(row)
        return None

    def _rate(self, row: RateRow) -> Rate:
        return Rate(
            row.destination,
            row.prefix,
            row.rate_per_minute_micros,
            row.connection_fee_micros,
            row.initial_seconds,
            row.increment_seconds,
            self.version,
        )


def check_row(row: RateRow) -> list[Violation]:
    """Every rule that a line breaks; none when it may price calls."""
    broken: list[Violation] = []
    if not _PREFIX.fullmatch(row.prefix):
        text = f'must be 1 to {MAX_PREFIX_DIGITS} digits without "+", the first not 0'
        broken.append(Violation("prefix", "BAD_PREFIX", text))
    broken += _check_destination(row.destination)
    broken += _check_range("rate_per_minute_micros", row.rate_per_minute_micros, 0, MAX_MICROS)
    broken += _check_range("connection_fee_micros", row.connection_fee_micros, 0, MAX_MICROS)
    broken += _check_range("initial_seconds", row.initial_seconds, 1, MAX_STEP_SECONDS)
    broken += _check_range("increment_seconds", row.increment_seconds, 1, MAX_STEP_SECONDS)
    return broken


def read_csv(lines: Iterable[str]) -> DeckFile:
    """Reads a deck file with the columns above, in any order, and names every bad line, not only
    the first.
    """
    records = _records(lines)
    line, names = next(records, (1, []))
    bad = _check_header(line, names)
    if bad:
        return DeckFile((), "", tuple(bad))
    sheet = _Sheet(names or [])
    for count, (line, fields) in enumerate(records):
        if count == MAX_FILE_ROWS:
            sheet.blame(line, "", "TOO_MANY_ROWS", f"a deck has at most {MAX_FILE_ROWS} rows")
            break
        sheet.add(line, fields)
    return sheet.finish(line)


class _Sheet:
    """Gathers the lines of a deck file, and what is wrong with them."""

    def __init__(self, names: list[str]) -> None:
        self.rows: list[RateRow] = []
        self._bad: list[BadRow] = []
        self._in_order = itemgetter(*(names.index(name) for name in COLUMNS))
        self._first_line: dict[str, int] = {}
        self._currency = ""

    def add(self, line: int, fields: list[str] | None) -> None:
        """Reads one line; None is a line that is no CSV."""
        if fields is None:
            self.blame(line, "", "UNREADABLE", "is not CSV: a quote is open, or a line break stray")
        elif len(fields) != len(COLUMNS):
            text = f"has {len(fields)} fields instead of {len(COLUMNS)}"
            self.blame(line, "", "FIELD_COUNT", text)
        else:
            self._add_cells(line, _Cells(*self._in_order(fields)))

    def blame(self, line: int, field: str, rule: str, text: str) -> None:
        """Notes a broken rule."""
        self._bad.append(BadRow(line, field, rule, text))

    def finish(self, last_line: int) -> DeckFile:
        """The file as a whole."""
        if not self.rows and not self._bad:
            self.blame(last_line, "", "NO_ROWS", "has a header and no rows")
        return DeckFile(tuple(self.rows), self._currency, tuple(self._bad))

    def _add_cells(self, line: int, cells: _Cells) -> None:
        row, broken = _read_row(cells)
        broken += check_row(row)
        broken += self._check_against_others(line, cells)
        for violation in broken:
            field = violation.field.removesuffix("_micros")
            self.blame(line, field, violation.rule, violation.text)
        if not broken:
            self.rows.append(row)

    def _check_against_others(self, line: int, cells: _Cells) -> list[Violation]:
        broken = []
        first_line = self._first_line.setdefault(cells.prefix, line)
        if first_line != line:
            broken.append(Violation("prefix", "DUPLICATE_PREFIX", f"is on line {first_line} too"))
        if not _CURRENCY.fullmatch(cells.currency):
            text = f"must be three capital letters, not {_quoted(cells.currency)}"
            broken.append(Violation("currency", "BAD_CURRENCY", text))
        elif self._currency not in ("", cells.currency):
            text = f"must be {self._currency} as above: a deck has one currency"
            broken.append(Violation("currency", "MIXED_CURRENCY", text))
        else:
            self._currency = cells.currency
        return broken


def _records(lines: Iterable[str]) -> Iterator[tuple[int, list[str] | None]]:
    """Each record with the line it begins on; None where it is no CSV. Blank lines are skipped."""
    reader = csv.reader(_without_mark(lines), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield line, None
        else:
            if fields:
                yield line, fields


def _without_mark(lines: Iterable[str]) -> Iterator[str]:
    """The lines without the byte order mark that spreadsheets put before the first."""
    for number, line in enumerate(lines):
        yield line.removeprefix("\ufeff") if number == 0 else line


def _check_header(line: int, names: list[str] | None) -> list[BadRow]:
    if not names:
        return [BadRow(line, "", "EMPTY_FILE", f"has no header; it must name {', '.join(COLUMNS)}")]
    missing = [name for name in COLUMNS if name not in names]
    unknown = [name for name in dict.fromkeys(names) if name not in COLUMNS]
    double = [name for name in COLUMNS if names.count(name) > 1]
    return [
        *(BadRow(line, n, "MISSING_COLUMN", "the header does not name it") for n in missing),
        *(BadRow(line, _quoted(n), "UNKNOWN_COLUMN", "no such column") for n in unknown),
        *(BadRow(line, n, "DUPLICATE_COLUMN", "the header names it twice") for n in double),
    ]


def _read_row(cells: _Cells) -> tuple[RateRow, list[Violation]]:
    """The row, and what is no number in it: that reads as 1, which breaks no further rule."""
    broken: list[Violation] = []
    numbers = []
    for field, text, read in (
        ("rate_per_minute", cells.rate_per_minute, _micros),
        ("connection_fee", cells.connection_fee, _micros),
        ("initial_seconds", cells.initial_seconds, _whole),
        ("increment_seconds", cells.increment_seconds, _whole),
    ):
        number = read(text)
        if number is None:
            broken.append(_no_number(field, text))
        numbers.append(1 if number is None else number)
    return RateRow(cells.prefix, cells.destination, *numbers), broken


def _no_number(field: str, text: str) -> Violation:
    if field.endswith("_seconds"):
        return Violation(field, "BAD_INTEGER", f"{_quoted(text)} is not a whole number such as 60")
    rule = "a plain decimal such as 0.0125: digits, at most six of them after the point, no sign"
    return Violation(field, "BAD_DECIMAL", f"{_quoted(text)} is not {rule}")


# Few texts make up a whole deck, so most are read once.
@lru_cache(maxsize=4096)
def _micros(text: str) -> int | None:
    """A decimal in whole micros, exactly, or None when it is none."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    whole, fraction = match.groups("")
    return int(whole + fraction.ljust(6, "0"))


@lru_cache(maxsize=4096)
def _whole(text: str) -> int | None:
    return int(text) if _WHOLE.fullmatch(text) else None


def _quoted(text: str) -> str:
    """Somebody's text, safe to show: short, ASCII, escaped."""
    return ascii(text[:MAX_QUOTED_CHARACTERS])


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
