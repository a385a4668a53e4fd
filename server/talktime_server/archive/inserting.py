"""An insert that may find its rows there already: SQLite and PostgreSQL spell it alike, and each has its own name for it."""

from typing import Any

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection


def inserting(connection: AsyncConnection, table: Table) -> Any:
    """An insert that can say what happens on a conflict."""
    # Only the dialect that is spoken is loaded: each is a tenth of what SQL costs.
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)
