"""What `talktime` does without a service: help, tokens, money, doctor, and the sentences that say what to do."""

import os
import socket
import stat
import time
from pathlib import Path

import pytest
import typer

import talktime
from cli.command import Shell
from talktime_server.commands.money import decimal_of, micros_of
from talktime_server.commands.output import talk_time

# Every command there is: each shows how to use it, with an example.
COMMANDS = (
    *("serve", "demo", "test", "lint", "doctor", "balance", "entries", "conservation", "funds add"),
    *(f"loadtest {each}" for each in ("run", "targets", "body")),
    *(f"tenant {each}" for each in ("put", "show", "list", "suspend", "resume")),
    *(f"payer {each}" for each in ("put", "show", "list", "import")),
    *(f"licence {each}" for each in ("list", "assign", "remove", "swap")),
    *(f"policy {each}" for each in ("list", "set", "show")),
    *(f"limit {each}" for each in ("set", "show")),
    *(f"pool {each}" for each in ("list", "show")),
    *(f"block {each}" for each in ("add", "remove", "list")),
    *(f"rates {each}" for each in ("import", "activate", "show")),
    *(f"call {each}" for each in ("quote", "authorize", "batch", "extend", "settle", "release")),
    *("call show", "catalog check", "catalog show"),
    *(f"token {each}" for each in ("create", "list", "revoke")),
)


def test_the_help_is_there_at_once_and_tells_the_exit_codes(alone: Shell) -> None:
    began = time.monotonic()
    shown = alone.run("--help")
    # Half a second on a quiet machine.
    assert time.monotonic() - began < 20
    assert shown.code == 0
    assert "Exit codes" in shown.out
    assert alone.run("--version").out == f"talktime {talktime.__version__}\n"
    assert all(command.split()[0] in shown.out for command in COMMANDS)


def test_the_help_loads_nothing_heavy(alone: Shell) -> None:
    code = (
        "import sys, talktime_server.cli;"
        "print([m for m in ('grpc', 'google', 'redis', 'structlog', 'rich') if m in sys.modules])"
    )
    shown = alone.run_python(code)
    assert shown.out.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command: str) -> None:
    from typer.testing import CliRunner

    from talktime_server.cli import app

    shown = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "Example:" in shown.output


@pytest.mark.parametrize(
    ("text", "micros"),
    [("25", 25_000_000), ("0.0045", 4_500), ("0.000001", 1), ("-2.5", -2_500_000), ("0", 0)],
)
def test_money_is_read_exactly(text: str, micros: int) -> None:
    assert micros_of(text) == micros


@pytest.mark.parametrize(
    "text",
    ["1e3", "0.0000001", "1,000", " 1", "+1", "", ".5", "1.", "٣", "1_0", "nan", "$5", "9" * 11],
)
def test_money_that_could_be_misread_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        micros_of(text)


@pytest.mark.parametrize(
    ("micros", "text"),
    [(0, "0.00"), (4_500, "0.0045"), (-1, "-0.000001"), (10**12, "1,000,000.00")],
)
def test_money_is_shown_exactly(micros: int, text: str) -> None:
    assert decimal_of(micros) == text


def test_without_a_service_the_command_says_how_to_start_one(alone: Shell) -> None:
    refused = alone.run("balance", "--tenant", "contoso", "--token", "tt_a_b")
    assert refused.code == 5
    assert "talktime serve" in refused.err
    assert alone.run("balance", "--token", "tt_a_b", "--json").error["reason"] == "NOT_CONNECTED"


def test_without_a_token_the_command_says_how_to_make_one(alone: Shell) -> None:
    refused = alone.run("tenant", "list")
    assert (refused.code, refused.out) == (6, "")
    assert "talktime token create" in refused.err


@pytest.mark.parametrize(
    "typed",
    [
        "nonsense",
        "funds add 1e3 --id x-1",
        "funds add 5",
        "call settle a-1 -5",
        "call quote alice --type NOPE 1",
        "token create --role router --tenant a --name b --expires-days 99999999999",
        "tenant list --token tt_a_b --ca /dev/null",
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_is_asked(alone: Shell, typed: str) -> None:
    assert alone.run(*typed.split()).code == 2


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TALKTIME_PORT", "x"), ("TALKTIME_ENGINE", "fast"), ("TALKTIME_WORKERS", "0")],
)
def test_a_wrong_setting_is_named(alone: Shell, variable: str, value: str) -> None:
    refused = alone.run("serve", **{variable: value})
    assert (refused.code, variable in refused.err, value in refused.err) == (2, True, True)


def test_tokens_are_made_listed_and_revoked(alone: Shell) -> None:
    made = alone.run(
        "token", "create", "--role", "router", "--tenant", "contoso", "--name", "sbc-1"
    )
    assert made.code == 0
    text = made.out.split()[0]
    file = alone.state / "tokens.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert text.split("_", 2)[2] not in file.read_text()
    (listed,) = alone.run("token", "list", "--json").document["tokens"]
    assert (listed["role"], listed["tenants"], listed["name"]) == ("router", ["contoso"], "sbc-1")
    assert text not in alone.run("token", "list").out
    assert alone.run("token", "revoke", listed["id"], "--json").document["revoked"] is True
    assert alone.run("token", "revoke", listed["id"]).code == 4
    refused = alone.run("token", "create", "--role", "king", "--tenant", "*", "--name", "x")
    assert (refused.code, "operator" in refused.err) == (2, True)


def test_a_tokens_file_open_to_others_is_refused(alone: Shell) -> None:
    alone.run("token", "create", "--role", "router", "--tenant", "contoso", "--name", "sbc-1")
    os.chmod(alone.state / "tokens.json", 0o644)
    refused = alone.run("token", "list")
    assert (refused.code, "chmod 600" in refused.err) == (2, True)
    examined = alone.run("doctor", TALKTIME_PORT="0")
    assert (examined.code, "chmod 600" in examined.out) == (1, True)


@pytest.mark.parametrize(
    "typed", ["serve", "token create --role router --tenant contoso --name sbc-1"]
)
def test_a_place_that_cannot_be_written_is_named(alone: Shell, typed: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = alone.run(*typed.split(), TALKTIME_STATE_DIR=str(tmp_path / "file" / "below"))
    assert refused.code in (1, 2)
    assert all(word in refused.err for word in (str(tmp_path / "file"), "TALKTIME_STATE_DIR"))
    assert "Traceback" not in refused.err


@pytest.mark.parametrize("engine", ["grpcio", "envoy"])
def test_serve_without_its_store_says_so_and_nothing_from_inside(alone: Shell, engine: str) -> None:
    store = "redis://127.0.0.1:1"
    refused = alone.run("serve", "--engine", engine, "--port", "0", TALKTIME_STORE_URL=store)
    assert refused.code == 1
    last = "cannot start: The store cannot be reached; start it, or name another with TALKTIME_STORE_URL."
    assert refused.err.strip().endswith(last)
    assert "Traceback" not in refused.err


def test_the_doctor_is_content_with_a_sound_machine(alone: Shell) -> None:
    examined = alone.run("doctor", "--json", TALKTIME_PORT="0")
    assert examined.code == 0, examined.out
    checks = {each["check"]: each["verdict"] for each in examined.document["findings"]}
    assert checks.keys() >= {"python", "engine", "state folder", "tokens", "port", "store", "clock"}
    assert "bad" not in checks.values()
    assert not alone.state.exists()


def test_the_doctor_names_a_port_in_use_and_a_store_that_is_away(alone: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        examined = alone.run(
            "doctor",
            TALKTIME_PORT=str(port),
            TALKTIME_STORE_URL="redis://127.0.0.1:1",
        )
    assert examined.code == 1
    assert all(word in examined.out for word in ("TALKTIME_PORT", "TALKTIME_STORE_URL", "✗ bad"))


def test_tests_are_run_in_a_checkout(alone: Shell) -> None:
    shown = alone.run("test", "--collect-only", "-q", "tests/cli/test_local.py")
    assert (shown.code, "test_local.py" in shown.out) == (0, True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (90, "90 s"),
        (720, "12 min"),
        (3600, "1 h"),
        (7260, "121 min"),
        (11_120, "3 h 5 min 20 s"),
        (86_520, "24 h 2 min"),
    ],
)
def test_a_length_is_told_as_people_say_it(seconds: int, text: str) -> None:
    assert talk_time(seconds) == text
