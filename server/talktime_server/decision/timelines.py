"""Which deck is in force where, told what time it is by the store's clock; and that clock, told from
the process's own. Nothing here asks anybody.
"""

from collections import Counter
from collections.abc import Iterator
from math import inf

from talktime_server.ledger.decks import Scope, Timeline, remaining

_READING_MS = 0.5  # the store's clock is read in whole milliseconds
# A reading is doubted more the older it is, so that a new one takes its place in the end.
_AGING = 1.2


class StoreClock:
    """Shows the store's time without asking it: the process's clock, and how far it is off."""

    def __init__(self) -> None:
        self._offset_ms = 0.0
        self._doubt_ms = inf

    def hear(self, store_ms: int, asked_s: float, answered_s: float) -> None:
        """Takes a reading, made between two moments of the process's clock; the closer these are,
        the better it is.
        """
        doubt_ms = (answered_s - asked_s) * 500 + _READING_MS
        offset_ms = store_ms + _READING_MS - (asked_s + answered_s) * 500
        self._doubt_ms *= _AGING
        was_set = abs(offset_ms - self._offset_ms) > doubt_ms + self._doubt_ms
        if doubt_ms <= self._doubt_ms or was_set:
            self._offset_ms, self._doubt_ms = offset_ms, doubt_ms

    def store_ms(self, process_s: float) -> float:
        """The store's time at a moment of the process's clock."""
        return process_s * 1000 + self._offset_ms

    def process_s(self, store_ms: float) -> float:
        """The moment of the process's clock at which the store's shows a time."""
        return (store_ms - self._offset_ms) / 1000


class Timelines:
    """What is in force, and planned, in every scope. A change costs what changes: thousands of
    tenants may have decks of their own.
    """

    def __init__(self) -> None:
        self._by_scope: dict[Scope, Timeline] = {}
        self._due_ms: dict[Scope, float] = {}
        self._uses: Counter[str] = Counter()

    def put(self, scope: Scope, timeline: Timeline) -> None:
        """Replaces the timeline of a scope; it counts from the next turn on."""
        self._replace(scope, timeline)
        self._due_ms[scope] = -inf

    def forget(self) -> None:
        """Empties every timeline; the next turn tells."""
        for scope in list(self._by_scope):
            self.put(scope, ())

    def turn(self, now_ms: float) -> Iterator[tuple[Scope, str]]:
        """The scopes where a switch was due, each with the version of the deck that is in force
        now, empty for none.
        """
        for scope in [scope for scope, due_ms in self._due_ms.items() if due_ms <= now_ms]:
            left = remaining(self._by_scope.get(scope, ()), now_ms)
            started = left[:1] if left and left[0].from_ms <= now_ms else ()
            ahead = left[len(started) :]
            del self._due_ms[scope]
            if ahead:
                self._due_ms[scope] = ahead[0].from_ms
            self._replace(scope, left)
            yield scope, started[0].deck_version if started else ""

    def next_turn_ms(self) -> float:
        """When the next switch is due; infinite when none is planned."""
        return min(self._due_ms.values(), default=inf)

    def versions(self) -> set[str]:
        """The decks that are in force or planned anywhere."""
        return {version for version in self._uses if version}

    def _replace(self, scope: Scope, timeline: Timeline) -> None:
        """Keeps no timeline that names no deck: most tenants have none of their own."""
        kept = timeline if any(switch.deck_version for switch in timeline) else ()
        before = self._by_scope.pop(scope, ())
        if kept:
            self._by_scope[scope] = kept
        self._count(kept, 1)
        self._count(before, -1)

    def _count(self, timeline: Timeline, one: int) -> None:
        for switch in timeline:
            self._uses[switch.deck_version] += one
            if not self._uses[switch.deck_version]:
                del self._uses[switch.deck_version]
