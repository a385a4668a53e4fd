"""Child processes: started so that none outlives its parent, stopped with a limit, restarted with a pause."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from talktime_server import tether

PAUSE_FIRST_S = 0.1
# So that calls are served again soon after a store that was long away is back.
PAUSE_MOST_S = 2.0
# A process that lived this long was well: the next pause is the first one again.
WELL_AFTER_S = 10.0

Process = asyncio.subprocess.Process


@dataclass(frozen=True, slots=True)
class Command:
    """What to start. `preloaded` holds variables that only the program itself may see."""

    program: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    preloaded: Mapping[str, str] = field(default_factory=dict)
    death_signal: signal.Signals = signal.SIGKILL
    """What the kernel sends it when this process dies (Linux)."""
    kept_fds: tuple[int, ...] = ()


async def start(command: Command, log_path: Path | None) -> Process:
    """Starts a program tied to this process; its output goes to the end of `log_path`, else to ours.

    It gets a session of its own, so that Ctrl-C in a terminal reaches the supervisor alone, which then drains.
    """
    variables = [f"{name}={value}" for name, value in command.preloaded.items()]
    tied = [sys.executable, "-I", "-S", tether.__file__, str(int(command.death_signal))]
    with contextlib.ExitStack() as opened:
        output = opened.enter_context(log_path.open("ab")) if log_path else None
        return await asyncio.create_subprocess_exec(
            *(*tied, str(os.getpid()), *variables, "--", *command.program),
            env={**os.environ, **command.environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            pass_fds=command.kept_fds,
            start_new_session=True,
        )


async def stop(process: Process, limit_s: float, how: signal.Signals = signal.SIGTERM) -> None:
    """Asks a process to end, waits, and kills it at the limit. One that has ended is left alone."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
    await ended(process, limit_s)


async def ended(process: Process, limit_s: float) -> None:
    """Waits for a process to end by itself, and kills it at the limit."""
    try:
        await asyncio.wait_for(process.wait(), limit_s)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Pause:
    """The pauses between restarts: each twice the one before, until a process lived well."""

    def __init__(self, most_s: float = PAUSE_MOST_S) -> None:
        self._most_s = most_s
        self._next_s = PAUSE_FIRST_S

    def after(self, lived_s: float) -> float:
        """How long to wait, after a process that lived this long."""
        if lived_s >= WELL_AFTER_S:
            self._next_s = PAUSE_FIRST_S
        pause_s = self._next_s
        self._next_s = min(self._most_s, pause_s * 2)
        return pause_s
