"""`talktime loadtest`: loads a service, and says how fast it answered and whether its books are right."""

import asyncio
import dataclasses
import json
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from talktime import TalktimeError
from talktime_loadtest import tables
from talktime_loadtest.asking import body_of
from talktime_loadtest.live import View, watching
from talktime_loadtest.loading import GeneratorFailed, new_run
from talktime_loadtest.options import (
    LAST_CENT,
    TO_NUMBER,
    BadOption,
    Judging,
    Pace,
    Shown,
    What,
    Whom,
    command,
)
from talktime_loadtest.preparing import Scene, Service
from talktime_loadtest.running import LAST_CALLS_PAID, Load, Outcome, last_cent, price_of, run
from talktime_loadtest.services import ServiceFailed, Wanted, started
from talktime_loadtest.targets.bench import FULL, QUICK
from talktime_loadtest.targets.running import Judged, judge
from talktime_loadtest.targets.table import Verdict
from talktime_loadtest.targets.tables import line_of, show_targets, targets_document

T = TypeVar("T")

FINE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
FAILURES = (TalktimeError, ServiceFailed, GeneratorFailed, OSError)

app = typer.Typer(
    name="talktime loadtest",
    help=(
        "Loads a service and tells how fast it answers: rates, percentiles of latency, and whether its own books"
        " agree with what the clients saw.\n\n"
        "A closed loop finds the highest rate: whenever an operation is answered, the next one leaves. An open loop"
        " (--rate) shows what callers feel: operations leave at random moments, whatever the service does, and each"
        " latency counts from the moment it was meant to leave.\n\n"
        "Example: talktime loadtest run --start --floor --report load.html"
    ),
    epilog="Exit codes: 0 fine; 1 an error, a difference or a missed target; 2 the command line is wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root() -> None:
    pass


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line; returns its exit code."""
    try:
        app(arguments, prog_name="talktime loadtest")
    except SystemExit as ended:
        return int(ended.code or FINE)
    except BadOption as bad:
        return _said(str(bad), USAGE)
    except FAILURES as failed:
        return _said(f"The load test cannot run: {failed}", FAILED)
    except BaseExceptionGroup as several:
        first = _first(several)
        if not isinstance(first, FAILURES):
            raise
        return _said(f"The load test cannot run: {first}", FAILED)
    return FINE


@command(app, "run", Whom, What, Pace, Shown)
def run_load(whom: Whom, what: What, pace: Pace, shown: Shown) -> None:
    """Loads a service, then compares its books with what the clients saw.

    Example: talktime loadtest run --start --floor --report load.html

    Example: talktime loadtest run --protocol unary --in-flight 64 --mix authorize=1

    Example: talktime loadtest run --rate 5000 --seconds 60 --target calls.example.com:7788 --token-file operator.token
    """
    shown.check()
    load, scene = pace.paced(what.load()), what.scene()
    if what.shape == LAST_CENT:
        load = last_cent(load)
    outcome = _ran(_run(whom, scene, load, shown, cent=what.shape == LAST_CENT))
    if shown.report:
        from talktime_loadtest.report import page

        shown.report.write_text(page(outcome), encoding="utf-8")
    if shown.as_json:
        sys.stdout.write(json.dumps(tables.document_of(outcome), indent=2) + "\n")
    else:
        tables.show(outcome, Console())
    raise typer.Exit(FINE if outcome.fine else FAILED)


@command(app, "targets", Judging)
def judge_targets(judging: Judging) -> None:
    """Measures every target of speed and growth, and says which are met. It starts its own services.

    A row takes from some seconds to some minutes; its figures are said as soon as they are known, and the table of a run
    at its end. The exit code is 0 when all that this machine can judge are met.

    Example: talktime loadtest targets

    Example: talktime loadtest targets --only exchange --only alone --fsync always
    """
    judging.check()
    runs = []
    for number in range(1, judging.repeat + 1):
        runs.append(_ran(_judge(judging)))
        if not judging.as_json:
            show_targets(runs[-1], number, judging.repeat, Console())
    if judging.as_json:
        sys.stdout.write(json.dumps(targets_document(runs), indent=2) + "\n")
    missed = any(each.verdict is Verdict.MISSED for run in runs for each in run)
    raise typer.Exit(FAILED if missed else FINE)


@app.command("body")
def write_body(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")],
    tenant: Annotated[str, typer.Option(help="A tenant that there is.")] = "loadtest-0001",
    payer: Annotated[str, typer.Option(help="One of its payers.")] = "payer-0001",
    to: Annotated[str, typer.Option(metavar="NUMBER", help="Whom to call, E.164.")] = TO_NUMBER,
) -> None:
    """Writes the body of one unary Authorize, for other load generators, as h2load.

    Each request with it is the same call, and gets the first one's answer again: it tells rates, not decisions.

    Example: talktime loadtest body request.bin
    """
    file.write_bytes(body_of(tenant, payer, to))


def _ran(work: Coroutine[Any, Any, T]) -> T:
    """Runs it to its end, or until somebody interrupts it."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


async def _judge(judging: Judging) -> list[Judged]:
    def begun(names: Sequence[str]) -> None:
        sys.stderr.write(f"{', '.join(names)} …\n")
        sys.stderr.flush()

    def ended(row: Judged) -> None:
        sys.stderr.write(line_of(row) + "\n")
        sys.stderr.flush()

    scale = QUICK if judging.quick else FULL
    return await judge(judging.only or (), scale, judging.fsync, begun=begun, ended=ended)


async def _run(whom: Whom, scene: Scene, load: Load, shown: Shown, *, cent: bool) -> Outcome:
    total_s = load.warm_up_seconds + load.seconds * load.repeats
    view = View(str(load.protocol), total_s, load.processes)
    async with _service(whom) as (service, store_url), _floor(whom, shown) as floor:
        if cent:
            paid = LAST_CALLS_PAID * await price_of(service, scene)
            scene = dataclasses.replace(
                scene, prefix=f"cent-{new_run()}", tenants=1, funds_micros=paid
            )
        with watching(view, quiet=shown.as_json) as watched:
            return await run(
                service,
                scene,
                load,
                floor=floor,
                store_url=store_url,
                seen=watched.seen,
                begun=watched.title,
            )


@asynccontextmanager
async def _service(whom: Whom) -> AsyncIterator[tuple[Service, str]]:
    if not whom.start:
        yield whom.service(), whom.store_url
        return
    async with started(whom.wanted()) as running:
        yield running.service, running.store_url


@asynccontextmanager
async def _floor(whom: Whom, shown: Shown) -> AsyncIterator[Service | None]:
    if not shown.floor:
        yield None
        return
    wanted: Wanted = whom.wanted(floor=True)
    async with started(wanted) as running:
        yield running.service


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    first = several.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _said(text: str, code: int) -> int:
    sys.stderr.write(f"talktime loadtest: {text}\n")
    return code
