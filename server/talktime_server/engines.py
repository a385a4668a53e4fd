"""The processes as commands: which engine to take, how one of its serving processes is started, and the back office."""

import json
import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from talktime_server.config import Engine, Settings
from talktime_server.control import NAME_VARIABLE, OFFICE_VARIABLE, SOCKET_VARIABLE, StartRefused
from talktime_server.processes import Command
from talktime_server.rpc import envoy
from talktime_server.rpc.envoy_admin import ADMIN_VARIABLE

BACK_OFFICE = "back-office"


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
    environ = _environ(settings, run, str(index))
    if engine is Engine.GRPCIO:
        return Command((sys.executable, "-m", "talktime_server.worker"), environ)
    admin = run / f"admin-{index}"
    made = run / f"envoy-{index}.json"
    made.write_text(json.dumps(envoy.configuration(settings, admin), indent=1))
    more, preloaded = envoy.environ()
    environ |= {ADMIN_VARIABLE: str(admin), **more}
    return Command(envoy.program(made, settings), environ, preloaded)


def back_office_command(settings: Settings, run: Path) -> Command:
    """How the back office is started: the process that archives, charges and notifies."""
    program = (sys.executable, "-m", "talktime_server.back_office_process")
    environ = _environ(settings, run, BACK_OFFICE)
    return Command(program, environ | {OFFICE_VARIABLE: secrets.token_hex(8)})


def _environ(settings: Settings, run: Path, name: str) -> dict[str, str]:
    return {
        **settings.to_environ(),
        SOCKET_VARIABLE: str(run / "control"),
        NAME_VARIABLE: name,
        # The same packages as here, however they were found.
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
