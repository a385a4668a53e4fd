"""One timer for the deadlines of many operations, because a timer for each would cost as much as sending it."""

import asyncio
import time
from collections.abc import Callable

# A deadline may be met so much late; without it a crowd of deadlines would ring for each of its own.
_PAUSE_S = 0.002


class Alarm:
    """Rings when the earliest known deadline has passed; whoever is rung says which one is the next.

    What ends before its deadline leaves the timer as it is: it rings once in vain, and never when nothing waits.
    """

    def __init__(self, ring: Callable[[], float | None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._rings_s = 0.0

    def at(self, until_s: float) -> None:
        """Sees to it that it rings by then; `until_s` is time.monotonic's."""
        if self._timer is not None:
            if self._rings_s <= until_s:
                return
            self._timer.cancel()
        self._rings_s = until_s
        wait_s = max(_PAUSE_S, until_s - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._rang)

    def _rang(self) -> None:
        self._timer = None
        following_s = self._ring()
        if following_s is not None:
            self.at(following_s)

    def stop(self) -> None:
        """Rings no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
