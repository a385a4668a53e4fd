"""Envoy's administration, asked over its Unix socket by the process that runs inside it."""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable

import structlog

ADMIN_VARIABLE = "TALKTIME_ENVOY_ADMIN"
# How long the listener still takes connections while it drains; each answer in this time tells its caller to go.
DRAIN_LISTENER_S = 1
ASK_LIMIT_S = 2.0
START_LIMIT_S = 20.0
_LOOK_EVERY_S = 0.02
_STARTED = "listener_manager.workers_started"
_LENGTH = re.compile(rb"content-length: (\d+)")
_CONNECTIONS = "http.talktime.downstream_cx_active"

_log = structlog.get_logger("talktime.envoy")


class EnvoyAdmin:
    """The few questions and orders that a serving process has for its Envoy."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def until_listening(self) -> None:
        """Returns when the listener takes connections."""
        deadline = time.monotonic() + START_LIMIT_S
        while not await self._number(_STARTED):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the listener did not start within {START_LIMIT_S:g} s")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def drain(self, open_calls: Callable[[], int], limit_s: float) -> None:
        """Lets open calls finish, at most this long, then ends the process.

        A signal would cut them: Envoy's own graceful end is only to be had this way.
        """
        began = time.monotonic()
        await self._ask("POST", "/drain_listeners?graceful")
        while (waited_s := time.monotonic() - began) < limit_s:
            if not open_calls() and (waited_s > DRAIN_LISTENER_S or not await self._connections()):
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        if left := open_calls():
            _log.warning("calls_cut", calls=left, after_s=limit_s)
        # Envoy may be gone before it has answered.
        with contextlib.suppress(OSError, EOFError):
            await self._ask("POST", "/quitquitquit")

    async def _connections(self) -> int:
        return await self._number(_CONNECTIONS)

    async def _number(self, name: str) -> int:
        try:
            answer = await self._ask("GET", f"/stats?filter=^{name}$")
        except (OSError, EOFError, TimeoutError):
            return 0
        return int(answer.rpartition(":")[2] or 0)

    async def _ask(self, method: str, target: str) -> str:
        async with asyncio.timeout(ASK_LIMIT_S):
            reader, writer = await asyncio.open_unix_connection(self._path)
            try:
                writer.write(
                    f"{method} {target} HTTP/1.1\r\nHost: envoy\r\nContent-Length: 0\r\n\r\n".encode()
                )
                return (await _body(reader)).decode()
            finally:
                writer.close()


async def _body(reader: asyncio.StreamReader) -> bytes:
    # Read by its length and not to the end: Envoy lingers a tenth of a second before it hangs up.
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"chunked" not in head:
        return await reader.readexactly(int(_LENGTH.findall(head)[0]))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    return body
