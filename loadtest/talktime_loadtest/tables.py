"""A run's outcome for people, as tables, and for programs, as one document."""

import dataclasses
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from talktime_loadtest.figures import Figures, Latency
from talktime_loadtest.live import told_us
from talktime_loadtest.running import Load, Outcome

LATE_S = 0.02


def show(outcome: Outcome, console: Console) -> None:
    """Prints a run."""
    console.print(Group(*_parts(outcome)))


def document_of(outcome: Outcome) -> dict[str, Any]:
    """A run as plain values; `hdr` holds each kind's histogram in the usual compressed form."""
    return {
        "settings": settings_of(outcome.load),
        "persistence": outcome.persistence,
        "service": _document(outcome.figures),
        "floor": _document(outcome.floor) if outcome.floor else None,
        "ratio": outcome.ratio,
        "differences": outcome.differences,
        "unwanted": outcome.unwanted,
        "fine": outcome.fine,
    }


def settings_of(load: Load) -> dict[str, str]:
    """What was sent, in words."""
    mix = ", ".join(f"{kind} {weight}" for kind, weight in load.mix if weight)
    pace = f"open loop, {load.rate_per_s:,.0f}/s (Poisson)" if load.rate_per_s else "closed loop"
    told = {
        "protocol": str(load.protocol),
        "pace": pace,
        "mix": mix,
        "tenants": str(load.shape),
        "clients": str(load.clients),
        "in flight": f"at most {load.in_flight:,}",
        "stretches": f"{load.repeats} x {load.seconds:g} s after {load.warm_up_seconds:g} s",
        "generators": str(load.processes),
    }
    if load.protocol == "exchange":
        told["per message"] = str(load.per_message)
    if load.duplicate_every:
        told["duplicates"] = f"one in {load.duplicate_every}"
    return told


def _parts(outcome: Outcome) -> list[RenderableType]:
    figures = outcome.figures
    low, high = figures.per_s_range
    head = Text.assemble(
        (f"{figures.per_s:,.0f} operations/s", "bold"),
        f"  median of {len(figures.repeats)}, {low:,.0f} to {high:,.0f}",
    )
    parts: list[RenderableType] = [head, _latencies(outcome)]
    if outcome.ratio is not None and outcome.floor:
        floor = f"{outcome.floor.per_s:,.0f}/s"
        parts.append(Text(f"Against the bare echo ({floor}): {outcome.ratio:.2f} of its rate"))
    parts.append(Text(_counted(figures)))
    parts.append(Text(f"Store: {outcome.persistence}"))
    if figures.errors and not outcome.unwanted:
        errors = ", ".join(f"{count:,} {name}" for name, count in figures.errors.items())
        parts.append(Text(f"Failed and asked again: {errors}", style="yellow"))
    if figures.latest_s > LATE_S:
        late = f"{figures.latest_s * 1e3:.0f} ms"
        parts.append(Text(f"The generator itself was up to {late} late.", style="yellow"))
    parts += [Text(line, style="bold red") for line in (*outcome.unwanted, *outcome.differences)]
    if outcome.fine:
        agree = "Both books agree, and every tenant's money is conserved."
        parts.append(Text(agree, style="green"))
    return parts


def _latencies(outcome: Outcome) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    table.add_column("")
    for name in ("count", "p50", "p90", "p99", "p99.9", "max"):
        table.add_column(name, justify="right")
    for kind, counts in outcome.figures.counts.items():
        _add(table, str(kind), Latency.of(counts))
    if len(outcome.figures.counts) > 1:
        _add(table, "all", outcome.figures.latency)
    if outcome.floor:
        _add(table, "bare echo", outcome.floor.latency)
    return table


def _add(table: Table, name: str, latency: Latency) -> None:
    percentiles = dataclasses.astuple(latency)[1:]
    table.add_row(name, f"{latency.count:,}", *(told_us(each) for each in percentiles))


def _counted(figures: Figures) -> str:
    counts = {
        "authorized": figures.total("granted"),
        "settled": figures.total("settled"),
        "extended": figures.total("extended"),
        "refused": figures.total("refused"),
        "given twice": figures.sum_of("repeated"),
        "replayed": figures.sum_of("replayed"),
    }
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    reasons = ", ".join(f"{count:,} {name}" for name, count in figures.reasons.items())
    why = f" ({reasons})" if reasons else ""
    return f"In all {told or 'nothing'}{why}; generators used {figures.generator_us:.1f} µs each"


def _document(figures: Figures) -> dict[str, Any]:
    low, high = figures.per_s_range
    return {
        "per_s": figures.per_s,
        "per_s_lowest": low,
        "per_s_highest": high,
        "repeats": [dataclasses.asdict(repeat) for repeat in figures.repeats],
        "latency": dataclasses.asdict(figures.latency),
        "latency_of_kind": {
            kind: dataclasses.asdict(Latency.of(counts)) for kind, counts in figures.counts.items()
        },
        "hdr": {kind: hdr_of(counts) for kind, counts in figures.counts.items()},
        "errors": figures.errors,
        "refusal_reasons": figures.reasons,
        "granted": figures.total("granted"),
        "settled": figures.total("settled"),
        "extended": figures.total("extended"),
        "refused": figures.total("refused"),
        "charged_micros": figures.total("charged_micros"),
        "replayed": figures.sum_of("replayed"),
        "given_twice": figures.sum_of("repeated"),
        "unknown": figures.sum_of("unknown"),
        "generator_us_per_operation": figures.generator_us,
        "generator_latest_s": figures.latest_s,
    }


def hdr_of(counts: dict[int, int]) -> str:
    """A histogram of microseconds in HDR's own compressed form."""
    from talktime_loadtest.buckets import histogram_of

    return str(histogram_of(counts).encode(), "ascii")
