"""What admins are told, and what became of it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.String(64)
_TABLES = ("latches", "deliveries", "notices", "webhooks", "notice_settings")


def upgrade() -> None:
    """Makes the tables."""
    _settings()
    _webhooks()
    _notices()
    _deliveries()
    op.create_table(
        "latches",
        sa.Column("tenant_id", _ID, primary_key=True),
        sa.Column("name", sa.String(200), primary_key=True),
        *_numbers("value"),
    )


def downgrade() -> None:
    """Drops them, with all that was kept."""
    for table in _TABLES:
        op.drop_table(table)


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _texts(kind: sa.String, *names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, kind, nullable=False) for name in names]


def _settings() -> None:
    op.create_table(
        "notice_settings",
        sa.Column("tenant_id", _ID, primary_key=True),
        *_texts(sa.String(3), "currency_code"),
        *_texts(sa.Text(), "admins", "low_balance_micros"),
        sa.Column("expiry_notice_days", sa.Integer, nullable=False),
    )


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("tenant_id", _ID, primary_key=True),
        sa.Column("webhook_id", _ID, primary_key=True),
        *_texts(sa.String(512), "url"),
        *_texts(sa.Text(), "kinds", "secrets"),
        *_numbers("reached_ms"),
        sa.Column("disabled", sa.Boolean, nullable=False),
    )


def _notices() -> None:
    op.create_table(
        "notices",
        sa.Column("notice_id", sa.String(32), primary_key=True),
        *_texts(_ID, "tenant_id"),
        *_texts(sa.String(32), "kind"),
        *_texts(sa.String(20), "version"),
        *_texts(sa.Text(), "parameters"),
        *_numbers("noticed_ms"),
    )
    op.create_index("notices_by_time", "notices", ["tenant_id", "noticed_ms", "notice_id"])


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.String(32), primary_key=True),
        *_texts(sa.String(32), "notice_id"),
        *_texts(_ID, "tenant_id"),
        *_texts(sa.String(8), "channel"),
        *_texts(sa.String(254), "recipient"),
        *_texts(sa.String(128), "display_name"),
        *_texts(sa.String(2), "language"),
        *_texts(sa.String(16), "state"),
        sa.Column("attempts", sa.Integer, nullable=False),
        *_numbers("next_ms"),
        *_texts(sa.String(200), "failure"),
        *_numbers("claimed_until_ms"),
    )
    op.create_index("deliveries_due", "deliveries", ["state", "channel", "next_ms"])
    op.create_index("deliveries_of_notice", "deliveries", ["notice_id"])
    op.create_index("deliveries_of_tenant", "deliveries", ["tenant_id", "state"])
