"""The chain of a tenant's lines: each hash takes in the one before, so that no line can be changed, taken out, put in or
moved without every later hash being wrong.

It finds what was changed by accident or by somebody with a hand in the database. Who can write everything could also
write all hashes anew: against that, keep the last hash of each tenant elsewhere, as `talktime archive verify --json`
prints it.
"""

import hashlib

import msgpack

from talktime_server.archive.lines import OWN, Row

FIRST = bytes(32)  # before a tenant's first line


def next_hash(previous: bytes, row: Row) -> bytes:
    """The hash of a line after the one before. The row has every column but `hash`."""
    return hashlib.sha256(previous + canonical(row)).digest()


def canonical(row: Row) -> bytes:
    """The same bytes for the same line on every database, for ever."""
    values = [*(row[name] for name in OWN), row["payer_id"]]
    # A driver may give another kind of bytes than was stored.
    plain = [bytes(value) if isinstance(value, memoryview) else value for value in values]
    packed: bytes = msgpack.packb(plain)
    return packed
