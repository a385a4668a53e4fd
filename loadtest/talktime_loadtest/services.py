"""Services to be measured, started through the command line as an operator would, each in a folder of its own."""

import asyncio
import dataclasses
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talktime_loadtest.preparing import Service

START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0
LOOK_EVERY_S = 0.01
ECHO = "talktime_loadtest.echo:open_app"
OPERATOR_TOKEN = "operator.token"


class ServiceFailed(Exception):
    """A service did not start; the text is its own last word."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which service to start. `floor` is the bare echo; `variables` are further settings."""

    engine: str = "auto"
    workers: int = 1
    fsync: str = "everysec"
    floor: bool = False
    variables: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs: where, on what, since how long, and the processes it is made of."""

    service: Service
    engine: str
    store_url: str
    pid: int
    start_seconds: float
    floor: bool = False

    def family(self) -> set[int]:
        """The pids of the service and all that it has started."""
        return _descendants(self.pid)


@asynccontextmanager
async def started(wanted: Wanted) -> AsyncIterator[Running]:
    """A service, for as long as the context lasts; nothing of it is left behind."""
    # The store's socket has a short path by law, so the folder is not below any other.
    with tempfile.TemporaryDirectory(prefix="tt-load-") as folder:
        began = time.monotonic()
        process = await _start(wanted, Path(folder))
        try:
            told = await _told(process, Path(folder))
            took_s = time.monotonic() - began
            running = _running(process, told, Path(folder), took_s)
            yield dataclasses.replace(running, floor=wanted.floor)
        finally:
            await _stop(process)


async def _start(wanted: Wanted, folder: Path) -> asyncio.subprocess.Process:
    environ = {name: text for name, text in os.environ.items() if not name.startswith("TALKTIME_")}
    environ |= {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TALKTIME_STORE_FSYNC": wanted.fsync,
        # What is measured is serving; archiving has its own processor on a real machine.
        "TALKTIME_BACK_OFFICE": "no",
        "TALKTIME_MIN_FUNDING": "0",
        # Load and service share this machine: a store may be late without being ill.
        "TALKTIME_STORE_TIMEOUT_MS": "1000",
        **dict(wanted.variables),
    }
    if wanted.floor:
        environ["TALKTIME_APP"] = ECHO
    options = [*("--port", "0"), *("--workers", str(wanted.workers)), *("--engine", wanted.engine)]
    command = [sys.executable, "-m", "talktime_server", "serve", "--json", *options]
    with (folder / "told").open("wb") as told, (folder / "log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *command, "--state-dir", str(folder / "state"), env=environ, stdout=told, stderr=log
        )


async def _told(process: asyncio.subprocess.Process, folder: Path) -> dict[str, Any]:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.returncode is None:
        text = (folder / "told").read_text()
        if text.rstrip().endswith("}"):
            return dict(json.loads(text))
        await asyncio.sleep(LOOK_EVERY_S)
    words = (folder / "log").read_text(errors="replace").strip().splitlines()
    raise ServiceFailed(words[-1] if words else "it did not start, and said nothing")


def _running(
    process: asyncio.subprocess.Process, told: dict[str, Any], folder: Path, took_s: float
) -> Running:
    state = folder / "state"
    kept = state / OPERATOR_TOKEN
    token = kept.read_text().strip()
    service = Service(str(told["address"]), token)
    return Running(
        service, str(told["engine"]), f"unix://{state / 'run' / 'store'}", process.pid, took_s
    )


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _descendants(pid: int) -> set[int]:
    found, fresh = {pid}, [pid]
    while fresh:
        children = Path(f"/proc/{fresh.pop()}/task")
        for task in children.glob("*/children"):
            new = {int(child) for child in task.read_text().split()} - found
            found |= new
            fresh += new
    return found
