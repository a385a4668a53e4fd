"""What a command shows: tables for people, one JSON document for programs, and what went wrong on standard error."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from itertools import compress
from typing import TYPE_CHECKING, Any

from talktime_server.commands.exits import Stop
from talktime_server.commands.options import option_of, rule_told

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

# A pipe has no width; a file or a pager takes lines this long.
_PIPE_COLUMNS = 160
_BAR_CELLS = 10
_COLUMN_GAP = 2
_HOUR_S = 3600
_LONG_S = 3 * _HOUR_S

# Hears how much is done, and how much there is.
Progress = Callable[[int, int], None]


class Output:
    """Where answers go, and in which form."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def show(self, document: Any, *drawings: "Callable[[], RenderableType]") -> None:
        """Prints an answer: the document for programs, or the drawings, which are made only then, for people."""
        if self.as_json:
            sys.stdout.write(json.dumps(plain(document), indent=2, ensure_ascii=False) + "\n")
            return
        drawn_on = console()
        for draw in drawings:
            drawn_on.print(draw())

    def fail(self, stop: Stop) -> None:
        """Says what is wrong, on standard error."""
        if self.as_json:
            sys.stderr.write(json.dumps(stop.as_document(), indent=2, ensure_ascii=False) + "\n")
            return
        sys.stderr.write(f"talktime: {_printable(stop.text)}\n")
        if len(stop.faults) > 1:
            for fault in stop.faults:
                text = rule_told(fault.field, fault.text)
                told = f"{option_of(fault.field)}: {text} ({fault.rule})"
                sys.stderr.write(f"  {_printable(told)}\n")


def console(*, stderr: bool = False, color: bool = True) -> "Console":
    """A console for people; NO_COLOR and a pipe make it plain."""
    from rich.console import Console

    plain_text = not color or bool(os.environ.get("NO_COLOR"))
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(
        stderr=stderr,
        width=None if is_terminal else _PIPE_COLUMNS,
        color_system=None if plain_text else "auto",
        highlight=False,
        markup=False,
        emoji=False,
    )


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> "Callable[[], RenderableType]":
    """A table; a column whose name begins with ">" is set to the right, as amounts are.

    It is as wide as where it is shown: cells are broken between words, never within one, as half a number would be read as
    another number. Where that is too narrow, each row is shown as facts. A column in which no row says anything is left out.
    """

    def draw() -> "RenderableType":
        cells = [[_printable(cell) for cell in row] for row in rows]
        told = [not cells or any(row[place] for row in cells) for place in range(len(columns))]
        return _Rows(
            title, tuple(compress(columns, told)), [tuple(compress(row, told)) for row in cells]
        )

    return draw


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows that take the form that the width allows, which is known only when they are printed."""

    title: str
    columns: Sequence[str]
    cells: Sequence[Sequence[str]]

    def __rich_console__(
        self, drawn_on: "Console", options: "ConsoleOptions"
    ) -> "Iterator[RenderableType]":
        widths = self._widths(options.max_width - _COLUMN_GAP * (len(self.columns) - 1))
        if widths is not None:
            yield self._as_table(widths)
            if not self.cells:
                yield "There are none."
            return
        for place, row in enumerate(self.cells):
            if place:
                yield ""
            names = (name.removeprefix(">") for name in self.columns)
            yield facts(self.title if not place else "", zip(names, row, strict=True))()

    def _widths(self, room: int) -> list[int] | None:
        """How wide each column is, the widest giving way first; None when words would have to be broken."""
        from rich.cells import cell_len

        down = list(zip(self.columns, *self.cells, strict=True))
        widths = [
            max(cell_len(cell) for cell in (c.removeprefix(">"), *cells)) for c, *cells in down
        ]
        # A right column holds numbers, some with spaces among them, and a time stays with its zone.
        least = [
            width
            if column[0].startswith(">")
            else max(map(cell_len, " ".join(column).replace(" UTC", "_UTC").split()), default=0)
            for width, column in zip(widths, down, strict=True)
        ]
        while sum(widths) > room:
            spare = [place for place, width in enumerate(widths) if width > least[place]]
            if not spare:
                return None
            widths[max(spare, key=widths.__getitem__)] -= 1
        return widths

    def _as_table(self, widths: Sequence[int]) -> "Table":
        drawn = ruled_table(self.title, gap=_COLUMN_GAP - 1)
        for name, width in zip(self.columns, widths, strict=True):
            right = name.startswith(">")
            drawn.add_column(
                name.removeprefix(">"),
                justify="right" if right else "left",
                width=width,
                overflow="fold",
            )
        for row in self.cells:
            drawn.add_row(*row)
        return drawn


def ruled_table(title: str = "", *, gap: int = 0) -> "Table":
    """An empty table with a line below its head, its columns one space and the gap apart."""
    from rich.box import Box
    from rich.table import Table

    return Table(
        title=title or None,
        title_justify="left",
        box=Box("    \n    \n ── \n    \n    \n    \n    \n    \n"),
        show_edge=False,
        pad_edge=False,
        padding=(0, gap, 0, 0),
    )


def facts(title: str, pairs: Iterable[tuple[str, object]]) -> "Callable[[], RenderableType]":
    """One thing's facts, a line each; those that say nothing are left out."""

    def draw() -> "RenderableType":
        from rich.table import Table

        drawn = Table.grid(padding=(0, 3))
        drawn.title, drawn.title_justify = title or None, "left"
        for name, value in pairs:
            if value not in ("", None):
                drawn.add_row(name, _printable(value))
        return drawn

    return draw


def line(text: str, style: str = "") -> "Callable[[], RenderableType]":
    """One sentence."""

    def draw() -> "RenderableType":
        from rich.text import Text

        return Text(_printable(text), style=style)

    return draw


@contextmanager
def progress(output: Output, what: str) -> Iterator[Progress]:
    """A bar for long work, where somebody watches; elsewhere nothing is drawn."""
    drawn_on = console(stderr=True)
    if output.as_json or not drawn_on.is_terminal:
        yield lambda done, total: None
        return
    from rich.progress import Progress as Bar

    with Bar(console=drawn_on, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def minutes(seconds: int) -> str:
    """Seconds as whole minutes, those that are full: "3,000"."""
    return f"{seconds // 60:,}"


def share(part: int, whole: int) -> str:
    """How much of something is left, as a bar and a percentage rounded down: none is shown only for nothing left."""
    percent = part * 100 // whole if whole > 0 else 0
    cells = -(-part * _BAR_CELLS // whole) if whole > 0 else 0
    return f"{'█' * cells}{'░' * (_BAR_CELLS - cells)} {percent:>3} %"


def instant(at: datetime | None) -> str:
    """A moment for people, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else ""


def talk_time(seconds: int) -> str:
    """A length for people: "90 s", "10 min", "24 h 2 min". What is short stays in the one unit it was asked for in."""
    if seconds < _LONG_S and seconds % _HOUR_S:
        return f"{seconds} s" if seconds % 60 else f"{seconds // 60} min"
    hours, rest = divmod(seconds, _HOUR_S)
    minutes_, left = divmod(rest, 60)
    parts = ((hours, "h"), (minutes_, "min"), (left, "s"))
    return " ".join(f"{count:,} {unit}" for count, unit in parts if count) or "0 s"


def counted(count: int, one: str, many: str) -> str:
    """A count with its noun and verb: "1 payer is new", "2 payers are new"."""
    return f"{count:,} {one if count == 1 else many}"


def plain(value: Any) -> Any:
    """A value as JSON has it: records as objects, instants as ISO 8601 in UTC, money as whole micros."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


def _printable(value: object) -> str:
    # Names come from other people: an escape sequence in one must not steer the terminal.
    text = "yes" if value is True else "no" if value is False else str(value)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
