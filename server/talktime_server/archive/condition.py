"""Whether an archive can be used as it stands, asked without changing anything in it."""

from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import as_file, files

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from talktime_server.archive.database import Database
from talktime_server.archive.positions import archive_id_of
from talktime_server.ledger import keys
from talktime_server.ledger.store import Store


class Tables(StrEnum):
    """How an archive's tables stand to this version of talktime."""

    NONE = "none"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


@dataclass(frozen=True, slots=True)
class Condition:
    """The tables, and the id by which a store knows its archive; "" before the first line."""

    tables: Tables
    archive_id: str


async def condition_of(database: Database) -> Condition:
    """How an archive is. Raises ArchiveAway when it cannot be reached."""
    async with database.connect() as connection:
        tables = await connection.run_sync(_tables)
        known = tables in (Tables.OLDER, Tables.CURRENT)
        return Condition(tables, await archive_id_of(connection) if known else "")


async def bound_to(store: Store) -> str:
    """The id of the archive that a store's journal goes to, "" before it has one. Raises StoreAway."""
    return bytes(await store.command("GET", keys.archive()) or b"").decode()


def _tables(connection: Connection) -> Tables:
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        return Tables.NONE
    with as_file(files("talktime_server.archive") / "migrations") as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        scripts = ScriptDirectory.from_config(config)
        known = [each.revision for each in scripts.walk_revisions()]
    if revision not in known:
        return Tables.NEWER
    return Tables.CURRENT if revision == known[0] else Tables.OLDER
