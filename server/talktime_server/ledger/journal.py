"""The journal read back: its lines, and the proof that money and minutes are conserved.

The store forgets lines that are in the archive. Whoever reads here does not notice: what is archived comes from there, and
the rest from the store. Between two looks lines may have moved from one to the other; a tenant's lines are numbered without
gaps, so that is seen, and looked at again.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from talktime_server.failure import NotFound, StoreAway
from talktime_server.ledger import keys
from talktime_server.ledger.entries import Entry, entry_of, tenant_of
from talktime_server.ledger.ledger import Ledger
from talktime_server.ledger.operations import Balance
from talktime_server.ledger.profiles import Tenant
from talktime_server.ledger.store import Store

PAGE = 1000  # stream entries read at a time
MOST_SCANNED = (
    20_000  # stream entries looked at for one page: a shard's journal is shared by many tenants
)
CALLS_AT_ONCE = 100
ROWS_LIVE_MS = 100 * 86_400_000  # of pools, after their last change (leave.lua)
ROUNDS = 5  # of a proof, when the tenant's calls keep moving


@dataclass(frozen=True, slots=True)
class Proof:
    """Three independent readings of a tenant's money and minutes. All differences are 0 when they
    are conserved.
    """

    balance: Balance
    held_difference_micros: int
    journal_difference_micros: int
    pool_difference_seconds: int
    postpaid_difference_micros: int
    entries: int
    version_gaps: int

    @property
    def difference_micros(self) -> int:
        """Loaded less every place that money can be."""
        b = self.balance
        gone = b.spent_micros + b.expired_micros + b.refunded_micros
        return b.loaded_micros - gone - b.money.held_micros - b.money.available_micros

    @property
    def conserved(self) -> bool:
        """Whether nothing was lost and nothing was made."""
        return not (
            self.difference_micros
            or self.held_difference_micros
            or self.journal_difference_micros
            or self.pool_difference_seconds
            or self.postpaid_difference_micros
            or self.version_gaps
        )


@dataclass(frozen=True, slots=True)
class Archived:
    """What a tenant's archived lines come to, up to and with `version` (0: none is archived). Minutes are used and held seconds
    and the time of the last change, by pool and month as "US/MCOPSTN1@202611".
    """

    version: int = 0
    settled_micros: int = 0
    held_micros: int = 0
    postpaid_micros: int = 0
    postpaid_held_micros: int = 0
    entered_ms: int = 0
    minutes: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)


class Earlier(Protocol):
    """The archive, as it is asked for what the store may have forgotten. Raises ArchiveAway."""

    async def version(self, tenant_id: str) -> int:
        """The number of the tenant's last archived line; 0: none is archived."""

    async def sums(self, tenant_id: str) -> Archived:
        """What the tenant's archived lines come to."""

    async def page(
        self, tenant_id: str, after_version: int, count: int, reference: str = ""
    ) -> list[Entry]:
        """Up to `count` archived lines with later versions, in their order."""


class Journal:
    """Reads the entries of tenants; without an archive, what the store has of them."""

    def __init__(self, store: Store, ledger: Ledger, earlier: Earlier | None = None) -> None:
        self._store = store
        self._ledger = ledger
        self._earlier = earlier

    async def page(
        self, tenant_id: str, after: str, count: int, reference: str = ""
    ) -> tuple[list[Entry], str]:
        """Up to `count` lines after a position, and the position to go on from, empty at the end. Raises
        ArchiveAway.
        """
        place = _Place.read(after)
        for patience in range(ROUNDS, 0, -1):
            # The last time what is missing is passed over: a listing shows what there is.
            strict = self._earlier is not None and patience > 1
            try:
                return await self._page(tenant_id, place, count, reference, strict=strict)
            except _Gap:
                place = _Place(place.version)  # what the stream has no more, the archive has by now
        raise AssertionError("the last round is not strict")

    async def prove(self, tenant: Tenant) -> Proof:
        """Reads balance, open calls and journal until none of them moved meanwhile. Raises
        StoreAway when they keep moving, and ArchiveAway.
        """
        for _ in range(ROUNDS):
            balance = await self._ledger.balance(tenant)
            try:
                held = await self._held_by_calls(tenant.tenant_id)
            except NotFound:
                continue  # a call ended and its receipt with it, while we looked
            moved = await self._moved(tenant.tenant_id)
            rows = await self._ledger.pool_rows(tenant.tenant_id)
            if (await self._ledger.balance(tenant)).version == balance.version:
                return _proof(balance, held, moved, rows)
        raise StoreAway("CONTENDED", "the tenant's calls keep moving; try at a quieter moment")

    async def _page(
        self, tenant_id: str, place: "_Place", count: int, reference: str, *, strict: bool
    ) -> tuple[list[Entry], str]:
        found, version = await self._archived(tenant_id, place, count, reference)
        if len(found) == count:
            return found, _Place(found[-1].version).text()
        scanned = 0
        async for position, entry in self._stream(tenant_id, place.position):
            scanned += 1
            if entry and entry.version > version:
                if strict and entry.version > version + 1:
                    raise _Gap
                version = entry.version
                if reference in ("", entry.reference):
                    found.append(entry)
            if len(found) == count or scanned == MOST_SCANNED:
                return found, _Place(version, position).text()
        if strict and await self._archived_beyond(tenant_id, version):
            raise _Gap
        return found, ""

    async def _archived(
        self, tenant_id: str, place: "_Place", count: int, reference: str
    ) -> tuple[list[Entry], int]:
        """What the archive has of a page, and the version up to which it was looked at. Who goes on in
        the stream was behind the archive before.
        """
        if self._earlier is None or place.position:
            return [], place.version
        # In this order: lines that are archived in between are found twice rather than never.
        last = await self._earlier.version(tenant_id)
        found = await self._earlier.page(tenant_id, place.version, count, reference)
        return found, max(place.version, last, *(entry.version for entry in found))

    async def _held_by_calls(self, tenant_id: str) -> "_Sums":
        ids = await self._store.command("ZRANGE", keys.open_calls(tenant_id), 0, -1)
        sums = _Sums()
        for start in range(0, len(ids), CALLS_AT_ONCE):
            shown = [
                self._ledger.show(tenant_id, call_id.decode())
                for call_id in ids[start : start + CALLS_AT_ONCE]
            ]
            for call in await asyncio.gather(*shown):
                sums.held += call.held_micros
                sums.postpaid_held += call.invoice_held_micros
                sums.pool_held += sum(part.held_seconds for part in call.slices)
        return sums

    async def _moved(self, tenant_id: str) -> "_Sums":
        """All lines added up; a gap behind the archive may be lines that just went there."""
        for _ in range(ROUNDS):
            archived = await self._earlier.sums(tenant_id) if self._earlier else Archived()
            sums = _Sums.of(archived)
            async for _, entry in self._stream(tenant_id, ""):
                if entry and entry.version > archived.version:
                    sums.add(entry)
            if not sums.gaps and not await self._archived_beyond(tenant_id, sums.version):
                break
        return sums

    async def _archived_beyond(self, tenant_id: str, version: int) -> bool:
        """Whether lines that the stream did not show went to the archive meanwhile."""
        earlier = self._earlier
        return earlier is not None and await earlier.version(tenant_id) > version

    async def _stream(self, tenant_id: str, after: str) -> AsyncIterator[tuple[str, Entry | None]]:
        """Every position of the tenant's shard, with the entry where it is the tenant's."""
        stream = keys.journal(keys.shard_of(tenant_id))
        while True:
            start = f"({after}" if after else "-"
            rows = await self._store.command("XRANGE", stream, start, "+", "COUNT", PAGE)
            for position, fields in rows:
                after = position.decode()
                yield after, entry_of(after, fields) if tenant_of(fields) == tenant_id else None
            if len(rows) < PAGE:
                return


class _Gap(Exception):
    """The stream does not go on where the archive ended."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a listing is: behind a version of the tenant, and in the stream behind a position."""

    version: int
    position: str = ""

    @classmethod
    def read(cls, text: str) -> "_Place":
        """What `text` gave; the talktime before this one gave the position alone."""
        version, _, position = text.partition(" ")
        return cls(int(version), position) if version.isdigit() else cls(0, version)

    def text(self) -> str:
        return f"{self.version} {self.position}".rstrip()


@dataclass(slots=True)
class _Sums:
    """What open calls hold, or what the lines of the journal come to."""

    settled: int = 0
    held: int = 0
    postpaid: int = 0
    postpaid_held: int = 0
    pool_held: int = 0
    minutes: Counter[tuple[str, str]] = field(default_factory=Counter)
    moved_ms: dict[str, int] = field(default_factory=dict)
    newest_ms: int = 0
    entries: int = 0
    gaps: int = 0
    version: int = 0

    @classmethod
    def of(cls, archived: Archived) -> "_Sums":
        """What comes before the lines that the store has."""
        sums = cls(
            archived.settled_micros,
            archived.held_micros,
            archived.postpaid_micros,
            archived.postpaid_held_micros,
            newest_ms=archived.entered_ms,
            entries=archived.version,
            version=archived.version,
        )
        for name, (used, held, at_ms) in archived.minutes.items():
            sums.minutes[name, "used"], sums.minutes[name, "held"] = used, held
            sums.moved_ms[name] = at_ms
        return sums

    def add(self, entry: Entry) -> None:
        self.settled += entry.settled_delta_micros
        self.held += entry.held_delta_micros
        self.postpaid += entry.postpaid_delta_micros
        self.postpaid_held += entry.postpaid_held_delta_micros
        for pool in entry.pools:
            self.minutes[f"{pool.pool_id}@{pool.month}", "used"] += pool.used_delta_seconds
            self.minutes[f"{pool.pool_id}@{pool.month}", "held"] += pool.held_delta_seconds
            self.moved_ms[f"{pool.pool_id}@{pool.month}"] = entry.entered_ms
        self.newest_ms = entry.entered_ms
        self.entries += 1
        self.gaps += entry.version != self.version + 1
        self.version = entry.version


def _proof(balance: Balance, held: _Sums, moved: _Sums, rows: dict[str, tuple[int, int]]) -> Proof:
    money = balance.money
    # A row may be dropped when it holds nothing and is old; any other that is missing is lost.
    dropped = {n for n, at in moved.moved_ms.items() if at + ROWS_LIVE_MS < moved.newest_ms}
    minutes = 0
    for name in rows.keys() | moved.moved_ms.keys() - dropped:
        used, in_use = rows.get(name, (0, 0))
        minutes += abs(moved.minutes[name, "used"] - used)
        minutes += abs(moved.minutes[name, "held"] - in_use)
    minutes += abs(sum(in_use for _, in_use in rows.values()) - held.pool_held)
    postpaid = abs(balance.postpaid_micros - moved.postpaid)
    postpaid += abs(balance.postpaid_held_micros - moved.postpaid_held)
    postpaid += abs(balance.postpaid_held_micros - held.postpaid_held)
    return Proof(
        balance,
        money.held_micros - held.held,
        abs(money.settled_micros - moved.settled) + abs(money.held_micros - moved.held),
        minutes,
        postpaid,
        moved.entries,
        moved.gaps + abs(balance.version - moved.entries),
    )
