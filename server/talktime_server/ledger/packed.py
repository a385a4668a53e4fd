"""What the scripts pack, and what is packed for them: calls, which the archive keeps as they were packed, and questions."""

from typing import Any

import msgpack

from talktime_server.ledger.records import Call

Fields = dict[bytes, Any]


def fields_of(packed: bytes) -> Fields:
    """The names and values of a packed call or of a line's details; text is bytes."""
    unpacked = msgpack.unpackb(packed, raw=True, strict_map_key=False)
    # The scripts pack a table without anything in it as a list.
    return unpacked if isinstance(unpacked, dict) else {}


def call_of(packed: bytes) -> Call:
    """The call that a script packed."""
    return Call.read(fields_of(packed))
