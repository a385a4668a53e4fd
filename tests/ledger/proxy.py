"""A bad network between ledger and store: it loses answers, delays them, and hangs up at the wrong moment. Only script calls are
hurt, so that a connection comes about.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path

from both_ways import both_ways

CHUNK = 1 << 16
SCRIPT = b"EVALSHA"


class Fault(StrEnum):
    """What happens to a script call."""

    NONE = "none"
    LOSE_ANSWER = "lose the answer"
    HANG_UP_BEFORE = "hang up before the store is asked"
    HANG_UP_AFTER = "hang up once the store has answered"
    DELAY = "delay the answer"


class Proxy:
    """Listens beside a store's socket; `fault` may be changed at any time, `scripts` counts what reached the store."""

    def __init__(self, store: Path) -> None:
        self.socket = store.with_name("proxy")
        self.url = f"unix://{self.socket}"
        self.fault = Fault.NONE
        self.delay_s = 0.0
        self.scripts = 0
        self._store = store
        self._lines: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._lines.add(task)
        try:
            inner, outer = await asyncio.open_unix_connection(self._store)
        except OSError:  # the store is not there: the proxy hangs up as the store would
            await _close(writer)
        else:
            await _Line(self, writer, outer).carry(reader, inner)
        finally:
            self._lines.discard(task)

    async def hang_up(self) -> None:
        """Ends every connection."""
        lines = list(self._lines)
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)


class _Line:
    """Both directions of a connection."""

    def __init__(self, proxy: Proxy, caller: asyncio.StreamWriter, store: asyncio.StreamWriter):
        self._proxy = proxy
        self._caller = caller
        self._store = store
        self._asked = False

    async def carry(self, caller: asyncio.StreamReader, store: asyncio.StreamReader) -> None:
        """Carries both ways until one side ends."""
        try:
            await both_ways(self.up(caller), self.down(store))
        finally:
            await _close(self._caller)
            await _close(self._store)

    async def up(self, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(CHUNK):
            if SCRIPT in chunk:
                self._asked = True
                if self._proxy.fault is Fault.HANG_UP_BEFORE:
                    return
                self._proxy.scripts += chunk.count(SCRIPT)
            self._store.write(chunk)
            await self._store.drain()

    async def down(self, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(CHUNK):
            fault = self._proxy.fault if self._asked else Fault.NONE
            self._asked = False
            if fault is Fault.HANG_UP_AFTER:
                return
            if fault is Fault.LOSE_ANSWER:
                continue
            if fault is Fault.DELAY:
                await asyncio.sleep(self._proxy.delay_s)
            self._caller.write(chunk)
            await self._caller.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def open_proxy(store: Path) -> AsyncIterator[Proxy]:
    """A proxy in front of a store, until the block ends."""
    proxy = Proxy(store)
    proxy.socket.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(proxy.serve, proxy.socket)
    try:
        yield proxy
    finally:
        server.close()
        await proxy.hang_up()
        proxy.socket.unlink(missing_ok=True)
