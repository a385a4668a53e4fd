"""`talktime block`: who may not call, why, and the record of both."""

import csv
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from talktime_server.commands.output import instant, plain, table
from talktime_server.commands.payers import PayerId, show_payer
from talktime_server.commands.session import Session, asks
from talktime_server.commands.spreadsheets import quiet

if TYPE_CHECKING:
    from talktime import Block

group = typer.Typer(no_args_is_help=True)

# Of the blocked users report, with the payer's id before them.
_COLUMNS = ("Payer", "Name", "Number", "Reason", "Action", "Time")


@asks(group, "add")
def add(
    session: Session,
    payer_id: PayerId,
    reason: Annotated[str, typer.Option(help="Why, for whoever asks later; it is kept.")],
) -> None:
    """Refuses a payer's calls from now on, whatever it is licensed for. Emergency calls still pass.

    Example: talktime block add alice --reason "stolen phone" --tenant contoso
    """
    with session.client() as client:
        payer = client.block_payer(payer_id, reason)
    show_payer(session, payer)


@asks(group, "remove")
def remove(
    session: Session,
    payer_id: PayerId,
    reason: Annotated[str, typer.Option(help="Why; it is kept.")] = "",
) -> None:
    """Lets a blocked payer call again.

    Example: talktime block remove alice --reason "phone found" --tenant contoso
    """
    with session.client() as client:
        payer = client.unblock_payer(payer_id, reason)
    show_payer(session, payer)


@asks(group, "list")
def list_(
    session: Session,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="As a file for spreadsheets, on standard output.")
    ] = False,
    last: Annotated[int, typer.Option(min=0, help="Only so many, the newest; 0 shows all.")] = 0,
) -> None:
    """Reports who was blocked and unblocked, why and when, newest first.

    Example: talktime block list --tenant contoso --csv > blocked.csv
    """
    with session.client() as client:
        blocks = []
        for block in client.list_blocks(page_size=min(last, 500) or 500):
            blocks.append(block)
            if len(blocks) == last:
                break
    if as_csv and not session.output.as_json:
        _write(blocks)
        return
    rows = [(*_cells(block), instant(block.block_time)) for block in blocks]
    session.show({"blocks": blocks}, table("", _COLUMNS, rows))


def _write(blocks: "list[Block]") -> None:
    written = csv.writer(sys.stdout)
    written.writerow(_COLUMNS)
    for block in blocks:
        written.writerow([*map(quiet, _cells(block)), plain(block.block_time)])


def _cells(block: "Block") -> tuple[str, ...]:
    action = "blocked" if block.blocked else "unblocked"
    return (block.payer_id, block.display_name, block.phone_number, block.reason, action)
