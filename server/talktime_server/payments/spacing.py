"""How densely one provider is asked: a least gap between requests, and a rest after many failures.

A provider that comes back after hours meets what has piled up at ten charges a second at most (reliability.md F44), and
one that is away is asked by one probe a minute instead of by everybody.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from talktime_server.payments.errors import Resting


@dataclass(frozen=True, slots=True)
class Spacing:
    """`gap_s` between two charges, `longest_queue_s` to wait for one's turn; after `failures` in a row a rest of `rest_s`."""

    gap_s: float = 0.1
    longest_queue_s: float = 5.0
    failures: int = 10
    rest_s: float = 60.0


USUAL = Spacing()


class Turnstile:
    """Lets charges through to one provider; what it does not let through was not sent."""

    def __init__(self, spacing: Spacing, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._spacing = spacing
        self._ticks = ticks
        self._failures = 0
        self._rests_until_s = 0.0
        self._free_at_s = 0.0

    async def enter(self) -> None:
        """Waits for this charge's turn. Raises Resting."""
        now_s = self._ticks()
        if self._failures >= self._spacing.failures:
            self._probe_or_rest(now_s)
        at_s = max(now_s, self._free_at_s)
        if at_s - now_s > self._spacing.longest_queue_s:
            raise Resting("too many charges wait for the payment provider")
        self._free_at_s = at_s + self._spacing.gap_s
        await asyncio.sleep(at_s - now_s)

    def failed(self) -> None:
        """The provider did not do its work."""
        self._failures += 1
        if self._failures == self._spacing.failures:
            self._rests_until_s = self._ticks() + self._spacing.rest_s

    def answered(self) -> None:
        """The provider works, whatever it said."""
        self._failures = 0

    def _probe_or_rest(self, now_s: float) -> None:
        """One may try when the rest is over, and the others go on resting meanwhile."""
        if now_s < self._rests_until_s:
            raise Resting("the payment provider is left alone for a while")
        self._rests_until_s = now_s + self._spacing.rest_s
