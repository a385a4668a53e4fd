"""An export as a workbook: a sheet that sums it up, and the rows, written one by one so that memory stays as it is.

Money is a number with all its decimals, shown with two and, where a row has them, up to six; instants are dates in UTC.
"""

from collections.abc import Iterable
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.spreadsheets import figure, quiet
from talktime_server.commands.usage_cells import COLUMNS, LAST_TEXTS, TEXTS, TIMES, texts
from talktime_server.commands.usage_summary import write_summary
from talktime_server.commands.usage_totals import Totals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from talktime import UsageRow

# What one sheet takes beside the names of the columns.
MAX_SHEET_ROWS = 1_048_575
_WIDTHS = (34, 30, 16, 8, 24, 28, 24, 17, 18, 12, 14, 26, 18, 21, 21, 10, 12, 12, 9, 18)
_TIME = "yyyy-mm-dd hh:mm:ss"
_MONEY = "#,##0.00????"
# Workbooks count days from here.
_DAY_ZERO = datetime(1899, 12, 30, tzinfo=UTC)
_DAY = timedelta(days=1)
# What begins like this would be taken for a text with fonts of its own, and written as it is.
_RICH = "<r>"


def write_workbook(
    path: Path, rows: "Iterable[UsageRow]", totals: Totals, told: Iterable[tuple[str, str]]
) -> None:
    """Writes the sheets Summary and Calls, and Calls 2 and so on when there are more rows than a sheet takes.

    `totals` are of the rows once they have passed; `told` is what the summary says before them, as whose calls they
    are, and of when.
    """
    with _workbook(path) as book:
        summary = book.add_worksheet("Summary")
        sheet = _Calls(book)
        for row in rows:
            sheet.add(row)
        write_summary(book, summary, totals, told)


class _Calls:
    """The rows of an export, over as many sheets as it takes."""

    def __init__(self, book: Any) -> None:
        self._book = book
        self._bold = book.add_format({"bold": True, "bottom": 1, "bg_color": "#E8EEF4"})
        self._time = book.add_format({"num_format": _TIME})
        self._money = book.add_format({"num_format": _MONEY})
        self._sheets = 0
        self._open()

    def add(self, row: "UsageRow") -> None:
        """Writes the next row."""
        if self._at == MAX_SHEET_ROWS:
            self._open()
        self._at += 1
        at, sheet = self._at, self._sheet
        for column, text in enumerate(texts(row)):
            if text:
                sheet.write_string(at, column, _text(text))
        for column, instant in ((TEXTS, row.start_time), (TEXTS + 1, row.end_time)):
            if instant is not None:
                sheet.write_number(at, column, (instant - _DAY_ZERO) / _DAY)
        sheet.write_number(at, TIMES.stop, row.duration_seconds)
        sheet.write_number(at, TIMES.stop + 1, figure(row.connection_fee_micros))
        sheet.write_number(at, TIMES.stop + 2, figure(row.charge_micros))
        sheet.write_string(at, LAST_TEXTS, _text(row.currency_code))
        sheet.write_string(at, LAST_TEXTS + 1, _text(row.capability))

    def _open(self) -> None:
        self._sheets += 1
        name = "Calls" if self._sheets == 1 else f"Calls {self._sheets}"
        self._sheet = self._book.add_worksheet(name)
        self._at = 0
        formats = {TEXTS: self._time, TEXTS + 1: self._time}
        formats |= {TIMES.stop + 1: self._money, TIMES.stop + 2: self._money}
        for column, (title, width) in enumerate(zip(COLUMNS, _WIDTHS, strict=True)):
            self._sheet.set_column(column, column, width, formats.get(column))
            self._sheet.write_string(0, column, title, self._bold)
        self._sheet.freeze_panes(1, 0)


def _text(text: str) -> str:
    safe = quiet(text)
    return f"'{safe}" if safe.startswith(_RICH) else safe


@contextmanager
def _workbook(path: Path) -> "Iterator[Any]":
    import xlsxwriter
    from xlsxwriter.exceptions import XlsxFileError

    # The rows wait as text beside the file: another file system may have no room for them.
    with TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent) as folder:
        options = {
            "constant_memory": True,
            "tmpdir": folder,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
        }
        book = xlsxwriter.Workbook(str(path), options)
        try:
            yield book
            book.close()
        except XlsxFileError as error:
            raise Stop(Exit.FAILED, f"The workbook cannot be written ({error}).") from None
        finally:
            for sheet in book.worksheets():
                # A workbook that was given up still holds the rows' files open.
                sheet.row_data_fh.close()
