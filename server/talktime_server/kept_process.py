"""One process that the supervisor started: waited for until it is ready, kept running, told to drain, ended."""

import asyncio
import time
from pathlib import Path

import structlog

from talktime_server import processes
from talktime_server.control import Control, StartRefused, Talk
from talktime_server.processes import PAUSE_MOST_S, Command, Pause, Process

START_LIMIT_S = 30.0
LAST_WORDS_S = 0.5

_log = structlog.get_logger("talktime.supervisor")


class KeptProcess:
    """A process by its name on the control socket, started again when it dies."""

    def __init__(
        self, name: str, command: Command, control: Control, log_path: Path | None
    ) -> None:
        self.longest_pause_s = PAUSE_MOST_S
        self._name = name
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
        """Returns when it is ready; from then on it is kept running. Raises StartRefused."""
        await self._start()
        self.keep()

    def keep(self) -> None:
        """From now on it is kept running; one that was never started is, and nobody waits for it."""
        self._watch = asyncio.create_task(self._keep())

    async def stop(self, limit_s: float) -> None:
        """Lets it finish what it does, then ends it; at the limit it is killed."""
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
        self._talk = self._control.expect(self._name)
        self._process = await processes.start(self._command, self._log_path)
        gone = asyncio.create_task(self._process.wait())
        try:
            async with asyncio.timeout(START_LIMIT_S):
                await asyncio.wait((gone, self._talk.ready), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            await processes.stop(self._process, 0)
            raise StartRefused(
                f"process {self._name} was not ready in {START_LIMIT_S:g} s"
            ) from None
        finally:
            gone.cancel()
        # A process that failed has said why before it ended; its last words may still be on the line.
        await asyncio.wait((self._talk.ready,), timeout=LAST_WORDS_S)
        if self._talk.ready.done():
            self._talk.ready.result()
            return
        raise StartRefused(
            f"process {self._name} ended with status {self._process.returncode} before it was ready"
        )

    async def _keep(self) -> None:
        pause = Pause(self.longest_pause_s)
        if self._process is None:
            await self._try_to_start("worker_started")
        while True:
            since = time.monotonic()
            status = await self._process.wait() if self._process else None
            pause_s = pause.after(time.monotonic() - since)
            _log.error("worker_died", name=self._name, status=status, restart_after_s=pause_s)
            await asyncio.sleep(pause_s)
            await self._try_to_start("worker_restarted")

    async def _try_to_start(self, event: str) -> None:
        try:
            await self._start()
            _log.info(event, name=self._name, pid=self.pid)
        except (StartRefused, OSError) as error:
            _log.error("worker_not_started", name=self._name, why=str(error))
            if self._process is not None:
                await processes.stop(self._process, 0)
