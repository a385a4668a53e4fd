"""What every command that asks a service has in common: where it is, who asks, and how the answer is shown."""

import inspect
import ipaddress
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from talktime_server.commands.exits import Exit, Stop, naming, sentence, stop_for
from talktime_server.commands.output import Output

if TYPE_CHECKING:
    from talktime import Client

P = ParamSpec("P")

DEFAULT_TARGET = "127.0.0.1:7788"
OPERATOR_TOKEN = "operator.token"
# People can wait longer than routers; it is the most that the service allows.
TIMEOUT_S = 2.0
_PANEL = "Connection and output"

Json = Annotated[
    bool, typer.Option("--json", help="One JSON document, for programs.", rich_help_panel=_PANEL)
]
Tenant = Annotated[
    str,
    typer.Option(
        "--tenant",
        metavar="TENANT",
        envvar="TALKTIME_TENANT",
        help="The tenant; may be left out when the token is for one only.",
        rich_help_panel=_PANEL,
    ),
]
Target = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="HOST:PORT",
        envvar="TALKTIME_TARGET",
        help="The service.",
        rich_help_panel=_PANEL,
    ),
]
Token = Annotated[
    str,
    typer.Option(
        "--token",
        metavar="TOKEN",
        envvar="TALKTIME_TOKEN",
        help="Who asks. Better named in a file: others can see a command line.",
        rich_help_panel=_PANEL,
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="A file that holds the token. On the service's machine its operator's is taken.",
        rich_help_panel=_PANEL,
    ),
]
Ca = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        metavar="FILE",
        envvar="TALKTIME_CA",
        help="PEM certificates to trust; switches TLS on.",
        rich_help_panel=_PANEL,
    ),
]
Region = Annotated[
    str,
    typer.Option(
        "--region",
        metavar="COUNTRY",
        envvar="TALKTIME_REGION",
        help="Read numbers as they are dialled there, as GB; else they are E.164.",
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True, slots=True)
class Session:
    """One run of a command: whom it asks, as whom, and how it answers."""

    target: str
    token: str
    token_file: Path | None
    ca: Path | None
    tenant_id: str
    output: Output

    @contextmanager
    def client(self, region: str = "") -> "Iterator[Client]":
        """The service, asked with this session's token; failures become the sentence that ends the command."""
        from talktime import Client, TalktimeError

        try:
            with Client(
                self.target,
                self._token_text(),
                tenant_id=self.tenant_id,
                timeout_s=TIMEOUT_S,
                default_region=region or None,
                ca=_certificates(self.ca) if self.ca else None,
            ) as client:
                yield client
        except TalktimeError as error:
            raise stop_for(error, self.target) from None
        except ValueError as error:
            # The client's own word on a number, a token or a name that it cannot send.
            raise Stop(Exit.USAGE, sentence(error)) from None

    def show(self, document: Any, *drawings: Callable[[], Any]) -> None:
        """Prints an answer."""
        self.output.show(document, *drawings)

    def _token_text(self) -> str:
        if self.token:
            return self.token
        if self.token_file:
            return _content(self.token_file).decode(errors="replace").strip()
        found = _operator_token()
        if found.is_file() and is_this_machine(self.target):
            return _content(found).decode(errors="replace").strip()
        raise Stop(
            Exit.NOT_ALLOWED,
            "There is no token. On the service's machine `talktime serve` makes the operator's at its first start;"
            " `talktime token create` makes others. Name one with --token-file or TALKTIME_TOKEN.",
        )


def asks(
    group: typer.Typer,
    name: str,
    *,
    of_tenant: bool = True,
    context_settings: dict[str, Any] | None = None,
) -> Callable[[Callable[Concatenate[Session, P], None]], Callable[Concatenate[Session, P], None]]:
    """Makes a command of a function that takes a Session first: adds the session's options, and ends it well."""

    def register(
        command: Callable[Concatenate[Session, P], None],
    ) -> Callable[Concatenate[Session, P], None]:
        _, *arguments = inspect.signature(command).parameters.values()
        named = [argument.name for argument in arguments]

        def run(**given: Any) -> None:
            output = Output(as_json=given["as_json"])
            with ending(output, given):
                own = {option: given[option] for option in ("target", "token", "token_file", "ca")}
                # Commands about tenants themselves name theirs as an argument.
                tenant_id = given["tenant_id"] if of_tenant else ""
                session = Session(tenant_id=tenant_id, output=output, **own)
                ask: Callable[..., None] = command
                ask(session, **{name: given[name] for name in named})

        options = _session_options(of_tenant)
        _present(run, command, [*arguments, *options])
        group.command(name, context_settings=context_settings)(run)
        return command

    return register


@contextmanager
def ending(output: Output, asked: Mapping[str, object] | None = None) -> Iterator[None]:
    """Ends a command that stops: its sentence on standard error, and its exit code. `asked` is what was typed, by the
    names of the command's arguments.
    """
    try:
        yield
    except Stop as stop:
        output.fail(naming(stop, asked or {}))
        raise typer.Exit(int(stop.code)) from None
    except BrokenPipeError:
        # Whoever read the answer has gone, as `head` does; nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_this_machine(target: str) -> bool:
    """Whether a target is on this machine: the operator's token is never sent elsewhere unasked."""
    host = target.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _operator_token() -> Path:
    from talktime_server.config import BadSetting, Settings

    try:
        return Settings.read(os.environ).state_dir / OPERATOR_TOKEN
    except BadSetting as bad:
        raise Stop(Exit.USAGE, sentence(bad)) from None


def _certificates(path: Path) -> bytes:
    content = _content(path)
    # gRPC would only say that nobody answers.
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise Stop(Exit.USAGE, f"{path}: holds no PEM certificate.")
    return content


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Stop(Exit.USAGE, f"{path}: cannot be read ({error.strerror}).") from None


def _session_options(of_tenant: bool) -> list[inspect.Parameter]:
    kinds: list[tuple[str, Any, Any]] = [("tenant_id", Tenant, "")] if of_tenant else []
    kinds += [("as_json", Json, False), ("target", Target, DEFAULT_TARGET), ("token", Token, "")]
    kinds += [("token_file", TokenFile, None), ("ca", Ca, None)]
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, kind, default in kinds
    ]


def _present(
    run: Callable[..., None], command: Callable[..., None], parameters: list[inspect.Parameter]
) -> None:
    """Lets Typer see the command's own text and arguments, with the session's options behind them."""
    asked = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    run.__doc__, run.__name__ = command.__doc__, command.__name__
    run.__annotations__ = {each.name: each.annotation for each in asked}
    run.__dict__["__signature__"] = inspect.Signature(asked)
