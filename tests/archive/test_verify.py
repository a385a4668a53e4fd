"""The verification finds every change that somebody made in the database, and names where."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Table, delete, insert, select, text

from archive.doings import archived, live_a_little
from ledger.world import World
from talktime_server.archive import schema
from talktime_server.archive.database import Database
from talktime_server.archive.verify import Verification, verify

LIMIT_S = 300  # each change is a verification
LEAST_CHANGES = 200
PLACES = 7  # of a table, among which the first row and the last
TABLES = (
    schema.entries,
    schema.balances,
    schema.pool_rows,
    schema.open_calls,
    schema.fundings,
    schema.profiles,
    schema.recharge_steps,
)
GUARDS = {
    "sqlite": ("DROP TRIGGER entries_no_update", "DROP TRIGGER entries_no_delete"),
    "postgresql": ("ALTER TABLE entries DISABLE TRIGGER USER",),
}
Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody did to the rows of a table, and what is to be named."""

    name: str
    table: str
    rows: list[dict[str, Any]]
    version: int | None = None


async def test_what_was_not_changed_is_sound(world: World, database: Database) -> None:
    await live_a_little(world)
    await archived(world, database)
    told: list[tuple[int, int]] = []
    found = await verify(database, lambda done, total: told.append((done, total)))
    assert found.sound, found.wrong
    assert found.entries == (await world.ledger.balance(world.tenant)).version
    (head,) = found.heads
    assert (head.tenant_id, head.version) == ("acme", found.entries)


@pytest.mark.timeout(LIMIT_S)
async def test_every_planted_change_is_found(world: World, database: Database) -> None:
    rows = await _unguarded(world, database)
    changes = list(_changes(rows))
    assert len(changes) >= LEAST_CHANGES
    missed = [change.name for change in changes if not await _found(database, change, rows)]
    assert missed == []
    assert (await verify(database)).sound


async def test_an_archive_that_was_written_anew_is_found_by_its_head(
    world: World, database: Database
) -> None:
    await live_a_little(world)
    await archived(world, database)
    before = await verify(database)
    await _unguarded(world, database)
    async with database.begin() as connection:
        for table in TABLES:
            await connection.execute(delete(table))
    assert (await verify(database)).sound
    found = await verify(database, against=before.heads)
    assert [(wrong.tenant_id, wrong.version) for wrong in found.wrong] == [("acme", 1)]


async def _unguarded(world: World, database: Database) -> Rows:
    """An archive that its database does not guard any more, and all that is in it."""
    await live_a_little(world, "1")
    await world.change_account(trigger_micros=9_000_000)
    await live_a_little(world, "2")
    await archived(world, database)
    async with database.begin() as connection:
        for guard in GUARDS[connection.dialect.name]:
            await connection.execute(text(guard))
        return {
            table.name: [
                dict(row) for row in (await connection.execute(_ordered(table))).mappings()
            ]
            for table in TABLES
        }


async def _found(database: Database, change: Change, rows: Rows) -> bool:
    """Plants a change, verifies, and takes it back."""
    await _put(database, change.table, change.rows)
    found: Verification = await verify(database)
    await _put(database, change.table, rows[change.table])
    versions = {wrong.version for wrong in found.wrong}
    return not found.sound and (change.version is None or change.version in versions)


async def _put(database: Database, name: str, rows: list[dict[str, Any]]) -> None:
    table = schema.metadata.tables[name]
    async with database.begin() as connection:
        await connection.execute(delete(table))
        if rows:
            await connection.execute(insert(table), rows)


def _changes(rows: Rows) -> Iterator[Change]:
    for table in TABLES:
        kept = rows[table.name]
        assert kept, table.name
        places = sorted({n * (len(kept) - 1) // (PLACES - 1) for n in range(PLACES)})
        for place in places:
            for column in table.columns:
                yield _edited(table, kept, place, column.name)
            named = kept[place]["version"] if table is schema.entries else None
            last = place == len(kept) - 1
            without = kept[:place] + kept[place + 1 :]
            yield Change(
                f"{table.name} {place} deleted", table.name, without, None if last else named
            )
    yield from _moved(rows["entries"])


def _edited(table: Table, kept: list[dict[str, Any]], place: int, column: str) -> Change:
    row = dict(kept[place])
    row[column] = _other(row[column])
    rows = [*kept[:place], row, *kept[place + 1 :]]
    line = table is schema.entries and column not in ("tenant_id", "version")
    name = f"{table.name} {place} {column}"
    return Change(name, table.name, rows, row["version"] if line else None)


def _other(value: Any) -> Any:
    if isinstance(value, int):
        return value + 1_000_000
    if isinstance(value, str):
        return f"{value}x"
    return bytes([value[0] ^ 1]) + value[1:] if value else b"\x81\xa1a\x01"


def _moved(kept: list[dict[str, Any]]) -> Iterator[Change]:
    for place in (0, len(kept) // 2, len(kept) - 2):
        first, second = kept[place], kept[place + 1]
        swapped = [
            second | {"version": first["version"]},
            first | {"version": second["version"]},
        ]
        rows = kept[:place] + swapped + kept[place + 2 :]
        yield Change(f"{place} swapped", "entries", rows, first["version"])
    last = kept[-1]
    more = last | {"version": last["version"] + 1}
    yield Change("one more at the end", "entries", [*kept, more], more["version"])
    before = kept[0] | {"version": 0}
    yield Change("one more at the start", "entries", [before, *kept], 0)
    alone = kept[0] | {"tenant_id": "nobody"}
    yield Change("one of another tenant", "entries", [*kept, alone], 1)


def _ordered(table: Table) -> Any:
    return select(table).order_by(*table.primary_key)
