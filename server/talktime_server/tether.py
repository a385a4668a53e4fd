"""Starts a program that ends when its parent ends, however its parent ends.

Run by path as `python -I -S tether.py SIGNAL PARENT [NAME=VALUE…] -- PROGRAM ARGUMENT…`; it becomes the program. The
variables are set here and not by the parent because LD_PRELOAD of a libpython must not reach this interpreter. A
function between fork and exec would do the same, but is not safe in a process with threads.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Ties this process to its parent, then becomes the program."""
    death_signal, parent, *rest = arguments
    border = rest.index("--")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    # The parent may have died before the kernel was asked to watch it.
    if os.getppid() != int(parent):
        sys.exit(1)
    for variable in rest[:border]:
        name, _, value = variable.partition("=")
        os.environ[name] = value
    program = rest[border + 1 :]
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
