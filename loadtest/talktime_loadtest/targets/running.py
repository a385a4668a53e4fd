"""Runs rows, one at a time, and judges what they find."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from talktime import TalktimeError
from talktime_loadtest.loading import GeneratorFailed
from talktime_loadtest.services import ServiceFailed
from talktime_loadtest.store import StoreSaid
from talktime_loadtest.targets import growth, keeping, storage, throughput
from talktime_loadtest.targets.bench import Bench, Finding, Row, RowFailed, Scale, busy
from talktime_loadtest.targets.table import Target, Verdict, said, target_of

# Each row and the targets that it has figures for, in the order in which they are run.
ROWS: dict[Row, tuple[str, ...]] = {
    throughput.unary_on_envoy: ("unary", "unary-aio"),
    throughput.unary_on_grpcio: ("grpcio",),
    throughput.alone: ("alone",),
    throughput.json_over_http: ("json",),
    throughput.exchange: ("exchange", "exchange-store"),
    throughput.exchange_always: ("exchange-always",),
    throughput.client: ("client",),
    throughput.open_loop: ("open-p50", "open-p99", "open-p99.9"),
    storage.processor: ("store-authorize", "store-settle"),
    storage.memory: ("bytes-open", "bytes-receipt"),
    growth.payers: ("growth-payers",),
    growth.open_calls: ("growth-calls",),
    growth.prefixes: ("growth-prefixes",),
    throughput.processes: ("processes",),
    keeping.memory: ("memory",),
    keeping.start: ("start",),
    keeping.deck: ("deck",),
    keeping.conserved: ("conserved",),
}
# Looked at after whatever rows were run.
CONSERVED = "conserved"
NAMES = tuple(name for names in ROWS.values() for name in names)
FAILURES = (
    *(RowFailed, TalktimeError, GeneratorFailed, ServiceFailed, StoreSaid),
    *(OSError, TimeoutError, BaseExceptionGroup),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A target, what was found, and whether that keeps it. `figure` is None where the row failed."""

    target: Target
    figure: float | None
    verdict: Verdict
    note: str
    persistence: str

    @property
    def said(self) -> str:
        """The figure with its unit."""
        return "" if self.figure is None else said(self.figure, self.target.unit)


async def judge(
    only: Sequence[str],
    scale: Scale,
    fsync: str,
    *,
    begun: Callable[[Sequence[str]], None],
    ended: Callable[[Judged], None],
) -> list[Judged]:
    """Runs the rows of these targets, or all, and judges each; `begun` hears which begin, `ended` what came of each."""
    found: list[Judged] = []
    async with AsyncExitStack() as stack:
        bench = Bench(scale, fsync, stack)
        for row, names in ROWS.items():
            if only and not {*only, CONSERVED} & set(names):
                continue
            begun(names)
            for each in await _judged(bench, row, names):
                found.append(each)
                ended(each)
    return found


async def _judged(bench: Bench, row: Row, names: Sequence[str]) -> list[Judged]:
    crowded = busy()
    kept = "always" if "always" in names[0] else bench.fsync
    persistence = f"AOF, fsync {kept}"
    try:
        findings = await row(bench)
    except FAILURES as failed:
        text = _told(failed)
        targets = [target_of(name, bench.fsync) for name in names]
        return [Judged(each, None, Verdict.MISSED, text, persistence) for each in targets]
    return [
        _compared(target_of(name, bench.fsync), findings[name], crowded, persistence)
        for name in names
    ]


def _compared(target: Target, finding: Finding, crowded: str, persistence: str) -> Judged:
    note = "; ".join(part for part in (finding.note, crowded) if part)
    if not finding.judged:
        return Judged(target, finding.figure or None, Verdict.UNJUDGED, note, persistence)
    verdict = Verdict.MET if target.holds(finding.figure) else Verdict.MISSED
    return Judged(target, finding.figure, verdict, note, persistence)


def _told(failed: BaseException) -> str:
    while isinstance(failed, BaseExceptionGroup):
        failed = failed.exceptions[0]
    if isinstance(failed, (KeyboardInterrupt, asyncio.CancelledError)):
        raise failed
    if not isinstance(failed, FAILURES):
        raise failed
    return f"not measured: {failed or type(failed).__name__}"
