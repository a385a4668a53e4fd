"""A deliverer is killed at each of its steps: what it had is delivered by the next, under the same id, and nothing is lost."""

import asyncio
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from notices import deliverer
from notices.receivers import Receiver, receiving
from notices.settings_kit import TENANT, delivery_rows, put_hook
from talktime_server.archive.database import Database
from talktime_server.notices import notice
from talktime_server.notices.notice import Notice
from talktime_server.notices.outbox import CLAIM_MS, Outbox
from talktime_server.notices.webhooks import Poster
from talktime_server.words import NoticeKind

ROUNDS = int(os.environ.get("TALKTIME_NOTICE_KILLS", "1"))
# At these the post was made already, and comes again: the receiver knows it by its id.
TWICE = ("after the post", "record begins", "record is written")


@pytest.mark.parametrize("last", deliverer.STEPS)
async def test_killed_at_each_step(file: Database, file_url: str, last: str) -> None:
    async with receiving() as receiver:
        secret = await put_hook(file, "h", receiver.url())
        for number in range(ROUNDS):
            await _tell(file, str(number))
            await _kill_at(last, file_url)
            await _finish(file)
            _check(receiver, number, last, secret)
        assert {row["state"] for row in await delivery_rows(file)} == {"DELIVERED"}


def _check(receiver: Receiver, number: int, last: str, secret: str) -> None:
    ids = [taken.message_id for taken in receiver.taken]
    assert len(set(ids)) == number + 1
    assert len(ids) == (number + 1) * (2 if last in TWICE else 1)
    assert all(taken.verified(secret) for taken in receiver.taken)


async def _tell(database: Database, cause: str) -> None:
    now_ms = time.time_ns() // 1_000_000
    told = Notice(TENANT, NoticeKind.BALANCE_ZERO, cause, now_ms, {"balance_micros": 0})
    async with database.begin() as connection:
        await notice.write(connection, [told])


async def _kill_at(last: str, url: str) -> None:
    """Starts a deliverer and waits until it has killed itself."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(deliverer.__file__)),
        url,
        last,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await asyncio.wait_for(program.wait(), 30) == -signal.SIGKILL


async def _finish(database: Database) -> None:
    """Somebody else comes when the claim is over; the earlier it may, the more it might do twice."""
    start_ms = time.time_ns() // 1_000_000
    poster = Poster(private=True)
    for later_ms in (0, CLAIM_MS):
        clock = partial(int, start_ms + later_ms)
        outbox = Outbox(database, mailer=None, poster=poster, clock=clock)
        await outbox.step()
    await poster.close()
