"""A deliverer that is killed at a step of its own: a program, started by test_killed.py.

It counts the doors it goes through, into a transaction and out of it again, and ends itself by SIGKILL
at the one it is told, or right before what it posts, or right after that was taken.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive.database import Database
from talktime_server.notices.outbox import Outbox
from talktime_server.notices.outcome import Outcome
from talktime_server.notices.settings import Post
from talktime_server.notices.webhooks import Message, Poster

# Into and out of: the claim, the reading, the writing down; and around the post between the last two.
STEPS = (
    "claim begins",
    "claim is written",
    "claim is committed",
    "reading begins",
    "reading ends",
    "before the post",
    "after the post",
    "record begins",
    "record is written",
    "record is committed",
)


class Deadline:
    """Counts steps, and dies at one."""

    def __init__(self, last: str) -> None:
        self._left = list(STEPS)
        self._last = last

    def step(self, name: str) -> None:
        """Goes on by a step; the first that is none of the list's is the deliverer's second round."""
        due = self._left and name in ("door", self._left[0])
        if due and self._left.pop(0) == self._last:
            os.kill(os.getpid(), signal.SIGKILL)


class DyingDatabase(Database):
    """Counts its doors."""

    def __init__(self, url: str, deadline: Deadline) -> None:
        super().__init__(url)
        self._deadline = deadline

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        async with super().begin() as connection:
            self._deadline.step("door")
            yield connection
            self._deadline.step("door")
        self._deadline.step("door")

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        async with super().connect() as connection:
            self._deadline.step("door")
            yield connection
        self._deadline.step("door")


class DyingPoster(Poster):
    """Counts what is posted."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__(private=True)
        self._deadline = deadline

    async def post(self, message: Message, post: Post, now_ms: int) -> Outcome:
        self._deadline.step("before the post")
        outcome = await super().post(message, post, now_ms)
        self._deadline.step("after the post")
        return outcome


async def deliver(url: str, last: str) -> None:
    """Delivers until it is killed."""
    deadline = Deadline(last)
    outbox = Outbox(DyingDatabase(url, deadline), mailer=None, poster=DyingPoster(deadline))
    await outbox.step()


if __name__ == "__main__":
    asyncio.run(deliver(sys.argv[1], sys.argv[2]))
