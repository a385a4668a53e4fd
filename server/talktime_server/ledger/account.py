"""A tenant's account: the numbers that decisions read and change, one small record of the store (accounts.lua)."""

import struct
from typing import NamedTuple, Self

_FORM = struct.Struct("<24d")
_NUMBER = struct.Struct("<d")


class Account(NamedTuple):
    """Micros, milliseconds and counts, all whole, in the order kept.

    `profile` is the version of the tenant's profile (0: there is no such tenant), `epoch` counts the
    changes of its and its payers' profiles, `mark_ms` is the latest instant seen, `version` the
    number of journal lines. `trigger_micros` is -1 when no recharge watches the balance. `due_ms` is
    when the shard's index names the tenant at the latest, 0 when that is not known. The rest is
    what the tenant has open and has spent.
    """

    profile: int = 0
    epoch: int = 0
    mark_ms: int = 0
    version: int = 0
    settled_micros: int = 0
    held_micros: int = 0
    spent_micros: int = 0
    next_expiry_ms: int = 0
    invoiced_micros: int = 0
    owed_micros: int = 0
    generation: int = 0
    trigger_micros: int = -1
    on_settled: int = 0
    due_ms: int = 0
    open: int = 0
    open_held_micros: int = 0
    day: int = 0
    day_spent_micros: int = 0
    month: int = 0
    month_spent_micros: int = 0
    costly: int = 0
    told: int = 0
    second: int = 0
    started: int = 0

    @classmethod
    def read(cls, stored: bytes | None) -> Self:
        """From what is kept; of a tenant that has none, an empty one."""
        return cls(*map(int, _FORM.unpack(stored))) if stored else cls()

    def pack(self) -> bytes:
        """As kept."""
        return _FORM.pack(*self)

    @classmethod
    def place(cls, name: str, number: int) -> tuple[int, bytes]:
        """Where one number stands and how, for a SETRANGE: what others write meanwhile stays."""
        return cls._fields.index(name) * _NUMBER.size, _NUMBER.pack(number)


# What is open and spent: the same places as in a payer's row.
USE = Account._fields[-10:]
