"""Shadow decks: what calls would have cost by another deck, counted beside the live one.

A call only adds to counts in the process; they leave for the store about every second, in portions
with a number, so that one that is sent again is not counted twice. While the store is away they are
kept, as far as there is room.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Iterator

import structlog

from talktime_server.decision.rating import Rate
from talktime_server.failure import Failure
from talktime_server.ledger.shadows import LINES_A_COUNT, Pair, ShadowReport, Shadows, Tally

FLUSH_PERIOD_S = 1.0
MOST_PAIRS = 20_000  # of destinations that wait; calls to further ones are not counted, and logged

log = structlog.get_logger()

# A portion that has its number: deck version, number, lines.
_Portion = tuple[str, int, dict[Pair, Tally]]


class ShadowCounts:
    """Counts calls priced by two decks, and takes the counts to the store."""

    def __init__(self, shadows: Shadows) -> None:
        self._shadows = shadows
        self._counter_id = secrets.token_hex(8)
        self._tallies: dict[tuple[str, Pair], Tally] = {}
        self._portions: deque[_Portion] = deque()
        self._last_number = 0
        self._uncounted = 0
        # One flush at a time: a portion leaves the list only when it was added.
        self._flushing = asyncio.Lock()

    def count(
        self, deck_version: str, live: Rate | None, shadow: Rate | None, seconds: int
    ) -> None:
        """Counts a call that asks for so much talk time, by the live deck's rate and the shadow's;
        a rate on one side only is a difference.
        """
        key = (deck_version, _pair(live, shadow))
        tally = self._tallies.get(key)
        if tally is None:
            if len(self._tallies) >= MOST_PAIRS:
                self._uncounted += 1
                return
            tally = self._tallies[key] = Tally()
        live_micros = live.price_micros(seconds) if live else 0
        shadow_micros = shadow.price_micros(seconds) if shadow else 0
        tally.calls += 1
        tally.live_micros += live_micros
        tally.shadow_micros += shadow_micros
        if live_micros != shadow_micros or (live is None) != (shadow is None):
            tally.differing_calls += 1

    async def run(self) -> None:
        """Takes counts to the store until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_PERIOD_S)
            await self.flush()

    async def flush(self) -> bool:
        """Takes all counts to the store; False when it would not take them: they are kept."""
        async with self._flushing:
            self._complain()
            if not self._portions:
                self._portions.extend(self._portioned())
            try:
                while self._portions:
                    await self._shadows.add(self._counter_id, *self._portions[0])
                    self._portions.popleft()
            except Failure as failure:
                log.warning("shadow_counts_wait", reason=failure.reason)
                return False
            return True

    async def report(self, deck_version: str, most_lines: int) -> ShadowReport:
        """What a shadow deck would have changed, as counted by all processes; the others' last
        second is still on its way. Raises StoreAway.
        """
        await self.flush()
        return await self._shadows.report(deck_version, most_lines)

    def _portioned(self) -> Iterator[_Portion]:
        """What waits, in portions of one deck each."""
        tallies, self._tallies = self._tallies, {}
        by_deck: dict[str, list[tuple[Pair, Tally]]] = {}
        for (deck_version, pair), tally in tallies.items():
            by_deck.setdefault(deck_version, []).append((pair, tally))
        for deck_version, lines in by_deck.items():
            for start in range(0, len(lines), LINES_A_COUNT):
                self._last_number += 1
                portion = dict(lines[start : start + LINES_A_COUNT])
                yield deck_version, self._last_number, portion

    def _complain(self) -> None:
        if self._uncounted:
            log.error("shadow_calls_not_counted", calls=self._uncounted)
            self._uncounted = 0


def _pair(live: Rate | None, shadow: Rate | None) -> Pair:
    return Pair(
        live.destination if live else "",
        live.prefix if live else "",
        shadow.destination if shadow else "",
        shadow.prefix if shadow else "",
    )
