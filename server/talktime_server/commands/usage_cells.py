"""A row of the usage report as cells, under the names and in the order of the report's export (domain.md 7)."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from talktime_server.commands.money import amount_of
from talktime_server.commands.spreadsheets import quiet

if TYPE_CHECKING:
    from talktime import UsageRow

COLUMNS = (
    "UsageId",
    "Call ID",
    "Conference ID",
    "User Location",
    "AAD ObjectId",
    "UPN",
    "User Display Name",
    "Caller ID",
    "Call Type",
    "Number Type",
    "Domestic/International",
    "Destination Dialed",
    "Destination Number",
    "Start Time",
    "End Time",
    "Duration Seconds",
    "Connection Fee",
    "Charge",
    "Currency",
    "Capability",
)
# How many of them are text before the times, and where the others stand.
TEXTS = COLUMNS.index("Start Time")
TIMES = slice(TEXTS, TEXTS + 2)
LAST_TEXTS = COLUMNS.index("Currency")


def texts(row: "UsageRow") -> tuple[str, ...]:
    """The first columns, which are all text."""
    return (
        row.usage_id,
        row.call_id,
        row.conference_id,
        row.user_location,
        row.payer_id,
        row.user_principal_name,
        row.user_display_name,
        row.caller_id,
        row.call_type.lower(),
        row.number_type,
        row.domestic,
        row.destination,
        row.destination_number,
    )


def csv_cells(row: "UsageRow") -> list[str]:
    """A row as a CSV has it: times in UTC after ISO 8601, money exact, nothing that a spreadsheet would run."""
    return [
        *map(quiet, texts(row)),
        _instant(row.start_time),
        _instant(row.end_time),
        str(row.duration_seconds),
        amount_of(row.connection_fee_micros),
        amount_of(row.charge_micros),
        quiet(row.currency_code),
        quiet(row.capability),
    ]


def _instant(at: datetime | None) -> str:
    if at is None:
        return ""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
