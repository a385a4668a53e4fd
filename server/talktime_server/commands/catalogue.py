"""`talktime catalog`: the built-in facts, and whether another set of them says the same. No service is asked."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.output import Output, line, table
from talktime_server.commands.session import Json, ending

if TYPE_CHECKING:
    from rich.console import RenderableType

    from talktime_server.commands.fact_tables import Row, Subject

group = typer.Typer(no_args_is_help=True)

DEFAULT_FOLDER = Path("../shared/data")
_MISSING = "(not there)"


@dataclass(frozen=True, slots=True)
class Difference:
    """A key of which the two sets say different things; empty where one has none."""

    key: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Beyond:
    """A key that only ours has, and why it is right that the other set has none."""

    key: str
    ours: str
    why: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One file against ours: how many keys say the same, and those that do not."""

    file: str
    same: int
    differences: tuple[Difference, ...]
    beyond: tuple[Beyond, ...]


@group.command("check")
def check(
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help=f"The other facts; {DEFAULT_FOLDER} when it is there.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compares the built-in facts with the CSV files of a folder, key by key. Exits 1 on any difference.

    What only ours has for a reason, as an emergency number longer than the other list's, is told beside and is none.

    Example: talktime catalog check --against ../shared/data
    """
    output = Output(as_json=as_json)
    with ending(output):
        folder = _folder(against)
        compared = list(_compare(folder))
        same = not any(each.differences for each in compared)
        document = {"against": str(folder), "same": same, "files": compared}
        output.show(document, *_drawings(compared, same))
        if not same:
            raise typer.Exit(int(Exit.FAILED))


@group.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="FILE", help="Print this one, as licenses.")] = "",
    as_json: Json = False,
) -> None:
    """Lists the files of built-in facts, or prints one.

    Example: talktime catalog show plan_allowances
    """
    from talktime_server.decision import catalog

    output = Output(as_json=as_json)
    with ending(output):
        if not name:
            files = [(each, len(catalog.rows(each))) for each in catalog.files()]
            document = {"files": [{"file": each, "rows": rows} for each, rows in files]}
            output.show(document, table("", ("File", ">Rows"), files))
            return
        if name.removesuffix(".csv") not in catalog.files():
            raise Stop(
                Exit.NOT_FOUND, f"There is no file {name}. `talktime catalog show` lists them."
            )
        rows = catalog.rows(name.removesuffix(".csv"))
        output.show(
            {"rows": rows}, table("", tuple(rows[0]), (tuple(row.values()) for row in rows))
        )


def _folder(against: Path | None) -> Path:
    folder = against or DEFAULT_FOLDER
    if folder.is_dir():
        return folder
    if against:
        raise Stop(Exit.USAGE, f"{against}: there is no such folder.")
    text = f"There is nothing to compare with: {DEFAULT_FOLDER} is not there. Name a folder with --against."
    raise Stop(Exit.USAGE, text)


def _compare(folder: Path) -> Iterator[Comparison]:
    from talktime_server.commands.fact_tables import SUBJECTS

    for subject in SUBJECTS:
        ours, theirs = subject.ours(), subject.theirs(_rows(folder, subject))
        differing = sorted(
            key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)
        )
        beyond = tuple(
            Beyond(key, ours[key], why)
            for key in differing
            if key not in theirs and (why := subject.beyond(key))
        )
        explained = {each.key for each in beyond}
        differences = tuple(
            Difference(key, ours.get(key, ""), theirs.get(key, ""))
            for key in differing
            if key not in explained
        )
        same = sum(said == theirs.get(key) for key, said in ours.items())
        yield Comparison(subject.file, same, differences, beyond)


def _rows(folder: Path, subject: "Subject") -> "list[Row]":
    path = folder / subject.file
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows: list[Row] = list(csv.DictReader(lines, restval=""))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Stop(Exit.USAGE, f"{path}: cannot be read ({why}).") from None
    if missing := [name for name in subject.columns if rows and name not in rows[0]]:
        raise Stop(Exit.USAGE, f"{path}: has no column {missing[0]}.")
    return rows


def _drawings(compared: list[Comparison], same: bool) -> "Iterator[Callable[[], RenderableType]]":
    counts = [(c.file, c.same, len(c.differences), len(c.beyond)) for c in compared]
    yield table("", ("File", ">Same", ">Different", ">Only ours, for a reason"), counts)
    differences = [
        (c.file, d.key, d.ours or _MISSING, d.theirs or _MISSING)
        for c in compared
        for d in c.differences
    ]
    if differences:
        yield table("Differences", ("File", "Key", "Ours", "Theirs"), differences)
    beyond = {
        (c.file, why): ", ".join(b.key for b in c.beyond if b.why == why)
        for c in compared
        for why in dict.fromkeys(b.why for b in c.beyond)
    }
    if beyond:
        alone = [(file, keys, why) for (file, why), keys in beyond.items()]
        yield table("Only ours, for a reason", ("File", "Keys", "Why"), alone)
    yield line("Both say the same." if same else "They differ.", "bold")
