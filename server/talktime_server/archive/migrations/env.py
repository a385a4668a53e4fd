"""What Alembic runs: the steps that are missing, inside the transaction that engine.py opened and locked."""

from alembic import context

from talktime_server.archive.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
