"""The two engines as commands: which one to take, and how one of its serving processes is started."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from talktime_server.config import Engine, Settings
from talktime_server.control import INDEX_VARIABLE, SOCKET_VARIABLE, StartRefused
from talktime_server.processes import Command
from talktime_server.rpc import envoy
from talktime_server.rpc.envoy_admin import ADMIN_VARIABLE


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine taken, and why, in one sentence for the operator."""

    engine: Engine
    why: str


def choose(wanted: Engine) -> Choice:
    """Takes the wanted engine; `auto` takes envoy wherever it runs. Refuses envoy where it does not."""
    if wanted is Engine.GRPCIO:
        return Choice(Engine.GRPCIO, "as TALKTIME_ENGINE asks.")
    obstacle = envoy.obstacle()
    if wanted is Engine.ENVOY:
        if obstacle:
            raise StartRefused(f"TALKTIME_ENGINE is 'envoy', which cannot run here: {obstacle}")
        return Choice(Engine.ENVOY, "as TALKTIME_ENGINE asks.")
    if obstacle:
        return Choice(Engine.GRPCIO, f"as envoy cannot run here: {obstacle}")
    return Choice(Engine.ENVOY, "as it runs here.")


def command(engine: Engine, settings: Settings, run: Path, index: int) -> Command:
    """How the serving process `index` is started; its sockets and its configuration are in `run`."""
    environ = {
        **settings.to_environ(),
        SOCKET_VARIABLE: str(run / "control"),
        INDEX_VARIABLE: str(index),
        # The same packages as here, however they were found.
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    if engine is Engine.GRPCIO:
        return Command((sys.executable, "-m", "talktime_server.worker"), environ)
    admin = run / f"admin-{index}"
    made = run / f"envoy-{index}.json"
    made.write_text(json.dumps(envoy.configuration(settings, admin), indent=1))
    more, preloaded = envoy.environ()
    environ |= {ADMIN_VARIABLE: str(admin), **more}
    return Command(envoy.program(made, settings), environ, preloaded)
