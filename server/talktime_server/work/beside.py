"""Work beside the calls never ends while its process lives."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

RESTART_PAUSE_S = 1.0

Work = Callable[[], Awaitable[None]]

_log = structlog.get_logger("talktime.beside")


async def kept_running(work: Work, pause_s: float = RESTART_PAUSE_S) -> None:
    """Runs a work until cancelled: a bug in it is logged, and it begins again."""
    while True:
        try:
            await work()
        except Exception:
            _log.exception("work_beside_calls_failed")
        await asyncio.sleep(pause_s)


async def ended(tasks: "tuple[asyncio.Task[None], ...]") -> None:
    """Cancels tasks and waits until they are over."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
