"""How a process of ours ends: nothing that it began is torn."""

import asyncio

from talktime_server import looping
from talktime_server.looping import run_process


def test_what_begins_when_the_rest_is_told_to_stop_comes_to_its_end() -> None:
    """As a driver hangs up: in a task of its own, begun when its user is cancelled."""
    ended: list[str] = []

    async def hang_up() -> None:
        await asyncio.sleep(0.01)
        ended.append("hung up")

    async def use() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.shield(asyncio.create_task(hang_up()))

    async def serve() -> None:
        left = asyncio.create_task(use())
        left.add_done_callback(lambda _: ended.append("told"))
        await asyncio.sleep(0)

    assert run_process(serve()) == 0
    assert sorted(ended) == ["hung up", "told"]


def test_what_will_not_end_does_not_hold_the_process() -> None:
    beats: list[None] = []
    left: list[asyncio.Task[None]] = []

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                beats.append(None)
                if len(beats) > looping.CHANCES:
                    raise

    async def serve() -> None:
        left.append(asyncio.create_task(stubborn()))
        await asyncio.sleep(0)

    assert run_process(serve()) == 0
    assert len(beats) == looping.CHANCES + 1
