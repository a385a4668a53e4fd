"""Cells for spreadsheets: text that no spreadsheet takes for a formula, and numbers that lose nothing.

Names, reasons and ids are other people's words, and a spreadsheet runs a cell that begins like a formula. Such a cell
gets an apostrophe in front, which a spreadsheet hides and a program sees. A telephone number begins with "+", too: it is
left as it is when it is exactly that, digits and the asterisks that mask some of them, because then there is nothing to
run and the programs that read these files need it whole.
"""

import re
from decimal import Decimal

# Whole micros become decimals by moving the point, never by dividing.
_PLACES = -6
# Below this, in micros, the number that a workbook keeps is exact: above, its steps are wider than a micro.
EXACT_MICROS = 2**32 * 10**6
_NUMBER = re.compile(r"\+[0-9]{1,15}\*{0,15}")
# The full-width forms run too, where people write with them.
_MARKS = (
    "=+\\-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
    "\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)
_SUSPECT = re.compile(rf"[{_MARKS}\t\r\n]")
_START = re.compile(rf"[\t\r\n]|\s*[{_MARKS}]")
# A file read by another separator than it was written with has other cells: they begin behind these.
_FURTHER = re.compile(rf"([;\t\r\n|]\s*[\"']?)(?=[{_MARKS}])")


def quiet(text: str) -> str:
    """A text as a cell that no spreadsheet runs."""
    if not _SUSPECT.search(text) or _NUMBER.fullmatch(text):
        return text
    disarmed = _FURTHER.sub(r"\1'", text)
    return f"'{disarmed}" if _START.match(disarmed) else disarmed


def figure(micros: int) -> float:
    """Micros as the number that a workbook keeps, the nearest there is."""
    exact = Decimal(micros).scaleb(_PLACES)
    return float(exact)
