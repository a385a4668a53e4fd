"""An export as a CSV, or as a zip of it with what was asked for. A workbook has a file of its own: usage_workbook.py."""

import csv
import json
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING

from talktime_server.commands.usage_cells import COLUMNS, csv_cells

if TYPE_CHECKING:
    from talktime import UsageRow

PARAMETERS = "parameters.json"
_ENCODING = "utf-8"


def write_csv(path: Path, rows: "Iterable[UsageRow]") -> None:
    """Writes a CSV after RFC 4180, its first row the names of the columns, in UTF-8."""
    with path.open("w", encoding=_ENCODING, newline="") as file:
        _write_rows(file, rows)


def write_zip(
    path: Path,
    rows: "Iterable[UsageRow]",
    name: str,
    parameters: Callable[[], Mapping[str, object]],
) -> None:
    """Writes the CSV under its name into a zip, with the parameters of the export, asked for at its end, as JSON."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(name, time.localtime()[:6])
        entry.compress_type = zipfile.ZIP_DEFLATED
        # Nobody knows yet how long it gets.
        with (
            archive.open(entry, "w", force_zip64=True) as packed,
            TextIOWrapper(packed, _ENCODING, newline="") as file,
        ):
            _write_rows(file, rows)
        archive.writestr(PARAMETERS, json.dumps(parameters(), indent=2, ensure_ascii=False) + "\n")


def _write_rows(file: "IO[str]", rows: "Iterable[UsageRow]") -> None:
    written = csv.writer(file)
    written.writerow(COLUMNS)
    written.writerows(map(csv_cells, rows))
