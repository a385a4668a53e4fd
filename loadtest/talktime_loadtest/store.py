"""What a store tells of itself: how it keeps its writes, what it uses, and how busy it was.

A load test asks it a few plain questions beside the load, and writes nothing; only the row of its memory, whose store
is its own, empties the journal before it looks. Eighty lines of the store's
own protocol are less than a driver, and know nothing of its keys.
"""

import asyncio
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

ANSWER_LIMIT_S = 10.0
DEFAULT_PORT = 6379
SCHEMES = ("unix", "redis", "redis+cluster")
LINE_BYTES = 16 * 1024 * 1024
LOOK_EVERY_S = 0.05


class StoreSaid(Exception):
    """The store answered with an error."""


class StoreFacts:
    """A connection that asks; to be entered with `async with`."""

    def __init__(self, url: str) -> None:
        """`unix://PATH` or `redis://[:PASSWORD@]HOST[:PORT]`; the first server of a cluster speaks for all."""
        self.url = url
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        parts = urlsplit(self.url.partition(",")[0])
        if parts.scheme not in SCHEMES:
            raise StoreSaid(f"of {parts.scheme}:// nothing is asked")
        if parts.scheme == "unix":
            self._reader, self._writer = await asyncio.open_unix_connection(
                parts.path, limit=LINE_BYTES
            )
        else:
            host, port = parts.hostname or "127.0.0.1", parts.port or DEFAULT_PORT
            self._reader, self._writer = await asyncio.open_connection(host, port, limit=LINE_BYTES)
        if parts.password:
            names = [unquote(parts.username)] if parts.username else []
            await self.ask("AUTH", *names, unquote(parts.password))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    async def ask(self, *words: str) -> Any:
        """One command's answer: text, a whole number, a list, or None."""
        parts = [word.encode() for word in words]
        head = b"*%d\r\n" % len(parts)
        self._writer.write(head + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
        async with asyncio.timeout(ANSWER_LIMIT_S):
            return await self._answer()

    async def overhear(self, lines: list[bytes], last: bytes) -> None:
        """Adds a line for whatever anybody asks of the store, until somebody says `last`; for measurements only, as it costs."""
        await self.ask("MONITOR")
        while (line := await self._reader.readline()) and last not in line:
            lines.append(line)

    async def told(self, section: str) -> dict[str, str]:
        """A section of INFO."""
        lines = str(await self.ask("INFO", section)).splitlines()
        pairs = [line.partition(":") for line in lines if ":" in line]
        return {name: told for name, _, told in pairs}

    async def persistence(self) -> str:
        """How writes are kept, in words for people."""
        kept = await self.told("persistence")
        if kept.get("aof_enabled") != "1":
            return "no AOF"
        try:
            _, fsync = await self.ask("CONFIG", "GET", "appendfsync")
        except (StoreSaid, ValueError):
            return "AOF, fsync not told"
        return f"AOF, fsync {fsync}"

    async def rested(self, limit_s: float) -> None:
        """Waits until no process of its own rewrites its AOF. Raises TimeoutError after `limit_s`."""
        async with asyncio.timeout(limit_s):
            while (await self.told("persistence")).get("aof_rewrite_in_progress") != "0":
                await asyncio.sleep(LOOK_EVERY_S)

    async def cpu_s(self) -> float:
        """Processor time of the store's main thread, where it tells that apart; else of all its threads."""
        used = await self.told("cpu")
        names = ("used_cpu_user_main_thread", "used_cpu_sys_main_thread")
        if names[0] not in used:
            names = ("used_cpu_user", "used_cpu_sys")
        return sum(float(used[name]) for name in names)

    async def memory_bytes(self) -> int:
        """Bytes in use for what it keeps."""
        return int((await self.told("memory"))["used_memory"])

    async def _answer(self) -> Any:
        line = (await self._reader.readline()).rstrip(b"\r\n")
        kind, rest = line[:1], line[1:].decode()
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"-":
            raise StoreSaid(rest)
        if kind == b"$":
            return await self._text(int(rest))
        if kind == b"*":
            return [await self._answer() for _ in range(int(rest))]
        raise StoreSaid("it does not speak the store's protocol")

    async def _text(self, length: int) -> str | None:
        if length < 0:
            return None
        return (await self._reader.readexactly(length + 2))[:-2].decode(errors="replace")
