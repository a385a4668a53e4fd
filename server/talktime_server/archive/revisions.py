"""The tables' revisions: made, brought up to the newest, and taken back."""

from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from talktime_server.failure import Unsafe

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0002"  # the newest revision of the tables
MIGRATION_LOCK = 0x7461_6C6B  # "talk": the advisory lock under which PostgreSQL's tables are made


def migrate(connection: Connection, revision: str = "head") -> None:
    """Brings the tables up to a revision, inside the connection's transaction. Raises Unsafe when they
    are newer than this talktime.
    """
    if revision == "head" and _revision(connection) == HEAD:
        return
    # Every process starts by asking, and hardly one has anything to change.
    from alembic import command
    from alembic.util import CommandError

    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
    try:
        command.upgrade(_alembic(connection), revision)
    except CommandError as error:
        raise Unsafe(f"the archive was not made by this version of talktime: {error}") from error


def unmake(connection: Connection, revision: str) -> None:
    """Takes the tables back to a revision ("base": none), inside the connection's transaction."""
    from alembic import command

    command.downgrade(_alembic(connection), revision)


def _revision(connection: Connection) -> str:
    """The revision of the tables that there are, empty for none."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def _alembic(connection: Connection) -> "Config":
    from alembic.config import Config

    with as_file(files("talktime_server.archive") / "migrations") as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
