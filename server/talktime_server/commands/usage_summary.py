"""The first sheet of a workbook: whose export it is, its sums, and what was spent per day and on what.

Every sum is of whole micros and becomes a number only here, so that it is the ledger's to the last one.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from talktime_server.commands.money import money
from talktime_server.commands.spreadsheets import EXACT_MICROS, figure, quiet
from talktime_server.commands.usage_totals import Total, Totals, dearest_first

HEADS = ("Rows", "Minutes", "Connection fees", "Charges", "Total", "On the invoice", "Currency")
_WIDTHS = (30, 10, 12, 16, 14, 14, 15, 10)
_EXACT = "#,##0.00????"
_ROUNDED = "#,##0.00"
_SECONDS_PER_MINUTE = 60
_TOP = 10
# Charts stand right of the tables.
_CHART_COLUMN = len(HEADS) + 2
_CHART_ROWS = 18
_BLUE = "#2F6DA8"
_PALE = "#E8EEF4"
_GRID = {"visible": True, "line": {"color": "#D9D9D9"}}

_Line = tuple[tuple[str, str], Total]


def write_summary(book: Any, sheet: Any, totals: Totals, told: Iterable[tuple[str, str]]) -> None:
    """Fills the sheet, from its first row to its last: rows that were left cannot be written any more."""
    page = _Page(book, sheet)
    page.title("Usage of telephone calls")
    for name, value in told:
        page.fact(name, value)
    for currency, total in totals.whole.items():
        if total.spend_micros >= EXACT_MICROS:
            page.fact("Total, to the last digit", money(total.spend_micros, currency))
    wholes = [((_all(totals), currency), total) for currency, total in totals.whole.items()]
    page.table("Everything", wholes, exact=True)
    destinations = dearest_first(totals.destinations)
    days = sorted(totals.days.items())
    places = {
        "day": page.table("By day (UTC)", days),
        "capability": page.table("By what paid", dearest_first(totals.capabilities)),
        "type": page.table("By type of call", dearest_first(totals.call_types)),
        "destination": page.table("By destination", destinations),
    }
    page.chart("column", "Spend per day", places["day"], days)
    page.chart("bar", "Ten dearest destinations", places["destination"], destinations[:_TOP])
    page.finish()


class _Page:
    """The sheet while it is written downwards."""

    def __init__(self, book: Any, sheet: Any) -> None:
        self._book, self._sheet, self._row, self._charts = book, sheet, 0, 0
        self._big = book.add_format({"bold": True, "font_size": 16})
        self._bold = book.add_format({"bold": True})
        self._head = book.add_format({"bold": True, "bottom": 1, "bg_color": _PALE})
        self._right = book.add_format(
            {"bold": True, "bottom": 1, "bg_color": _PALE, "align": "right"}
        )
        self._left = book.add_format({"bold": True, "bottom": 1, "bg_color": _PALE, "indent": 1})
        self._indented = book.add_format({"indent": 1})
        self._count = book.add_format({"num_format": "#,##0"})
        self._money = book.add_format({"num_format": _ROUNDED})
        self._exact = book.add_format({"num_format": _EXACT})
        for column, width in enumerate(_WIDTHS):
            sheet.set_column(column, column, width)

    def title(self, text: str) -> None:
        """The headline."""
        self._sheet.write_string(0, 0, text, self._big)
        self._row = 2

    def fact(self, name: str, value: str) -> None:
        """A line that says something of the export."""
        self._sheet.write_string(self._row, 0, name)
        self._sheet.write_string(self._row, 1, quiet(value), self._bold)
        self._row += 1

    def table(self, title: str, lines: Sequence[_Line], *, exact: bool = False) -> int:
        """Sums under a headline; returns the row of the first, for charts."""
        self._row += 1
        self._sheet.write_string(self._row, 0, title, self._head)
        for column, head in enumerate(HEADS, 1):
            styled = self._left if head == HEADS[-1] else self._right
            self._sheet.write_string(self._row, column, head, styled)
        first = self._row + 1
        for line in lines:
            self._row += 1
            self._line(line, self._exact if exact else self._money)
        self._row += 1
        return first

    def chart(self, kind: str, title: str, first: int, lines: Sequence[_Line]) -> None:
        """A chart of what some lines of a table spent."""
        if not lines:
            return
        drawn = self._book.add_chart({"type": kind})
        drawn.add_series(_series(first, lines))
        drawn.set_title({"name": title, "name_font": {"size": 13}})
        drawn.set_legend({"none": True})
        # A bar chart lies on its side: its names go up, and the dearest shall be on top.
        lying = kind == "bar"
        set_names, set_amounts = drawn.set_x_axis, drawn.set_y_axis
        if lying:
            set_names, set_amounts = set_amounts, set_names
        set_names({"reverse": lying, "num_font": {"size": 9}})
        set_amounts({"num_format": "#,##0", "major_gridlines": _GRID, "num_font": {"size": 9}})
        drawn.set_size({"width": 620, "height": 340})
        self._sheet.insert_chart(1 + self._charts * _CHART_ROWS, _CHART_COLUMN, drawn)
        self._charts += 1

    def finish(self) -> None:
        """What matters when it is printed."""
        self._sheet.set_landscape()
        self._sheet.set_paper(9)
        self._sheet.fit_to_pages(1, 0)
        self._sheet.hide_gridlines(2)

    def _line(self, line: _Line, money: Any) -> None:
        (key, currency), total = line
        sheet, row = self._sheet, self._row
        sheet.write_string(row, 0, quiet(key) or "(none)")
        sheet.write_number(row, 1, total.rows, self._count)
        sheet.write_number(row, 2, total.seconds // _SECONDS_PER_MINUTE, self._count)
        for column, micros in enumerate(
            (total.fee_micros, total.charge_micros, total.spend_micros, total.postpaid_micros), 3
        ):
            sheet.write_number(row, column, figure(micros), money)
        sheet.write_string(row, 7, quiet(currency), self._indented)


def _all(totals: Totals) -> str:
    return "All rows" if len(totals.whole) < 2 else "All rows of the currency"


def _series(first: int, lines: Sequence[_Line]) -> dict[str, object]:
    """Names and amounts by their cells, and as they are for whoever only looks."""
    last = first + len(lines) - 1
    return {
        "categories": ["Summary", first, 0, last, 0],
        "values": ["Summary", first, 5, last, 5],
        "categories_data": [quiet(key) or "(none)" for (key, _), _ in lines],
        "values_data": [figure(total.spend_micros) for _, total in lines],
        "fill": {"color": _BLUE},
        "gap": 40,
    }
