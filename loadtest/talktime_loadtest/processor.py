"""What processes use: their processor time and memory, as the system counts them. Linux only."""

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# In /proc/PID/stat, behind the name, which may hold anything: user and system time.
_USER, _SYSTEM = 11, 12


def processor_s(pids: Iterable[int]) -> float:
    """Processor time used so far by these processes together; one that is gone counts nothing."""
    return sum(map(_processor_s, pids))


def resident_bytes(pid: int) -> int:
    """Memory that is really there, shared libraries included."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _processor_s(pid: int) -> float:
    try:
        told = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = told.rpartition(")")[2].split()
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS_PER_S
