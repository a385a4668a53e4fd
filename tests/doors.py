"""Doors with TLS before stores, whose own program may have none: what comes in secured goes on plainly, and so does what
comes in plainly, as the servers of one store ask each other.
"""

import asyncio
import socket
import ssl
from contextlib import closing, suppress
from pathlib import Path

from both_ways import both_ways

TLS_BEGINS = b"\x16"
CHUNK_BYTES = 1 << 16
LOOK_EVERY_S = 0.002


class Door:
    """A port before a store's socket; `secured` and `plain` count who came in how. Each waits `late_s` to be let in, and so long
    for what the store says first.
    """

    def __init__(self, port: int, inside: Path, context: ssl.SSLContext) -> None:
        self.port = port
        self.secured = self.plain = 0
        self.late_s = 0.0
        self._inside = inside
        self._context = context
        self._visits: set[asyncio.Task[None]] = set()
        self._listening = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Nobody comes in any more."""
        self._listening.cancel()
        await asyncio.wait([self._listening])
        await self.put_out()

    async def put_out(self) -> None:
        """Hangs up on everybody."""
        visits = list(self._visits)
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)

    async def _listen(self) -> None:
        with closing(socket.create_server(("127.0.0.1", self.port))) as door:
            door.setblocking(False)
            while True:
                caller, _ = await asyncio.get_running_loop().sock_accept(door)
                visit = asyncio.create_task(self._visit(caller))
                self._visits.add(visit)
                visit.add_done_callback(self._visits.discard)

    async def _visit(self, caller: socket.socket) -> None:
        with suppress(OSError):
            secured = await _first_byte(caller) == TLS_BEGINS
            await asyncio.sleep(self.late_s)
            self.secured, self.plain = self.secured + secured, self.plain + (not secured)
            reader, writer = await _streams(caller, self._context if secured else None)
            try:
                await self._carry_both(reader, writer)
            finally:
                writer.close()

    async def _carry_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_unix_connection(self._inside)
        try:
            await both_ways(_carry(reader, questions), _carry(answers, writer, self.late_s))
        finally:
            questions.close()


async def _first_byte(caller: socket.socket) -> bytes:
    """What a caller begins with; it stays to be read."""
    while True:
        try:
            return caller.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            await asyncio.sleep(LOOK_EVERY_S)


async def _streams(
    caller: socket.socket, context: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, caller, ssl=context)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late_s: float = 0.0
) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        await asyncio.sleep(late_s)
        late_s = 0.0
        writer.write(chunk)
        await writer.drain()
