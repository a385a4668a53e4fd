"""The line between the supervisor and its processes: a Unix socket, one short text line per message.

A process says `hello NAME`, then `ready` or `failed WHY`. The supervisor says `drain`. The end of the line itself
speaks too: a process whose supervisor is gone drains and ends, on systems where no kernel does that for it.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Self

import structlog

SOCKET_VARIABLE = "TALKTIME_CONTROL"
NAME_VARIABLE = "TALKTIME_WORKER"
# By this a back office knows the lease of the one before it, under the same supervisor.
OFFICE_VARIABLE = "TALKTIME_OFFICE"
LINE_BYTES = 4096
CONNECT_LIMIT_S = 5.0

_log = structlog.get_logger("talktime.control")


class StartRefused(Exception):
    """Something cannot start; the text says what and why, to an operator."""


class Talk:
    """The supervisor's end: what one process says, and what it is told."""

    def __init__(self) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer: asyncio.StreamWriter | None = None

    def drain(self) -> None:
        """Tells the process to finish its calls and end."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(b"drain\n")

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hears the process until it hangs up."""
        self._writer = writer
        while line := await reader.readline():
            word, _, text = line.decode(errors="replace").strip().partition(" ")
            if self.ready.done():
                continue
            if word == "ready":
                self.ready.set_result(None)
            elif word == "failed":
                self.ready.set_exception(StartRefused(text))


class Control:
    """The supervisor's socket, in a folder that nobody else may enter."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._talks: dict[str, Talk] = {}
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._greet, self.path, limit=LINE_BYTES)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        self.path.unlink(missing_ok=True)

    def expect(self, name: str) -> Talk:
        """The talk with the process of this name that is about to be started."""
        talk = self._talks[name] = Talk()
        return talk

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            line = (await reader.readline()).decode(errors="replace")
            word, _, name = line.strip().partition(" ")
            if word == "hello" and (talk := self._talks.get(name)):
                await talk.listen(reader, writer)
        except ConnectionError:
            # A process that was killed; whoever waits for its end notices it.
            return
        except ValueError:
            _log.warning("control_line_too_long")
        finally:
            self._writers.discard(writer)
            writer.close()


class Line:
    """A serving process's end. Without a supervisor it says nothing and is told nothing."""

    def __init__(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None) -> None:
        self._streams = streams

    @classmethod
    async def connect(cls, path: str, name: str) -> Self:
        """Calls the supervisor at `path`; an empty one means that there is none."""
        if not path:
            return cls(None)
        async with asyncio.timeout(CONNECT_LIMIT_S):
            line = cls(await asyncio.open_unix_connection(path, limit=LINE_BYTES))
        await line._say(f"hello {name}")
        return line

    async def ready(self) -> None:
        """Says that calls are served."""
        await self._say("ready")

    async def failed(self, why: str) -> None:
        """Says why this process cannot serve, before it ends."""
        await self._say("failed " + " ".join(why.split())[: LINE_BYTES // 8])

    async def told_to_drain(self) -> None:
        """Returns when the supervisor says so, or is gone."""
        if self._streams is None:
            await asyncio.Event().wait()
            return
        with contextlib.suppress(ConnectionError):
            while line := await self._streams[0].readline():
                if line.strip() == b"drain":
                    return

    async def _say(self, text: str) -> None:
        if self._streams is None:
            return
        with contextlib.suppress(ConnectionError):
            self._streams[1].write(text.encode() + b"\n")
            await self._streams[1].drain()
