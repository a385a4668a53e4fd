"""Files of payers: every row is read and checked here, by the service's own rules, before anything is sent.

The service checks again, and its word counts; but it sees a part at a time, and what is already stored cannot be taken
back. So that a file with a bad row changes nothing, all of them are found first.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from talktime_server.commands.exits import Fault
from talktime_server.decision import catalog
from talktime_server.rpc.account_checks import MAX_LICENSES, MAX_NAME
from talktime_server.rpc.decoding import Checks

REQUIRED = ("payer_id", "country")
OPTIONAL = (
    "display_name",
    "user_principal_name",
    "phone_number",
    "licenses",
    "dial_out_policy",
)
COLUMNS = (*REQUIRED, *OPTIONAL)
MAX_ROWS = 1_000_000
_QUOTED_CHARACTERS = 40
_BETWEEN_LICENSES = re.compile(r"[;\s]+")


@dataclass(frozen=True, slots=True)
class PayerRow:
    """One payer of a file, with the line it begins on; None where the file has no such column."""

    line: int
    payer_id: str
    country: str
    display_name: str | None = None
    phone_number: str | None = None
    licenses: tuple[str, ...] | None = None
    dial_out_policy: str | None = None
    user_principal_name: str | None = None

    def settings(self) -> dict[str, Any]:
        """What the file says of the payer; what it has no column for is left as it is."""
        named = {
            "country": self.country,
            "display_name": self.display_name,
            "phone_number": self.phone_number,
            "licenses": self.licenses,
            "dial_out_policy": self.dial_out_policy,
            "user_principal_name": self.user_principal_name,
        }
        return {name: value for name, value in named.items() if value is not None}


@dataclass(slots=True)
class PayerFile:
    """What was read: the good rows, and every broken rule. `unusable`: the header is wrong, so no row was read."""

    rows: list[PayerRow] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    unusable: bool = False


def read(lines: Iterable[str]) -> PayerFile:
    """Reads a CSV of payers, its columns in any order, and names every bad row, not only the first."""
    records = _records(lines)
    line, names = next(records, (1, []))
    faults = _header_faults(line, names)
    if names is None or faults:
        return PayerFile(faults=faults, unusable=True)
    found, first_lines = PayerFile(), dict[str, int]()
    for count, (line, cells) in enumerate(records):
        if count == MAX_ROWS:
            found.faults.append(
                Fault("", "TOO_MANY_ROWS", f"a file has at most {MAX_ROWS:,}", line)
            )
            break
        broken = _form_faults(line, cells, len(names))
        if cells is None or broken:
            found.faults += broken
            continue
        row = _row(line, dict(zip(names, cells, strict=True)))
        broken = [*_faults(row), *_repeated(row, first_lines)]
        found.faults += broken
        if not broken:
            found.rows.append(row)
    if not (found.rows or found.faults):
        found.faults.append(Fault("", "NO_ROWS", "has a header and no rows", line))
    return found


def _row(line: int, cells: Mapping[str, str]) -> PayerRow:
    skus = cells.get("licenses")
    # A spreadsheet leaves spaces around a cell that nobody sees.
    text = {name: cell.strip() for name, cell in cells.items()}
    return PayerRow(
        line,
        text["payer_id"],
        text["country"],
        text.get("display_name"),
        text.get("phone_number"),
        None if skus is None else _skus(skus),
        text.get("dial_out_policy"),
        text.get("user_principal_name"),
    )


def _faults(row: PayerRow) -> list[Fault]:
    """The rules that a row breaks by itself."""
    checks = Checks()
    checks.id("payer_id", row.payer_id)
    checks.text("display_name", row.display_name or "", MAX_NAME)
    checks.text("user_principal_name", row.user_principal_name or "", MAX_NAME)
    checks.number("phone_number", row.phone_number or "", required=False)
    if row.country not in catalog.countries():
        checks.blame("country", *_country_fault(row.country))
    _check_skus(checks, row.licenses or ())
    if row.dial_out_policy and row.dial_out_policy not in catalog.dial_out_policies():
        text = f"{_quoted(row.dial_out_policy)} is none of those that `talktime policy list` shows"
        checks.blame("dial_out_policy", "UNKNOWN_POLICY", text)
    return [Fault(v.field, v.rule, v.text, row.line) for v in checks.violations]


def _check_skus(checks: Checks, skus: tuple[str, ...]) -> None:
    checks.items("licenses", skus, MAX_LICENSES)
    known = catalog.licenses()
    for sku in skus:
        if sku not in known:
            text = f"{_quoted(sku)} is none of those that `talktime licence list` shows"
            checks.blame("licenses", "UNKNOWN_LICENSE", text)


def _country_fault(code: str) -> tuple[str, str]:
    if not code:
        return "MISSING_FIELD", "is required"
    return "UNKNOWN_COUNTRY", f"{_quoted(code)} is not a country of ISO 3166-1, such as GB"


def _repeated(row: PayerRow, first_lines: dict[str, int]) -> Iterator[Fault]:
    first = first_lines.setdefault(row.payer_id, row.line)
    if first != row.line:
        yield Fault("payer_id", "DUPLICATE_PAYER", f"is on line {first} too", row.line)


def _form_faults(line: int, cells: list[str] | None, count: int) -> list[Fault]:
    if cells is None:
        text = "is not CSV: a quote is open, or a line break stray"
        return [Fault("", "UNREADABLE", text, line)]
    if len(cells) != count:
        return [Fault("", "FIELD_COUNT", f"has {len(cells)} fields instead of {count}", line)]
    return []


def _header_faults(line: int, names: list[str] | None) -> list[Fault]:
    if not names:
        text = (
            f"has no header; it names {', '.join(REQUIRED)} and, as wanted, {', '.join(OPTIONAL)}"
        )
        return [Fault("", "EMPTY_FILE", text, line)]
    missing = [name for name in REQUIRED if name not in names]
    unknown = [name for name in dict.fromkeys(names) if name not in COLUMNS]
    double = [name for name in COLUMNS if names.count(name) > 1]
    allowed = f"no such column; there are {', '.join(COLUMNS)}"
    return [
        *(Fault(n, "MISSING_COLUMN", "the header does not name it", line) for n in missing),
        *(Fault(_quoted(n), "UNKNOWN_COLUMN", allowed, line) for n in unknown),
        *(Fault(n, "DUPLICATE_COLUMN", "the header names it twice", line) for n in double),
    ]


def _records(lines: Iterable[str]) -> Iterator[tuple[int, list[str] | None]]:
    """Each record with the line it begins on; None where it is no CSV. Blank lines are passed over."""
    reader = csv.reader(_without_mark(lines), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield line, None
        else:
            if cells:
                yield line, cells


def _without_mark(lines: Iterable[str]) -> Iterator[str]:
    """The lines without the byte order mark that spreadsheets put before the first."""
    for number, text in enumerate(lines):
        yield text.removeprefix("\ufeff") if number == 0 else text


# Few sets of licences make up a whole file.
@lru_cache(maxsize=4096)
def _skus(cell: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sku for sku in _BETWEEN_LICENSES.split(cell) if sku))


def _quoted(text: str) -> str:
    """Somebody's text, safe to show: short, ASCII, escaped."""
    return ascii(text[:_QUOTED_CHARACTERS])
