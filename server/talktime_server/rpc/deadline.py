"""How long a call may take: the caller's deadline within our bounds, and what is said when it passes."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from talktime_server.failure import Applied, TooLate

MAX_TIMEOUT_S = 2.0
MIN_TIMEOUT_S = 0.005
LOOK_EVERY_S = 0.005

T = TypeVar("T")


def remaining_s(timeout_s: float | None, default_s: float) -> float:
    """The seconds a call may take; refuses one that could not be answered in time. A method whose
    default is longer than what others may take at most may take its default.
    """
    if timeout_s is None:
        return default_s
    remaining = min(timeout_s, max(MAX_TIMEOUT_S, default_s))
    # Written so that NaN is refused too.
    if not remaining >= MIN_TIMEOUT_S:
        raise TooLate("DEADLINE_TOO_SHORT", "less than 5 ms are left")
    return remaining


class Deadlines:
    """Ends what takes too long. One timer looks after all calls: one each would cost as much as the rest
    of the edge (4 µs of 7), and a deadline may be met a few milliseconds late."""

    __slots__ = ("_open", "_timer")

    def __init__(self) -> None:
        self._open: set[_Watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, work: Awaitable[T], most_s: float, applied: Applied) -> T:
        """What `work` answers within so many seconds; after that, DEADLINE_EXCEEDED with this outcome."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        watched = _Watched(task, loop.time() + most_s)
        self._open.add(watched)
        if self._timer is None:
            self._timer = loop.call_later(LOOK_EVERY_S, self._look, loop)
        cancels = task.cancelling()
        try:
            return await work
        except asyncio.CancelledError:
            # Somebody else may have cancelled the call as well: theirs goes on.
            if watched.ended and task.cancelling() - 1 <= cancels:
                raise too_late(applied) from None
            raise
        finally:
            self._open.discard(watched)
            if watched.ended:
                task.uncancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(LOOK_EVERY_S, self._look, loop) if self._open else None
        now = loop.time()
        for watched in self._open:
            if watched.until <= now and not watched.ended:
                watched.ended = True
                watched.task.cancel()


def too_late(applied: Applied) -> TooLate:
    """The deadline passed while a call was being answered."""
    text = "the deadline passed before the answer was known"
    return TooLate("DEADLINE_EXCEEDED", text, applied=applied)


class _Watched:
    """A call that is being answered. Compared by identity, so that it can be kept in a set."""

    __slots__ = ("ended", "task", "until")

    def __init__(self, task: "asyncio.Task[Any]", until: float) -> None:
        self.task = task
        self.until = until
        self.ended = False
