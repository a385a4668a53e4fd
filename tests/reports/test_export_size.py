"""An export takes the same memory however long it is, and never holds the others in its process up."""

import asyncio
import gc
import os
import resource
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from reports.kit import put_line, put_rows, usage
from talktime_server.archive.database import Database
from talktime_server.archive.reports import Picked, UsageReports
from talktime_server.rpc.report_messages import usage_row

ROWS = int(os.environ.get("TALKTIME_EXPORT_ROWS", "60000"))
MOST_BYTES = 8 * 2**20
MOST_HOLD_S = 0.25  # usually a fiftieth of it
LOOK_EVERY_S = 0.005
FIRST_MS = 1_790_000_000_000


def calls() -> Iterator[dict[str, Any]]:
    return (usage(n, FIRST_MS + n * 1_000, call_id=f"call-{n}") for n in range(ROWS))


@pytest.mark.timeout(1800)
async def test_a_long_export_needs_no_more_memory_than_a_short_one(database: Database) -> None:
    await put_rows(database, calls())
    await put_line(database, 1)
    gc.collect()
    gc.freeze()  # what the tests have gathered is no part of it
    begun_s = time.monotonic()
    rows, micros, longest_s = await read_all(database)
    gc.unfreeze()
    took_s = time.monotonic() - begun_s
    assert (rows, micros) == (ROWS, ROWS * 25_000)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{ROWS} rows in {took_s:.1f} s, held up to {longest_s * 1000:.1f} ms, {peak_kib} KiB")
    assert longest_s < MOST_HOLD_S
    tracemalloc.start()
    try:
        await read_all(database, most=20_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES, f"{peak} bytes"


async def read_all(database: Database, most: int = 2**31) -> tuple[int, int, float]:
    """Rows, what they come to, and the longest time that the loop was held."""
    watch = asyncio.create_task(longest_hold())
    await asyncio.sleep(0)
    rows = micros = 0
    async for part in UsageReports(database).export("acme", "FR", Picked(0, 2**53)):
        for message in map(usage_row, part.rows):
            micros += message.charge_micros + message.connection_fee_micros
        rows += len(part.rows)
        if rows >= most:
            break
    watch.cancel()
    return rows, micros, await watch


async def longest_hold() -> float:
    """How long the loop's thread worked between two looks, at most: its own time, as others use the machine too."""
    longest_s = 0.0
    try:
        while True:
            before_s = time.thread_time()
            await asyncio.sleep(LOOK_EVERY_S)
            longest_s = max(longest_s, time.thread_time() - before_s)
    except asyncio.CancelledError:
        return longest_s
