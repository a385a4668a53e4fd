"""One serving process from inside, whichever engine it is: opens what it serves, and speaks with the supervisor."""

import gc
import importlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self, cast

import structlog

from talktime_server import logs
from talktime_server.config import BadSetting, Settings, variable
from talktime_server.control import NAME_VARIABLE, SOCKET_VARIABLE, Line, StartRefused
from talktime_server.failure import StoreAway, Unsafe
from talktime_server.rpc.edge import Edge
from talktime_server.rpc.token_file import TokenFileRefused

_log = structlog.get_logger("talktime.serving")


class App(Protocol):
    """What the composition root gives."""

    @property
    def edge(self) -> Edge:
        """Answers the calls."""

    async def drain(self) -> None:
        """Health says that we stop, and open streams are asked to end."""

    async def close(self) -> None:
        """Lets go of everything; no call is open any more."""


Opener = Callable[[Settings], Awaitable[App]]


@dataclass(frozen=True, slots=True)
class Serving:
    """The settings of this process, its app, and its line to the supervisor."""

    settings: Settings
    app: App
    line: Line

    @classmethod
    async def open(cls, environ: Mapping[str, str]) -> Self:
        """Opens the app that the settings name; a failure is logged, told to the supervisor, and StartRefused."""
        line = await Line.connect(environ.get(SOCKET_VARIABLE, ""), environ.get(NAME_VARIABLE, ""))
        try:
            settings = Settings.read(environ)
            logs.configure(settings.log_level)
            app = await _opener(settings.app)(settings)
            _collect_seldom()
            return cls(settings, app, line)
        except (BadSetting, StoreAway, TokenFileRefused, Unsafe) as refused:
            # An operator can put these right: the log needs their cause, and no traceback.
            _log.error("cannot_start", why=str(refused), cause=str(refused.__cause__ or ""))
            why = _with_advice(refused)
        except Exception as error:
            _log.exception("cannot_start")
            why = f"{type(error).__name__}: {error}"
        await line.failed(why)
        raise StartRefused(why)


def _collect_seldom() -> None:
    """What is loaded now is for good: a full collection that walked it would hold up calls. And a call
    makes thousands of small things and no cycles: with Python's own threshold of 700, looking for
    cycles is a tenth of its cost.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _with_advice(refused: Exception) -> str:
    if isinstance(refused, StoreAway):
        return f"{refused}; start it, or name another with {variable('store_url')}"
    return str(refused)


def _opener(dotted: str) -> Opener:
    # By name and late, because the composition root imports the engines' rooms and not the other way round.
    module, _, name = dotted.partition(":")
    return cast("Opener", getattr(importlib.import_module(module), name))
