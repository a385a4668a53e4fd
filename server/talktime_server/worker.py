"""One serving process of the grpcio engine: `python -m talktime_server.worker`, settings in its environment."""

import asyncio
import os
import signal
import sys

from talktime_server.looping import run_process
from talktime_server.rpc.aio import AioServer
from talktime_server.serving import Serving


async def serve() -> None:
    """Opens the app, serves it until the supervisor or SIGTERM says to stop, finishes the open calls, closes."""
    serving = await Serving.open(os.environ)
    server = AioServer(serving.app.edge, serving.settings)
    await server.start()
    await serving.line.ready()
    await _told_to_stop(serving)
    await serving.app.drain()
    await server.stop(serving.settings.drain_seconds)
    await serving.app.close()


async def _told_to_stop(serving: Serving) -> None:
    told = asyncio.create_task(serving.line.told_to_drain())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.cancel)
    await asyncio.wait([told])


if __name__ == "__main__":
    sys.exit(run_process(serve()))
