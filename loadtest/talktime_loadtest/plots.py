"""Plots as inline SVG: axes, lines and bars, drawn once and styled by the page around them.

Sizes are in the drawing's own units, which the page stretches; colours are classes, so that light,
dark and paper each have theirs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 72, 22, 14, 44
_STEPS = (1, 2, 5)
MOST_TICKS = 6


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction: its title, its ends, where its lines stand, and what is written there."""

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def share(self, number: float) -> float:
        """How far along the axis a number is, 0 to 1."""
        if self.logarithmic:
            low, high = math.log10(self.low), math.log10(self.high)
            place = math.log10(max(number, self.low))
        else:
            low, high, place = self.low, self.high, number
        return min(1.0, max(0.0, (place - low) / ((high - low) or 1.0)))


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points; `look` is the class that colours it."""

    name: str
    look: str
    points: Sequence[tuple[float, float]]
    filled: bool = False
    marks: Sequence[tuple[float, float, str]] = ()
    """Points that are named: where, and what is written beside them."""


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of the x axis that is set apart."""

    start: float
    end: float
    look: str
    name: str = ""


def linear(title: str, highest: float, say: Callable[[float], str], *, low: float = 0.0) -> Axis:
    """An axis from `low` to a little above the highest, with round ticks."""
    span = (highest - low) or 1.0
    step = _round_up(span / MOST_TICKS)
    count = math.ceil(span / step + 0.001)
    ticks = tuple((low + step * n, say(low + step * n)) for n in range(count + 1))
    return Axis(title, low, low + step * count, ticks)


def logarithmic(title: str, lowest: float, highest: float, say: Callable[[float], str]) -> Axis:
    """An axis over whole steps of 1, 2, 5 and 10; only as many are written as can be read."""
    lowest = max(lowest, 1e-9)
    low, high = _round_down(lowest), _round_up(max(highest, lowest * 2))
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    places = [step * 10.0**decade for decade in decades for step in _STEPS]
    places = [place for place in places if low * 0.999 <= place <= high * 1.001]
    if len(places) > MOST_TICKS + 2:
        places = [place for place in places if _leading(place) == 1]
    return Axis(title, low, high, tuple((place, say(place)) for place in places), True)


def plot(x: Axis, y: Axis, lines: Sequence[Line], *, bands: Sequence[Band] = (), says: str) -> str:
    """A drawing; `says` is what it shows, for those who cannot see it."""
    frame = _Frame(x, y)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(says)}">',
        *(frame.band(band) for band in bands),
        *frame.rows(),
        *frame.columns(),
        *(frame.line(line) for line in lines),
        *(frame.mark(line, mark) for line in lines for mark in line.marks),
        frame.titles(),
        "</svg>",
    ]
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where things are within a drawing."""

    x: Axis
    y: Axis

    def at_x(self, number: float) -> float:
        return LEFT + self.x.share(number) * (WIDTH - LEFT - RIGHT)

    def at_y(self, number: float) -> float:
        return HEIGHT - BOTTOM - self.y.share(number) * (HEIGHT - TOP - BOTTOM)

    def rows(self) -> list[str]:
        found = []
        for number, said in self.y.ticks:
            y = self.at_y(number)
            look = "base" if y == self.at_y(self.y.low) else "grid"
            found.append(f'<path class="{look}" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
            found.append(
                f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{said}</text>'
            )
        return found

    def columns(self) -> list[str]:
        base = HEIGHT - BOTTOM
        found = [f'<path class="base" d="M{LEFT} {base}H{WIDTH - RIGHT}"/>']
        for number, said in self.x.ticks:
            x = self.at_x(number)
            found.append(f'<path class="base" d="M{x:.1f} {base}v4"/>')
            found.append(
                f'<text class="tick" x="{x:.1f}" y="{base + 18}" text-anchor="middle">{said}</text>'
            )
        return found

    def titles(self) -> str:
        middle = (TOP + HEIGHT - BOTTOM) / 2
        return (
            f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(self.x.title)}</text>'
            f'<text class="axis" transform="rotate(-90 12 {middle})" x="12" y="{middle}" text-anchor="middle">{escape(self.y.title)}</text>'
        )

    def band(self, band: Band) -> str:
        start, end = self.at_x(band.start), self.at_x(band.end)
        named = ""
        if band.name:
            named = f'<text class="band-name" x="{start + 5:.1f}" y="{TOP + 13}">{escape(band.name)}</text>'
        height = HEIGHT - TOP - BOTTOM
        return f'<rect class="{band.look}" x="{start:.1f}" y="{TOP}" width="{end - start:.1f}" height="{height}"/>{named}'

    def line(self, line: Line) -> str:
        if not line.points:
            return ""
        path = self.path(line.points)
        drawn = f'<path class="line {line.look}" d="{path}"/>'
        if not line.filled:
            return drawn
        base, first, last = HEIGHT - BOTTOM, line.points[0][0], line.points[-1][0]
        area = f"{path}L{self.at_x(last):.1f} {base}L{self.at_x(first):.1f} {base}Z"
        return f'<path class="area {line.look}" d="{area}"/>{drawn}'

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        """Through all points; a gap where there is no number."""
        steps, begun = [], False
        for x, y in points:
            if not math.isnan(y):
                step = "L" if begun else "M"
                steps.append(f"{step}{self.at_x(x):.1f} {self.at_y(y):.1f}")
            begun = not math.isnan(y)
        return "".join(steps)

    def mark(self, line: Line, mark: tuple[float, float, str]) -> str:
        x, y = self.at_x(mark[0]), self.at_y(mark[1])
        # Above the line, unless there is no room.
        beside = y - 9 if y > TOP + 20 else y + 19
        anchor = "end" if x > WIDTH - RIGHT - 40 else "middle"
        return (
            f'<circle class="dot {line.look}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
            f'<text class="mark" x="{x:.1f}" y="{beside:.1f}" text-anchor="{anchor}">'
            f"{escape(mark[2])}</text>"
        )


def _round_up(number: float) -> float:
    """The next of 1, 2, 5, 10, 20 …"""
    decade = 10.0 ** math.floor(math.log10(number))
    return next((step * decade for step in _STEPS if step * decade >= number * 0.999), 10 * decade)


def _round_down(number: float) -> float:
    decade = 10.0 ** math.floor(math.log10(number))
    return max(step * decade for step in _STEPS if step * decade <= number * 1.001)


def _leading(number: float) -> int:
    return round(number / 10.0 ** math.floor(math.log10(number * 1.001)))
