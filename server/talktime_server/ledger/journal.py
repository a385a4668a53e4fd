"""The journal read back: its lines, and the proof that money is conserved."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from talktime_server.failure import NotFound, StoreAway
from talktime_server.ledger import keys
from talktime_server.ledger.ledger import Balance, Ledger
from talktime_server.ledger.profiles import Tenant
from talktime_server.ledger.store import Store
from talktime_server.words import EntryKind

PAGE = 1000  # stream entries read at a time
MOST_SCANNED = (
    20_000  # stream entries looked at for one page: a shard's journal is shared by many tenants
)
CALLS_AT_ONCE = 100
ROUNDS = 5  # of a proof, when the tenant's calls keep moving


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal, in micros and seconds; `position` is its place in the shard's
    stream.
    """

    position: str
    version: int
    kind: EntryKind
    reference: str
    settled_delta_micros: int
    held_delta_micros: int
    seconds: int
    entered_ms: int


@dataclass(frozen=True, slots=True)
class Proof:
    """Three independent readings of a tenant's money. All differences are 0 when it is conserved."""

    balance: Balance
    held_difference_micros: int
    journal_difference_micros: int
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
            or self.version_gaps
        )


class Journal:
    """Reads the entries of tenants."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    async def page(
        self, tenant_id: str, after: str, count: int, reference: str = ""
    ) -> tuple[list[Entry], str]:
        """Up to `count` lines after a position, and the position to go on from, empty at the end."""
        found: list[Entry] = []
        scanned = 0
        async for position, entry in self._stream(tenant_id, after):
            scanned += 1
            if entry and reference in ("", entry.reference):
                found.append(entry)
            if len(found) == count or scanned == MOST_SCANNED:
                return found, position
        return found, ""

    async def prove(self, tenant: Tenant) -> Proof:
        """Reads balance, open calls and journal until none of them moved meanwhile. Raises
        StoreAway when they keep moving.
        """
        for _ in range(ROUNDS):
            balance = await self._ledger.balance(tenant)
            try:
                held = await self._held_by_calls(tenant.tenant_id)
            except NotFound:
                continue  # a call ended and its receipt with it, while we looked
            sums = await self._sums(tenant.tenant_id)
            if (await self._ledger.balance(tenant)).version == balance.version:
                settled_sum, held_sum, entries, gaps = sums
                held_difference = balance.money.held_micros - held
                journal_difference = abs(balance.money.settled_micros - settled_sum)
                journal_difference += abs(balance.money.held_micros - held_sum)
                gaps += abs(balance.version - entries)
                return Proof(balance, held_difference, journal_difference, entries, gaps)
        raise StoreAway("CONTENDED", "the tenant's calls keep moving; try at a quieter moment")

    async def _held_by_calls(self, tenant_id: str) -> int:
        ids = await self._store.command("ZRANGE", keys.open_calls(tenant_id), 0, -1)
        held = 0
        for start in range(0, len(ids), CALLS_AT_ONCE):
            shown = [
                self._ledger.show(tenant_id, call_id.decode())
                for call_id in ids[start : start + CALLS_AT_ONCE]
            ]
            held += sum([call.held_micros for call in await asyncio.gather(*shown)])
        return held

    async def _sums(self, tenant_id: str) -> tuple[int, int, int, int]:
        settled = held = entries = gaps = version = 0
        async for _, entry in self._stream(tenant_id, ""):
            if entry:
                settled += entry.settled_delta_micros
                held += entry.held_delta_micros
                entries += 1
                gaps += entry.version != version + 1
                version = entry.version
        return settled, held, entries, gaps

    async def _stream(self, tenant_id: str, after: str) -> AsyncIterator[tuple[str, Entry | None]]:
        """Every position of the tenant's shard, with the entry where it is the tenant's."""
        stream, wanted = keys.journal(keys.shard_of(tenant_id)), tenant_id.encode()
        while True:
            start = f"({after}" if after else "-"
            rows = await self._store.command("XRANGE", stream, start, "+", "COUNT", PAGE)
            for position, fields in rows:
                after = position.decode()
                yield after, _entry(after, fields, wanted)
            if len(rows) < PAGE:
                return


def _entry(position: str, fields: dict[bytes, bytes], tenant_id: bytes) -> Entry | None:
    if fields[b"t"] != tenant_id:
        return None
    return Entry(
        position,
        int(fields[b"v"]),
        EntryKind(fields[b"k"].decode()),
        fields[b"r"].decode(),
        int(fields[b"s"]),
        int(fields[b"h"]),
        int(fields[b"d"]),
        int(fields[b"at"]),
    )
