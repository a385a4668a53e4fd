"""A running service for tests: a real supervisor in a thread of its own, its tokens, and the way to its store.

The supervisor needs an event loop; the tests keep theirs. Everything it starts ends with `stop`.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

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


def until(found: Callable[[], T], within_s: float = 5.0) -> T:
    """What `found` gives once that is true; fails with what it gave last when the time is over."""
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not (last := found()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {last!r}"
        pause.wait(LOOK_EVERY_S)
    return last


class Service:
    """A service on a free port with its state below `folder`."""

    def __init__(self, engine: Engine, folder: Path, **settings: object) -> None:
        chosen: dict[str, object] = {
            "engine": engine,
            "port": 0,
            "workers": 2,
            "state_dir": folder / "state",
            # Tests look at what is answered; on a busy machine a store may be late without being ill.
            "store_timeout_ms": 1_000,
        }
        self.engine = engine
        self.log_path = folder / "log"
        self.supervisor = Supervisor(Settings.read({}, **{**chosen, **settings}), self.log_path)
        self.operator = self.token(Role.OPERATOR)
        self.router = self.token(Role.ROUTER)
        self.auditor = self.token(Role.AUDITOR)
        self.lone_router = self.token(Role.ROUTER, [LONE])
        self.lone_admin = self.token(Role.ADMIN, [LONE])
        now, hour = datetime.now(UTC), timedelta(hours=1)
        self.expired = self.token(Role.OPERATOR, expires=now - hour)
        self.early = self.token(Role.OPERATOR, not_before=now + hour)
        self._ready = threading.Event()
        self._stop: Callable[[], object] = lambda: None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"supervisor of {engine}")

    @property
    def address(self) -> str:
        """Where it serves."""
        return self.supervisor.address

    @property
    def store_pid(self) -> int:
        """The store that runs now."""
        store = self.supervisor.store
        assert store is not None
        return until(lambda: store.pid or 0)

    def token(self, role: Role, tenants: Iterable[str] = EVERY_TENANT, **validity: datetime) -> str:
        """A new token; a service that runs already takes it within a second."""
        path = self.supervisor.settings.tokens_path
        return token_file.create(path, role=role, tenants=tenants, name=role.value, **validity)

    def store(self) -> redis.Redis:
        """A connection to its store."""
        store = self.supervisor.store
        assert store is not None
        return redis.Redis(unix_socket_path=str(store.socket), socket_timeout=10)

    def logs(self) -> dict[str, str]:
        """Everything that its processes have written, by file."""
        state = self.supervisor.settings.state_dir
        found = [self.log_path, *state.rglob("*.log*")]
        return {str(path): path.read_text(errors="replace") for path in found}

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
