"""What a tenant and its payers have open and have spent today and this month, added up again from lines: the limits on it
hold on after a store was rebuilt.

Calls a second are not counted again: that second is over.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import msgpack

from talktime_server.archive.days import DAY_MS
from talktime_server.archive.lines import Line
from talktime_server.ledger.meters import CONFERENCE_MARK, month_of
from talktime_server.ledger.packed import Fields
from talktime_server.ledger.records import Facts, Terms
from talktime_server.words import EntryKind, NumberClass

CONFERENCE_DAYS = 2  # how long a conference's budget is remembered after its last change (book.lua)
LOOK_BACK_MS = 35 * DAY_MS  # longer than any month
_CHARGES = (EntryKind.SETTLE, EntryKind.EXPIRE)
_COSTLY_CLASSES = (NumberClass.PREMIUM, NumberClass.SHARED_COST)  # whatever they cost (domain.md 8)
_STARTED = 6  # its place in a call's `first`


@dataclass(slots=True)
class Use:
    """What somebody has open, holds and has spent, in calls and micros."""

    open: int = 0
    held: int = 0
    day_spent: int = 0
    month_spent: int = 0
    costly: int = 0
    told: int = 0

    def numbers(self, now_ms: int) -> tuple[int, ...]:
        """As the scripts keep it (pack_use and pack_account in accounts.lua)."""
        parts = (self.open, self.held, now_ms // DAY_MS, self.day_spent, month_of(now_ms))
        return (*parts, self.month_spent, self.costly, self.told, 0, 0)

    def row(self, now_ms: int) -> bytes:
        """The same, of a payer."""
        return bytes(msgpack.packb(self.numbers(now_ms)))

    @property
    def says_something(self) -> bool:
        """Whether the scripts would keep it."""
        return self.open + self.month_spent + self.costly + self.told > 0


@dataclass(slots=True)
class Budget:
    """What a conference has used and holds, in micros, and on which day that last changed."""

    used: int = 0
    held: int = 0
    day: int = 0


@dataclass(slots=True)
class Spending:
    """A tenant's, as of `now_ms`, the time of its last line. Calls at or above the rate `costly_micros` count as costly (0:
    none does).
    """

    now_ms: int
    costly_micros: int = 0
    tenant: Use = field(default_factory=Use)
    payers: defaultdict[str, Use] = field(default_factory=lambda: defaultdict(Use))
    budgets: defaultdict[str, Budget] = field(default_factory=lambda: defaultdict(Budget))
    _ended_ms: dict[str, int] = field(default_factory=dict)
    _costly: set[str] = field(default_factory=set)
    _held: dict[str, int] = field(default_factory=dict)

    def add(self, line: Line, payer_id: str) -> None:
        """Goes on by one line; they come in their order."""
        entry = line.entry
        if entry.kind in _CHARGES:
            charge = entry.postpaid_delta_micros - entry.settled_delta_micros
            self._spend(payer_id, entry.reference, charge, entry.entered_ms)
        elif entry.kind is EntryKind.LIMIT and self._today(entry.entered_ms):
            (self.payers[entry.reference] if entry.reference else self.tenant).told = 1
        if line.call:
            self._count_costly(entry.reference, line.call, payer_id)
            self._follow_budget(line)

    def hold(self, call: Fields) -> None:
        """Counts a call that is open."""
        use = self.payers[call[b"payer"].decode()]
        use.open += 1
        use.held += _held(call)
        if call.get(b"conference"):
            self.budgets[call[b"conference"].decode()].held += _held(call)

    def rows(self) -> dict[str, bytes]:
        """The payers' rows, by payer."""
        return {
            payer_id: use.row(self.now_ms)
            for payer_id, use in self.payers.items()
            if use.says_something
        }

    def budget_rows(self) -> dict[str, str]:
        """The rows of conferences with a budget, by their names among the meters."""
        return {
            f"{CONFERENCE_MARK}{name}": f"{row.used} {row.held} {row.day}"
            for name, row in self.budgets.items()
            if row.held or row.day + CONFERENCE_DAYS >= self.now_ms // DAY_MS
        }

    def _today(self, at_ms: int) -> bool:
        return at_ms // DAY_MS == self.now_ms // DAY_MS

    def _spend(self, payer_id: str, call_id: str, charge: int, at_ms: int) -> None:
        # What is taken back was spent when the call ended before (spend in sources.lua).
        when_ms = at_ms if charge >= 0 else self._ended_ms.get(call_id, 0)
        self._ended_ms[call_id] = at_ms
        for use in (self.tenant, self.payers[payer_id]):
            if self._today(at_ms) and self._today(when_ms):
                use.day_spent = max(0, use.day_spent + charge)
            if month_of(at_ms) == month_of(self.now_ms) == month_of(when_ms):
                use.month_spent = max(0, use.month_spent + charge)

    def _count_costly(self, call_id: str, call: Fields, payer_id: str) -> None:
        first = call.get(b"first")
        if not (first and self._today(first[_STARTED]) and call_id not in self._costly):
            return
        number_class = Facts.unpack(call[b"facts"].decode()).number_class
        dear = 0 < self.costly_micros <= Terms(*call[b"terms"]).rate_per_minute_micros
        if dear or number_class in _COSTLY_CLASSES:
            self._costly.add(call_id)
            self.tenant.costly += 1
            self.payers[payer_id].costly += 1

    def _follow_budget(self, line: Line) -> None:
        """A budget that nothing holds is forgotten some days after its last change."""
        if not line.call.get(b"conference"):
            return
        entry, today = line.entry, line.entry.entered_ms // DAY_MS
        name = line.call[b"conference"].decode()
        row = self.budgets[name]
        if not self._held.get(name) and row.day + CONFERENCE_DAYS < today:
            row.used = 0
        if entry.kind in _CHARGES:
            charge = entry.postpaid_delta_micros - entry.settled_delta_micros
            row.used = max(0, row.used + charge)
        moved = entry.held_delta_micros + entry.postpaid_held_delta_micros
        self._held[name] = self._held.get(name, 0) + moved
        row.day = today


def _held(call: Fields) -> int:
    return int(call.get(b"held", 0)) + int(call.get(b"owed", 0))
