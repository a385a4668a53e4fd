"""The record of blocks: which payers of a tenant were blocked and unblocked, when, and why.

A line is written in the same script as the payer, so that there is none for a change that did not happen.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from talktime_server.ledger.profiles import Payer


@dataclass(frozen=True, slots=True)
class Block:
    """One line; name and number are those of that time. `position` is its place in the record."""

    position: str
    payer_id: str
    display_name: str
    phone_number: str
    reason: str
    blocked: bool
    at_ms: int


def block_line(old: Payer | None, new: Payer, reason: str) -> str:
    """What the script records of a change, an array of names and values; empty when it blocks and
    unblocks nobody. A blocked payer who is blocked for another reason is recorded again.
    """
    was = (old.blocked, old.block_reason) if old else (False, "")
    if was == (new.blocked, new.block_reason):
        return ""
    line = {
        "payer_id": new.payer_id,
        "display_name": new.display_name,
        "phone_number": new.phone_number,
        "reason": reason,
        "blocked": "1" if new.blocked else "0",
    }
    return json.dumps([part for pair in line.items() for part in pair], ensure_ascii=False)


def block_of(position: bytes, row: Mapping[bytes, bytes]) -> Block:
    """Reads a stored line."""
    return Block(
        position.decode(),
        row[b"payer_id"].decode(),
        row[b"display_name"].decode(),
        row[b"phone_number"].decode(),
        row[b"reason"].decode(),
        row[b"blocked"] == b"1",
        int(row[b"at"]),
    )
