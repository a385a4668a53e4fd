"""The files of an export: whole or not there, safe for spreadsheets, exact to the micro, and of any length in the same memory."""

import csv
import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path

import openpyxl
import pytest

from cli import workbook_check
from talktime import CallFilter, CallType, Unavailable, UsageRow
from talktime_server.commands import usage_totals, usage_workbook
from talktime_server.commands.exits import Stop
from talktime_server.commands.export import Asked, Format, write
from talktime_server.commands.picking import Span
from talktime_server.commands.spreadsheets import EXACT_MICROS
from talktime_server.commands.usage_cells import COLUMNS
from talktime_server.commands.usage_totals import OTHERS, Totals

MANY = 40_000
TRACED = 5_000
# So many rows take three times as much when they are kept.
MEMORY_BYTES = 2 * 1024 * 1024
ASKED = Asked(
    "contoso", Span(date(2026, 11, 1), date(2026, 11, 30)), CallFilter(capability="MCOPSTNPP")
)
FIRST = datetime(2026, 11, 1, 8, 30, 0, 250_000, tzinfo=UTC)
ROW = UsageRow(
    usage_id="u-1",
    call_id="site1-0001",
    conference_id="",
    user_location="US",
    payer_id="alice",
    user_principal_name="alice@example.com",
    user_display_name="Alice",
    caller_id="+12025550147",
    call_type=CallType.USER_OUT,
    number_type="Subscriber",
    domestic="International",
    destination_country="GB",
    destination="United Kingdom",
    destination_number="+4420794600**",
    start_time=FIRST,
    end_time=FIRST + timedelta(seconds=61),
    duration_seconds=61,
    connection_fee_micros=4_500,
    charge_micros=60_001,
    currency_code="USD",
    capability="MCOPSTNPP",
    postpaid=False,
    pool_seconds=0,
    pool_id="",
)


def rows(count: int) -> Iterator[UsageRow]:
    """Calls over three weeks, to many places, each with another price."""
    known = {field.name: getattr(ROW, field.name) for field in fields(ROW)}
    for each in range(count):
        at = FIRST + timedelta(seconds=17 * each)
        known["usage_id"] = f"u-{each:07}"
        known["start_time"], known["end_time"] = at, at + timedelta(seconds=each % 3600)
        known["duration_seconds"] = each % 3600
        known["charge_micros"] = each * 7919 % 3_000_000
        known["destination"] = f"Place {each % 97}"
        known["postpaid"] = each % 5 == 0
        yield UsageRow(**known)


def traced(count: int, last: int) -> Iterator[UsageRow]:
    """The same, with memory watched from a late row on: watching costs ten times what the rows do."""
    for each, row in enumerate(rows(count)):
        if each == count - last:
            tracemalloc.start()
        yield row


def spend(count: int) -> int:
    return sum(row.connection_fee_micros + row.charge_micros for row in rows(count))


def test_a_csv_has_the_columns_of_the_report(tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    write(file, Format.CSV, [ROW], ASKED)
    content = file.read_bytes()
    assert content.startswith(b"UsageId,Call ID,Conference ID,User Location,AAD ObjectId,UPN,")
    assert content.count(b"\r\n") == content.count(b"\n") == 2
    (line,) = csv.DictReader(StringIO(content.decode()))
    assert tuple(line) == COLUMNS
    assert line | {"UsageId": "u-1"} == line
    assert list(line.values()) == [
        "u-1",
        "site1-0001",
        "",
        "US",
        "alice",
        "alice@example.com",
        "Alice",
        "+12025550147",
        "user_out",
        "Subscriber",
        "International",
        "United Kingdom",
        "+4420794600**",
        "2026-11-01T08:30:00.250Z",
        "2026-11-01T08:31:01.250Z",
        "61",
        "0.0045",
        "0.060001",
        "USD",
        "MCOPSTNPP",
    ]


def test_a_zip_says_what_was_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "calls.zip", Format.ZIP, rows(10), ASKED)
    with zipfile.ZipFile(tmp_path / "calls.zip") as archive:
        sheet, parameters = archive.namelist()
        assert (sheet, parameters) == (
            "PSTN.calls.2026-11-01--2026-11-30.csv",
            "parameters.json",
        )
        assert len(archive.read(sheet).splitlines()) == 11
        told = json.loads(archive.read(parameters))
    assert told["startDateTime"] == "2026-11-01T00:00:00Z"
    assert told["endDateTime"] == "2026-12-01T00:00:00Z"
    assert (told["tenantId"], told["capabilities"], told["rows"]) == ("contoso", ["MCOPSTNPP"], 10)


# What a name may be, and the cell that is written.
NAMES = [
    ("Alice", "Alice"),
    ("=1+1", "'=1+1"),
    ("+1+1", "'+1+1"),
    ("-1", "'-1"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("\t=1", "'\t'=1"),
    ("\r=1", "'\r'=1"),
    ("  =1+1", "'  =1+1"),
    ("\N{FULLWIDTH EQUALS SIGN}1", "'\N{FULLWIDTH EQUALS SIGN}1"),
    ('x;=HYPERLINK("a")', 'x;\'=HYPERLINK("a")'),
    ("x\n=1", "x\n'=1"),
    ('x|"@y', "x|\"'@y"),
    ("a=b, c@d, e-f", "a=b, c@d, e-f"),
    ("+442079460018", "+442079460018"),
    ("+4420794600**", "+4420794600**"),
    ("+44 20", "'+44 20"),
    ("+", "'+"),
    ("<r><t>x</t></r>", "<r><t>x</t></r>"),
    ("O'Neil \N{GREEK SMALL LETTER OMEGA}", "O'Neil \N{GREEK SMALL LETTER OMEGA}"),
]


@pytest.mark.parametrize(("name", "cell"), NAMES)
def test_no_cell_of_a_csv_runs(tmp_path: Path, name: str, cell: str) -> None:
    write(tmp_path / "calls.csv", Format.CSV, [replace(ROW, user_display_name=name)], ASKED)
    with (tmp_path / "calls.csv").open(encoding="utf-8", newline="") as lines:
        (line,) = csv.DictReader(lines)
    assert line["User Display Name"] == cell


def test_no_cell_of_a_workbook_runs(tmp_path: Path) -> None:
    """Names are texts, whatever they look like; one that looks like the workbook's own language, too."""
    file = tmp_path / "calls.xlsx"
    named = [replace(ROW, user_display_name=name, destination=name) for name, _ in NAMES]
    write(file, Format.XLSX, named, ASKED)
    book = openpyxl.load_workbook(file)
    cells = [row[6] for row in book["Calls"].iter_rows(min_row=2)]
    assert {cell.data_type for cell in cells} == {"s"}
    assert all(cell.hyperlink is None for cell in cells)
    for cell, (_, wanted) in zip(cells, NAMES, strict=True):
        assert str(cell.value).lstrip("'") == wanted.replace("\r", "_x000D_").lstrip("'")
    kinds = {c.data_type for row in book["Summary"].iter_rows() for c in row}
    assert kinds <= {"s", "n"}
    assert len(book["Summary"]._charts) == 2
    book.close()


def broken(after: int) -> Iterator[UsageRow]:
    yield from rows(after)
    raise Unavailable("gone")


@pytest.mark.parametrize("kind", list(Format))
def test_an_export_that_breaks_leaves_nothing(tmp_path: Path, kind: Format) -> None:
    file = tmp_path / f"calls.{kind}"
    with pytest.raises(Unavailable):
        write(file, kind, broken(2_000), ASKED)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", list(Format))
def test_an_export_that_breaks_keeps_the_one_before(tmp_path: Path, kind: Format) -> None:
    file = tmp_path / f"calls.{kind}"
    file.write_text("what was there")
    with pytest.raises(Unavailable):
        write(file, kind, broken(2_000), ASKED)
    assert file.read_text() == "what was there"
    write(file, kind, rows(3), ASKED)
    assert file.read_bytes()[:14] != b"what was there"
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
    assert file.stat().st_mode & 0o077 == 0


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="cannot be written"):
        write(tmp_path / "nowhere" / "calls.csv", Format.CSV, rows(1), ASKED)


# A workbook takes a seventh of a millisecond a row, and many times that on a busy machine.
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", [Format.CSV, Format.XLSX])
def test_memory_does_not_grow_with_the_export(tmp_path: Path, kind: Format) -> None:
    """After ninety-five thousand rows, five thousand more add what one row and the buffers of the end do."""
    try:
        totals = write(tmp_path / f"calls.{kind}", kind, traced(MANY, TRACED), ASKED)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (totals.rows, peak_bytes < MEMORY_BYTES) == (MANY, True), peak_bytes


def test_the_sums_of_a_workbook_are_exact(tmp_path: Path) -> None:
    """By whoever opens it: every table of the summary, and the rows themselves, come to the micro."""
    file = tmp_path / "calls.xlsx"
    count = 5_000
    totals = write(file, Format.XLSX, rows(count), ASKED)
    (whole,) = totals.whole.values()
    assert (whole.rows, whole.spend_micros) == (count, spend(count))
    wanted = (count, spend(count))
    for sheets in (workbook_check.sheets_of(file, tmp_path), workbook_check.by_openpyxl(file)):
        assert list(sheets) == ["Summary", "Calls"] or set(sheets) == {"Summary", "Calls"}
        assert workbook_check.spend_of_calls(sheets) == wanted
        for title in (
            "Everything",
            "By day (UTC)",
            "By what paid",
            "By type of call",
            "By destination",
        ):
            assert workbook_check.spend_of_summary(sheets, title) == wanted, title
        start = sheets["Calls"][1][COLUMNS.index("Start Time")]
        assert start.startswith("2026-11-01 08:30:00")


def test_large_sums_lose_no_micro(tmp_path: Path) -> None:
    """A workbook's numbers are exact up to four thousand million; beyond it the sum stands there as text, too."""
    file = tmp_path / "calls.xlsx"
    largest = replace(ROW, charge_micros=EXACT_MICROS - 1, connection_fee_micros=0)
    write(file, Format.XLSX, [largest], ASKED)
    sheets = workbook_check.by_openpyxl(file)
    assert workbook_check.spend_of_summary(sheets, "Everything") == (1, EXACT_MICROS - 1)
    assert workbook_check.spend_of_calls(sheets) == (1, EXACT_MICROS - 1)
    write(file, Format.XLSX, [largest, replace(ROW, charge_micros=8)], ASKED)
    summary = workbook_check.by_openpyxl(file)["Summary"]
    assert ["Total, to the last digit", "4,294,967,296.004507 USD"] in [row[:2] for row in summary]


def test_more_rows_than_a_sheet_takes_go_on_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_workbook, "MAX_SHEET_ROWS", 1_000)
    file = tmp_path / "calls.xlsx"
    write(file, Format.XLSX, rows(2_001), ASKED)
    sheets = workbook_check.by_openpyxl(file)
    assert {name: len(sheet) for name, sheet in sheets.items() if name != "Summary"} == {
        "Calls": 1_001,
        "Calls 2": 1_001,
        "Calls 3": 2,
    }
    assert workbook_check.spend_of_calls(sheets) == (2_001, spend(2_001))


def test_sums_by_destination_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_totals, "MAX_KEYS", 10)
    totals = Totals()
    for row in rows(500):
        totals.add(row)
    assert len(totals.destinations) == 11
    assert (OTHERS, "USD") in totals.destinations
    assert sum(total.spend_micros for total in totals.destinations.values()) == spend(500)
    assert usage_totals.dearest_first(totals.destinations)[-1][0] == (OTHERS, "USD")


def test_an_empty_export_is_a_file_too(tmp_path: Path) -> None:
    for kind in Format:
        assert write(tmp_path / f"calls.{kind}", kind, [], ASKED).rows == 0
    sheets = workbook_check.by_openpyxl(tmp_path / "calls.xlsx")
    assert len(sheets["Calls"]) == 1
