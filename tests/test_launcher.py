"""The launcher: says what is wrong, makes the environment once, and makes it again when it has to.

Its environments are made here with `venv`, as always, but nothing is installed: the install step takes no network.
"""

import ast
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from house import HOUSE, text

LOCK = "# section: run\nalpha==1 \\\n    --hash=sha256:00\n\n# section: dev\nbeta==2 \\\n    --hash=sha256:11\n"
OLD_PYTHONS = [(2, 7, 18), (3, 4, 10), (3, 6, 15), (3, 10, 13)]
LIMIT_S = 30


@pytest.fixture(scope="module")
def launcher() -> ModuleType:
    """The launcher as a module; the file has no suffix, so its loader is named."""
    loader = SourceFileLoader("launcher", str(HOUSE / "talktime"))
    spec = spec_from_loader("launcher", loader)
    assert spec
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A checkout that holds no more than a lock."""
    (tmp_path / "constraints.txt").write_text(LOCK)
    return tmp_path


@pytest.fixture
def installed(launcher: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked to be installed, in order; instead of it, nothing is."""
    asked: list[str] = []
    monkeypatch.setattr(launcher, "install", lambda python, pins, folder, guard: asked.append(pins))
    return asked


def names(asked: list[str]) -> list[str]:
    return [line.split("==")[0] for pins in asked for line in pins.splitlines() if "==" in line]


@pytest.mark.parametrize("version", OLD_PYTHONS)
def test_an_old_python_is_told_so_by_name(
    launcher: ModuleType, version: tuple[int, int, int]
) -> None:
    with pytest.raises(
        launcher.Trouble, match=r"3\.11 or newer, and /usr/bin/python is Python "
    ) as told:
        launcher.check_python(version, "/usr/bin/python")
    assert ".".join(map(str, version)) in str(told.value)


def test_a_python_that_is_new_enough_passes(launcher: ModuleType) -> None:
    launcher.check_python((3, 11, 0), "/usr/bin/python")
    launcher.check_python((4, 0, 0), "/usr/bin/python")


def test_an_old_python_can_read_the_file_in_order_to_refuse() -> None:
    """No formatted strings, annotations, keyword-only arguments, or `:=`; 3.4 reads no newer grammar either."""
    source = text(Path("talktime"))
    tree = ast.parse(source, feature_version=(3, 4))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Nonlocal, ast.Await, ast.Starred)
    assert not [node for node in ast.walk(tree) if isinstance(node, newer)]
    signatures = [node.args for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert not [s for s in signatures if s.kwonlyargs or any(a.annotation for a in s.args)]
    assert source.isascii()


def test_the_environment_is_made_once(
    launcher: ModuleType, home: Path, installed: list[str]
) -> None:
    python = launcher.environment(str(home), ("run",))
    assert launcher.environment(str(home), ("run",)) == python
    assert names(installed) == ["alpha"]
    assert os.access(python, os.X_OK)


def test_the_house_is_on_its_path_wherever_it_is_moved(
    launcher: ModuleType, home: Path, installed: list[str]
) -> None:
    launcher.environment(str(home), ("run",))
    moved = home.rename(home.with_name("moved elsewhere"))
    for root in launcher.ROOTS:
        (moved / root).mkdir()
    line = [
        str(moved / ".venv" / "bin" / "python"),
        "-c",
        "import sys; print(*sys.path, sep='\\n')",
    ]
    path = subprocess.run(line, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {str(moved / root) for root in launcher.ROOTS} <= set(path)


def test_what_another_command_needs_is_added_to_it(
    launcher: ModuleType, home: Path, installed: list[str]
) -> None:
    launcher.environment(str(home), ("run",))
    marker = home / ".venv" / "marker"
    marker.touch()
    launcher.environment(str(home), ("run", "dev"))
    launcher.environment(str(home), ("run",))
    assert names(installed) == ["alpha", "beta"]
    assert marker.exists()


@pytest.mark.parametrize("change", ["lock", "interpreter", "machine", "gone"])
def test_it_is_made_anew_when_what_it_was_made_from_changes(
    launcher: ModuleType,
    home: Path,
    installed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    python = Path(launcher.environment(str(home), ("run",)))
    changes: dict[str, Callable[[], object]] = {
        "lock": lambda: (home / "constraints.txt").write_text(LOCK.replace("alpha==1", "alpha==2")),
        "interpreter": lambda: monkeypatch.setattr(sys, "version", "3.99.0 (another)"),
        "machine": lambda: monkeypatch.setattr("sysconfig.get_platform", lambda: "linux-other"),
        "gone": python.unlink,
    }
    changes[change]()
    (home / ".venv" / "marker").touch()
    launcher.environment(str(home), ("run",))
    assert names(installed) == ["alpha", "alpha"]
    assert not (home / ".venv" / "marker").exists()
    assert python.exists()


def test_an_install_that_was_cut_short_is_made_anew(
    launcher: ModuleType, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stops it, the stamp is written last."""
    asked: list[str] = []

    def cut_short(python: str, pins: str, folder: str, guard: int) -> None:
        asked.append(pins)
        if len(asked) in (1, 3):
            raise KeyboardInterrupt

    monkeypatch.setattr(launcher, "install", cut_short)
    with pytest.raises(KeyboardInterrupt):
        launcher.environment(str(home), ("run",))
    launcher.environment(str(home), ("run",))
    with pytest.raises(KeyboardInterrupt):
        launcher.environment(str(home), ("run", "dev"))
    launcher.environment(str(home), ("run", "dev"))
    assert names(asked) == ["alpha", "alpha", "beta", "alpha", "beta"]


def test_what_is_compiled_is_kept_where_it_litters_nothing(
    launcher: ModuleType, home: Path
) -> None:
    """A variable that forbids it beside the sources does not make every start compile everything."""
    variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(home)}
    launcher.keep_bytecode(variables, str(home / "bytecode"))
    (home / "alpha.py").touch()
    subprocess.run([sys.executable, "-c", "import alpha"], env=variables, check=True)
    assert [path.name.split(".")[0] for path in (home / "bytecode").rglob("alpha.*")] == ["alpha"]
    assert not (home / "__pycache__").exists()


def test_where_bytecode_may_be_written_it_goes_where_python_puts_it(launcher: ModuleType) -> None:
    variables = {"HOME": "/"}
    launcher.keep_bytecode(variables, "/bytecode")
    assert variables == {"HOME": "/"}


def test_two_at_once_take_turns(launcher: ModuleType, home: Path) -> None:
    """The lock is a file lock between processes, held until the last installer that inherited it has ended."""
    other = (
        "import fcntl, sys; guard = open(sys.argv[1], 'w'); fcntl.flock(guard, fcntl.LOCK_EX);"
        "print('held', flush=True); sys.stdin.read()"
    )
    line = [sys.executable, "-c", other, str(home / ".venv.lock")]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        start = time.monotonic()
        threading.Timer(0.3, holder.kill).start()
        with launcher.alone(str(home)):
            waited = time.monotonic() - start
    assert 0.25 < waited < LIMIT_S


@pytest.mark.parametrize(
    ("printed", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        (
            "NewConnectionError(...)\nERROR: No matching distribution found for grpcio==1.85.1",
            "index cannot be reached",
        ),
        (
            "ERROR: No matching distribution found for grpcio==1.85.1",
            "grpcio==1.85.1: there is none for this machine",
        ),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM",
            "not the one that constraints.txt names",
        ),
        ("/usr/bin/python3: No module named ensurepip", "apt-get install python3."),
        ("PermissionError: [Errno 13] Permission denied", "cannot be written to"),
        ("something new\nits last line", "Its last words:\nsomething new\nits last line"),
    ],
)
def test_a_failed_set_up_is_told_in_a_sentence(
    launcher: ModuleType, printed: str, sentence: str
) -> None:
    assert sentence in launcher.sentence_for(printed)


def test_a_step_that_fails_stops_the_set_up_with_what_it_printed(
    launcher: ModuleType, home: Path
) -> None:
    failing = [sys.executable, "-c", "import sys; print('its last line'); sys.exit(3)"]
    with launcher.alone(str(home)) as guard, pytest.raises(launcher.Trouble, match="its last line"):
        launcher.run(failing, "Failing", guard)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_set_up_that_is_stopped_leaves_no_process_behind(
    home: Path, stop: signal.Signals
) -> None:
    """Not even a process of its process: pip starts another pip."""
    (home / "talktime").write_text(text(Path("talktime")))
    deep = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ENDLESS!r}, sys.argv[1]])"
    )
    line = [sys.executable, "-c", STARTS.format(deep=deep), str(home), str(home / "lives")]
    with subprocess.Popen(line, start_new_session=True) as started:
        until((home / "lives").exists)
        inner = int((home / "lives").read_text())
        started.send_signal(stop)
        assert started.wait(LIMIT_S) != 0
    until(lambda: not alive(inner))


ENDLESS = (
    "import os, sys, threading; open(sys.argv[1] + '.new', 'w').write(str(os.getpid()));"
    "os.rename(sys.argv[1] + '.new', sys.argv[1]); threading.Event().wait()"
)
STARTS = """\
import runpy, sys, types
launcher = types.SimpleNamespace(**runpy.run_path(sys.argv[1] + "/talktime", run_name="launcher"))
with launcher.alone(sys.argv[1]) as guard:
    launcher.run([sys.executable, "-c", {deep!r}, sys.argv[2]], "Waiting", guard)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not done():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_the_lock_has_every_section_and_every_package_only_once(launcher: ModuleType) -> None:
    lock = text(Path("constraints.txt"))
    sections = {name for each in launcher.SECTIONS.values() for name in each}
    listed = [names([launcher.section(lock, name)]) for name in sections]
    assert all(listed)
    assert sorted(itertools.chain(*listed)) == sorted(set(names([lock])))


def test_the_lock_names_no_place_and_hashes_everything() -> None:
    lock = text(Path("constraints.txt"))
    lines = [line for line in lock.splitlines() if line and not line.startswith("#")]
    assert not [line for line in lines if "/" in line or "://" in line or line.startswith("-")]
    assert not [
        a
        for a, b in zip(lines, [*lines[1:], ""], strict=True)
        if "==" in a and "--hash=sha256:" not in b
    ]


def test_a_base_install_says_how_to_get_the_command() -> None:
    """Simulated by hiding what only the server extra brings, wherever the command line looks for it first."""
    hide = "import sys; sys.modules.update(dict.fromkeys(sys.argv[1:])); from talktime_server.__main__ import main; main()"
    line = [sys.executable, "-c", hide, "typer", "rich", "redis", "structlog"]
    roots = os.pathsep.join(str(HOUSE / root) for root in ("client", "server"))
    done = subprocess.run(
        line, env={**os.environ, "PYTHONPATH": roots}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "pip install 'talktime[server]'" in done.stderr
