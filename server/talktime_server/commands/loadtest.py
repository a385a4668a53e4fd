"""`talktime loadtest`: hands everything on to the load-test package, which stands beside the server and knows the client alone."""

from typing import Annotated

import typer

from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.output import Output
from talktime_server.commands.session import ending

Arguments = Annotated[
    list[str] | None, typer.Argument(metavar="run|targets|body …", help="See --help.")
]


def load_test(arguments: Arguments = None) -> None:
    """Loads a service, and says how fast it answers and whether its books are right.

    Example: talktime loadtest run --start --floor --report load.html

    Example: talktime loadtest targets
    """
    with ending(Output(as_json=False)):
        try:
            from talktime_loadtest.command import main
        except ImportError as missing:
            text = f"{missing.name} is missing: run ./talktime loadtest in a checkout, or install the extra loadtest."
            raise Stop(Exit.USAGE, text) from None
        if code := main(arguments or []):
            raise typer.Exit(code)


def add_to(root: typer.Typer) -> None:
    """Hangs the command below `talktime` itself; its help is the package's own."""
    as_they_are = {
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": [],
    }
    root.command("loadtest", context_settings=as_they_are)(load_test)
