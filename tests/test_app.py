"""The composition root: work beside the calls goes on whatever happens to it."""

import asyncio
import os
import subprocess
import sys

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


def test_a_serving_process_does_not_load_what_only_others_need() -> None:
    """Each would cost every process its memory, and every start its time."""
    foreign = {"jinja2", "starlette", "stripe", "uvicorn", "xlsxwriter"}
    program = f"import sys, talktime_server.app; print(*({foreign!r} & sys.modules.keys()))"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    asked = [sys.executable, "-c", program]
    done = subprocess.run(asked, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
