"""A line of the journal as a row of SQL, there and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from talktime_server.ledger.entries import Entry, movements_of, text_of
from talktime_server.ledger.packed import Fields, fields_of, fields_of_call
from talktime_server.words import EntryKind

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

Row = Mapping[str, Any]

# What a line says by itself; the payer and the hash are found for it.
OWN = (
    "tenant_id",
    "version",
    "kind",
    "reference_id",
    "settled_delta_micros",
    "held_delta_micros",
    "postpaid_delta_micros",
    "postpaid_held_delta_micros",
    "seconds",
    "entered_ms",
    "pools",
    "call",
    "details",
)
# Lines about calls: each of them has a payer, though not each brings the call along.
ABOUT_CALLS = frozenset(
    {
        EntryKind.HOLD,
        EntryKind.RECORD,
        EntryKind.SETTLE,
        EntryKind.RELEASE,
        EntryKind.EXPIRE,
        EntryKind.KEEP,
    }
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the journal with what is packed in it."""

    entry: Entry
    call: Fields
    details: Fields

    @classmethod
    def of(cls, entry: Entry) -> "Line":
        """The line of an entry, read once."""
        call = fields_of_call(entry.call) if entry.call else {}
        return cls(entry, call, fields_of(entry.details) if entry.details else {})


def row_of(entry: Entry) -> dict[str, Any]:
    """What a line says by itself, as a row."""
    return {
        "tenant_id": entry.tenant_id,
        "version": entry.version,
        "kind": str(entry.kind),
        "reference_id": entry.reference,
        "settled_delta_micros": entry.settled_delta_micros,
        "held_delta_micros": entry.held_delta_micros,
        "postpaid_delta_micros": entry.postpaid_delta_micros,
        "postpaid_held_delta_micros": entry.postpaid_held_delta_micros,
        "seconds": entry.seconds,
        "entered_ms": entry.entered_ms,
        "pools": text_of(entry.pools),
        "call": entry.call or None,
        "details": entry.details or None,
    }


def entry_of(row: "Row | RowMapping") -> Entry:
    """The line of a row; it has no position, for it was not read from a stream."""
    return Entry(
        row["tenant_id"],
        "",
        row["version"],
        EntryKind(row["kind"]),
        row["reference_id"],
        row["settled_delta_micros"],
        row["held_delta_micros"],
        row["seconds"],
        row["entered_ms"],
        movements_of(row["pools"]),
        row["postpaid_delta_micros"],
        row["postpaid_held_delta_micros"],
        row["call"] or b"",
        row["details"] or b"",
    )
