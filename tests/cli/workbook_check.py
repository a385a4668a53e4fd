"""A workbook as others read it: LibreOffice where it is installed, openpyxl elsewhere; the same sums are taken either way."""

import csv
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import openpyxl

Sheet = Sequence[Sequence[str]]
OFFICE = shutil.which("soffice")
CONVERT_LIMIT_S = 120
# All sheets, each to a file of its own, as they are and not as they are shown.
TO_CSV = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false,false,false,false,-1"


def sheets_of(workbook: Path, folder: Path) -> Mapping[str, Sheet]:
    """Every sheet by its name, each cell as text; empty cells are empty texts."""
    return _by_office(workbook, folder) if OFFICE else by_openpyxl(workbook)


def by_openpyxl(workbook: Path) -> Mapping[str, Sheet]:
    """The same without LibreOffice."""
    book = openpyxl.load_workbook(workbook, read_only=True)
    try:
        return {
            sheet.title: [
                [_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True)
            ]
            for sheet in book.worksheets
        }
    finally:
        book.close()


def spend_of_calls(sheets: Mapping[str, Sheet]) -> tuple[int, int]:
    """Rows, and fees and charges in micros, added up over the sheets of calls."""
    rows, spend = 0, Decimal(0)
    for name, sheet in sheets.items():
        if name.startswith("Calls"):
            head, *lines = sheet
            fee, charge = head.index("Connection Fee"), head.index("Charge")
            rows += len(lines)
            spend += sum((Decimal(line[fee]) + Decimal(line[charge]) for line in lines), Decimal(0))
    return rows, micros(spend)


def spend_of_summary(sheets: Mapping[str, Sheet], title: str) -> tuple[int, int]:
    """The same as a table of the summary says it, added up over its lines."""
    rows, spend = 0, Decimal(0)
    for line in table_of(sheets["Summary"], title):
        rows += int(Decimal(line[1]))
        spend += Decimal(line[5])
    return rows, micros(spend)


def table_of(summary: Sheet, title: str) -> Sheet:
    """The lines below a headline, up to the next empty one."""
    (at,) = [number for number, row in enumerate(summary) if row and row[0] == title]
    lines = []
    for row in summary[at + 1 :]:
        if not (row and row[0]):
            break
        lines.append(row)
    return lines


def micros(amount: Decimal) -> int:
    """An amount in whole micros; it must be one."""
    found = amount.scaleb(6)
    assert found == found.to_integral_value(), amount
    return int(found)


def _by_office(workbook: Path, folder: Path) -> Mapping[str, Sheet]:
    assert OFFICE
    # A profile of its own: another one that runs would answer in its place.
    profile = f"-env:UserInstallation={(folder / 'profile').as_uri()}"
    place = folder / "converted"
    line = [OFFICE, profile, "--headless", "--convert-to", TO_CSV, "--outdir", str(place)]
    done = subprocess.run(
        [*line, str(workbook)], capture_output=True, text=True, timeout=CONVERT_LIMIT_S
    )
    assert done.returncode == 0, done.stderr
    start = len(workbook.stem) + 1
    found = {file.stem[start:]: _read(file) for file in place.glob(f"{workbook.stem}-*.csv")}
    assert found, done.stderr
    return found


def _read(file: Path) -> Sheet:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.reader(lines))


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return cell.isoformat(" ") if isinstance(cell, datetime) else str(cell)
