"""A line of the journal, as the scripts append it to a shard's stream, and as everybody else sees it."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgpack

from talktime_server.ledger.packed import fields_of_call
from talktime_server.words import EntryKind

_REASONED = frozenset({EntryKind.ADJUST, EntryKind.REFUND, EntryKind.CHARGEBACK})


@dataclass(frozen=True, slots=True)
class PoolMovement:
    """How a line moved the minutes of a pool, in seconds of the month (202611) that they are of."""

    pool_id: str
    month: int
    used_delta_seconds: int
    held_delta_seconds: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal, in micros and seconds; `position` is its place in the shard's stream,
    empty for a line that was read from elsewhere. `call` is the call as it stood after the line, as
    the scripts pack it; `details` is what else the line says, a MessagePack map. Empty: nothing.
    """

    tenant_id: str
    position: str
    version: int
    kind: EntryKind
    reference: str
    settled_delta_micros: int
    held_delta_micros: int
    seconds: int
    entered_ms: int
    pools: tuple[PoolMovement, ...] = ()
    postpaid_delta_micros: int = 0
    postpaid_held_delta_micros: int = 0
    call: bytes = b""
    details: bytes = b""

    @property
    def payer_id(self) -> str:
        """Whose call the line is about, empty for lines about no call, and for a line that the next
        one about the same call followed in one step.
        """
        return fields_of_call(self.call)[b"payer"].decode() if self.call else ""

    @property
    def reason(self) -> str:
        """Why, for adjustments, refunds and chargebacks; else empty."""
        return str(msgpack.unpackb(self.details)["note"]) if self.kind in _REASONED else ""


def entry_of(position: str, fields: Mapping[bytes, bytes]) -> Entry:
    """The line at a position of a stream. Data versions before 4 wrote each place as a field."""
    if b"e" in fields:
        places = msgpack.unpackb(fields[b"e"])
    else:
        places = [
            *(fields[name].decode() for name in (b"t", b"v", b"k", b"r", b"s", b"h", b"d", b"at")),
            fields.get(b"p", b"").decode(),
            fields.get(b"i", 0),
            fields.get(b"o", 0),
        ]
    tenant_id, version, kind, reference, settled, held, seconds, at, pools, invoiced, owed = places
    return Entry(
        tenant_id,
        position,
        int(version),
        EntryKind(kind),
        reference,
        int(settled),
        int(held),
        int(seconds),
        int(at),
        movements_of(pools),
        int(invoiced),
        int(owed),
        fields.get(b"c", b""),
        fields.get(b"b", b""),
    )


def tenant_of(fields: Mapping[bytes, bytes]) -> str:
    """Whose line it is."""
    packed = fields.get(b"e")
    return str(msgpack.unpackb(packed)[0]) if packed else fields[b"t"].decode()


def movements_of(text: str) -> tuple[PoolMovement, ...]:
    """Movements of pools from their text: "pool month used held", with ";" between."""
    return tuple(_movement(part) for part in text.split(";") if part)


def text_of(movements: tuple[PoolMovement, ...]) -> str:
    """The text that `movements_of` reads."""
    return ";".join(
        f"{m.pool_id} {m.month} {m.used_delta_seconds} {m.held_delta_seconds}" for m in movements
    )


def _movement(text: str) -> PoolMovement:
    pool_id, month, used, held = text.split(" ")
    return PoolMovement(pool_id, int(month), int(used), int(held))
