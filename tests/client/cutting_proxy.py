"""A bad network: it hangs up in the middle, after so many bytes, counted one way once it is told to, and only once; or it
is slow to begin.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

from both_ways import both_ways

CHUNK_BYTES = 1 << 16


class Way(StrEnum):
    """Which bytes are counted."""

    UP = "to the service"
    DOWN = "to the client"


class CuttingProxy:
    """Carries bytes between a client and a service, and counts them while `armed`; `cuts` says how often it hung up."""

    def __init__(self, port: int, way: Way, left_bytes: int) -> None:
        self.armed = False
        self.cuts = 0
        self.target = ""
        self.late_s = 0.0  # how long the service's first bytes take on each connection
        self._port = port
        self._way = way
        self._left_bytes = left_bytes
        self._lines: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side or the cut ends it."""
        line = asyncio.current_task()
        assert line is not None
        self._lines.add(line)
        service, out = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            await both_ways(
                self._carry(reader, out, Way.UP), self._carry(service, writer, Way.DOWN)
            )
        finally:
            await _hang_up(writer)
            await _hang_up(out)
            self._lines.discard(line)

    async def end(self) -> None:
        """Hangs up on everybody."""
        lines = list(self._lines)
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way
    ) -> None:
        late_s = self.late_s if way is Way.DOWN else 0.0
        while chunk := await reader.read(CHUNK_BYTES):
            await asyncio.sleep(late_s)
            late_s = 0.0
            counted = self.armed and way is self._way and not self.cuts
            if counted and len(chunk) >= self._left_bytes:
                self.cuts += 1
                writer.write(chunk[: self._left_bytes])
                await writer.drain()
                return
            if counted:
                self._left_bytes -= len(chunk)
            writer.write(chunk)
            await writer.drain()


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def cutting(port: int, way: Way, left_bytes: int) -> AsyncIterator[CuttingProxy]:
    """A proxy before the service on that port, until the block ends."""
    proxy = CuttingProxy(port, way, left_bytes)
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.target = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        listening.close()
        await proxy.end()
