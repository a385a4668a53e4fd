"""`talktime sandbox`: a payment provider on this machine that takes nobody's money, to try recharges with."""

import asyncio
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talktime_server.commands.exits import Exit, Stop, sentence
from talktime_server.commands.output import Output, line
from talktime_server.commands.session import Json, ending

if TYPE_CHECKING:
    from talktime_server.payments.sandbox import Sandbox

DEFAULT_PORT = 7790
CUSTOMER = "contoso"


def sandbox(
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0 takes a free one.")] = DEFAULT_PORT,
    webhooks: Annotated[
        str,
        typer.Option(
            metavar="URL", help="Where the service takes webhooks, as http://127.0.0.1:7791."
        ),
    ] = "",
    state_dir: Annotated[
        Path | None, typer.Option(help="Where the token goes, for the service to read.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Runs a payment provider that takes nobody's money, until Ctrl-C; says with what settings to serve beside it.

    What its cards do is in their tokens: tok_approved pays, tok_expired_card is declined, tok_timeout_after_charging
    charges and never answers, and so on.

    Example: talktime sandbox

    Example: talktime recharge set --trigger 50 --amount 100 --method billing:contoso:tok_approved --tenant contoso
    """
    output = Output(as_json=as_json)
    with ending(output):
        from talktime_server.config import BadSetting, Settings, variable

        # The others may name the very token that is made here.
        kept = variable("state_dir")
        try:
            folder = Settings.read({kept: os.environ.get(kept, "")}, state_dir=state_dir).state_dir
        except BadSetting as bad:
            raise Stop(Exit.USAGE, sentence(bad)) from None
        try:
            asyncio.run(_run(output, folder / "sandbox-token", port, webhooks))
        except OSError as error:
            text = f"The sandbox cannot listen on port {port}: {sentence(error)} Choose another with --port."
            raise Stop(Exit.FAILED, text) from None


def add_to(root: typer.Typer) -> None:
    """Hangs the command below `talktime` itself."""
    root.command("sandbox")(sandbox)


async def _run(output: Output, token_file: Path, port: int, webhooks: str) -> None:
    from talktime_server.payments.sandbox import Sandbox, SandboxSettings

    stop = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    async with Sandbox(SandboxSettings(webhook_url=webhooks), port=port) as provider:
        _keep(token_file, provider.settings.billing_token)
        _announce(output, provider, token_file)
        await stop.wait()


def _keep(token_file: Path, token: str) -> None:
    """For its owner's eyes, as the service wants it, though this one opens nothing."""
    token_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    token_file.touch(mode=0o600)
    token_file.write_text(token)


def _announce(output: Output, provider: "Sandbox", token_file: Path) -> None:
    from talktime_server.payments.sandbox import Token

    variables = {
        "TALKTIME_BILLING_URL": provider.url,
        "TALKTIME_BILLING_TOKEN_FILE": str(token_file),
    }
    document: dict[str, Any] = {"settings": variables, "tokens": [str(token) for token in Token]}
    output.show(
        document,
        line("A payment provider that takes nobody's money. Ctrl-C stops it.", "bold"),
        line("Start the service with these settings:"),
        *(line(f"export {name}={shlex.quote(value)}") for name, value in variables.items()),
        line(f"A method that pays: --method billing:{CUSTOMER}:{Token.APPROVED}"),
        line("Others: " + ", ".join(sorted(token for token in Token if token != Token.APPROVED))),
    )
    sys.stdout.flush()
