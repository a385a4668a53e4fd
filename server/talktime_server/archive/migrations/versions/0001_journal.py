"""The journal and what is read off it. The database itself refuses to change or delete a line."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.String(64)
_POOL = sa.String(160)
_READ_OFF = ("usage_rows", "recharge_steps", "profiles", "fundings", "open_calls", "pool_rows")
_TABLES = (*_READ_OFF, "balances", "entries", "shard_positions", "facts")

_SQLITE_GUARDS = tuple(
    f"CREATE TRIGGER entries_no_{verb.lower()} BEFORE {verb} ON entries "
    "BEGIN SELECT RAISE(ABORT, 'entries are never changed'); END"
    for verb in ("UPDATE", "DELETE")
)
_POSTGRESQL_GUARDS = (
    """
    CREATE FUNCTION entries_stay() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'entries are never changed'; END $$
    """,
    """
    CREATE TRIGGER entries_no_change BEFORE UPDATE OR DELETE ON entries
    FOR EACH ROW EXECUTE FUNCTION entries_stay()
    """,
    """
    CREATE TRIGGER entries_no_truncate BEFORE TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION entries_stay()
    """,
)


def upgrade() -> None:
    """Makes the tables."""
    _journal()
    _money()
    _calls()
    _usage()
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    for guard in _SQLITE_GUARDS if on_sqlite else _POSTGRESQL_GUARDS:
        op.execute(guard)


def downgrade() -> None:
    """Drops them, with all that was kept."""
    for table in _TABLES:
        op.drop_table(table)
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION entries_stay()")


def _micros(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _texts(kind: sa.String, *names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, kind, nullable=False) for name in names]


def _key(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _journal() -> None:
    op.create_table("facts", _key("name", sa.String(40)), *_texts(sa.Text(), "value"))
    op.create_table(
        "shard_positions", _key("shard", sa.Integer()), *_texts(sa.String(40), "position")
    )
    op.create_table(
        "entries",
        _key("tenant_id", _ID),
        _key("version", sa.BigInteger()),
        *_texts(sa.String(16), "kind"),
        *_texts(sa.String(128), "reference_id"),
        *_texts(_ID, "payer_id"),
        *_micros("settled_delta_micros", "held_delta_micros"),
        *_micros("postpaid_delta_micros", "postpaid_held_delta_micros"),
        *_micros("seconds", "entered_ms"),
        *_texts(sa.Text(), "pools"),
        sa.Column("call", sa.LargeBinary),
        sa.Column("details", sa.LargeBinary),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
    )
    op.create_index("entries_by_reference", "entries", ["tenant_id", "reference_id", "version"])
    op.create_index("entries_by_time", "entries", ["tenant_id", "entered_ms"])


def _money() -> None:
    op.create_table(
        "balances",
        _key("tenant_id", _ID),
        *_micros("version"),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        *_micros("settled_micros", "held_micros", "postpaid_micros", "postpaid_held_micros"),
        *_micros("loaded_micros", "spent_micros", "expired_micros", "refunded_micros"),
        *_micros("uncollected_micros", "abandoned_calls", "entered_ms"),
        *_texts(sa.Text(), "lots"),
    )
    op.create_table(
        "fundings",
        _key("tenant_id", _ID),
        _key("funding_id", _ID),
        *_texts(sa.String(16), "kind"),
        *_micros("amount_micros", "refunded_micros"),
        sa.Column("details", sa.LargeBinary, nullable=False),
        *_micros("entered_ms"),
    )
    op.create_table(
        "recharge_steps",
        _key("tenant_id", _ID),
        _key("version", sa.BigInteger()),
        *_texts(_ID, "charge_id"),
        *_texts(sa.String(16), "state"),
        sa.Column("details", sa.LargeBinary, nullable=False),
        *_micros("entered_ms"),
    )


def _calls() -> None:
    op.create_table(
        "pool_rows",
        _key("tenant_id", _ID),
        _key("pool_id", _POOL),
        _key("month", sa.Integer()),
        *_micros("used_seconds", "held_seconds", "entered_ms"),
    )
    op.create_table(
        "open_calls",
        _key("tenant_id", _ID),
        _key("call_id", _ID),
        sa.Column("call", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "profiles",
        _key("tenant_id", _ID),
        _key("payer_id", _ID),
        *_micros("profile_version"),
        *_texts(sa.Text(), "body", "counts"),
        *_micros("epoch"),
    )


def _usage() -> None:
    op.create_table(
        "usage_rows",
        _key("tenant_id", _ID),
        _key("usage_id", sa.String(36)),
        *_micros("version"),
        *_texts(_ID, "call_id", "conference_id", "payer_id"),
        *_texts(sa.String(2), "user_location"),
        *_texts(sa.String(128), "user_principal_name", "user_display_name"),
        *_texts(sa.String(32), "caller_number", "callee_number", "call_type"),
        *_texts(sa.String(16), "number_type", "domestic"),
        *_texts(sa.String(2), "country"),
        *_texts(_ID, "destination"),
        *_micros("started_ms", "stopped_ms", "ended_ms", "duration_seconds"),
        *_micros("connection_fee_micros", "charge_micros"),
        *_texts(sa.String(3), "currency"),
        *_texts(sa.String(32), "capability"),
        sa.Column("postpaid", sa.Boolean, nullable=False),
        *_texts(_POOL, "pool_id"),
        *_micros("pool_seconds"),
    )
    op.create_index("usage_by_time", "usage_rows", ["tenant_id", "ended_ms", "usage_id"])
    op.create_index("usage_by_call", "usage_rows", ["tenant_id", "call_id"])
