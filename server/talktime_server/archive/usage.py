"""The follower that keeps the usage report's rows: what calls were, what they cost, and who paid.

Rows follow from the lines that end a call with a charge, SETTLE and EXPIRE. A call that is charged
again (a settle that comes after its hold expired) has its rows replaced by those of the later line;
a line that comes twice makes the same rows twice. Names and countries are those of the profiles as
they stood at the line, however the lines are cut into batches.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import bindparam, delete, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive.schema import entries, profiles, usage_rows
from talktime_server.archive.stretches import Catalogue, Ended, UsageFields, rows_of
from talktime_server.ledger.entries import Entry
from talktime_server.ledger.packed import call_of, fields_of
from talktime_server.ledger.profiles import Payer, Tenant, payer_of, tenant_of
from talktime_server.ledger.records import Call
from talktime_server.words import EntryKind

READ_AT_ONCE = 500  # profiles in one statement
LINES_AT_ONCE = 100  # worked out before others in this process have their turn
_Key = tuple[str, str]  # tenant, and payer or "" for the tenant itself
# A call by its tenant, its id and its beginning.
_CallKey = tuple[str, str, int]

_FORGET = delete(usage_rows).where(
    usage_rows.c.tenant_id == bindparam("of_tenant"),
    usage_rows.c.call_id == bindparam("of_call"),
    usage_rows.c.ended_ms >= bindparam("since_ms"),
)


class UsageFollower:
    """Writes the usage rows that follow from lines of the journal, in the transaction that adds them."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def follow(self, connection: AsyncConnection, lines: Sequence[Entry]) -> None:
        """Reads lines in the order of the journal; safe to do again."""
        calls = [call_of(line.call) if _charges(line) else None for line in lines]
        wanted = {
            (line.tenant_id, payer_id)
            for line, call in zip(lines, calls, strict=True)
            if call
            for payer_id in ("", call.facts.payer_id)
        }
        if not wanted:
            return
        standing = await _standing(connection, lines, wanted)
        found: dict[_CallKey, list[UsageFields]] = {}
        for number, (line, call) in enumerate(zip(lines, calls, strict=True)):
            if number % LINES_AT_ONCE == LINES_AT_ONCE - 1:
                await asyncio.sleep(0)
            if call:
                ended = standing.ended(line, call)
                key = (line.tenant_id, line.reference, ended.since_ms)
                found[key] = rows_of(ended, self._catalogue)
            elif line.kind is EntryKind.PROFILE:
                standing.change(line)
        await _write(connection, found)


async def _write(connection: AsyncConnection, found: dict[_CallKey, list[UsageFields]]) -> None:
    names = ("of_tenant", "of_call", "since_ms")
    await connection.execute(_FORGET, [dict(zip(names, key, strict=True)) for key in found])
    if rows := [row for rows in found.values() for row in rows]:
        await connection.execute(insert(usage_rows), rows)


def _charges(line: Entry) -> bool:
    """Whether a line says what a call cost. An expiry that charged no talk time charged nothing, and
    what the call was charged before it stays.
    """
    if not line.call:
        return False
    expired = line.kind is EntryKind.EXPIRE and line.seconds > 0
    return expired or line.kind is EntryKind.SETTLE


@dataclass(slots=True)
class _Standing:
    """Profiles as they stand at the line that is read; `wanted` are those that anybody asks for."""

    wanted: set[_Key]
    bodies: dict[_Key, str] = field(default_factory=dict)
    _tenants: dict[str, Tenant] = field(default_factory=dict)
    _payers: dict[_Key, Payer] = field(default_factory=dict)

    def change(self, line: Entry) -> None:
        key = (line.tenant_id, line.reference)
        if key in self.wanted:
            self.bodies[key] = _body(line.details)
            self._tenants.pop(line.tenant_id, None)
            self._payers.pop(key, None)

    def ended(self, line: Entry, call: Call) -> Ended:
        """A call that a line ended, with whose it is as of now."""
        payer = self._payer(line.tenant_id, call.facts.payer_id)
        return Ended(line, call, self._tenant(line.tenant_id), payer)

    def _tenant(self, tenant_id: str) -> Tenant | None:
        known, body = self._tenants.get(tenant_id), self.bodies.get((tenant_id, ""))
        if known is None and body is not None:
            known = self._tenants[tenant_id] = tenant_of(body, 0)
        return known

    def _payer(self, tenant_id: str, payer_id: str) -> Payer | None:
        key = (tenant_id, payer_id)
        known, body = self._payers.get(key), self.bodies.get(key) if payer_id else None
        if known is None and body is not None:
            known = self._payers[key] = payer_of(body, 0)
        return known


async def _standing(
    connection: AsyncConnection, lines: Iterable[Entry], wanted: set[_Key]
) -> _Standing:
    """Profiles as they stood before the first of these lines. The table has them as they are now, so
    those that change on the way are looked up in the journal.
    """
    standing = _Standing(wanted)
    changed: dict[_Key, Entry] = {}
    for line in lines:
        if line.kind is EntryKind.PROFILE and (line.tenant_id, line.reference) in wanted:
            changed.setdefault((line.tenant_id, line.reference), line)
    still = sorted(wanted - changed.keys())
    for start in range(0, len(still), READ_AT_ONCE):
        standing.bodies |= await _bodies(connection, still[start : start + READ_AT_ONCE])
    for key, line in changed.items():
        # What has no line before this one was made by it, or is older than the archive: then it is the nearest there is.
        standing.bodies[key] = _body(await _details_before(connection, line) or line.details)
    return standing


async def _bodies(connection: AsyncConnection, keys: Sequence[_Key]) -> dict[_Key, str]:
    columns = profiles.c.tenant_id, profiles.c.payer_id
    ask = select(*columns, profiles.c.body).where(tuple_(*columns).in_(keys))
    return {
        (tenant_id, payer_id): body for tenant_id, payer_id, body in await connection.execute(ask)
    }


async def _details_before(connection: AsyncConnection, line: Entry) -> bytes | None:
    ask = (
        select(entries.c.details)
        .where(
            entries.c.tenant_id == line.tenant_id,
            entries.c.reference_id == line.reference,
            entries.c.kind == EntryKind.PROFILE.value,
            entries.c.version < line.version,
        )
        .order_by(entries.c.version.desc())
        .limit(1)
    )
    return (await connection.execute(ask)).scalar()


def _body(details: bytes) -> str:
    body: bytes = fields_of(details)[b"body"]
    return body.decode()
