"""What the plain ledger counts beside money: minutes of pools, money spent by day and month, calls begun.

Nothing is kept as a sum: every figure is added up anew from the calls and from what happened.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import ceil

from ledger.plain_call import DAY_MS, PlainCall, month_of
from ledger.plain_price import Share
from talktime_server.ledger.profiles import Tenant
from talktime_server.ledger.records import Pool, Slice
from talktime_server.words import Reason


@dataclass(frozen=True, slots=True)
class Charge:
    """Money charged for a call, or given back, at one moment."""

    at_ms: int
    payer: str
    conference: str
    micros: int
    made_ms: int  # of one that is taken back, when it was made


@dataclass(frozen=True, slots=True)
class Start:
    """A call that began."""

    at_ms: int
    payer: str
    costly: bool


@dataclass(slots=True)
class PlainMeters:
    """Licences assigned by name, and what happened; `rows` says on which day a pool's or a conference's row moved last."""

    licenses: dict[str, int] = field(default_factory=dict)
    charges: list[Charge] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    told: set[tuple[int, str, str]] = field(default_factory=set)
    rows: dict[str, int] = field(default_factory=dict)

    def touch(self, call: PlainCall, parts: list[Slice], now_ms: int) -> None:
        """Notes which pools it moves that a call's slices become these."""
        before = {part.pool_id: part for part in call.parts}
        after = {part.pool_id: part for part in parts}
        for pool_id in before.keys() | after.keys():
            if before.get(pool_id) != after.get(pool_id):
                self.rows[f"{pool_id}@{call.month}"] = now_ms // DAY_MS
        if call.conference:
            self.rows[f"c:{call.conference}"] = now_ms // DAY_MS

    def forget(self, conference: str) -> None:
        """Drops the row of a conference's budget; what was charged for its legs counts elsewhere on."""
        del self.rows[f"c:{conference}"]
        self.charges = [
            replace(charge, conference="") if charge.conference == conference else charge
            for charge in self.charges
        ]

    def spent(
        self, now_ms: int, *, by_month: bool, payer: str | None = None, conference: str = ""
    ) -> int:
        """What was charged today or this month; what is given back never makes it less than nothing."""
        total = 0
        for charge in self.charges:
            moments = {charge.at_ms, charge.made_ms} if charge.micros < 0 else {charge.at_ms}
            same_day = all(moment // DAY_MS == now_ms // DAY_MS for moment in moments)
            same_month = all(month_of(moment) == month_of(now_ms) for moment in moments)
            now = bool(conference) or (same_month if by_month else same_day)
            whose = payer in (None, charge.payer) and conference in ("", charge.conference)
            if now and whose:
                total = max(0, total + charge.micros)
        return total

    def begun(self, now_ms: int, window_ms: int, payer: str | None = None) -> int:
        return sum(
            start.at_ms // window_ms == now_ms // window_ms
            for start in self.starts
            if payer in (None, start.payer)
        )

    def costly(self, now_ms: int, payer: str | None = None) -> int:
        return sum(
            start.costly and start.at_ms // DAY_MS == now_ms // DAY_MS
            for start in self.starts
            if payer in (None, start.payer)
        )


def minutes(calls: Iterable[PlainCall], pool_id: str, month: int) -> tuple[int, int]:
    """What is used and held of a pool in a month."""
    parts = [p for call in calls if call.month == month for p in call.parts if p.pool_id == pool_id]
    return sum(part.used_seconds for part in parts), sum(part.held_seconds for part in parts)


def room(meters: PlainMeters, calls: list[PlainCall], pool: Pool, month: int) -> int:
    """What anybody may still draw from a pool."""
    count = pool.bought
    if pool.counted:
        count = max(count, meters.licenses.get(pool.counted, 0))
    if pool.closed_with and count * pool.closed_with_seconds <= sum(
        minutes(calls, pool.closed_with, month)
    ):
        return 0
    return max(0, count * pool.seconds_per_license - sum(minutes(calls, pool.pool_id, month)))


def spread(rooms: dict[str, int], seconds: int) -> tuple[Share, ...]:
    """Lays a talk time over pools in order, in whole minutes."""
    shares = []
    for pool_id, free in rooms.items():
        takes = min(ceil(seconds / 60) * 60, free)
        talk = min(seconds, takes)
        seconds -= talk
        shares.append(Share(pool_id, takes, talk))
    return tuple(shares)


def payer_limits(settings: Tenant, payer: str) -> tuple[int, int]:
    """How many calls a payer may begin, and in how many ms."""
    if payer:
        return settings.max_calls_per_second_per_payer, 1000
    return settings.max_unassigned_calls_per_minute, 60_000


def too_many(
    meters: PlainMeters, settings: Tenant, payer: str, now_ms: int, *, costly: bool
) -> tuple[Reason | None, str]:
    """A limit on beginnings that is reached, and whose it is where that is told."""
    own_rate, window_ms = payer_limits(settings, payer)
    rate = settings.max_calls_per_second
    if (rate and meters.begun(now_ms, 1000) >= rate) or (
        own_rate and meters.begun(now_ms, window_ms, payer) >= own_rate
    ):
        return Reason.CALL_LIMIT, ""
    most, own_most = settings.max_costly_calls_per_day, settings.max_costly_calls_per_day_per_payer
    if costly and most and meters.costly(now_ms) >= most:
        return Reason.SPEND_LIMIT, "tenant"
    if costly and payer and own_most and meters.costly(now_ms, payer) >= own_most:
        return Reason.SPEND_LIMIT, "payer"
    return None, ""
