"""How long a call may take: the caller's deadline within our bounds, and what is said when it passes."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from talktime_server.failure import Applied, TooLate

MAX_TIMEOUT_S = 2.0
MIN_TIMEOUT_S = 0.005
# The specification says eight; some clients send more, and mean a long time.
MAX_DIGITS = 18
_UNITS_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}

T = TypeVar("T")


def remaining_s(timeout_s: float | None, default_s: float) -> float:
    """The seconds a call may take; refuses one that could not be answered in time."""
    if timeout_s is None:
        return default_s
    remaining = min(timeout_s, MAX_TIMEOUT_S)
    # Written so that NaN is refused too.
    if not remaining >= MIN_TIMEOUT_S:
        raise TooLate("DEADLINE_TOO_SHORT", "less than 5 ms are left")
    return remaining


async def timed(work: Awaitable[T], most_s: float, applied: Applied) -> T:
    """What `work` answers within so many seconds; after that, DEADLINE_EXCEEDED with this outcome."""
    clock = asyncio.timeout(most_s)
    try:
        async with clock:
            return await work
    except TimeoutError:
        if not clock.expired():
            raise  # The work's own: a bug, as it should have a word for it.
        raise too_late(applied) from None


def too_late(applied: Applied) -> TooLate:
    """The deadline passed while a call was being answered."""
    text = "the deadline passed before the answer was known"
    return TooLate("DEADLINE_EXCEEDED", text, applied=applied)


def parse_grpc_timeout(text: bytes) -> float | None:
    """The seconds of a grpc-timeout header; None, which asks for the default, when it is garbage."""
    unit = _UNITS_S.get(text[-1:])
    digits = text[:-1]
    if unit is None or not digits.isdigit() or len(digits) > MAX_DIGITS:
        return None
    return int(digits) * unit
