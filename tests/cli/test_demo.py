"""The demo and the service as people run them: the story comes out right on each engine, and nothing stays behind."""

import os
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.command import Shell, document_of, until
from talktime_server.demo.telling import Step, Teller

ENGINES = ("envoy", "grpcio")
END_LIMIT_S = 20.0


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A machine whose temporary folder is ours to look into."""
    (tmp_path / "t").mkdir()
    patient = {"TALKTIME_STORE_TIMEOUT_MS": "1000"}
    return Shell(tmp_path / "state", {"TMPDIR": str(tmp_path / "t"), **patient})


def nothing_is_left(shell: Shell) -> Callable[[], bool]:
    folder = shell.variables["TMPDIR"]
    return lambda: not shell.left_behind() and not os.listdir(folder)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_demo_comes_out_as_it_should_and_leaves_nothing(shell: Shell, engine: str) -> None:
    played = shell.run("demo", "--engine", engine, "--no-color")
    assert played.code == 0, played.out + played.err
    for shown in (
        "7 granted, 93 refused",
        "refused NO_CREDITS_LICENSE",
        "granted 10 min, from a pool",
        "granted 121 min, pool+money",
        "3 of 4 granted",
        "✗  credits licence",
        "granted 16 min, the last",
        "charged, late, as before",
        "error STORE_AWAY",
        "granted 24 h, for nothing",
        "to the last millionth",
        "steps came out as they should",
    ):
        assert shown in played.out
    # The one is the quote's: the check that refused.
    assert (played.out.count("✗"), "\x1b" in played.out, played.err) == (1, False, "")
    until(nothing_is_left(shell))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
@pytest.mark.parametrize("seen", ["A service of its own is up", "The store is away"])
def test_an_interrupted_demo_leaves_nothing(shell: Shell, how: signal.Signals, seen: str) -> None:
    demo = shell.start("demo", "--engine", "grpcio")
    assert demo.stdout is not None
    for line in demo.stdout:
        if seen in line:
            break
    demo.send_signal(how)
    assert end(demo) == 130
    until(nothing_is_left(shell))


def test_a_demo_interrupted_while_it_starts_leaves_nothing(shell: Shell) -> None:
    demo = shell.start("demo", "--engine", "grpcio")
    until(lambda: len(shell.left_behind()) > 1)
    demo.send_signal(signal.SIGINT)
    assert end(demo) == 130
    until(nothing_is_left(shell))


def test_a_demo_that_cannot_start_says_why(shell: Shell) -> None:
    refused = shell.run("demo", "--engine", "fast")
    assert (refused.code, "TALKTIME_ENGINE" in refused.err) == (2, True)


def test_a_step_that_comes_out_otherwise_fails_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    teller = Teller(color=False)
    teller.tell("Wrong", "", [Step("Bob calls", "granted 10 min", "refused POLICY", 5, 5, True)])
    teller.prove({})
    assert teller.close() is False
    assert "refused POLICY" in capsys.readouterr().out


@pytest.mark.parametrize("engine", ENGINES)
def test_serve_tells_where_it_listens_and_stops_when_asked(shell: Shell, engine: str) -> None:
    service = shell.start("serve", "--engine", engine, "--workers", "1", "--port", "0", "--json")
    told = document_of(service)
    assert (told["engine"], bool(told["engine_why"])) == (engine, True)
    kept = Path(told["operator_token_file"])
    assert (kept.parent, stat.S_IMODE(kept.stat().st_mode)) == (shell.state, 0o600)
    assert shell.run("tenant", "list", "--target", told["address"]).code == 0
    service.send_signal(signal.SIGINT)
    assert end(service) == 0
    until(lambda: not shell.left_behind())


def test_serve_speaks_to_people_and_keeps_one_state_folder(shell: Shell) -> None:
    arguments = ("serve", "--engine", "grpcio", "--workers", "1", "--port", "0")
    service = shell.start(*arguments)
    assert service.stdout is not None
    told = ""
    for line in service.stdout:
        told += line
        if "To begin" in line:
            break
    try:
        assert all(word in told for word in ("Listens on", "Engine", "operator.token", "Ctrl-C"))
        # As it can be typed in a checkout, whose launcher is on nobody's PATH.
        assert "To begin: ./talktime tenant put contoso" in told
        second = shell.run(*arguments)
        assert (second.code, "TALKTIME_STATE_DIR" in second.err) == (1, True)
    finally:
        service.send_signal(signal.SIGTERM)
        assert end(service) == 0


def end(process: "subprocess.Popen[str]") -> int:
    process.communicate(timeout=END_LIMIT_S)
    return process.returncode
