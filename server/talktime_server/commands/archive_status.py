"""`talktime archive status`: how far the record in SQL is behind the store, and whether anything is wrong with it."""

import typer

from talktime_server.commands.exits import Exit
from talktime_server.commands.output import facts, instant, line
from talktime_server.commands.session import Session, asks

_MS = 1000


def status(session: Session) -> None:
    """Shows how far the archive is: lines of the journal in it and waiting, and what is wrong. Exits 1 if anything is.

    Example: talktime archive status
    """
    with session.client() as client:
        found = client.get_archive_status()
    pairs = [
        ("Lines in the archive", f"{found.entries:,}"),
        ("Waiting", f"{found.waiting:,}"),
        ("The oldest waits for", f"{found.lag_ms / _MS:,.1f} s" if found.waiting else ""),
        ("Last line taken", instant(found.archive_time)),
    ]
    alarms = [line(f"✗ {alarm}", "bold red") for alarm in found.alarms]
    session.show(found, facts("", pairs), *(alarms or [line("✓ Nothing is wrong.", "green")]))
    if found.alarms:
        raise typer.Exit(int(Exit.FAILED))


def add_to(group: typer.Typer) -> None:
    """Hangs the command below `talktime archive`."""
    asks(group, "status", of_tenant=False)(status)
