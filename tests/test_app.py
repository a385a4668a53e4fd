"""The composition root: work beside the calls goes on whatever happens to it."""

import asyncio

import pytest

from talktime_server.work.beside import kept_running


async def test_work_beside_the_calls_begins_again_after_a_bug() -> None:
    runs: list[int] = []
    again = asyncio.Event()

    async def work() -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            raise ValueError("a bug")
        again.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(kept_running(work, pause_s=0))
    await asyncio.wait_for(again.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runs == [0, 1]
