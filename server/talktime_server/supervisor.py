"""The supervisor: starts the embedded store and the serving processes, keeps them running, drains and stops them.

Everything that it starts ends with it: in order when it is asked to stop, at once when it is killed.
"""

import asyncio
import dataclasses
import errno
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Self

import structlog

from talktime_server import engines, processes
from talktime_server.config import Engine, Settings, unknown_variables
from talktime_server.control import Control, StartRefused, Talk
from talktime_server.embedded import EmbeddedStore
from talktime_server.processes import Pause, Process
from talktime_server.state_folder import StateFolder

START_LIMIT_S = 30.0
# After the open calls' own limit, a serving process may take this long to let go of everything.
CLOSE_LIMIT_S = 1.5
LAST_WORDS_S = 0.5

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
        self._workers: list[Worker] = []
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
            await stack.enter_async_context(self._running_workers(folder.run, control))
            self._stack = stack.pop_all()
        if unknown := unknown_variables(os.environ):
            _log.warning("unknown_settings", variables=unknown)
        _log.info("serving", address=self.address, engine=self.engine, why=self.choice.why)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def _running_workers(self, run: Path, control: Control) -> AsyncIterator[None]:
        for index in range(self.settings.workers):
            command = engines.command(self.engine, self.settings, run, index)
            self._workers.append(Worker(index, command, control, self._log_path))
        limit_s = self.settings.drain_seconds + CLOSE_LIMIT_S
        try:
            await _together(*(worker.start() for worker in self._workers))
            yield
        finally:
            await _together(*(worker.stop(limit_s) for worker in self._workers))
            self._workers.clear()


class Worker:
    """One serving process, started again when it dies."""

    def __init__(
        self, index: int, command: processes.Command, control: Control, log_path: Path | None
    ) -> None:
        self._index = index
        self._command = command
        self._control = control
        self._log_path = log_path
        self._process: Process | None = None
        self._talk: Talk | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process that runs now, if one does."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Returns when calls are served; from then on it is kept running."""
        await self._start()
        self._watch = asyncio.create_task(self._keep())

    async def stop(self, limit_s: float) -> None:
        """Lets it finish its calls, then ends it; at the limit it is killed."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        if self._process is None or self._talk is None:
            return
        ready = self._talk.ready
        serves = ready.done() and not ready.cancelled() and ready.exception() is None
        self._talk.drain()
        await processes.ended(self._process, limit_s if serves else 0)

    async def _start(self) -> None:
        self._talk = self._control.expect(self._index)
        self._process = await processes.start(self._command, self._log_path)
        gone = asyncio.create_task(self._process.wait())
        try:
            async with asyncio.timeout(START_LIMIT_S):
                await asyncio.wait((gone, self._talk.ready), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            await processes.stop(self._process, 0)
            raise StartRefused(f"a serving process was not ready in {START_LIMIT_S:g} s") from None
        finally:
            gone.cancel()
        # A process that failed has said why before it ended; its last words may still be on the line.
        await asyncio.wait((self._talk.ready,), timeout=LAST_WORDS_S)
        if self._talk.ready.done():
            self._talk.ready.result()
            return
        raise StartRefused(
            f"a serving process ended with status {self._process.returncode} before it was ready"
        )

    async def _keep(self) -> None:
        pause = Pause()
        while True:
            assert self._process is not None
            since = time.monotonic()
            status = await self._process.wait()
            pause_s = pause.after(time.monotonic() - since)
            _log.error("worker_died", index=self._index, status=status, restart_after_s=pause_s)
            await asyncio.sleep(pause_s)
            try:
                await self._start()
                _log.info("worker_restarted", index=self._index, pid=self.pid)
            except (StartRefused, OSError) as error:
                _log.error("worker_not_restarted", index=self._index, why=str(error))
                await processes.stop(self._process, 0)


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
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((address, _free_port(family, address, port)))
        yield address, held.getsockname()[1]


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise StartRefused(f"TALKTIME_HOST is {host!r}: {error.strerror}") from None
    family, *_, address = found[0]
    return family, str(address[0])


def _free_port(family: socket.AddressFamily, address: str, port: int) -> int:
    # Without SO_REUSEPORT, so that two services of one user never share a port and each other's calls by mistake.
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            variable = "HOST" if error.errno == errno.EADDRNOTAVAIL else "PORT"
            why = f"{address}:{port}: {error.strerror}; choose another with TALKTIME_{variable}"
            raise StartRefused(why) from None
        return int(probe.getsockname()[1])


async def _together(*steps: Awaitable[None]) -> None:
    """Waits for every step, failed or not, then raises the first failure."""
    for outcome in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
