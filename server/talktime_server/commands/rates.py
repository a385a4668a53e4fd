"""`talktime rates`: decks of rates, read and checked here, uploaded whole, put in force in one step, and compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talktime_server.commands.exits import Exit, Fault, Stop, typed
from talktime_server.commands.money import decimal_of, signed
from talktime_server.commands.output import console, facts, instant, line, table
from talktime_server.commands.session import Region, Session, asks

if TYPE_CHECKING:
    from talktime import Client, DeckScope, RateDeck, RateRow, ShadowLine, ShadowReport
    from talktime.faces import Progress
    from talktime_server.decision.deck_file import BadRow, DeckFile

group = typer.Typer(no_args_is_help=True)

# A file that is wrong throughout need not be printed throughout; a program gets every row.
_ROWS_SHOWN = 50

Deck = Annotated[str, typer.Argument(metavar="DECK", help="The deck's version.")]
# Not the session's option: a tenant that the environment names must not narrow what a deck prices.
OfTenant = Annotated[
    str,
    typer.Option(
        "--tenant", metavar="TENANT", help="Only this tenant's calls, before its currency's deck."
    ),
]
Shadow = Annotated[
    bool,
    typer.Option(
        "--shadow", help="A deck that is priced beside the live one, and charges nothing."
    ),
]


@asks(group, "import", of_tenant=False)
def import_(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with the columns named above.")],
    deck: Annotated[str, typer.Option(help="The version to store it as; it cannot change later.")],
    activate: Annotated[
        bool, typer.Option("--activate", help="Put it in force when all of it is stored.")
    ] = False,
) -> None:
    """Reads a deck, names every bad row, and stores it if there is none; a deck with a bad row is not sent at all.

    Columns: prefix, destination, rate_per_minute, connection_fee, initial_seconds, increment_seconds, currency. For calls
    that come in two more: direction (IN; OUT or empty for calls that go out) and origin, the caller's country (empty: any).

    Example: talktime rates import rates.csv --deck 2026-07 --activate
    """
    read = _read(file)
    if read.bad:
        _refuse(session, file, read.bad)
    with session.client() as client, _progress(session) as progress:
        stored = client.put_rate_deck(deck, read.currency, _rows(read), on_progress=progress)
        in_force = client.activate_rate_deck(deck, len(read.rows)) if activate else None
    document = {"deck_version": deck, "currency_code": read.currency, "row_count": stored}
    text = f"Stored {stored:,} rows as deck {deck} ({read.currency})"
    after = "; it is in force." if in_force else f". Next: {typed(f'rates activate {deck}')}"
    session.show({**document, "active": in_force is not None}, line(text + after))


@asks(group, "activate", of_tenant=False)
def activate_(
    session: Session,
    deck: Deck,
    rows: Annotated[
        int, typer.Option(min=0, help="How many rows it must have; 0 takes what is stored.")
    ] = 0,
    tenant: OfTenant = "",
    at: Annotated[
        str, typer.Option(metavar="TIME", help="From when on, as 2026-12-01T00:00:00Z; else now.")
    ] = "",
    shadow: Shadow = False,
) -> None:
    """Puts a stored deck in force for new calls in its currency, in one step; open calls keep their rate.

    Example: talktime rates activate 2026-12 --at 2026-12-01T00:00:00Z
    """
    from_time = _later(_time_of(at)) if at else None
    with session.client() as client:
        in_force = client.activate_rate_deck(
            deck,
            rows or _stored_rows(client, deck),
            deck_tenant_id=tenant,
            activate_time=from_time,
            shadow=shadow,
        )
    session.show(in_force, facts("", _deck_facts(in_force)))


@asks(group, "deactivate", of_tenant=False)
def deactivate(
    session: Session,
    tenant: OfTenant = "",
    currency: Annotated[
        str, typer.Option(metavar="CODE", help="Whose shadow deck, as USD; without --tenant.")
    ] = "",
    shadow: Shadow = False,
) -> None:
    """Takes a tenant's own deck, or a shadow deck, out of force, with the one planned for later.

    Example: talktime rates deactivate --tenant contoso
    """
    with session.client() as client:
        before = client.get_rate_decks().decks
        client.deactivate_rate_deck(currency, deck_tenant_id=tenant, shadow=shadow)
    taken = [deck for deck in before if _in_place(deck, tenant, currency, shadow=shadow)]
    whose = f"tenant {tenant}" if tenant else currency
    kind = "shadow deck" if shadow else "deck of its own"
    versions = ", ".join(deck.deck_version for deck in taken)
    text = (
        f"Taken out: {versions}, the {kind} of {whose}."
        if taken
        else f"There was none: no {kind} of {whose}."
    )
    document = {"tenant_id": tenant, "currency_code": currency, "shadow": shadow}
    session.show({**document, "taken_out": [deck.deck_version for deck in taken]}, line(text))


@asks(group, "shadow", of_tenant=False)
def shadow_(
    session: Session,
    deck: Deck,
    lines: Annotated[int, typer.Option(min=1, max=500, help="Most destinations to show.")] = 100,
) -> None:
    """Shows what a shadow deck would have changed: the calls it priced too, and where the price differs.

    It counts the talk time that was granted and that money pays: refused calls and minutes of pools are left out.

    Example: talktime rates shadow 2027-01 --lines 20
    """
    with session.client() as client:
        report = client.get_shadow_report(deck, page_size=lines)
        scopes = [scope for each in _stored(client, deck) for scope in each.scopes]
    if not (report.calls or any(scope.shadow for scope in scopes)):
        text = f"Deck {deck} is no shadow deck, and has priced no call as one. Next: {typed(f'rates activate {deck} --shadow')}"
        session.show(report, line(text))
        return
    columns = (
        "Destination",
        "Prefix",
        "By the shadow",
        "Prefix",
        ">Calls",
        ">Live",
        ">Shadow",
        ">Change",
    )
    title = f"What deck {deck} would have changed in talk time granted and paid by money"
    drawings = [line(title), facts("", _shadow_facts(report))]
    if report.lines:
        drawings.append(table("", columns, map(_shadow_row, report.lines)))
    drawings.append(
        line("Calls that were refused and minutes that pools paid are left out.", "dim")
    )
    session.show(report, *drawings)


@asks(group, "show", of_tenant=False)
def show(
    session: Session,
    number: Annotated[str, typer.Argument(help="Show what this number costs, too.")] = "",
    region: Region = "",
) -> None:
    """Lists the stored decks and, for a number, the rows that price it.

    Example: talktime rates show +442079460018
    """
    with session.client(region) as client:
        found = client.get_rate_decks(number)
    decks = [
        (d.deck_version, d.currency_code, f"{d.row_count:,}", d.active, _places(d))
        for d in found.decks
    ]
    rates = [
        (
            r.destination,
            r.prefix,
            decimal_of(r.rate_per_minute_micros),
            decimal_of(r.connection_fee_micros),
            f"{r.initial_seconds}/{r.increment_seconds}",
            r.deck_version,
        )
        for r in found.rates
    ]
    drawings = [table("", ("Deck", "Currency", ">Rows", "In force", "Where and since when"), decks)]
    if number:
        columns = ("Destination", "Prefix", ">Per minute", ">To connect", ">Seconds", "Deck")
        drawings.append(table(f"What {number} costs", columns, rates))
    session.show(found, *drawings)


def _time_of(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Stop(
            Exit.USAGE, f"--at: {text!r} is not a time with its zone, as 2026-12-01T00:00:00Z."
        )
    return found


def _later(time: datetime) -> datetime:
    if time <= datetime.now(UTC):
        text = f"--at: {instant(time)} is past; leave --at out to put the deck in force now."
        raise Stop(Exit.USAGE, text)
    return time


def _read(file: Path) -> "DeckFile":
    from talktime_server.decision import catalog
    from talktime_server.decision.deck_file import read_csv

    try:
        with file.open(encoding="utf-8", newline="") as lines:
            return read_csv(lines, countries=catalog.countries())
    except OSError as error:
        raise Stop(Exit.USAGE, f"{file}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError as error:
        raise Stop(
            Exit.FAILED, f"{file}: is not UTF-8 at byte {error.start}; save it as UTF-8."
        ) from None


def _refuse(session: Session, file: Path, bad: tuple["BadRow", ...]) -> None:
    faults_found = "one fault" if len(bad) == 1 else f"{len(bad):,} faults"
    text = f"{file}: {faults_found}; nothing was sent."
    if session.output.as_json:
        faults = tuple(Fault(row.field, row.rule, row.text, row.line) for row in bad)
        raise Stop(Exit.FAILED, text, reason="BAD_DECK", faults=faults)
    shown = [(row.line, row.field, row.rule, row.text) for row in bad[:_ROWS_SHOWN]]
    draw = table("", (">Line", "Field", "Rule", "Why"), shown)
    console(stderr=True).print(draw())
    if len(bad) > _ROWS_SHOWN:
        text += f" The first {_ROWS_SHOWN} are shown; --json names all."
    raise Stop(Exit.FAILED, text)


def _rows(read: "DeckFile") -> "Iterator[RateRow]":
    from talktime import RateRow

    for row in read.rows:
        yield RateRow(
            row.prefix,
            row.destination,
            row.rate_per_minute_micros,
            row.connection_fee_micros,
            row.initial_seconds,
            row.increment_seconds,
            row.direction.value,
            row.origin,
        )


@contextmanager
def _progress(session: Session) -> "Iterator[Progress | None]":
    """A bar while the deck is sent, where somebody watches."""
    drawn_on = console(stderr=True)
    if session.output.as_json or not drawn_on.is_terminal:
        yield None
        return
    from rich.progress import Progress

    with Progress(console=drawn_on, transient=True) as bar:
        task = bar.add_task("Storing the deck", total=None)
        yield lambda sent, total: bar.update(task, completed=sent, total=total)


def _stored_rows(client: "Client", deck: str) -> int:
    for stored in _stored(client, deck):
        return stored.row_count
    raise Stop(
        Exit.NOT_FOUND, f"There is no deck {deck}. `talktime rates show` lists those stored."
    )


def _stored(client: "Client", deck: str) -> "list[RateDeck]":
    """The stored deck of that version, if there is one."""
    return [each for each in client.get_rate_decks().decks if each.deck_version == deck]


def _in_place(deck: "RateDeck", tenant_id: str, currency: str, *, shadow: bool) -> bool:
    """Whether a deck is in force, or planned, where one is to be taken out."""
    own = tenant_id or deck.currency_code == currency
    return bool(own) and any(
        scope.tenant_id == tenant_id and scope.shadow is shadow for scope in deck.scopes
    )


def _deck_facts(deck: "RateDeck") -> list[tuple[str, object]]:
    return [
        ("Deck", deck.deck_version),
        ("Currency", deck.currency_code),
        ("Rows", f"{deck.row_count:,}"),
        ("In force", deck.active),
        ("Where", _places(deck)),
    ]


def _places(deck: "RateDeck") -> str:
    return "; ".join(map(_place, deck.scopes))


def _place(scope: "DeckScope") -> str:
    """As "all, shadow, from 2026-12-01 00:00:00 UTC"."""
    whose = f"tenant {scope.tenant_id}" if scope.tenant_id else "all"
    return f"{whose}{', shadow' if scope.shadow else ''}, from {instant(scope.active_time)}"


def _shadow_facts(report: "ShadowReport") -> list[tuple[str, object]]:
    change = report.shadow_micros - report.live_micros
    return [
        ("Calls", f"{report.calls:,}"),
        ("Priced differently", f"{report.differing_calls:,}"),
        ("By the live deck", decimal_of(report.live_micros)),
        ("By this deck", decimal_of(report.shadow_micros)),
        ("Change", signed(change) or "none"),
    ]


def _shadow_row(row: "ShadowLine") -> tuple[str, ...]:
    return (
        row.live_destination or "no rate",
        row.live_prefix,
        row.shadow_destination or "no rate",
        row.shadow_prefix,
        f"{row.calls:,}",
        decimal_of(row.live_micros),
        decimal_of(row.shadow_micros),
        signed(row.shadow_micros - row.live_micros),
    )
