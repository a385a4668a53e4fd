"""The archive's tables.

`entries` is the journal: lines are added, never changed, and everything else here is read off them. The other tables are
what would take too long to add up each time: they are written in the same transaction as the lines that they follow from,
and `talktime archive verify` adds them up again.

Money is whole micros, instants are milliseconds of UTC by the store's clock, months are numbers as 202611.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

_ID = String(64)
_POOL = String(160)

# What belongs to the archive as a whole: `archive_id`, which the store knows too, so that no other archive trims its journal.
facts = Table(
    "facts",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)

# Up to which line of each shard's journal everything is here: written with the lines, so nothing comes twice.
shard_positions = Table(
    "shard_positions",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("position", String(40), nullable=False),
)

# The journal. `hash` is SHA-256 over the hash of the tenant's line before and this line (chain.py).
entries = Table(
    "entries",
    metadata,
    Column("tenant_id", _ID, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("reference_id", String(128), nullable=False),
    Column("payer_id", _ID, nullable=False),  # of the call; "" for lines about no call
    Column("settled_delta_micros", BigInteger, nullable=False),
    Column("held_delta_micros", BigInteger, nullable=False),
    Column("postpaid_delta_micros", BigInteger, nullable=False),
    Column("postpaid_held_delta_micros", BigInteger, nullable=False),
    Column("seconds", BigInteger, nullable=False),
    Column("entered_ms", BigInteger, nullable=False),
    Column(
        "pools", Text, nullable=False
    ),  # "pool month used held;..." as in the stream, "" for none
    Column("call", LargeBinary),  # the call as it stood after the line, packed by the script
    Column("details", LargeBinary),  # what else the line says, a MessagePack map
    Column("hash", LargeBinary(32), nullable=False),
    Index("entries_by_reference", "tenant_id", "reference_id", "version"),
    Index("entries_by_time", "tenant_id", "entered_ms"),
)

# A tenant's money after its last line here.
balances = Table(
    "balances",
    metadata,
    Column("tenant_id", _ID, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("settled_micros", BigInteger, nullable=False),
    Column("held_micros", BigInteger, nullable=False),
    Column("postpaid_micros", BigInteger, nullable=False),
    Column("postpaid_held_micros", BigInteger, nullable=False),
    Column("loaded_micros", BigInteger, nullable=False),
    Column("spent_micros", BigInteger, nullable=False),
    Column("expired_micros", BigInteger, nullable=False),
    Column("refunded_micros", BigInteger, nullable=False),
    Column("uncollected_micros", BigInteger, nullable=False),
    Column("abandoned_calls", BigInteger, nullable=False),
    Column("entered_ms", BigInteger, nullable=False),
    Column(
        "lots", Text, nullable=False
    ),  # as the last line that changed them says; see ledger/lots.py
)

pool_rows = Table(
    "pool_rows",
    metadata,
    Column("tenant_id", _ID, primary_key=True),
    Column("pool_id", _POOL, primary_key=True),
    Column("month", Integer, primary_key=True, autoincrement=False),
    Column("used_seconds", BigInteger, nullable=False),
    Column("held_seconds", BigInteger, nullable=False),
    Column("entered_ms", BigInteger, nullable=False),
)

open_calls = Table(
    "open_calls",
    metadata,
    Column("tenant_id", _ID, primary_key=True),
    Column("call_id", _ID, primary_key=True),
    Column("call", LargeBinary, nullable=False),
)

# Fundings, adjustments, refunds and chargebacks, by their id; `refunded_micros` is what was taken back of a funding.
fundings = Table(
    "fundings",
    metadata,
    Column("tenant_id", _ID, primary_key=True),
    Column("funding_id", _ID, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("refunded_micros", BigInteger, nullable=False),
    Column("details", LargeBinary, nullable=False),
    Column("entered_ms", BigInteger, nullable=False),
)

# Tenants (payer_id "") and payers as they were last written.
profiles = Table(
    "profiles",
    metadata,
    Column("tenant_id", _ID, primary_key=True),
    Column("payer_id", _ID, primary_key=True),
    Column("profile_version", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("counts", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
)

# Each step of a recharge, and each change of its rule (charge_id "").
recharge_steps = Table(
    "recharge_steps",
    metadata,
    Column("tenant_id", _ID, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("charge_id", _ID, nullable=False),
    Column("state", String(16), nullable=False),
    Column("details", LargeBinary, nullable=False),
    Column("entered_ms", BigInteger, nullable=False),
)

# Rows of the usage report: one for each stretch of an ended call. Those of a call that is charged again give way to the later ones.
usage_rows = Table(
    "usage_rows",
    metadata,
    Column("tenant_id", _ID, primary_key=True),
    Column("usage_id", String(36), primary_key=True),
    Column("version", BigInteger, nullable=False),  # of the line that ended the call
    Column("call_id", _ID, nullable=False),
    Column("conference_id", _ID, nullable=False),
    Column("payer_id", _ID, nullable=False),
    Column("user_location", String(2), nullable=False),
    Column("user_principal_name", String(128), nullable=False),
    Column("user_display_name", String(128), nullable=False),
    Column("caller_number", String(32), nullable=False),
    Column("callee_number", String(32), nullable=False),
    Column("call_type", String(32), nullable=False),
    Column("number_type", String(16), nullable=False),
    Column("domestic", String(16), nullable=False),
    Column("country", String(2), nullable=False),
    Column("destination", String(64), nullable=False),
    Column("started_ms", BigInteger, nullable=False),  # of the stretch
    Column("stopped_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),  # of the call, by which rows are picked
    Column("duration_seconds", BigInteger, nullable=False),
    Column("connection_fee_micros", BigInteger, nullable=False),
    Column("charge_micros", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("capability", String(32), nullable=False),
    Column("postpaid", Boolean, nullable=False),
    Column("pool_id", _POOL, nullable=False),
    Column("pool_seconds", BigInteger, nullable=False),
    Index("usage_by_time", "tenant_id", "ended_ms", "usage_id"),
    Index("usage_by_call", "tenant_id", "call_id"),
)
