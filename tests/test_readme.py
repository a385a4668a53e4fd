"""The README is run: each of its commands, in its order, against a service of its own, and its Python as it stands."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from house import HOUSE
from talktime import DeadlineExceeded
from talktime_server import engines
from talktime_server.config import Engine

PORT = "7788"
START_LIMIT_S = 40.0
COMMAND = f"{shlex.quote(sys.executable)} -m talktime_server"
# Run by the tests of the command line, by whoever runs this, or not without a package index.
ELSEWHERE = ("./talktime demo", "./talktime test", "./talktime lint", "pip install")
BESIDE = (
    "`./talktime serve`",
    "`./talktime sandbox`",
)  # in terminals of their own; the fixture has started them


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (HOUSE / "README.md").read_text(), re.M | re.S)


def commands() -> list[str]:
    text = (HOUSE / "README.md").read_text()
    assert all(command in text for command in BESIDE)
    joined = "".join(blocks("sh")).replace("\\\n", "")
    return [line for line in joined.splitlines() if line and not line.startswith(ELSEWHERE)]


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Site:
    """A shell in the checkout, with a service's state, port and token."""

    port: str
    environ: dict[str, str]
    folder: Path

    def run(self, command: str) -> str:
        text = command.replace("./talktime", COMMAND).replace(PORT, self.port)
        text = text.replace("usage.xlsx", str(self.folder / "usage.xlsx"))
        done = subprocess.run(
            ["bash", "-ec", text],
            cwd=HOUSE,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@contextmanager
def running(site: Site, port: str, *words: str) -> Iterator[None]:
    """A command that serves, up until the block is left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "talktime_server", *words], cwd=HOUSE, env=site.environ
    )
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not listening(port):
            assert process.poll() is None, "it ended"
            assert time.monotonic() < deadline, "it does not listen"
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def listening(port: str) -> bool:
    with socket.socket() as asking:
        asking.settimeout(0.1)
        return asking.connect_ex(("127.0.0.1", int(port))) == 0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    port, provider = free_port(), free_port()
    home = tmp_path_factory.mktemp("home")
    environ = {k: v for k, v in os.environ.items() if not k.startswith("TALKTIME_")}
    environ |= {
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "TALKTIME_PORT": port,
        "TALKTIME_TARGET": f"127.0.0.1:{port}",
        "TALKTIME_STORE_TIMEOUT_MS": "1000",
        "TALKTIME_BILLING_URL": f"http://127.0.0.1:{provider}",
        "TALKTIME_BILLING_TOKEN_FILE": str(home / "state" / "talktime" / "sandbox-token"),
        "COLUMNS": "200",
        "PYTHONPATH": os.pathsep.join(str(HOUSE / root) for root in ("client", "server")),
    }
    site = Site(port, environ, home)
    with running(site, provider, "sandbox", "--port", provider), running(site, port, "serve"):
        yield site


@pytest.mark.timeout(180)
def test_each_command_does_what_it_says(site: Site) -> None:
    for line in commands():
        if line.startswith("curl"):
            ask_as_json(site, line)
            continue
        said = site.run(line)
        if "--explain" in line:
            assert explained() <= {" ".join(told.split()) for told in said.splitlines()}
        if line.startswith("TOKEN="):
            site.environ["TOKEN"] = site.run(f"{line}; echo $TOKEN").strip()
            assert re.fullmatch(r"tt_\w+_[\w-]+", site.environ["TOKEN"])


def explained() -> set[str]:
    """The lines of the quote that the README shows."""
    (shown,) = blocks("text")
    return {" ".join(line.split()) for line in shown.splitlines()}


def ask_as_json(site: Site, line: str) -> None:
    """Only Envoy answers JSON, and only a machine with curl can ask as the README does."""
    assert "Authorize" in line
    if engines.choose(Engine.AUTO).engine is Engine.ENVOY and shutil.which("curl"):
        assert "OUTCOME_AUTHORIZED" in site.run(line)


def test_the_python_runs_as_it_stands(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    (text,) = blocks("python")
    program = compile(text.replace(PORT, site.port), "README.md", "exec")
    for _ in range(5):
        with suppress(DeadlineExceeded):  # a busy machine may need more than the usual 250 ms
            exec(program, {"token": site.environ["TOKEN"]})
            break
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if not re.fullmatch(r"charged \d+ of USD", line)] == []
    assert len(said) == 1


def test_it_is_short_and_names_no_command_there_is_not() -> None:
    text = (HOUSE / "README.md").read_text()
    assert text.count("\n") < 150
    said = subprocess.run(
        [sys.executable, "-m", "talktime_server", "--help"],
        env=os.environ | {"PYTHONPATH": f"{HOUSE / 'client'}{os.pathsep}{HOUSE / 'server'}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    named = set(re.findall(r"\./talktime ([a-z]+)", text))
    assert {name for name in named if f" {name} " not in said} == set()


def test_a_path_that_is_named_is_there() -> None:
    text = (HOUSE / "README.md").read_text()
    linked = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [path for path in linked if not (Path(HOUSE) / path).exists()] == []
