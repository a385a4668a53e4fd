"""How a process of ours runs its event loop, and with what code it ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from talktime_server.control import StartRefused


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
        asyncio.run(serving)
    else:
        uvloop.run(serving)
