"""The supervisor: starts the embedded store, the serving processes and the back office, keeps them running, and stops them.

Everything that it starts ends with it: in order when it is asked to stop, at once when it is killed. The order is that of
who needs whom: the serving processes finish their calls, the back office brings what they wrote to the archive, the store
ends last.
"""

import asyncio
import dataclasses
import errno
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Self

import structlog

from talktime_server import engines
from talktime_server.config import Engine, Settings, unknown_variables
from talktime_server.control import Control, StartRefused
from talktime_server.embedded import EmbeddedStore
from talktime_server.kept_process import KeptProcess
from talktime_server.state_folder import StateFolder

# After the open calls' own limit, a serving process may take this long to let go of everything.
CLOSE_LIMIT_S = 1.5
# The back office may take this long to bring the last lines to the archive.
OFFICE_LIMIT_S = 6.5
# It may die for want of something that only a person can put right: then it is tried seldom.
OFFICE_PAUSE_S = 30.0

_ASKING = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger("talktime.supervisor")


class Supervisor:
    """A running service, as an async context manager: serves when entered, has drained when left.

    The processes write to `log_path`, else where this process writes.
    """

    def __init__(self, settings: Settings, log_path: Path | None = None) -> None:
        self.settings = settings
        self.store: EmbeddedStore | None = None
        self.choice = engines.choose(settings.engine)
        self._log_path = log_path
        self._workers: list[KeptProcess] = []
        self._office: KeptProcess | None = None
        self._stack = AsyncExitStack()

    @property
    def engine(self) -> Engine:
        """The engine taken."""
        return self.choice.engine

    @property
    def address(self) -> str:
        """Where calls are served, as host:port."""
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        return f"{host}:{self.settings.port}"

    @property
    def workers(self) -> tuple[int, ...]:
        """The pids of the serving processes that run now."""
        return tuple(worker.pid for worker in self._workers if worker.pid is not None)

    @property
    def back_office(self) -> int | None:
        """The pid of the back office, while it runs."""
        return self._office.pid if self._office else None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(StateFolder(self.settings.state_dir))
            held = _held_port(self.settings.host, self.settings.port)
            host, port = stack.enter_context(held)
            self.settings = dataclasses.replace(self.settings, host=host, port=port)
            if not self.settings.store_url:
                self.store = await stack.enter_async_context(_running_store(self.settings, folder))
                self.settings = dataclasses.replace(self.settings, store_url=self.store.url)
            control = await stack.enter_async_context(Control(folder.run / "control"))
            await stack.enter_async_context(self._office_beside(folder.run, control))
            await stack.enter_async_context(self._running_workers(folder.run, control))
            if self._office:
                self._office.keep()
            self._stack = stack.pop_all()
        if unknown := unknown_variables(os.environ):
            _log.warning("unknown_settings", variables=unknown)
        _log.info("serving", address=self.address, engine=self.engine, why=self.choice.why)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def _office_beside(self, run: Path, control: Control) -> AsyncIterator[None]:
        """Calls are served without it: nobody waits until it is ready, and it may die and come back."""
        if not self.settings.back_office:
            yield
            return
        command = engines.back_office_command(self.settings, run)
        office = KeptProcess(engines.BACK_OFFICE, command, control, self._log_path)
        office.longest_pause_s = OFFICE_PAUSE_S
        self._office = office
        try:
            yield
        finally:
            await office.stop(OFFICE_LIMIT_S)
            self._office = None

    @asynccontextmanager
    async def _running_workers(self, run: Path, control: Control) -> AsyncIterator[None]:
        for index in range(self.settings.workers):
            command = engines.command(self.engine, self.settings, run, index)
            self._workers.append(KeptProcess(str(index), command, control, self._log_path))
        limit_s = self.settings.drain_seconds + CLOSE_LIMIT_S
        try:
            await _together(*(worker.start() for worker in self._workers))
            yield
        finally:
            await _together(*(worker.stop(limit_s) for worker in self._workers))
            self._workers.clear()


async def serve(
    settings: Settings,
    *,
    announce: Callable[[Supervisor], None],
    log_path: Path | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then drains. `announce` is called once calls are served.

    A second signal has its usual effect, and everything ends at once.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for asking in _ASKING:
        loop.add_signal_handler(asking, asked.set)
    async with Supervisor(settings, log_path) as supervisor:
        announce(supervisor)
        await asked.wait()
        for asking in _ASKING:
            loop.remove_signal_handler(asking)
        _log.info("draining")


@asynccontextmanager
async def _running_store(settings: Settings, folder: StateFolder) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore(folder.store, folder.run / "store", settings.store_fsync, folder.lock_fd)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


@contextmanager
def _held_port(host: str, port: int) -> Iterator[tuple[str, int]]:
    """Holds the port without listening, so that it stays ours while serving processes come and go.

    Gives the numeric address and the port, which for port 0 is a free one.
    """
    family, address = _resolved(host, port)
    with socket.socket(family) as held:
        # For port 0 the system shares none that is taken, whatever the options of both sockets.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if port:
            _refuse_taken(family, address, port)
        _bind(held, address, port)
        yield address, held.getsockname()[1]


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise StartRefused(f"TALKTIME_HOST is {host!r}: {error.strerror}") from None
    family, *_, address = found[0]
    return family, str(address[0])


def _refuse_taken(family: socket.AddressFamily, address: str, port: int) -> None:
    # Without SO_REUSEPORT, so that two services of one user never share a port and each other's calls by mistake.
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(probe, address, port)


def _bind(taking: socket.socket, address: str, port: int) -> None:
    try:
        taking.bind((address, port))
    except OSError as error:
        variable = "HOST" if error.errno == errno.EADDRNOTAVAIL else "PORT"
        why = f"{address}:{port}: {error.strerror}; choose another with TALKTIME_{variable}"
        raise StartRefused(why) from None


async def _together(*steps: Awaitable[None]) -> None:
    """Waits for every step, failed or not, then raises the first failure."""
    for outcome in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
