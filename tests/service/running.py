"""Running services for tests: a supervisor in a thread, or `talktime serve` as a process of its own.

Each has its tokens and the way to its store. Everything that one starts ends with `stop`.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import redis

from talktime_server.config import Engine, Settings
from talktime_server.rpc import token_file
from talktime_server.rpc.shapes import Role
from talktime_server.supervisor import Supervisor

START_LIMIT_S = 40.0
LOOK_EVERY_S = 0.01
EVERY_TENANT = ("*",)
LONE = "lone-tenant"  # the only tenant of some tokens

T = TypeVar("T")


def until(found: Callable[[], T], within_s: float = 15.0) -> T:
    """What `found` gives once that is true; fails with what it gave last when the time is over."""
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not (last := found()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {last!r}"
        pause.wait(LOOK_EVERY_S)
    return last


class Running:
    """What every running service of ours has: settings, tokens, an address, and a store below `folder`."""

    def __init__(self, engine: Engine, folder: Path, **settings: object) -> None:
        chosen: dict[str, object] = {
            "engine": engine,
            "port": 0,
            "workers": 2,
            "state_dir": folder / "state",
            # Tests look at what is answered; on a busy machine a store may be late without being ill.
            "store_timeout_ms": 1_000,
            # And many of them look at a few cents.
            "min_funding": 0,
            "min_trigger": 0,
        }
        self.engine = engine
        self.settings = Settings.read({}, **{**chosen, **settings})
        self.log_path = folder / "log"
        self.operator = self.token(Role.OPERATOR)
        self.router = self.token(Role.ROUTER)
        self.auditor = self.token(Role.AUDITOR)
        self.lone_router = self.token(Role.ROUTER, [LONE])
        self.lone_admin = self.token(Role.ADMIN, [LONE])
        now, hour = datetime.now(UTC), timedelta(hours=1)
        self.expired = self.token(Role.OPERATOR, expires=now - hour)
        self.early = self.token(Role.OPERATOR, not_before=now + hour)

    @property
    def address(self) -> str:
        """Where it serves."""
        raise NotImplementedError

    def token(self, role: Role, tenants: Iterable[str] = EVERY_TENANT, **validity: datetime) -> str:
        """A new token; a service that runs already takes it within a second."""
        path = self.settings.tokens_path
        return token_file.create(path, role=role, tenants=tenants, name=role.value, **validity)

    def store(self) -> redis.Redis:
        """A connection to its store."""
        socket = self.settings.state_dir / "run" / "store"
        return redis.Redis(unix_socket_path=str(socket), socket_timeout=10)

    def logs(self) -> dict[str, str]:
        """Everything that its processes have written, by file."""
        found = [self.log_path, *self.settings.state_dir.rglob("*.log*")]
        return {str(path): path.read_text(errors="replace") for path in found}


class Service(Running):
    """A service whose supervisor runs in a thread, so that a test can ask it for its processes."""

    def __init__(self, engine: Engine, folder: Path, **settings: object) -> None:
        super().__init__(engine, folder, **settings)
        self.supervisor = Supervisor(self.settings, self.log_path)
        self._ready = threading.Event()
        self._stop: Callable[[], object] = lambda: None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"supervisor of {engine}")

    @property
    def address(self) -> str:
        return self.supervisor.address

    @property
    def store_pid(self) -> int:
        """The store that runs now."""
        store = self.supervisor.store
        assert store is not None
        return until(lambda: store.pid or 0)

    def kill_store(self) -> None:
        """As a power cut would end its process. Not while writes wait for a slow disk: of those, "everysec" may lose some."""
        with self.store() as store:
            until(lambda: not store.info("persistence")["aof_pending_bio_fsync"])
            os.kill(self.store_pid, signal.SIGKILL)

    def start(self) -> "Service":
        """Returns when calls are served."""
        self._thread.start()
        assert self._ready.wait(START_LIMIT_S), "the service did not start"
        if self._failure:
            raise self._failure
        return self

    def stop(self) -> None:
        """Drains it and ends its processes."""
        self._stop()
        self._thread.join()
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as failure:
            self._failure = failure
            self._ready.set()

    async def _live(self) -> None:
        asked, loop = asyncio.Event(), asyncio.get_running_loop()
        async with self.supervisor:
            self._stop = lambda: loop.call_soon_threadsafe(asked.set)
            self._ready.set()
            await asked.wait()


class Served(Running):
    """A service as an operator runs it: the command, which signals reach."""

    def __init__(self, engine: Engine, folder: Path, **settings: object) -> None:
        super().__init__(engine, folder, **settings)
        self._told_path = folder / "told"
        self._process: subprocess.Popen[bytes] | None = None
        self._told: dict[str, Any] = {}

    @property
    def address(self) -> str:
        return str(self._told["address"])

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The command's process."""
        assert self._process is not None
        return self._process

    def start(self) -> "Served":
        """Returns when calls are served."""
        environ = {**os.environ, **self.settings.to_environ()}
        environ["PYTHONPATH"] = os.pathsep.join(sys.path)
        with self._told_path.open("wb") as told, self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "talktime_server", "serve", "--json"],
                env=environ,
                stdout=told,
                stderr=log,
            )
        self._told = until(self._announced, START_LIMIT_S)
        return self

    def stop(self) -> int:
        """Asks it to end, once; returns its exit status."""
        self.process.terminate()
        return self.process.wait(START_LIMIT_S)

    def family(self) -> set[int]:
        """The pids of the command and of everything that it has started."""
        return _descendants(self.process.pid)

    def _announced(self) -> dict[str, Any]:
        assert self.process.poll() is None, self.log_path.read_text()
        _, _, document = ("\n" + self._told_path.read_text()).partition("\n{\n")
        return dict(json.loads("{" + document)) if document.rstrip().endswith("}") else {}


def _descendants(pid: int) -> set[int]:
    listed = subprocess.run(
        ["ps", "-e", "-o", "pid=,ppid="], stdout=subprocess.PIPE, check=True, text=True
    )
    parents = {
        int(child): int(parent) for child, parent in map(str.split, listed.stdout.splitlines())
    }
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def lives(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
