"""The state folder: what one service keeps on this machine. One supervisor at a time, nobody else may look in.

lock      held while a supervisor or its store lives; holds the supervisor's pid
store/    the embedded store's files and its log
run/      sockets and made configuration, worthless after the end
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Self

import structlog

from talktime_server.control import StartRefused

# A Unix socket's path is at most 107 bytes on Linux and 103 on macOS; the longest name in run/ takes 16.
RUN_PATH_BYTES = 86
# How long the store of a supervisor that was killed may take to end.
LEFTOVER_LIMIT_S = 5.0
_LOOK_EVERY_S = 0.02

_log = structlog.get_logger("talktime.state")


class StateFolder:
    """A locked state folder. The lock is the kernel's and ends with its holders, however they end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = path / "store"
        self.run = path / "run"
        self.lock_fd = -1

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.lock_fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartRefused(
                f"the state folder {self.path}: {error.strerror}; choose another with TALKTIME_STATE_DIR"
            ) from None
        try:
            self._lock()
            self._make()
        except BaseException:
            self._let_go()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.run, ignore_errors=True)
        self._let_go()

    def _let_go(self) -> None:
        os.close(self.lock_fd)
        self.lock_fd = -1

    def _lock(self) -> None:
        deadline = time.monotonic() + LEFTOVER_LIMIT_S
        while not self._locked():
            holder = self._holder()
            # The store inherits the lock, so that a dead supervisor's store keeps it until it is gone too.
            if _lives(holder) or time.monotonic() > deadline:
                raise StartRefused(
                    f"the state folder {self.path} is in use by process {holder}; "
                    "stop it, or choose another folder with TALKTIME_STATE_DIR"
                )
            time.sleep(_LOOK_EVERY_S)
        os.ftruncate(self.lock_fd, 0)
        os.pwrite(self.lock_fd, str(os.getpid()).encode(), 0)

    def _locked(self) -> bool:
        try:
            fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _holder(self) -> int:
        text = os.pread(self.lock_fd, 20, 0)
        return int(text) if text.isdigit() else 0

    def _make(self) -> None:
        self.store.mkdir(mode=0o700, exist_ok=True)
        shutil.rmtree(self.run, ignore_errors=True)
        if len(os.fsencode(self.run)) > RUN_PATH_BYTES:
            self.run = Path(tempfile.mkdtemp(prefix="talktime-"))
            _log.info(
                "sockets_elsewhere", folder=str(self.run), why="the state folder's path is too long"
            )
        self.run.mkdir(mode=0o700, exist_ok=True)
        for folder in (self.store, self.run):
            folder.chmod(0o700)


def _lives(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        if pid > 0:
            # Raises when there is no such process; one of another user lives as well.
            with contextlib.suppress(PermissionError):
                os.kill(pid, 0)
            return True
    return False
