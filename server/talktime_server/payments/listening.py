"""Serves a small web application beside everything else of a process: the providers' webhooks, and the sandbox."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

KEEP_ALIVE_S = 5
MAX_CONNECTIONS = 256
# For requests that are under way when the end comes; whoever sends repeats what was cut.
DRAIN_S = 3


class _Beside(uvicorn.Server):
    """A server that leaves the process's signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening(
    app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0, log_level: str = "warning"
) -> AsyncIterator[int]:
    """Serves until the block ends, and gives the port: a free one for 0. Raises OSError when it cannot be had."""
    bound = _bound(host, port)
    server = _Beside(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=log_level,
            access_log=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=DRAIN_S,
        )
    )
    serving = asyncio.create_task(server.serve([bound]))
    try:
        yield int(bound.getsockname()[1])
    finally:
        server.should_exit = True
        await serving
        bound.close()


def _bound(host: str, port: int) -> socket.socket:
    """Listens at once, so that nobody who knows the port is turned away."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(MAX_CONNECTIONS)
    except OSError:
        bound.close()
        raise
    return bound
