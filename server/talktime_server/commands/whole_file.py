"""A file that is there whole or not at all: it is written under another name beside it, and renamed at its end."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from talktime_server.commands.exits import Exit, Stop


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives the name to write to. What is left on the way takes it away again, and leaves a file of that name as it was.

    Only its owner may read the file: it tells who called whom.
    """
    try:
        descriptor, name = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=".part", dir=path.parent
        )
        os.close(descriptor)
    except OSError as error:
        raise _unwritable(path, error) from None
    part = Path(name)
    try:
        yield part
        _durable(part)
        part.replace(path)
    except OSError as error:
        # Only what this writes raises it; whoever reads the service ends with a sentence of its own.
        raise _unwritable(path, error) from None
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _durable(part: Path) -> None:
    """A rename that outlives a crash must not name a file whose content does not."""
    with part.open("rb+") as written:
        os.fsync(written.fileno())


def _unwritable(path: Path, error: OSError) -> Stop:
    return Stop(Exit.FAILED, f"{path}: cannot be written ({error.strerror}). Nothing was left.")
