"""The figures that are promised, all in one place. Rows measure; this says what is wanted of what they find."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a figure compares with what is wanted."""

    MET = "met"
    MISSED = "missed"
    UNJUDGED = "cannot be judged here"


class Unit(StrEnum):
    """What a figure counts; written behind it."""

    TIMES = "x"
    PER_SECOND = "/s"
    MS = "ms"
    US = "µs"
    BYTES = "bytes"
    MB = "MB"
    SECONDS = "s"
    TENANTS = "tenants"


@dataclass(frozen=True, slots=True)
class Target:
    """A promise: `wanted` is the least, or with `at_most` the most, that is allowed."""

    name: str
    what: str
    wanted: float
    unit: Unit
    at_most: bool = False

    def holds(self, figure: float) -> bool:
        """Whether a figure keeps it."""
        return figure <= self.wanted if self.at_most else figure >= self.wanted

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {said(self.wanted, self.unit)}"


def said(figure: float, unit: Unit) -> str:
    """A figure with its unit."""
    if unit is Unit.PER_SECOND:
        return f"{figure:,.0f}/s"
    digits = 2 if unit in (Unit.TIMES, Unit.SECONDS, Unit.MS) else 1 if unit is Unit.US else 0
    return f"{figure:,.{digits}f} {unit}"


TARGETS = {
    target.name: target
    for target in (
        Target("unary", "Unary Authorize on envoy, against the bare echo there", 0.75, Unit.TIMES),
        Target("unary-aio", "The same against the bare echo of grpc.aio", 3.5, Unit.TIMES),
        Target("grpcio", "Unary Authorize on grpcio, against its own bare echo", 0.85, Unit.TIMES),
        Target("alone", "Latency alone in flight, against the bare echo", 1.4, Unit.TIMES, True),
        Target("json", "JSON over HTTP, against unary gRPC", 0.6, Unit.TIMES),
        Target("exchange", "Exchange, 64 per message, 4 clients, pairs", 50_000, Unit.PER_SECOND),
        Target("exchange-store", "The same against the store's own rate", 0.7, Unit.TIMES),
        Target("exchange-always", "Exchange with fsync always", 40_000, Unit.PER_SECOND),
        Target("client", "AsyncClient, 256 callers, against one call per RPC", 4.0, Unit.TIMES),
        Target("open-p50", "Open loop at half of peak, unary: p50", 1.5, Unit.MS, True),
        Target("open-p99", "Open loop at half of peak, unary: p99", 5.0, Unit.MS, True),
        Target("open-p99.9", "Open loop at half of peak, unary: p99.9", 20.0, Unit.MS, True),
        Target("store-authorize", "Store's processor per authorize", 18.0, Unit.US, True),
        Target("store-settle", "Store's processor per settle", 18.0, Unit.US, True),
        Target("bytes-open", "Store's bytes per open call", 600, Unit.BYTES, True),
        Target("bytes-receipt", "Store's bytes per receipt", 400, Unit.BYTES, True),
        Target("growth-payers", "CPU per decision, 100 to 1,000,000 payers", 1.1, Unit.TIMES, True),
        Target("growth-calls", "CPU per decision, 0 to 1,000,000 open", 1.1, Unit.TIMES, True),
        Target("growth-prefixes", "CPU per decision, 36k to 300k prefixes", 1.1, Unit.TIMES, True),
        Target("processes", "Two serving processes against one", 1.8, Unit.TIMES),
        Target("memory", "Resident memory of a serving process", 220, Unit.MB, True),
        Target("start", "Start to first answer, embedded store", 3.0, Unit.SECONDS, True),
        Target("deck", "36,000 rates: upload to active everywhere", 2.0, Unit.SECONDS, True),
        Target("conserved", "Tenants whose money is not conserved", 0, Unit.TENANTS, True),
    )
}
# With a store that fsyncs before it answers, Exchange is held to its figure for that.
ALWAYS = {"exchange": "exchange-always"}


def target_of(name: str, fsync: str) -> Target:
    """What is promised, for a store with this fsync."""
    return TARGETS[ALWAYS.get(name, name) if fsync == "always" else name]
