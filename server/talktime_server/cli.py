"""The `talktime` command: what there is, and where it is. Each group is a file in commands/."""

import sys

import typer

from talktime_server.commands import (
    accounts,
    calls,
    doctor,
    payers,
    rates,
    service,
    tenants,
    tokens,
)
from talktime_server.commands.exits import MEANINGS

_EXIT_CODES = "\n\n".join(
    ["Exit codes:", *(f"{int(code):>3}  {m}" for code, m in MEANINGS.items())]
)

app = typer.Typer(
    name="talktime",
    help="Decides in real time whether a phone call may start, holds the money for it, and settles what was used.",
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

service.add_to(app)
doctor.add_to(app)
app.add_typer(tenants.group, name="tenant", help="Customer organisations and their settings.")
app.add_typer(payers.group, name="payer", help="Users, organizers, resource accounts; licences.")
app.add_typer(accounts.funds, name="funds", help="Adds credits.")
app.add_typer(rates.group, name="rates", help="Decks of rates: import, activate, show.")
app.add_typer(calls.group, name="call", help="What a router asks, by hand.")
accounts.add_to(app)
app.add_typer(tokens.group, name="token", help="Who may ask the service of this machine.")


def main() -> None:
    """Runs the command line."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal cannot show is no reason to fail.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # text streams, but typed as any
    app(prog_name="talktime")
