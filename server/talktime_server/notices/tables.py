"""The notices' tables, beside the archive's and written in the same transactions; 0002_notices.py makes them.

A notice is written by what saw the crossing, together with its deliveries and the latch that keeps
it from being told twice: whatever dies, there is one of it or none yet.

Money is whole micros, instants are milliseconds of UTC.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from talktime_server.archive.schema import metadata as metadata

_ID = String(64)

# Whom a tenant's notices go to, and when they are due. `currency_code` is the tenant's: it never changes.
notice_settings = Table(
    "notice_settings",
    metadata,
    Column("tenant_id", _ID, primary_key=True),
    Column("currency_code", String(3), nullable=False),
    Column("admins", Text, nullable=False),  # JSON: a list of objects, as targets.Admin
    Column("low_balance_micros", Text, nullable=False),  # JSON: a list of whole numbers
    Column("expiry_notice_days", Integer, nullable=False),
)

# `secrets` is JSON: a list of [secret, until when it signs in ms, 0 for the one in force], oldest first.
webhooks = Table(
    "webhooks",
    metadata,
    Column("tenant_id", _ID, primary_key=True),
    Column("webhook_id", _ID, primary_key=True),
    Column("url", String(512), nullable=False),
    Column("kinds", Text, nullable=False),  # with a space between; "" is all of them
    Column("secrets", Text, nullable=False),
    Column("reached_ms", BigInteger, nullable=False),  # when it last took a notice, or was put
    Column("disabled", Boolean, nullable=False),
)

# `notice_id` follows from what the notice is about (notice.py), so that one crossing is one row.
notices = Table(
    "notices",
    metadata,
    Column("notice_id", String(32), primary_key=True),
    Column("tenant_id", _ID, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("version", String(20), nullable=False),  # of the line that it follows from, or ""
    Column("parameters", Text, nullable=False),  # JSON: what the texts are filled in with
    Column("noticed_ms", BigInteger, nullable=False),
    Index("notices_by_time", "tenant_id", "noticed_ms", "notice_id"),
)

# One for each recipient. Who delivers it has it until `claimed_until_ms`; then anybody may.
deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", String(32), primary_key=True),
    Column("notice_id", String(32), nullable=False),
    Column("tenant_id", _ID, nullable=False),
    Column("channel", String(8), nullable=False),
    Column("recipient", String(254), nullable=False),  # the mail's address, or the webhook's id
    Column("display_name", String(128), nullable=False),  # of who gets a mail
    Column("language", String(2), nullable=False),  # of the mail
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_ms", BigInteger, nullable=False),
    Column("failure", String(200), nullable=False),  # of the last try; "" when it did not fail
    Column("claimed_until_ms", BigInteger, nullable=False),
    Index("deliveries_due", "state", "channel", "next_ms"),
    Index("deliveries_of_notice", "notice_id"),
    Index("deliveries_of_tenant", "tenant_id", "state"),
)

# What was told and is not armed again: there is a row from the notice on until then. `value` is what it was told at.
latches = Table(
    "latches",
    metadata,
    Column("tenant_id", _ID, primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
