"""`talktime serve`, `demo`, `test` and `lint`: what runs something, instead of asking what runs."""

import asyncio
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talktime_server.commands.exits import Exit, Stop, sentence, typed
from talktime_server.commands.output import Output, facts, line
from talktime_server.commands.session import Json, ending

if TYPE_CHECKING:
    from talktime_server.supervisor import Supervisor

EngineName = Annotated[
    str | None,
    typer.Option(
        metavar="auto|envoy|grpcio", help="What serves the calls; auto says what it took and why."
    ),
]
NoColor = Annotated[bool, typer.Option("--no-color", help="Plain text, as NO_COLOR does.")]
Arguments = Annotated[
    list[str] | None, typer.Argument(metavar="ARGUMENT…", help="Handed on as they are.")
]


def serve(
    engine: EngineName = None,
    workers: Annotated[int | None, typer.Option(help="Serving processes, all on one port.")] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port; 0 takes a free one.")] = None,
    state_dir: Annotated[
        Path | None, typer.Option(help="What this service keeps: store, tokens, locks.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Runs the service until Ctrl-C or SIGTERM, then lets open calls finish. Settings are TALKTIME_* variables too.

    Example: talktime serve

    Example: TALKTIME_STORE_URL=redis://db.example.com:6379 talktime serve --workers 4 --host 0.0.0.0
    """
    output = Output(as_json=as_json)
    with ending(output):
        from talktime_server import logs, supervisor
        from talktime_server.commands.tokens import keep_operator_token
        from talktime_server.config import BadSetting, Settings
        from talktime_server.control import StartRefused
        from talktime_server.rpc.token_file import TokenFileRefused

        options = {"engine": engine, "workers": workers, "host": host, "port": port}
        try:
            settings = Settings.read(os.environ, state_dir=state_dir, **options)
            made = keep_operator_token(settings)
            logs.configure(settings.log_level)
            announce = partial(_announce, output, made)
            asyncio.run(supervisor.serve(settings, announce=announce))
        except BadSetting as bad:
            raise Stop(Exit.USAGE, sentence(bad)) from None
        except (StartRefused, TokenFileRefused, OSError) as refused:
            raise Stop(Exit.FAILED, f"The service cannot start: {sentence(refused)}") from None


def demo(engine: EngineName = None, no_color: NoColor = False) -> None:
    """Plays real calls on a service of its own, in a temporary folder, and shows what happens to the money.

    Exits 0 when every step came out as it should, conservation included; leaves nothing behind.

    Example: talktime demo --engine grpcio
    """
    output = Output(as_json=False)
    with ending(output):
        from talktime_server.config import BadSetting
        from talktime_server.control import StartRefused
        from talktime_server.demo import scenes

        try:
            as_it_should = asyncio.run(scenes.play(engine=engine, color=not no_color))
        except BadSetting as bad:
            raise Stop(Exit.USAGE, sentence(bad)) from None
        except StartRefused as refused:
            raise Stop(Exit.FAILED, f"The demo cannot start: {sentence(refused)}") from None
        except asyncio.CancelledError:
            raise typer.Exit(int(Exit.INTERRUPTED)) from None
        if not as_it_should:
            raise typer.Exit(int(Exit.FAILED))


def run_tests(arguments: Arguments = None) -> None:
    """Runs the test suite of a checkout, whole or as pytest is told.

    Example: talktime test

    Example: talktime test tests/ledger -k settle
    """
    _run_in_checkout("pytest", ["-m", "pytest", *(arguments or [])])


def run_lint(arguments: Arguments = None) -> None:
    """Runs the checks of a checkout: format, lint, types, scripts, contract and house rules.

    Example: talktime lint
    """
    _run_in_checkout("ruff", [str(Path("tests", "lint.py")), *(arguments or [])])


def add_to(root: typer.Typer) -> None:
    """Hangs these commands below `talktime` itself."""
    as_they_are = {"ignore_unknown_options": True, "allow_interspersed_args": False}
    root.command("demo")(demo)
    root.command("serve")(serve)
    root.command("test", context_settings=as_they_are)(run_tests)
    root.command("lint", context_settings=as_they_are)(run_lint)


def _announce(output: Output, made: Path | None, running: "Supervisor") -> None:
    settings = running.settings
    secured = settings.tls_cert is not None
    document = {
        "address": running.address,
        "tls": secured,
        "engine": str(running.engine),
        "engine_why": running.choice.why,
        "workers": settings.workers,
        "state_dir": str(settings.state_dir),
        "operator_token_file": str(made) if made else None,
    }
    pairs = [
        ("Listens on", running.address + (" (TLS)" if secured else "")),
        ("Engine", f"{running.engine}, {running.choice.why}"),
        ("Processes", settings.workers),
        ("Keeps", settings.state_dir),
        ("Operator's token", f"made now, in {made}" if made else ""),
    ]
    named = "" if running.address.endswith(":7788") else f" --target {running.address}"
    tenant = typed(f"tenant put contoso --currency USD --country US{named}")
    then = typed("payer put, funds add, rates import, call quote; each has --help.")
    output.show(
        document,
        line("talktime serves calls. Ctrl-C lets open calls finish, then stops.", "bold"),
        facts("", pairs),
        line(f"To begin: {tenant}"),
        line(f"Then:     {then}"),
    )
    sys.stdout.flush()


def _run_in_checkout(needs: str, arguments: list[str]) -> None:
    with ending(Output(as_json=False)):
        from importlib.util import find_spec

        house = Path(__file__).resolve().parents[3]
        if not (house / "tests" / "lint.py").is_file():
            text = "This is an installed talktime, and the tests are in a checkout: ./talktime test, there."
            raise Stop(Exit.USAGE, text)
        if find_spec(needs) is None:
            text = f"{needs} is missing: run ./talktime test, which sets everything up, or install the extra dev."
            raise Stop(Exit.USAGE, text)
        raise typer.Exit(subprocess.run([sys.executable, *arguments], cwd=house).returncode)
