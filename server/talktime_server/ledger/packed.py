"""What the scripts pack, and what is packed for them: calls, which the archive keeps as they were packed, and questions."""

from typing import Any

import msgpack

from talktime_server.ledger.records import SEPARATOR, SOURCES, STATES, Call, rest_of

Fields = dict[bytes, Any]

_PLACE_OF_STATE = {state.value.encode(): place for place, state in enumerate(STATES, 1)}
_PLACE_OF_SOURCE = {source: place for place, source in enumerate(SOURCES, 1)}
_PRICE = (b"rate", b"fee", b"initial", b"increment")
_PAYER = 1  # among the facts


def fields_of(packed: bytes) -> Fields:
    """The names and values of a line's details; text is bytes."""
    unpacked = _unpacked(packed)
    # The scripts pack a table without anything in it as a list.
    return unpacked if isinstance(unpacked, dict) else {}


def call_of(packed: bytes) -> Call:
    """The call that a script packed."""
    return Call.read(_row_of(_unpacked(packed)))


def fields_of_call(packed: bytes) -> Fields:
    """The same by names, as authorize.lua has it in hand, for who needs a few of them."""
    row = _row_of(_unpacked(packed))
    more, held, lease, epoch = rest_of(row)
    return {
        **more,
        b"state": STATES[row[0] - 1].value.encode(),
        b"source": SOURCES[row[1] - 1],
        b"facts": row[2],
        b"payer": row[2].split(SEPARATOR.encode())[_PAYER],
        b"terms": row[3:7],
        b"granted": row[7],
        b"first": row[8],
        b"done": row[9],
        b"held": held,
        b"lease": lease,
        b"epoch": epoch,
    }


def _unpacked(packed: bytes) -> Any:
    return msgpack.unpackb(packed, raw=True, strict_map_key=False)


def _row_of(kept: Any) -> list[Any]:
    """A call's row. Data versions before 5 kept it by names, those before 4 its price too, and 4 of an ended one neither
    what it holds nor until when (semantics 91).
    """
    if isinstance(kept, list):
        return kept
    terms = kept[b"terms"]
    return [
        _PLACE_OF_STATE[kept[b"state"]],
        _PLACE_OF_SOURCE[kept[b"source"]],
        kept[b"facts"],
        *(terms if isinstance(terms, list) else [terms[name] for name in _PRICE]),
        kept[b"granted"],
        kept.get(b"first"),
        kept.get(b"done"),
        kept,
        kept.get(b"held", 0),
        kept.get(b"lease", 0),
        kept.get(b"epoch"),
    ]
