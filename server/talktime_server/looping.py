"""How a process of ours runs its event loop, and with what code it ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from talktime_server.control import StartRefused

CHANCES = 3  # to end, for what was left behind
FAREWELL_S = 0.5  # each


def run_process(serving: Coroutine[Any, Any, None]) -> int:
    """Runs to the end, on uvloop where it is installed: it costs about a tenth less. 1 when it could not start."""
    try:
        _run(serving)
    except StartRefused:  # said where it was noticed
        return 1
    return 0


def _run(serving: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(_to_its_end(serving))
    else:
        uvloop.run(_to_its_end(serving))


async def _to_its_end(serving: Coroutine[Any, Any, None]) -> None:
    """And of what it leaves behind: told to stop, some of it begins something more, as a database's
    driver does to hang up in good order.
    """
    try:
        await serving
    finally:
        for task in _others():
            task.cancel()
        for _ in range(CHANCES):
            if others := _others():
                _, late = await asyncio.wait(others, timeout=FAREWELL_S)
                for task in late:
                    task.cancel()


def _others() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}
