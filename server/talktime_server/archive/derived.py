"""What follows from lines: a tenant's money, minutes, open calls, fundings, profiles and steps of its recharge.

The archiver takes from here what to write beside the lines of a batch, and the verification what should stand there after
all of them: the rules of what a line means are these, once.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from talktime_server.archive.chain import FIRST
from talktime_server.archive.lines import Line
from talktime_server.words import CallState, EntryKind

EMPTY_MAP = b"\x80"  # details of a line that has none, as MessagePack
_UNCOLLECTED = 3  # its place in a call's `done`
_TAKINGS = (EntryKind.REFUND, EntryKind.CHARGEBACK)
_CHARGES = (EntryKind.SETTLE, EntryKind.EXPIRE)

Key = tuple[str, str]  # of a tenant, and of what is its


@dataclass(slots=True)
class Sums:
    """A tenant's money after a line, in the columns of `balances`."""

    tenant_id: str
    version: int = 0
    hash: bytes = FIRST
    settled_micros: int = 0
    held_micros: int = 0
    postpaid_micros: int = 0
    postpaid_held_micros: int = 0
    loaded_micros: int = 0
    spent_micros: int = 0
    expired_micros: int = 0
    refunded_micros: int = 0
    uncollected_micros: int = 0
    abandoned_calls: int = 0
    entered_ms: int = 0
    lots: str = ""

    def add(self, line: Line, line_hash: bytes) -> None:
        """Goes on by one line."""
        entry = line.entry
        self.version, self.hash = entry.version, line_hash
        self.entered_ms = max(self.entered_ms, entry.entered_ms)
        self.settled_micros += entry.settled_delta_micros
        self.held_micros += entry.held_delta_micros
        self.postpaid_micros += entry.postpaid_delta_micros
        self.postpaid_held_micros += entry.postpaid_held_delta_micros
        self._sort(entry.kind, entry.settled_delta_micros)
        self.abandoned_calls += entry.kind is EntryKind.EXPIRE
        if entry.kind is EntryKind.SETTLE and line.call.get(b"done"):
            self.uncollected_micros += line.call[b"done"][_UNCOLLECTED]
        if b"lots" in line.details:
            self.lots = line.details[b"lots"].decode()

    def _sort(self, kind: EntryKind, settled: int) -> None:
        """Where money came from, and where it went."""
        if kind in (EntryKind.FUND, EntryKind.ADJUST):
            self.loaded_micros += settled
        elif kind in _CHARGES:
            self.spent_micros -= settled
        elif kind is EntryKind.LAPSE:
            self.expired_micros -= settled
        elif kind in _TAKINGS:
            self.refunded_micros -= settled

    def row(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)


@dataclass(slots=True)
class Minutes:
    """How a pool's month moved, in seconds, and when it last did."""

    used_seconds: int = 0
    held_seconds: int = 0
    entered_ms: int = 0


@dataclass(slots=True)
class Derived:
    """What follows from the lines that were added. Rows are as they are stored; a call that ended is None, and `refunded` is
    what was taken back by now of fundings whose own line came before these.
    """

    sums: dict[str, Sums] = field(default_factory=dict)
    minutes: dict[tuple[str, str, int], Minutes] = field(default_factory=dict)
    calls: dict[Key, bytes | None] = field(default_factory=dict)
    fundings: dict[Key, dict[str, Any]] = field(default_factory=dict)
    refunded: dict[Key, int] = field(default_factory=dict)
    profiles: dict[Key, dict[str, Any]] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)

    def of(self, tenant_id: str) -> Sums:
        """The tenant's sums so far."""
        return self.sums.setdefault(tenant_id, Sums(tenant_id))

    def add(self, line: Line, line_hash: bytes) -> None:
        """Goes on by one line; a tenant's lines come in their order."""
        self.of(line.entry.tenant_id).add(line, line_hash)
        self._move_minutes(line)
        if line.call:
            self._keep_call(line)
        if follow := _FOLLOWS.get(line.entry.kind):
            follow(self, line)

    def _move_minutes(self, line: Line) -> None:
        for moved in line.entry.pools:
            key = (line.entry.tenant_id, moved.pool_id, moved.month)
            row = self.minutes.setdefault(key, Minutes())
            row.used_seconds += moved.used_delta_seconds
            row.held_seconds += moved.held_delta_seconds
            row.entered_ms = line.entry.entered_ms

    def _keep_call(self, line: Line) -> None:
        is_open = line.call[b"state"] == CallState.OPEN.encode()
        key = (line.entry.tenant_id, line.entry.reference)
        self.calls[key] = line.entry.call if is_open else None

    def _keep_funding(self, line: Line) -> None:
        entry = line.entry
        self.fundings[entry.tenant_id, entry.reference] = {
            "tenant_id": entry.tenant_id,
            "funding_id": entry.reference,
            "kind": str(entry.kind),
            "amount_micros": entry.settled_delta_micros,
            "refunded_micros": 0,
            "details": entry.details or EMPTY_MAP,
            "entered_ms": entry.entered_ms,
        }

    def _take_back(self, line: Line) -> None:
        self._keep_funding(line)
        key = (line.entry.tenant_id, line.details.get(b"funding", b"").decode())
        total = line.details.get(b"total", 0)
        if key in self.fundings:
            self.fundings[key]["refunded_micros"] = total
        else:
            self.refunded[key] = total

    def _keep_profile(self, line: Line) -> None:
        said = line.details
        self.profiles[line.entry.tenant_id, line.entry.reference] = {
            "tenant_id": line.entry.tenant_id,
            "payer_id": line.entry.reference,
            "profile_version": said[b"version"],
            "body": said[b"body"].decode(),
            "counts": said[b"counts"].decode(),
            "epoch": int(said[b"epoch"]),
        }

    def _keep_step(self, line: Line) -> None:
        entry = line.entry
        self.steps.append(
            {
                "tenant_id": entry.tenant_id,
                "version": entry.version,
                "charge_id": entry.reference,
                "state": line.details.get(b"state", b"").decode(),
                "details": entry.details or EMPTY_MAP,
                "entered_ms": entry.entered_ms,
            }
        )


_FOLLOWS: dict[EntryKind, Callable[[Derived, Line], None]] = {
    EntryKind.FUND: Derived._keep_funding,
    EntryKind.ADJUST: Derived._keep_funding,
    EntryKind.REFUND: Derived._take_back,
    EntryKind.CHARGEBACK: Derived._take_back,
    EntryKind.PROFILE: Derived._keep_profile,
    EntryKind.RECHARGE: Derived._keep_step,
}
