"""What came of a load, in figures: per repeat, over the repeats, and moment by moment."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from hdrh.histogram import HdrHistogram

from talktime_loadtest.asking import Kind
from talktime_loadtest.buckets import Counts, histogram_of, merged
from talktime_loadtest.loading import Moment, Told

WARM_UP = 0
SHORTEST_POINT_S = 0.05
SHOWN_PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of one kind of operation, in microseconds."""

    count: int
    p50_us: int
    p90_us: int
    p99_us: int
    p999_us: int
    max_us: int

    @classmethod
    def of(cls, counts: Counts) -> "Latency":
        """The percentiles of these counts; zeros without any."""
        histogram = histogram_of(counts)
        return cls(sum(counts.values()), *(at(histogram, each) for each in SHOWN_PERCENTILES))


@dataclass(frozen=True, slots=True)
class Repeat:
    """One measured stretch. `per_s` counts operations answered without an error, granted or refused."""

    per_s: float
    answered: int
    refused: int
    errors: int
    latency: Latency
    latency_of_kind: dict[Kind, Latency]


@dataclass(frozen=True, slots=True)
class Point:
    """A fraction of a second, over all generators; `at_s` since the load began."""

    at_s: float
    phase: int
    per_s: float
    errors_per_s: float
    p50_us: int
    p99_us: int


@dataclass(frozen=True, slots=True)
class Figures:
    """A load's outcome."""

    repeats: tuple[Repeat, ...]
    counts: dict[Kind, Counts]
    points: tuple[Point, ...]
    errors: dict[str, int]
    reasons: dict[str, int]
    books: tuple[dict[str, Any], ...] = field(repr=False)

    @property
    def per_s(self) -> float:
        """The median of the repeats."""
        return statistics.median(repeat.per_s for repeat in self.repeats)

    @property
    def per_s_range(self) -> tuple[float, float]:
        """The slowest repeat and the fastest."""
        rates = [repeat.per_s for repeat in self.repeats]
        return min(rates), max(rates)

    def median(self, what: Callable[[Repeat], float]) -> float:
        """The median over the repeats of something else."""
        return float(statistics.median([what(repeat) for repeat in self.repeats]))

    @property
    def latency(self) -> Latency:
        """All kinds and repeats together."""
        return Latency.of(merged(self.counts.values()))

    @property
    def error_count(self) -> int:
        """Errors from the first operation to the last, warm-up included."""
        return sum(self.errors.values())

    @property
    def operations(self) -> int:
        """Operations asked, from the first to the last."""
        return sum(book["asked"] for book in self.books)

    @property
    def generator_us(self) -> float:
        """Processor time that the generators themselves spent on an operation: it is not the service's."""
        used_s: float = sum(book["cpu_s"] for book in self.books)
        return used_s / max(1, self.operations) * 1e6

    @property
    def latest_s(self) -> float:
        """How late the latest arrival of an open loop was sent: above a few milliseconds the generator is the limit."""
        return max((book["latest_s"] for book in self.books), default=0.0)

    @property
    def refused_unasked(self) -> int:
        """Refusals of operations that were to be granted."""
        return sum(self.reasons.values())

    def total(self, name: str) -> int:
        """A sum of the clients' books, as `granted`."""
        return sum(sum(book[name]) for book in self.books)

    def sum_of(self, name: str) -> int:
        """A plain number of the clients' books, as `replayed`."""
        return sum(book[name] for book in self.books)


def figures_of(told: Told, generators: int) -> Figures:
    """The figures of what the generators told."""
    measured = [moment for moment in told.moments if moment.phase != WARM_UP]
    if not measured:
        measured = told.moments
    by_phase = sorted(measured, key=lambda moment: moment.phase)
    repeats = [
        _repeat(list(moments), generators)
        for _, moments in groupby(by_phase, key=lambda moment: moment.phase)
    ]
    counts = {kind: merged(m.latencies.get(kind, {}) for m in measured) for kind in Kind}
    return Figures(
        tuple(repeats),
        {kind: each for kind, each in counts.items() if each},
        tuple(_points(told.moments)),
        _added(book["errors"] for book in told.books),
        _added(book["reasons"] for book in told.books),
        tuple(told.books),
    )


def at(histogram: HdrHistogram, percentile: float) -> int:
    """The latency, in microseconds, that so many percent do not exceed."""
    return int(histogram.get_value_at_percentile(percentile))


def _repeat(moments: list[Moment], generators: int) -> Repeat:
    took_s = sum(moment.took_s for moment in moments) / generators
    answered = sum(moment.answered for moment in moments)
    kinds = [kind for kind in Kind if any(kind in moment.latencies for moment in moments)]
    counts = {kind: merged(m.latencies.get(kind, {}) for m in moments) for kind in kinds}
    return Repeat(
        answered / took_s if took_s else 0.0,
        answered,
        sum(moment.refused for moment in moments),
        sum(sum(moment.errors.values()) for moment in moments),
        Latency.of(merged(counts.values())),
        {kind: Latency.of(each) for kind, each in counts.items()},
    )


def _points(moments: Sequence[Moment]) -> Iterable[Point]:
    """Moments of the same place in each generator's row are of the same time. What is left of one where a stretch ends
    is too short to have a rate.
    """
    rows: dict[int, list[Moment]] = {}
    for moment in moments:
        rows.setdefault(moment.generator, []).append(moment)
    at_s = 0.0
    for together in zip(*rows.values(), strict=False):
        took_s = sum(moment.took_s for moment in together) / len(together)
        at_s += took_s
        if took_s < SHORTEST_POINT_S:
            continue
        histogram = histogram_of(merged(c for m in together for c in m.latencies.values()))
        yield Point(
            at_s,
            together[0].phase,
            sum(moment.answered / moment.took_s for moment in together),
            sum(sum(moment.errors.values()) / moment.took_s for moment in together),
            at(histogram, 50.0),
            at(histogram, 99.0),
        )


def _added(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            sums[name] = sums.get(name, 0) + count
    return sums
