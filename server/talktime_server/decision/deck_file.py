"""Deck files: a deck as CSV, read line by line, every row that breaks a rule named.

Rows for calls that come in need two columns more, `direction` and `origin`; a file without them
prices calls that go out.
"""

import csv
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from talktime_server.decision.rating import Direction, RateRow, check_row
from talktime_server.failure import Violation

MAX_FILE_ROWS = 1_000_000
MAX_QUOTED_CHARACTERS = 40

_DECIMAL = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?")
_WHOLE = re.compile(r"[0-9]{1,9}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_DIRECTIONS = {direction.value: direction for direction in Direction} | {"": Direction.OUT}


class _Cells(NamedTuple):
    """One line of a deck file as text; the names are the columns'."""

    prefix: str
    destination: str
    rate_per_minute: str
    connection_fee: str
    initial_seconds: str
    increment_seconds: str
    currency: str
    direction: str
    origin: str


COLUMNS = _Cells._fields
OPTIONAL_COLUMNS = ("direction", "origin")
REQUIRED_COLUMNS = tuple(name for name in COLUMNS if name not in OPTIONAL_COLUMNS)


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


def read_csv(lines: Iterable[str], *, countries: Container[str] | None = None) -> DeckFile:
    """Reads a deck file with the columns above, in any order, and names every bad line, not only
    the first. An origin must be one of `countries` where these are given.
    """
    records = _records(lines)
    line, names = next(records, (1, []))
    bad = _check_header(line, names)
    if bad:
        return DeckFile((), "", tuple(bad))
    sheet = _Sheet(names or [], countries)
    for count, (line, fields) in enumerate(records):
        if count == MAX_FILE_ROWS:
            sheet.blame(line, "", "TOO_MANY_ROWS", f"a deck has at most {MAX_FILE_ROWS} rows")
            break
        sheet.add(line, fields)
    return sheet.finish(line)


class _Sheet:
    """Gathers the lines of a deck file, and what is wrong with them."""

    def __init__(self, names: Sequence[str], countries: Container[str] | None) -> None:
        self.rows: list[RateRow] = []
        self._bad: list[BadRow] = []
        self._countries = countries
        self._width = len(names)
        # A column that the file has not is read behind the last, where `add` puts an empty field.
        self._places = [names.index(n) if n in names else self._width for n in COLUMNS]
        self._first_line: dict[tuple[str, str, str], int] = {}
        self._currency = ""

    def add(self, line: int, fields: list[str] | None) -> None:
        """Reads one line; None is a line that is no CSV."""
        if fields is None:
            self.blame(line, "", "UNREADABLE", "is not CSV: a quote is open, or a line break stray")
        elif len(fields) != self._width:
            text = f"has {len(fields)} fields instead of {self._width}"
            self.blame(line, "", "FIELD_COUNT", text)
        else:
            padded = [*fields, ""]
            self._add_cells(line, _Cells(*[padded[place] for place in self._places]))

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
        broken += check_row(row, countries=self._countries)
        broken += self._check_against_others(line, cells, row)
        for violation in broken:
            field = violation.field.removesuffix("_micros")
            self.blame(line, field, violation.rule, violation.text)
        if not broken:
            self.rows.append(row)

    def _check_against_others(self, line: int, cells: _Cells, row: RateRow) -> list[Violation]:
        broken = []
        first_line = self._first_line.setdefault(row.key, line)
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
        return [
            BadRow(
                line, "", "EMPTY_FILE", f"has no header; it must name {', '.join(REQUIRED_COLUMNS)}"
            )
        ]
    missing = [name for name in REQUIRED_COLUMNS if name not in names]
    unknown = [name for name in dict.fromkeys(names) if name not in COLUMNS]
    double = [name for name in COLUMNS if names.count(name) > 1]
    return [
        *(BadRow(line, n, "MISSING_COLUMN", "the header does not name it") for n in missing),
        *(BadRow(line, _quoted(n), "UNKNOWN_COLUMN", "no such column") for n in unknown),
        *(BadRow(line, n, "DUPLICATE_COLUMN", "the header names it twice") for n in double),
    ]


def _read_row(cells: _Cells) -> tuple[RateRow, list[Violation]]:
    """The row, and what cannot be read in it: that becomes what breaks no further rule."""
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
    direction = _DIRECTIONS.get(cells.direction)
    if direction is None:
        text = f"{_quoted(cells.direction)} is not OUT or IN, nor empty for OUT"
        broken.append(Violation("direction", "BAD_DIRECTION", text))
        direction = Direction.IN
    rate, fee, initial, increment = numbers
    row = RateRow(
        cells.prefix, cells.destination, rate, fee, initial, increment, direction, cells.origin
    )
    return row, broken


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
