"""`talktime` as a person or a program runs it: a process of its own, its answer, its exit code, and what it leaves behind."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from typer.testing import CliRunner

from house import HOUSE
from talktime_server import cli

T = TypeVar("T")
RUN_LIMIT_S = 50.0
LOOK_EVERY_S = 0.02
MARK = "TALKTIME_TEST_MARK"


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The one JSON document on standard error."""
        return json.loads(self.err)["error"]


@dataclass(frozen=True, slots=True)
class Shell:
    """Where commands are run: a state folder of its own, and whatever else is set."""

    state: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid4().hex)

    def environ(self) -> dict[str, str]:
        """Nothing of the machine's own settings, and a mark that everything started inherits."""
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("TALKTIME_")}
        return {
            **inherited,
            "PYTHONPATH": os.pathsep.join(str(HOUSE / each) for each in ("client", "server")),
            "PYTHONUNBUFFERED": "1",
            "TALKTIME_STATE_DIR": str(self.state),
            "TALKTIME_MIN_FUNDING": "0",
            "TALKTIME_MIN_TRIGGER": "0",
            MARK: self.mark,
            **self.variables,
        }

    def run(self, *arguments: str, **variables: str) -> Ran:
        """Runs a command to its end."""
        done = subprocess.run(
            self.line(*arguments),
            env=self.environ() | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT_S,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def ask(self, *arguments: str, **variables: str) -> Ran:
        """Runs a command within this process: its answer is the same, and half a second of starting Python is saved."""
        done = CliRunner().invoke(cli.app, arguments, env=self.environ() | variables)
        return Ran(done.exit_code, done.stdout, done.stderr)

    def run_python(self, code: str) -> Ran:
        """Runs a line of Python where the commands live."""
        line = [sys.executable, "-c", code]
        done = subprocess.run(line, env=self.environ(), capture_output=True, text=True)
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        """Starts a command; whoever does ends it."""
        return subprocess.Popen(
            self.line(*arguments),
            env=self.environ() | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self, *arguments: str) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "talktime_server", *arguments]

    def left_behind(self) -> list[str]:
        """Processes that were started from here, at any remove, and live."""
        mark = f"{MARK}={self.mark}".encode()
        return [
            str(place.parent)
            for place in Path("/proc").glob("[0-9]*/environ")
            if mark in _read(place)
        ]


def document_of(process: "subprocess.Popen[str]") -> Any:
    """The first JSON document that a running command prints."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            return json.loads("".join(lines))
    raise AssertionError(
        f"it ended with {process.wait()}: {process.stderr and process.stderr.read()}"
    )


def at(document: Any, path: str) -> object:
    """The value at "sources.0.seconds"."""
    for step in path.split("."):
        document = document[int(step)] if step.isdigit() else document[step]
    return document


def until(found: Callable[[], T], within_s: float = 15.0) -> T:
    """What `found` gives once that is true; fails with what it gave last when the time is over."""
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not (last := found()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {last!r}"
        pause.wait(LOOK_EVERY_S)
    return last


def _read(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except OSError:
        # It has ended, or is another user's.
        return b""
