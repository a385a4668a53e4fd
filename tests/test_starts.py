"""What a process does not load when it starts: each package would cost it memory, and every start its time."""

import os
import subprocess
import sys

import pytest

from talktime_server.control import SOCKET_VARIABLE

SQL = {"sqlalchemy", "alembic", "aiosqlite", "sqlite3", "asyncpg"}
PAGES = {"starlette", "uvicorn", "jinja2", "babel", "xlsxwriter"}
PROVIDERS = {"httpx", "stripe"}
PEOPLE = {"typer", "rich.console", "pygments"}
SERVICE = {"redis", "hiredis", "structlog"}
PROTOBUF = {"grpc", "google"}
CLIENT = {"talktime.client"}
STARTS = {
    "a serving process": (
        "import talktime_server.app",
        SQL | PAGES | PROVIDERS | PEOPLE | CLIENT | {"grpc"},
    ),
    "the back office": (
        "import talktime_server.back_office_process",
        PAGES | PROVIDERS | PEOPLE | PROTOBUF | {"alembic", "asyncpg"},
    ),
    "the supervisor": (
        "import talktime_server.supervisor",
        SQL | PAGES | PROVIDERS | PROTOBUF | {"typer", "redis", "hiredis"},
    ),
    "a command": (
        "from talktime_server import cli; import talktime_server.commands.calls",
        SQL | PAGES | PROVIDERS | SERVICE | PROTOBUF | {"rich.console"},
    ),
    "talktime call": (
        "from talktime_server import cli; from talktime import Client",
        SQL | PAGES | PROVIDERS | SERVICE,
    ),
    "a stub": ("import talktime.v1.account_service_pb2", {"grpc", "tenacity"}),
}


@pytest.mark.parametrize(("program", "foreign"), STARTS.values(), ids=STARTS)
def test_what_only_others_need_is_not_loaded(program: str, foreign: set[str]) -> None:
    asked = f"import sys\n{program}\nprint(*({foreign!r} & sys.modules.keys()))"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    if foreign & PEOPLE > {"typer"}:
        environ[SOCKET_VARIABLE] = "as for whatever the supervisor starts"
    line = [sys.executable, "-c", asked]
    done = subprocess.run(line, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
