"""What carries bytes between two ends, for the bad networks and doors of the tests."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def both_ways(*ways: Coroutine[Any, Any, None]) -> None:
    """Carries until one way ends; then the other is given up."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
