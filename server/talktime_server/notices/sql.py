"""What SQLite and PostgreSQL spell alike, once the dialect is named."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive.inserting import inserting

Row = Mapping[str, Any]


async def add_missing(connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> None:
    """Adds rows; those whose key is there already stay as they are."""
    if rows:
        await connection.execute(inserting(connection, table).on_conflict_do_nothing(), list(rows))


async def put(connection: AsyncConnection, table: Table, row: Row) -> None:
    """Adds a row, or replaces the one with its key in all that it names."""
    key = [column.name for column in table.primary_key.columns]
    insert = inserting(connection, table).values(**row)
    rest = {name: insert.excluded[name] for name in row if name not in key}
    await connection.execute(insert.on_conflict_do_update(index_elements=key, set_=rest))


async def see_what_others_write(connection: AsyncConnection) -> None:
    """Lets each statement of a transaction see what was committed before it, as its first statement: a
    change of a row that somebody else has just changed then waits, where it would fail.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"))
