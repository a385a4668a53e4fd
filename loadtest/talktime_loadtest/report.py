"""A run as a page: one file without scripts or anything to be fetched, which looks the same in ten years."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources

from hdrh.histogram import HdrHistogram

from talktime_loadtest.asking import Kind
from talktime_loadtest.buckets import Counts, histogram_of, merged
from talktime_loadtest.figures import WARM_UP, Figures, Latency, Point, at
from talktime_loadtest.live import told_us
from talktime_loadtest.orders import Protocol
from talktime_loadtest.plots import Axis, Band, Line, linear, logarithmic, plot
from talktime_loadtest.running import Load, Outcome
from talktime_loadtest.tables import settings_of

LOOKS = {Kind.AUTHORIZE: "one", Kind.SETTLE: "two", Kind.EXTEND: "three", Kind.REFUSE: "four"}
# Where lines are drawn through: even steps of the axis, which is that of HDR plots.
STEPS_PER_DECADE = 40
_NAMED = (50.0, 99.0, 99.9)
_TITLES = {
    Protocol.EXCHANGE: "Exchange streams",
    Protocol.UNARY: "Unary calls",
    Protocol.JSON: "JSON over HTTP",
    Protocol.CLIENT: "AsyncClient",
    Protocol.CLIENT_UNARY: "AsyncClient, one call per RPC",
}


def page(outcome: Outcome) -> str:
    """The whole page."""
    title = f"talktime load test: {_TITLES[outcome.load.protocol]}"
    style = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    body = "".join(
        (
            f"<h1>{escape(title)}</h1>",
            f'<p class="under">{escape(_in_a_sentence(outcome.load))}</p>',
            _tiles(outcome),
            '<div class="cards">',
            *_plots(outcome),
            _card("Percentiles", "Over all measured stretches.", _table(outcome)),
            _card("The run", "", _settings(outcome), wide=not outcome.figures.error_count),
            "</div>",
            _verdict(outcome),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{style}</style></head><body>{body}</body></html>\n"
    )


def _in_a_sentence(load: Load) -> str:
    *first, last = load.kinds
    mix = f"{', '.join(first)} and {last}" if first else str(last)
    if load.rate_per_s:
        pace = f"an open loop at {load.rate_per_s:,.0f} a second, latency from the intended moment"
    else:
        pace = f"a closed loop with {load.in_flight:,} operations in flight"
    over = f"over {load.clients} connections"
    if load.protocol is Protocol.EXCHANGE:
        over = f"{load.per_message} per message, {load.clients} streams"
    return f"{mix}; {pace}; {over}."


def _tiles(outcome: Outcome) -> str:
    figures, latency = outcome.figures, outcome.figures.latency
    low, high = figures.per_s_range
    errors = figures.error_count
    spread = f"; {low:,.0f} to {high:,.0f} in {len(figures.repeats)} stretches"
    tiles = [
        (
            "first",
            f"{figures.per_s:,.0f}/s",
            f"operations{spread if len(figures.repeats) > 1 else ''}",
        ),
        ("", told_us(latency.p50_us), "median latency"),
        ("", told_us(latency.p99_us), "99th percentile"),
        ("", told_us(latency.p999_us), "99.9th percentile"),
        ("bad" if errors else "good", f"{errors:,}", "errors"),
    ]
    if outcome.ratio is not None:
        tiles.append(("", f"{outcome.ratio:.2f} x", "of the bare echo"))
    shown = (
        f'<div class="tile {look}"><b>{big}</b><span>{small}</span></div>'
        for look, big, small in tiles
    )
    return f'<div class="tiles">{"".join(shown)}</div>'


def _plots(outcome: Outcome) -> list[str]:
    figures = outcome.figures
    latencies = "A point tells: so many percent of the operations were answered within this time."
    cards = [
        _card("Latency by percentile", latencies, _by_percentile(outcome)),
        _card("Rate over time", "Operations answered without an error, a second.", _rate(figures)),
        _card("Latency over time", "In each quarter of a second.", _over_time(figures)),
    ]
    if figures.error_count:
        wrong = "Whatever was not answered as it should be."
        cards.append(_card("Errors over time", wrong, _errors(figures)))
    return cards


def _by_percentile(outcome: Outcome) -> str:
    shown = {str(kind): (LOOKS[kind], counts) for kind, counts in outcome.figures.counts.items()}
    if outcome.floor:
        shown["bare echo"] = ("floor", merged(outcome.floor.counts.values()))
    named = str(next(iter(outcome.figures.counts), ""))
    lines = [
        _percentile_line(name, look, counts, named=name == named)
        for name, (look, counts) in shown.items()
    ]
    if not lines:
        return _quiet("Nothing was answered.")
    lowest = min(y for line in lines for _, y in line.points)
    highest = max(y for line in lines for _, y in line.points)
    deepest = max(x for line in lines for x, _ in line.points)
    y = logarithmic("latency", lowest, highest, told_us)
    drawn = plot(_percentile_axis(deepest), y, lines, says="Latency by percentile")
    return _legend(lines) + drawn


def _percentile_line(name: str, look: str, counts: Counts, *, named: bool) -> Line:
    histogram, total = histogram_of(counts), sum(counts.values())
    # Beyond one in all there is nothing to tell.
    deepest = max(1.0, len(str(total)) - 1.0)
    depths = [step / STEPS_PER_DECADE for step in range(int(deepest * STEPS_PER_DECADE) + 1)]
    points = [(depth, _at_depth(histogram, depth)) for depth in depths]
    marks = [
        (_depth(percentile), float(at(histogram, percentile)), told_us(at(histogram, percentile)))
        for percentile in _NAMED
        if named and _depth(percentile) <= deepest
    ]
    return Line(name, look, points, marks=marks)


def _depth(percentile: float) -> float:
    """Where a percentile stands: 90 at 1, 99 at 2, 99.9 at 3."""
    return -math.log10(1 - percentile / 100)


def _at_depth(histogram: HdrHistogram, depth: float) -> float:
    return float(max(1, at(histogram, 100 * (1 - 10.0**-depth))))


def _percentile_axis(deepest: float) -> Axis:
    ticks = [(0.0, "0"), (_depth(50), "50"), (1.0, "90"), (2.0, "99"), (3.0, "99.9")]
    ticks += [(float(nines), "99." + "9" * (nines - 2)) for nines in range(4, 8)]
    shown = tuple((place, said) for place, said in ticks if place <= deepest + 0.01)
    return Axis("percent of the operations", 0.0, deepest, shown)


def _rate(figures: Figures) -> str:
    if not figures.points:
        return _quiet("It was over too soon to tell.")
    points = [(point.at_s, point.per_s) for point in figures.points]
    median = [(points[0][0], figures.per_s), (points[-1][0], figures.per_s)]
    lines = [
        Line("rate", "one", points, filled=True),
        Line(f"median of the stretches, {figures.per_s:,.0f}/s", "floor", median),
    ]
    y = linear("operations a second", max(y for _, y in points), _thousands)
    x = _time_axis(figures.points)
    drawn = plot(x, y, lines, bands=_warm_up(figures.points), says="Rate over time")
    return _legend(lines) + drawn


def _over_time(figures: Figures) -> str:
    busy = [point for point in figures.points if point.p50_us]
    if not busy:
        return _quiet("Nothing was answered.")
    lines = [
        Line("median", "one", [(p.at_s, p.p50_us or math.nan) for p in figures.points]),
        Line("99th percentile", "two", [(p.at_s, p.p99_us or math.nan) for p in figures.points]),
    ]
    low, high = min(p.p50_us for p in busy), max(p.p99_us for p in busy)
    y = logarithmic("latency", low, high, told_us)
    bands = _warm_up(figures.points)
    x = _time_axis(figures.points)
    return _legend(lines) + plot(x, y, lines, bands=bands, says="Latency over time")


def _errors(figures: Figures) -> str:
    points = [(point.at_s, point.errors_per_s) for point in figures.points]
    names = ", ".join(f"{name} {count:,}" for name, count in sorted(figures.errors.items()))
    lines = [Line(names, "wrong", points, filled=True)]
    y = linear("errors a second", max((y for _, y in points), default=0.0) or 1.0, _thousands)
    x = _time_axis(figures.points)
    drawn = plot(x, y, lines, bands=_warm_up(figures.points), says="Errors over time")
    return _legend(lines) + drawn


def _warm_up(points: Sequence[Point]) -> list[Band]:
    end_s = max((point.at_s for point in points if point.phase == WARM_UP), default=0.0)
    return [Band(0.0, end_s, "warm", "warm-up")] if end_s else []


def _time_axis(points: Sequence[Point]) -> Axis:
    axis = linear("seconds since the load began", points[-1].at_s, lambda s: f"{s:g}")
    ticks = tuple(tick for tick in axis.ticks if tick[0] <= points[-1].at_s)
    return Axis(axis.title, 0.0, points[-1].at_s, ticks)


def _thousands(number: float) -> str:
    return f"{number / 1000:g}k" if number >= 1000 else f"{number:g}"


def _table(outcome: Outcome) -> str:
    rows = [(str(kind), Latency.of(counts)) for kind, counts in outcome.figures.counts.items()]
    if len(rows) > 1:
        rows.append(("all", outcome.figures.latency))
    if outcome.floor:
        rows.append(("bare echo", outcome.floor.latency))
    head = "".join(
        f"<th>{name}</th>" for name in ("", "count", "p50", "p90", "p99", "p99.9", "max")
    )
    return f"<table><tr>{head}</tr>{''.join(_row(*row) for row in rows)}</table>"


def _row(name: str, latency: Latency) -> str:
    times = (latency.p50_us, latency.p90_us, latency.p99_us, latency.p999_us, latency.max_us)
    cells = [name, f"{latency.count:,}", *map(told_us, times)]
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _settings(outcome: Outcome) -> str:
    told: Mapping[str, str] = {
        **settings_of(outcome.load),
        "store": outcome.persistence,
        "generators used": f"{outcome.figures.generator_us:.1f} µs of processor an operation",
    }
    pairs = (f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in told.items())
    return f"<dl>{''.join(pairs)}</dl>"


def _verdict(outcome: Outcome) -> str:
    if outcome.fine:
        text = "The service's own books agree with what the clients saw, and every tenant's money is conserved."
        return f'<div class="verdict good">{text}</div>'
    lines = "".join(
        f"<li>{escape(line)}</li>" for line in (*outcome.unwanted, *outcome.differences)
    )
    return f'<div class="verdict bad">This run is not sound:<ul>{lines}</ul></div>'


def _card(title: str, under: str, content: str, *, wide: bool = False) -> str:
    told = f"<p>{escape(under)}</p>" if under else ""
    look = "card wide" if wide else "card"
    return f'<section class="{look}"><h2>{escape(title)}</h2>{told}{content}</section>'


def _legend(lines: Sequence[Line]) -> str:
    shown = (f'<span><i class="{line.look}"></i>{escape(line.name)}</span>' for line in lines)
    return f'<div class="legend">{"".join(shown)}</div>'


def _quiet(text: str) -> str:
    return f'<div class="quiet">{escape(text)}</div>'
