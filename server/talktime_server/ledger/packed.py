"""A call as the scripts pack it, read without asking the store: the archive keeps calls as they were packed."""

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
    """The call that a script packed, as the store's `show` would give it."""
    return Call.read(_view(fields_of(packed)))


def _view(call: Fields) -> list[Any]:
    """The same places as in view() of book.lua, empty where there is nothing."""
    terms = call[b"terms"]
    return [
        b"new",
        call[b"state"],
        call[b"facts"],
        call[b"source"],
        call.get(b"why", b""),
        call[b"held"],
        call[b"granted"],
        call[b"lease"],
        [terms[name] for name in (b"rate", b"fee", b"initial", b"increment")],
        *(call.get(name, []) for name in (b"first", b"last", b"done")),
        call.get(b"last_why", b""),
        call.get(b"owed", 0),
        call.get(b"slices", []),
        *(call.get(name, []) for name in (b"first_split", b"last_split", b"done_split")),
        call.get(b"limit", b""),
    ]
