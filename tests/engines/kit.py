"""What the tests of the engines share: a service in this process or in its own, and ways to ask it."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

from talktime_server.config import Settings
from talktime_server.processes import Process
from talktime_server.supervisor import Supervisor

APP = "engines.echo_app:open_app"
PATIENCE_S = 15.0


def settings_of(folder: Path, **overrides: object) -> Settings:
    """One worker of the echo app on a free port, alone, with its state below `folder`."""
    plain: dict[str, object] = {
        "port": 0,
        "workers": 1,
        "app": APP,
        "state_dir": folder / "state",
        "back_office": "no",
    }
    settings = Settings.read({}, **{**plain, **overrides})
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.tokens_path.touch(mode=0o600)
    settings.tokens_path.write_text('{"tokens": []}')
    return settings


@asynccontextmanager
async def running(folder: Path, **overrides: object) -> AsyncIterator[Supervisor]:
    """A service in this process; it has drained at the end."""
    async with Supervisor(settings_of(folder, **overrides), folder / "log") as supervisor:
        yield supervisor


@dataclass(frozen=True, slots=True)
class Service:
    """A service in a process of its own."""

    process: Process
    address: str
    workers: tuple[int, ...]
    store: int


@asynccontextmanager
async def apart(folder: Path, **overrides: object) -> AsyncIterator[Service]:
    """A service in a process of its own, killed at the end if it still runs."""
    told = folder / "told.json"
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        **settings_of(folder, **overrides).to_environ(),
    }
    command = [sys.executable, "-m", "engines.serve_echo", str(told)]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, env=environ, stdout=log, stderr=log
        )
    try:
        await until(lambda: told.exists() or process.returncode is not None)
        assert process.returncode is None, (folder / "log").read_text()
        known = json.loads(told.read_text())
        yield Service(process, known["address"], tuple(known["workers"]), known["store"])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until(true: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Looks until it is so; fails when it takes too long."""
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, "it did not come to be in time"
        await asyncio.sleep(0.01)


def lives(pid: int) -> bool:
    """Whether the process runs: one that only waits to be collected does not."""
    try:
        os.kill(pid, 0)
        return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
    except (ProcessLookupError, FileNotFoundError):
        return False


def kill(pid: int) -> None:
    """`kill -9`."""
    os.kill(pid, signal.SIGKILL)


async def ask(channel: grpc.aio.Channel, path: str, text: str, timeout_s: float = 5.0) -> str:
    """One unary call of the echo app."""
    message = StringValue(value=text).SerializeToString()
    call: Any = channel.unary_unary(path)
    answer: bytes = await call(message, timeout=timeout_s)
    return StringValue.FromString(answer).value


def own_channel(address: str) -> grpc.aio.Channel:
    """A channel with a connection of its own, as if it were in a process of its own."""
    return grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
