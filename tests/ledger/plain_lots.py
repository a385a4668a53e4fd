"""The plain ledger's lots: what is left of each funding, and what of it is lost."""

from dataclasses import dataclass, field

from ledger.plain_call import DAY_MS, PlainCall
from talktime_server.ledger.operations import Lot

LIFE_MS = 365 * DAY_MS
MOST_LOTS = 200


@dataclass(slots=True)
class PlainLot:
    """A funding and what is left of it."""

    lot_id: str
    left: int
    expires_ms: int
    amount: int
    funded_ms: int

    def shown(self) -> Lot:
        return Lot(self.lot_id, self.left, self.expires_ms, self.amount, self.funded_ms)


@dataclass(slots=True)
class PlainLots:
    """Spent oldest first. `next_ms` is when somebody has to look again, `cut_ms` when a lot's time was last over, which ended
    a generation of calls.
    """

    lots: list[PlainLot] = field(default_factory=list)
    next_ms: int = 0
    cut_ms: int = 0
    generation: int = 0

    def over(self, now_ms: int) -> bool:
        return 0 < self.next_ms <= now_ms

    def look(self, settled: int, now_ms: int) -> None:
        """What was charged since somebody looked comes off the oldest; what was given back goes on it."""
        change = max(0, settled) - sum(lot.left for lot in self.lots)
        for lot in self.lots:
            moved = max(change, -lot.left)
            lot.left, change = lot.left + moved, change - moved
        if change:
            self.next_ms = self.next_ms or now_ms + LIFE_MS
            self.lots = [PlainLot("before", change, self.next_ms, change, now_ms)]

    def keep(self) -> None:
        self.lots = [lot for lot in self.lots if lot.left]
        self.next_ms = min((lot.expires_ms for lot in self.lots), default=0)

    def add(self, lot: PlainLot) -> None:
        if len(self.lots) < MOST_LOTS:
            self.lots.append(lot)
            return
        newest = self.lots[-1]
        newest.left, newest.amount = newest.left + lot.left, newest.amount + lot.amount
        newest.expires_ms = max(newest.expires_ms, lot.expires_ms)

    def newly_over(self, now_ms: int) -> bool:
        return any(lot.left and self.cut_ms < lot.expires_ms <= now_ms for lot in self.lots)

    def lose(self, calls: list[PlainCall], now_ms: int) -> int:
        """Takes out what is over and not held since before: holds lie on the oldest money."""
        pinned = sum(call.hold for call in calls if call.generation < self.generation)
        lost = before = 0
        for lot in self.lots:
            left = lot.left
            if lot.expires_ms <= now_ms:
                lot.left = max(0, min(left, pinned - before))
            before += left
            lost += left - lot.left
        return lost

    def take_from(self, lot_id: str, amount: int) -> int:
        """Takes up to this much from one lot; returns what it had."""
        taken = 0
        for lot in self.lots:
            if lot.lot_id == lot_id:
                taken = min(lot.left, amount)
                lot.left -= taken
        return taken
