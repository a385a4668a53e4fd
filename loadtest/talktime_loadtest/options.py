"""The options of the command line: each group is a record, whose fields are the options.

A bad one is refused with its name, what was given, and what is allowed.
"""

import dataclasses
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from talktime_loadtest.asking import Kind, Terms
from talktime_loadtest.orders import Protocol, Shape
from talktime_loadtest.preparing import Scene, Service
from talktime_loadtest.running import Load
from talktime_loadtest.services import OPERATOR_TOKEN, Wanted
from talktime_loadtest.targets.table import TARGETS

TO_NUMBER = "+442079460018"
LAST_CENT = "last-cent"
SHAPES = (*(str(shape) for shape in Shape), LAST_CENT)
ENGINES = ("auto", "envoy", "grpcio")
FSYNCS = ("everysec", "always")
# An open loop drops what finds no room; this is room for seconds of a standstill.
OPEN_IN_FLIGHT = 16_384
UNARY_IN_FLIGHT = 64
CLIENT_IN_FLIGHT = 256


class BadOption(Exception):
    """An option has a value that is not allowed."""

    def __init__(self, name: str, given: object, allowed: str) -> None:
        super().__init__(f"{name} is {str(given)!r}; allowed: {allowed}.")


def _option(panel: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **more)


_WHOM = "Whom to load"


@dataclass(frozen=True, slots=True)
class Whom:
    """Which service, and who asks."""

    target: Annotated[
        str, _option(_WHOM, envvar="TALKTIME_TARGET", metavar="HOST:PORT", help="The service.")
    ] = "127.0.0.1:7788"
    start: Annotated[
        bool, _option(_WHOM, "--start", help="Start one, in a temporary folder, and load that.")
    ] = False
    engine: Annotated[str, _option(_WHOM, help="Of --start: auto, envoy or grpcio.")] = "auto"
    workers: Annotated[
        int, _option(_WHOM, min=1, max=64, help="Of --start: serving processes.")
    ] = 1
    fsync: Annotated[str, _option(_WHOM, help="Of --start: everysec or always.")] = "everysec"
    token: Annotated[
        str,
        _option(_WHOM, envvar="TALKTIME_TOKEN", help="An operator's: it prepares, asks, checks."),
    ] = ""
    token_file: Annotated[
        Path | None, _option(_WHOM, help="A file that holds it, which others cannot see.")
    ] = None
    store_url: Annotated[
        str,
        _option(
            _WHOM, envvar="TALKTIME_STORE_URL", help="The store, to tell how it keeps its writes."
        ),
    ] = ""

    def service(self) -> Service:
        """The service that runs already."""
        host, _, port = self.target.rpartition(":")
        if not host or not port.isdigit():
            raise BadOption("--target", self.target, "HOST:PORT, as 127.0.0.1:7788")
        return Service(self.target, self._token())

    def wanted(self, *, floor: bool = False) -> Wanted:
        """The service to start."""
        _one_of("--engine", self.engine, ENGINES)
        _one_of("--fsync", self.fsync, FSYNCS)
        return Wanted(self.engine, self.workers, self.fsync, floor)

    def _token(self) -> str:
        if self.token:
            return self.token
        path = self.token_file or _state_dir() / OPERATOR_TOKEN
        try:
            return path.read_text().strip()
        except OSError as error:
            why = f"a file that can be read ({error.strerror}), or TALKTIME_TOKEN"
            raise BadOption("--token-file", path, why) from None


_WHAT = "What to send"


@dataclass(frozen=True, slots=True)
class What:
    """Which operations, and whose calls."""

    protocol: Annotated[
        Protocol, _option(_WHAT, help="How they travel; client is talktime's own AsyncClient.")
    ] = Protocol.EXCHANGE
    mix: Annotated[
        str, _option(_WHAT, metavar="KIND=WEIGHT,…", help="Of authorize, extend, settle, refuse.")
    ] = "authorize=1,settle=1"
    shape: Annotated[
        str,
        _option(
            _WHAT,
            metavar="|".join(SHAPES),
            help="All tenants alike; one with 90 %; or 1,000 callers and credit for 100.",
        ),
    ] = "even"
    duplicates: Annotated[
        float, _option(_WHAT, min=0.0, max=50.0, metavar="PERCENT", help="Authorizes sent twice.")
    ] = 0.0
    tenants: Annotated[
        int, _option(_WHAT, min=1, max=10_000, help="Made by the load test, in currency XTS.")
    ] = 100
    payers: Annotated[int, _option(_WHAT, min=1, max=1_000_000, help="Of each tenant.")] = 10
    tenant: Annotated[
        list[str] | None,
        _option(_WHAT, help="One that there is, instead; repeat for more. It really pays."),
    ] = None
    payer: Annotated[
        list[str] | None, _option(_WHAT, help="Payers that there are; repeat for more.")
    ] = None
    to: Annotated[str, _option(_WHAT, metavar="NUMBER", help="Whom to call, E.164.")] = TO_NUMBER

    def scene(self) -> Scene:
        """Tenants and payers."""
        if self.tenant and not self.payer:
            raise BadOption("--payer", "", "the payers of the tenants that --tenant names")
        return Scene(
            tenants=self.tenants,
            payers=self.payers,
            terms=Terms(self.to),
            tenant_ids=tuple(self.tenant or ()),
            payer_ids=tuple(self.payer or ()),
        )

    def load(self) -> Load:
        """The operations."""
        _one_of("--shape", self.shape, SHAPES)
        if self.duplicates and self.protocol not in (Protocol.EXCHANGE, Protocol.UNARY):
            raise BadOption("--duplicates", self.duplicates, "with exchange or unary only")
        return Load(
            protocol=self.protocol,
            mix=mix_of(self.mix),
            shape=Shape.EVEN if self.shape == LAST_CENT else Shape(self.shape),
            duplicate_every=round(100 / self.duplicates) if self.duplicates else 0,
        )


_PACE = "How fast, and for how long"


@dataclass(frozen=True, slots=True)
class Pace:
    """Rates, room and times."""

    clients: Annotated[
        int, _option(_PACE, min=1, max=256, help="Connections; with exchange a stream each.")
    ] = 4
    per_message: Annotated[
        int, _option(_PACE, min=1, max=256, help="Operations of a message, with exchange.")
    ] = 64
    in_flight: Annotated[
        int | None, _option(_PACE, min=1, max=65_536, help="Operations at once, over all clients.")
    ] = None
    rate: Annotated[
        float, _option(_PACE, min=0.0, metavar="PER_SECOND", help="An open loop at this rate.")
    ] = 0.0
    seconds: Annotated[
        float, _option(_PACE, min=0.25, max=86_400.0, help="Of each measured stretch.")
    ] = 5.0
    repeats: Annotated[
        int, _option(_PACE, min=1, max=100, help="Measured stretches; their median counts.")
    ] = 3
    warm_up: Annotated[
        float, _option(_PACE, min=0.0, max=3_600.0, help="Seconds before, which do not count.")
    ] = 1.0
    processes: Annotated[
        int, _option(_PACE, min=1, max=64, help="Generators, which share the load.")
    ] = 1
    attempts: Annotated[
        int,
        _option(
            _PACE, min=1, max=10_000, help="Ask again, with its id, what failed or was cut off."
        ),
    ] = 1

    def paced(self, load: Load) -> Load:
        """The load at this pace."""
        if self.processes > self.clients:
            allowed = f"at most --clients, which is {self.clients}"
            raise BadOption("--processes", self.processes, allowed)
        return dataclasses.replace(
            load,
            clients=self.clients,
            per_message=self.per_message,
            in_flight=self._in_flight(load.protocol),
            rate_per_s=self.rate,
            seconds=self.seconds,
            repeats=self.repeats,
            warm_up_seconds=self.warm_up,
            processes=self.processes,
            attempts=self.attempts,
        )

    def _in_flight(self, protocol: Protocol) -> int:
        together = self.clients * self.per_message
        if self.in_flight is None:
            if self.rate:
                return OPEN_IN_FLIGHT
            usual = {Protocol.EXCHANGE: together, Protocol.UNARY: UNARY_IN_FLIGHT}
            return usual.get(protocol, CLIENT_IN_FLIGHT)
        least = together if protocol is Protocol.EXCHANGE else self.clients
        if self.in_flight < least and not self.rate:
            allowed = f"at least {least}: one message of every client"
            raise BadOption("--in-flight", self.in_flight, allowed)
        return self.in_flight


_SHOWN = "What is shown"


@dataclass(frozen=True, slots=True)
class Shown:
    """What comes out."""

    floor: Annotated[
        bool, _option(_SHOWN, "--floor", help="Load the bare echo first, and compare.")
    ] = False
    report: Annotated[
        Path | None, _option(_SHOWN, metavar="FILE", help="Write a page with plots, in one file.")
    ] = None
    as_json: Annotated[bool, _option(_SHOWN, "--json", help="One JSON document, for programs.")] = (
        False
    )

    def check(self) -> None:
        """Refuses a page that could not be written when the load is over."""
        if self.report and not os.access(self.report.absolute().parent, os.W_OK):
            raise BadOption("--report", self.report, "a file in a folder that can be written")


@dataclass(frozen=True, slots=True)
class Judging:
    """Which targets, how thoroughly."""

    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="This target; repeat for more.")
    ] = None
    repeat: Annotated[int, typer.Option(min=1, max=100, help="The whole table so often.")] = 1
    fsync: Annotated[
        str, typer.Option(help="When the store makes writes durable: everysec or always.")
    ] = "everysec"
    quick: Annotated[
        bool, typer.Option("--quick", help="Everything smaller: whether it runs, not how fast.")
    ] = False
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")] = (
        False
    )

    def check(self) -> None:
        """Refuses names that there are not."""
        _one_of("--fsync", self.fsync, FSYNCS)
        for name in self.only or ():
            _one_of("--only", name, tuple(TARGETS))


def command(app: typer.Typer, name: str, *groups: type) -> Callable[..., Callable[..., None]]:
    """Makes a command of a function that takes one record of each group."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            function(*(_filled(group, given) for group in groups))

        parameters = [each for group in groups for each in _parameters(group)]
        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        run.__dict__["__signature__"] = inspect.Signature(parameters)
        app.command(name)(run)
        return function

    return register


def mix_of(text: str) -> tuple[tuple[Kind, int], ...]:
    """`authorize=1,settle=1` as kinds and weights."""
    allowed = f"KIND=WEIGHT and commas, with {', '.join(Kind)} and whole weights"
    found = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        if name not in list(Kind) or not weight.isdigit():
            raise BadOption("--mix", text, allowed)
        found[Kind(name)] = int(weight)
    if not any(found.get(kind) for kind in (Kind.AUTHORIZE, Kind.REFUSE)):
        raise BadOption("--mix", text, "one with authorize in it: the others need its calls")
    return tuple(found.items())


def _one_of(name: str, given: str, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise BadOption(name, given, ", ".join(allowed))


def _filled(group: type, given: dict[str, Any]) -> Any:
    return group(**{each.name: given[each.name] for each in dataclasses.fields(group)})


def _parameters(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hints[each.name],
            default=each.default,
        )
        for each in dataclasses.fields(group)
    ]


def _state_dir() -> Path:
    """Where a service of this machine keeps its operator's token."""
    named = os.environ.get("TALKTIME_STATE_DIR")
    if named:
        return Path(named)
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "talktime"
