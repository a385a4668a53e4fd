"""What is seen while a load runs: one panel that changes in place, or a plain line every so often where nobody watches."""

import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from talktime_loadtest.buckets import histogram_of, merged
from talktime_loadtest.figures import WARM_UP, at
from talktime_loadtest.loading import Moment

RECENT_S = 1.0
PLAIN_EVERY_S = 2.0
HISTORY = 48
_BARS = " ▁▂▃▄▅▆▇█"


class View:
    """Follows the moments of one or more generators."""

    def __init__(self, title: str, total_s: float, generators: int) -> None:
        self.elapsed_s = 0.0
        self.per_s = 0.0
        self.errors = 0
        self.p50_us = self.p99_us = 0
        self.phase = WARM_UP
        self._title = title
        self._total_s = total_s
        self._generators = generators
        self._recent: deque[Moment] = deque()
        self._rates: deque[float] = deque(maxlen=HISTORY)
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(None), TimeRemainingColumn(), expand=True
        )
        self._task = self._progress.add_task("", total=total_s)

    def title(self, title: str) -> None:
        """Begins another load."""
        self._title = title
        self.elapsed_s = 0.0
        self.phase = WARM_UP
        self._progress.reset(self._task, total=self._total_s)
        self._recent.clear()
        self._rates.clear()

    def seen(self, moment: Moment) -> None:
        """Takes a moment in."""
        self._recent.append(moment)
        self.phase = moment.phase
        self.errors += sum(moment.errors.values())
        self.elapsed_s += moment.took_s / self._generators
        while (
            sum(m.took_s for m in self._recent) > RECENT_S * self._generators
            and len(self._recent) > 1
        ):
            self._recent.popleft()
        span_s = sum(m.took_s for m in self._recent) / self._generators
        self.per_s = sum(m.answered for m in self._recent) / span_s if span_s else 0.0
        self._rates.append(self.per_s)
        histogram = histogram_of(merged(c for m in self._recent for c in m.latencies.values()))
        self.p50_us, self.p99_us = at(histogram, 50.0), at(histogram, 99.0)
        self._progress.update(self._task, completed=min(self.elapsed_s, self._total_s))

    def line(self) -> str:
        """Now, as one line."""
        return (
            f"{self._title}  {self.elapsed_s:5.1f} s  {self._stretch():9}  {self.per_s:>9,.0f}/s  "
            f"p50 {told_us(self.p50_us)}  p99 {told_us(self.p99_us)}  errors {self.errors:,}"
        )

    def __rich__(self) -> Group:
        """Now, as a panel."""
        table = Table.grid(expand=True, padding=(0, 3))
        for _ in range(5):
            table.add_column(justify="left")
        bad = "bold red" if self.errors else "dim"
        table.add_row(
            Text(self._title, style="bold"),
            Text(f"{self.per_s:,.0f}/s", style="bold cyan"),
            Text(f"p50 {told_us(self.p50_us)}"),
            Text(f"p99 {told_us(self.p99_us)}"),
            Text(f"{self.errors:,} errors", style=bad),
        )
        self._progress.update(self._task, description=self._stretch())
        return Group(table, Text(self._spark(), style="cyan"), self._progress)

    def _stretch(self) -> str:
        return "warm-up" if self.phase == WARM_UP else f"repeat {self.phase}"

    def _spark(self) -> str:
        most = max(self._rates, default=0.0) or 1.0
        return "".join(_BARS[round(rate / most * (len(_BARS) - 1))] for rate in self._rates)


@contextmanager
def watching(view: View, *, quiet: bool, stream: TextIO = sys.stderr) -> Iterator[View]:
    """Shows the view while the context lasts: on standard error, so that answers stay clean."""
    if quiet:
        yield view
    elif stream.isatty():
        with Live(view, console=Console(file=stream), refresh_per_second=4, transient=True):
            yield view
    else:
        yield _Spoken(view, stream)  # type: ignore[misc]  # it speaks where the other draws


class _Spoken:
    """A view that writes a line from time to time."""

    def __init__(self, view: View, stream: TextIO) -> None:
        self._view = view
        self._stream = stream
        self._told_at_s = 0.0

    def title(self, title: str) -> None:
        """Begins another load."""
        self._view.title(title)
        self._told_at_s = 0.0

    def seen(self, moment: Moment) -> None:
        """Takes a moment in, and tells it if it is time to."""
        self._view.seen(moment)
        if self._view.elapsed_s - self._told_at_s >= PLAIN_EVERY_S:
            self._told_at_s = self._view.elapsed_s
            self._stream.write(self._view.line() + "\n")
            self._stream.flush()


def told_us(us: float) -> str:
    """Microseconds as people say them."""
    if us < 1_000:
        return f"{us:.0f} µs"
    if us < 1_000_000:
        return f"{us / 1_000:.3g} ms" if us < 100_000 else f"{us / 1_000:.0f} ms"
    return f"{us / 1_000_000:.3g} s"
