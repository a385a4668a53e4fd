"""Runs generators, each a process of its own, and gathers what they tell."""

import asyncio
import dataclasses
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from talktime_loadtest.asking import Kind
from talktime_loadtest.buckets import Counts
from talktime_loadtest.orders import Orders

READY_LIMIT_S = 30.0
LINE_BYTES = 16 * 1024 * 1024


class GeneratorFailed(Exception):
    """A generator ended before its time; the text is its own last word."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What one generator saw during a fraction of a second. Phase 0 is the warm-up; latencies by kind."""

    generator: int
    phase: int
    took_s: float
    refused: int
    errors: dict[str, int]
    latencies: dict[Kind, Counts]

    @property
    def answered(self) -> int:
        """Operations answered without an error."""
        return sum(sum(counts.values()) for counts in self.latencies.values())


@dataclass(slots=True)
class Told:
    """Everything that the generators told: moments in their order, and each one's books."""

    moments: list[Moment] = field(default_factory=list)
    books: list[dict[str, Any]] = field(default_factory=list)


async def load(orders: list[Orders], seen: Callable[[Moment], None] = lambda _: None) -> Told:
    """Runs one generator per orders, all from the same moment; `seen` hears of each moment as it comes."""
    told = Told()
    processes = [await _start(each) for each in orders]
    try:
        async with asyncio.timeout(READY_LIMIT_S):
            for process in processes:
                await _ready(process)
        for process in processes:
            _write(process, "go\n")
        async with asyncio.TaskGroup() as tasks:
            for number, process in enumerate(processes):
                tasks.create_task(_listen(number, process, told, seen))
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
    return told


def shared(orders: Orders, processes: int) -> list[Orders]:
    """A load divided among generators: each has its part of the lanes, the operations in flight and the rate."""
    return [
        dataclasses.replace(
            orders,
            lanes=max(1, _part(orders.lanes, processes, number)),
            in_flight=max(1, _part(orders.in_flight, processes, number)),
            count=_part(orders.count, processes, number),
            rate_per_s=orders.rate_per_s / processes,
            run=f"{orders.run}{number:04}",
            seed=orders.seed + number,
        )
        for number in range(processes)
    ]


def new_run() -> str:
    """A name that no other run has: what ids begin with."""
    return secrets.token_hex(4)


def _part(whole: int, parts: int, number: int) -> int:
    return whole // parts + (number < whole % parts)


async def _start(orders: Orders) -> asyncio.subprocess.Process:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "talktime_loadtest.generator"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
        limit=LINE_BYTES,
    )
    _write(process, orders.to_line() + "\n")
    return process


def _write(process: asyncio.subprocess.Process, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line.encode())


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    assert process.stdout is not None
    async for line in process.stdout:
        yield json.loads(line)


async def _ready(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    if not await process.stdout.readline():
        raise GeneratorFailed(await _last_word(process))


async def _listen(
    number: int, process: asyncio.subprocess.Process, told: Told, seen: Callable[[Moment], None]
) -> None:
    async for line in _lines(process):
        if "slice" in line:
            moment = _moment(number, line["slice"])
            told.moments.append(moment)
            seen(moment)
        elif "books" in line:
            told.books.append(line["books"])
            return
    raise GeneratorFailed(await _last_word(process))


async def _last_word(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    words = (await process.stderr.read()).decode(errors="replace").strip().splitlines()
    return words[-1] if words else "it said nothing"


def _moment(number: int, told: dict[str, Any]) -> Moment:
    latencies = {
        Kind(kind): {int(bucket): count for bucket, count in counts.items()}
        for kind, counts in told["latencies"].items()
    }
    return Moment(number, told["phase"], told["took_s"], told["refused"], told["errors"], latencies)
