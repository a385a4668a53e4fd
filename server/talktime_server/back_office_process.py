"""The process beside the serving ones: `python -m talktime_server.back_office_process`, settings in its environment."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Mapping

import structlog

from talktime_server import logs
from talktime_server.back_office import BackOffice, open_back_office
from talktime_server.config import BadSetting, Settings
from talktime_server.control import (
    NAME_VARIABLE,
    OFFICE_VARIABLE,
    SOCKET_VARIABLE,
    Line,
    StartRefused,
)
from talktime_server.failure import Unsafe
from talktime_server.looping import run_process

_log = structlog.get_logger("talktime.back_office")


async def serve(environ: Mapping[str, str]) -> None:
    """Works until the supervisor or SIGTERM says to stop, brings the last lines to the archive, closes.

    Raises StartRefused, which the log and the supervisor have been told.
    """
    line = await Line.connect(environ.get(SOCKET_VARIABLE, ""), environ.get(NAME_VARIABLE, ""))
    try:
        settings = Settings.read(environ)
        logs.configure(settings.log_level)
        name = environ.get(OFFICE_VARIABLE) or secrets.token_hex(8)
        office = await open_back_office(settings, name)
    except (BadSetting, Unsafe) as refused:
        _log.error("cannot_start", why=str(refused), cause=str(refused.__cause__ or ""))
        await line.failed(str(refused))
        raise StartRefused(str(refused)) from None
    await line.ready()
    await _work(office, line)


async def _work(office: BackOffice, line: Line) -> None:
    told = asyncio.create_task(line.told_to_drain())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.cancel)
    working = asyncio.create_task(office.run())
    try:
        await asyncio.wait((told, working), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    except Unsafe as unsafe:
        _log.error("cannot_go_on", why=str(unsafe), cause=str(unsafe.__cause__ or ""))
        raise StartRefused(str(unsafe)) from None
    finally:
        told.cancel()
        working.cancel()
        await asyncio.gather(told, working, return_exceptions=True)
        await office.finish()
        await office.close()


if __name__ == "__main__":
    sys.exit(run_process(serve(os.environ)))
