"""The `talktime` command: what there is, and where it is. Each group is a file in commands/."""

import sys
from typing import Annotated

import typer

from talktime import __version__
from talktime_server.commands import (
    accounts,
    advice,
    archive,
    archive_status,
    batches,
    blocks,
    calls,
    catalogue,
    doctor,
    export,
    funds,
    imports,
    licences,
    limits,
    loadtest,
    notices,
    payers,
    policies,
    pools,
    rates,
    recharges,
    sandbox,
    service,
    tenants,
    tokens,
    usage,
    webhooks,
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


def _say_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"talktime {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Says which.")
    ] = False,
) -> None:
    pass


service.add_to(app)
doctor.add_to(app)
app.add_typer(tenants.group, name="tenant", help="Customer organisations and their settings.")
app.add_typer(payers.group, name="payer", help="Users, organizers, resource accounts.")
imports.add_to(payers.group)
app.add_typer(licences.group, name="licence", help="Who holds which licence, and what each is for.")
app.add_typer(licences.group, name="license", hidden=True)
app.add_typer(policies.group, name="policy", help="Where users and conferences may call.")
app.add_typer(limits.group, name="limit", help="How much may be called and spent, and where to.")
app.add_typer(pools.group, name="pool", help="The minutes of plans in this month.")
app.add_typer(blocks.group, name="block", help="Who may not call, why, and the record of it.")
app.add_typer(funds.group, name="funds", help="Credits: added, corrected, taken back, watched.")
app.add_typer(recharges.group, name="recharge", help="Credits that are bought when they run low.")
app.add_typer(notices.group, name="notices", help="What admins are told, by mail and webhook.")
notices.group.add_typer(webhooks.group, name="webhook", help="Where notices are posted to.")
app.add_typer(usage.group, name="usage", help="Which calls there were, and their sums.")
app.add_typer(archive.group, name="archive", help="The record in SQL: its state, its proof.")
archive_status.add_to(archive.group)
export.add_to(app)
advice.add_to(app)
sandbox.add_to(app)
loadtest.add_to(app)
app.add_typer(rates.group, name="rates", help="Decks of rates: import, activate, show.")
app.add_typer(calls.group, name="call", help="What a router asks, by hand.")
batches.add_to(calls.group)
app.add_typer(catalogue.group, name="catalog", help="The built-in facts, and how others compare.")
accounts.add_to(app)
app.add_typer(tokens.group, name="token", help="Who may ask the service of this machine.")


def main() -> None:
    """Runs the command line."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal cannot show is no reason to fail.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # text streams, but typed as any
    app(prog_name="talktime")
