"""What shadow decks would have changed, as stored: added up over all processes, kept for 90 days
after the last call.
"""

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from talktime_server.ledger import keys
from talktime_server.ledger.store import Script, Store

LINES_A_COUNT = 200  # in one script call, so that it holds the store no longer than other scripts
_FIELDS_A_LOOK = 1_000
_TOTAL = "total"  # no field of a line is like this: it has separators


class Pair(NamedTuple):
    """A destination by the live deck and by the shadow deck; a side is empty where its deck had no
    rate. A tuple, as decisions count under it.
    """

    live_destination: str
    live_prefix: str
    shadow_destination: str
    shadow_prefix: str


@dataclass(slots=True)
class Tally:
    """Calls, those of them whose prices differ, and what their talk time costs by either deck."""

    calls: int = 0
    differing_calls: int = 0
    live_micros: int = 0
    shadow_micros: int = 0

    def add(self, other: "Tally") -> None:
        """Adds another tally to this one."""
        self.calls += other.calls
        self.differing_calls += other.differing_calls
        self.live_micros += other.live_micros
        self.shadow_micros += other.shadow_micros


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """The calls that a shadow deck priced too, and the pairs that differ, the largest difference
    first.
    """

    total: Tally
    lines: tuple[tuple[Pair, Tally], ...]


class Shadows:
    """Adds to the counts of shadow decks, and reads them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._count = Script(store, "count_shadow")

    async def add(
        self, counter_id: str, deck_version: str, number: int, lines: Mapping[Pair, Tally]
    ) -> None:
        """Adds what a counter counted, at most LINES_A_COUNT lines. `number` grows with each count
        of the counter: the same one again adds nothing. Raises StoreAway.
        """
        assert 0 < len(lines) <= LINES_A_COUNT
        total = Tally()
        for tally in lines.values():
            total.add(tally)
        stored = [[_field(pair), _numbers(tally)] for pair, tally in lines.items()]
        text = json.dumps([[_TOTAL, _numbers(total)], *stored], separators=(",", ":"))
        names = (keys.shadow_counts(deck_version), keys.shadow_mark(counter_id))
        await self._count(names, (str(number), text))

    async def report(self, deck_version: str, most_lines: int) -> ShadowReport:
        """The counts of a deck with at most so many lines; zeros for one that never was a shadow."""
        total = Tally()
        lines: dict[Pair, Tally] = {}
        async for field, text in self._fields(keys.shadow_counts(deck_version)):
            tally = Tally(*map(int, text.split()))
            if field == _TOTAL:
                total = tally
            elif tally.differing_calls:
                lines[Pair(*field.split("\t"))] = tally
        largest = heapq.nsmallest(most_lines, lines.items(), key=_largest_first)
        return ShadowReport(total, tuple(largest))

    async def _fields(self, name: str) -> Any:
        """Each field with its value; one may come twice, as the hash may grow meanwhile."""
        cursor = 0
        while True:
            ask = ("HSCAN", name, cursor, "COUNT", _FIELDS_A_LOOK)
            position, found = await self._store.command(*ask)
            for field, text in _pairs(found):
                yield field.decode(), text.decode()
            cursor = int(position)
            if cursor == 0:
                return


def _pairs(found: Any) -> Iterable[tuple[bytes, bytes]]:
    """The driver gives the fields of HSCAN as a mapping, or flat."""
    return found.items() if isinstance(found, dict) else _two_by_two(found)


def _two_by_two(flat: Any) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _field(pair: Pair) -> str:
    # Destinations are printable, so they have no tab.
    return "\t".join(pair)


def _numbers(tally: Tally) -> list[int]:
    return [tally.calls, tally.differing_calls, tally.live_micros, tally.shadow_micros]


def _largest_first(line: tuple[Pair, Tally]) -> tuple[int, int, str]:
    pair, tally = line
    return -abs(tally.shadow_micros - tally.live_micros), -tally.calls, _field(pair)
