"""What came of the targets: a table for people, a document for programs."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from talktime_loadtest.targets.running import Judged
from talktime_loadtest.targets.table import Verdict

_LOOKS = {Verdict.MET: "green", Verdict.MISSED: "bold red", Verdict.UNJUDGED: "yellow"}

SHORT = {Verdict.MET: "met", Verdict.MISSED: "missed", Verdict.UNJUDGED: "not judged"}


def show_targets(run: Sequence[Judged], number: int, of: int, console: Console) -> None:
    """Prints the table of one run of several, and how many were met."""
    console.print(_table(run, f"Run {number} of {of}" if of > 1 else ""))
    counts = [f"{sum(each.verdict is v for each in run)} {v}" for v in Verdict]
    console.print(Text(", ".join(counts), style="bold"))


def line_of(row: Judged) -> str:
    """A row on one line, for those who wait: name, figure, target, verdict."""
    figure = row.said or row.note
    return f"  {row.target.name}: {figure}, wanted {row.target}, {SHORT[row.verdict]}"


def targets_document(runs: Sequence[Sequence[Judged]]) -> dict[str, Any]:
    """All runs as plain values."""
    return {"runs": [[_document(each) for each in run] for run in runs]}


def _table(run: Sequence[Judged], title: str) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False, title=title, title_justify="left")
    table.add_column("target", ratio=1)
    for name in ("wanted", "figure"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for each in run:
        note = f"{each.note}; {each.persistence}" if each.note else each.persistence
        what = Text.assemble(f"{each.target.what}\n", (f"{each.target.name}: {note}", "dim"))
        verdict = Text(SHORT[each.verdict], style=_LOOKS[each.verdict])
        table.add_row(what, str(each.target), each.said, verdict)
    return table


def _document(each: Judged) -> dict[str, Any]:
    return {
        "name": each.target.name,
        "target": each.target.what,
        "wanted": each.target.wanted,
        "at_most": each.target.at_most,
        "unit": each.target.unit,
        "figure": each.figure,
        "verdict": each.verdict,
        "note": each.note,
        "persistence": each.persistence,
    }
