"""Lines added to the archive, with all that follows from them, inside one transaction.

A tenant's lines are numbered without gaps. The next number is added; a number that is there already must be the very same
line, and is passed over; a number too far on means that a line is missing, and nothing is added.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Table, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive import schema
from talktime_server.archive.chain import next_hash
from talktime_server.archive.derived import Derived, Sums
from talktime_server.archive.inserting import inserting
from talktime_server.archive.lines import ABOUT_CALLS, OWN, Line, Row, row_of
from talktime_server.ledger.entries import Entry

MOST_NAMED = 500  # values in one question: SQLite takes no more than some thousands


class Missing(Exception):
    """A line of the tenant is not where it should be."""

    def __init__(self, shard: int, tenant_id: str, version: int) -> None:
        super().__init__(f"tenant {tenant_id}: line {version} is missing in the journal")
        self.shard = shard


class Different(Exception):
    """The journal and the archive say different things of a line."""

    def __init__(self, shard: int, tenant_id: str, version: int) -> None:
        super().__init__(
            f"tenant {tenant_id}: line {version} was archived with another content: the store was set "
            "back behind its archive; empty it, and restore it with `talktime archive rebuild`"
        )
        self.shard = shard


@dataclass(slots=True)
class Batch:
    """Lines that are new, with what follows from them."""

    derived: Derived
    rows: list[dict[str, Any]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    known: list[tuple[int, Entry]] = field(default_factory=list)  # there already, by shard

    def judge(self, shard: int, line: Line, payer_id: str) -> None:
        """Takes a line in, or notes that it is there already. Raises Missing."""
        entry = line.entry
        sums = self.derived.of(entry.tenant_id)
        if entry.version > sums.version + 1:
            raise Missing(shard, entry.tenant_id, sums.version + 1)
        if entry.version <= sums.version:
            self.known.append((shard, entry))
            return
        row = row_of(entry) | {"payer_id": payer_id}
        row["hash"] = next_hash(sums.hash, row)
        self.derived.add(line, row["hash"])
        self.rows.append(row)
        self.entries.append(entry)


async def add(
    connection: AsyncConnection, pages: Sequence[tuple[int, Sequence[Entry]]]
) -> list[Entry]:
    """Adds the lines of shards in their order; gives those that are new. Raises Missing and Different
    for the first that is wrong: the transaction must then be rolled back.
    """
    tenants = {entry.tenant_id for _, entries in pages for entry in entries}
    batch = Batch(Derived(await _sums(connection, sorted(tenants))))
    lines = [(shard, Line.of(entry)) for shard, entries in pages for entry in entries]
    payers = await _payers(connection, [line for _, line in lines])
    for shard, line in lines:
        batch.judge(shard, line, payers.get((line.entry.tenant_id, line.entry.reference), ""))
    await _compare(connection, batch)
    if batch.rows:
        await connection.execute(insert(schema.entries), batch.rows)
        await _write(connection, batch.derived, {entry.tenant_id for entry in batch.entries})
    return batch.entries


async def _sums(connection: AsyncConnection, tenants: Sequence[str]) -> dict[str, Sums]:
    table = schema.balances
    found: dict[str, Sums] = {}
    for part in _parts(tenants):
        rows = await connection.execute(select(table).where(table.c.tenant_id.in_(part)))
        found |= {row["tenant_id"]: Sums(**row) for row in rows.mappings()}
    return found


async def _payers(connection: AsyncConnection, lines: Sequence[Line]) -> dict[tuple[str, str], str]:
    """Who pays for the calls of these lines. Of the lines that one script wrote about a call, only the
    last brings it along; those of before the archive bring nothing.
    """
    found = {
        (line.entry.tenant_id, line.entry.reference): line.call[b"payer"].decode()
        for line in lines
        if line.call
    }
    about = {
        (line.entry.tenant_id, line.entry.reference)
        for line in lines
        if line.entry.kind in ABOUT_CALLS
    }
    table = schema.entries
    for tenant_id, call_id in sorted(about - found.keys()):
        asked = select(table.c.payer_id).where(
            table.c.tenant_id == tenant_id, table.c.reference_id == call_id, table.c.payer_id != ""
        )
        payer_id = (await connection.execute(asked.limit(1))).scalar()
        found[tenant_id, call_id] = payer_id or ""
    return {key: found[key] for key in about}


async def _compare(connection: AsyncConnection, batch: Batch) -> None:
    """Lines that are there already must be the same ones (a store that was set back writes others
    under the numbers it has forgotten). Raises Different.
    """
    table = schema.entries
    by_tenant: dict[str, dict[int, tuple[int, dict[str, Any]]]] = {}
    for shard, entry in batch.known:
        versions = by_tenant.setdefault(entry.tenant_id, {})
        row = row_of(entry)
        if versions.setdefault(entry.version, (shard, row))[1] != row:
            raise Different(shard, entry.tenant_id, entry.version)
    new = {(row["tenant_id"], row["version"]): row for row in batch.rows}
    for tenant_id, versions in by_tenant.items():
        there: dict[int, dict[str, Any]] = {}
        for part in _parts(sorted(versions)):
            asked = select(table).where(table.c.tenant_id == tenant_id, table.c.version.in_(part))
            rows = await connection.execute(asked)
            there |= {row["version"]: dict(row) for row in rows.mappings()}
        for version, (shard, row) in versions.items():
            kept = there.get(version) or new.get((tenant_id, version))
            if kept is None or any(kept[name] != row[name] for name in OWN):
                raise Different(shard, tenant_id, version)


async def _write(connection: AsyncConnection, derived: Derived, tenants: set[str]) -> None:
    sums = [derived.sums[tenant_id].row() for tenant_id in sorted(tenants)]
    await _put(connection, schema.balances, sums)
    minutes = [
        dict(zip(("tenant_id", "pool_id", "month"), key, strict=True)) | asdict(row)
        for key, row in sorted(derived.minutes.items())
    ]
    await _put(connection, schema.pool_rows, minutes, added=("used_seconds", "held_seconds"))
    await _write_calls(connection, derived.calls)
    await _put(connection, schema.fundings, list(derived.fundings.values()))
    await _take_back(connection, derived.refunded)
    await _put(connection, schema.profiles, list(derived.profiles.values()))
    if derived.steps:
        await connection.execute(insert(schema.recharge_steps), derived.steps)


async def _write_calls(
    connection: AsyncConnection, calls: Mapping[tuple[str, str], bytes | None]
) -> None:
    table = schema.open_calls
    still_open = [
        {"tenant_id": tenant_id, "call_id": call_id, "call": call}
        for (tenant_id, call_id), call in calls.items()
        if call
    ]
    await _put(connection, table, still_open)
    ended = [{"tenant": key[0], "name": key[1]} for key, call in calls.items() if not call]
    if ended:
        which = (table.c.tenant_id == bindparam("tenant"), table.c.call_id == bindparam("name"))
        await connection.execute(delete(table).where(*which), ended)


async def _take_back(connection: AsyncConnection, refunded: Mapping[tuple[str, str], int]) -> None:
    if refunded:
        table = schema.fundings
        which = (table.c.tenant_id == bindparam("tenant"), table.c.funding_id == bindparam("name"))
        change = update(table).where(*which).values(refunded_micros=bindparam("total"))
        rows = [{"tenant": t, "name": name, "total": n} for (t, name), n in refunded.items()]
        await connection.execute(change, rows)


async def _put(
    connection: AsyncConnection, table: Table, rows: Sequence[Row], added: Iterable[str] = ()
) -> None:
    """Adds rows, or puts them in place of those with the same key; `added` columns are added up."""
    if not rows:
        return
    statement = inserting(connection, table)
    keys = [column.name for column in table.primary_key]
    rest = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    rest |= {name: table.c[name] + statement.excluded[name] for name in added}
    await connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=rest), rows)


def _parts(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (values[n : n + MOST_NAMED] for n in range(0, len(values), MOST_NAMED))
