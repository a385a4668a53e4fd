"""What `talktime doctor` says about archive, payment providers and mail server; it changes and charges nothing."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from redis import Redis

from cli.command import Shell

PATIENCE_S = 20.0


def findings(shell: Shell, check: str, **variables: str) -> list[tuple[str, str]]:
    """Verdict and text of each finding of a check."""
    examined = shell.ask("doctor", "--json", TALKTIME_PORT="0", **variables)
    found = examined.document["findings"]
    return [(each["verdict"], each["found"]) for each in found if each["check"] == check]


def test_a_machine_without_any_of_it_is_sound(alone: Shell) -> None:
    assert findings(alone, "archive") == [("ok", "it will be made at the first start")]
    assert findings(alone, "payments")[0][0] == "ok"
    assert findings(alone, "mail")[0][0] == "ok"
    assert not alone.state.exists()


def test_the_store_runs_with_the_allocator_that_is_named(served: Shell) -> None:
    [(verdict, found)] = findings(served, "store's memory")
    assert verdict == "ok"
    store = Redis(unix_socket_path=str(served.state / "run" / "store"))
    maps = Path(f"/proc/{store.info('server')['process_id']}/maps")
    libraries = maps.read_text() if maps.exists() else ""
    assert found.startswith("mimalloc") == ("mimalloc" in libraries)


def test_a_running_service_shows_how_far_its_archive_is(served: Shell) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not (lag := findings(served, "archive's lag")):
        assert time.monotonic() < deadline
    assert lag[0][0] == "ok"
    assert findings(served, "archive") == [("ok", "its tables are up to date")]


def test_an_archive_that_is_away_or_another_stores_is_named(served: Shell, tmp_path: Path) -> None:
    away = findings(served, "archive", TALKTIME_ARCHIVE_URL="postgresql://127.0.0.1:1/nothing")
    assert away == [("bad", "it cannot be reached")]
    deadline = time.monotonic() + PATIENCE_S
    another = {"TALKTIME_ARCHIVE_URL": f"sqlite:///{tmp_path / 'another.db'}"}
    while not (wrong := findings(served, "archive's store", **another)):
        assert time.monotonic() < deadline  # its own archive has not taken the store yet
    assert wrong == [("bad", "the store's journal goes to another archive")]
    assert not (tmp_path / "another.db").exists()


def test_a_file_beside_a_store_of_many_machines_deserves_a_look(
    served: Shell, tmp_path: Path
) -> None:
    store = f"unix://{served.state}/run/store"
    first, *_ = findings(served, "archive", TALKTIME_STORE_URL=store)
    assert first == ("warn", "the archive is a file of this machine, and the store is not")


@pytest.fixture
def sandbox() -> Iterator[dict[str, Any]]:
    """A payment provider that plays one."""
    command = [sys.executable, "-m", "talktime_server.payments.sandbox"]
    playing = subprocess.Popen(
        command, stdout=subprocess.PIPE, env={"PYTHONPATH": ":".join(sys.path)}
    )
    with playing:
        assert playing.stdout is not None
        yield json.loads(playing.stdout.readline())
        playing.terminate()


def secret_file(folder: Path, name: str, content: str, mode: int = 0o600) -> str:
    path = folder / name
    path.write_text(content)
    path.chmod(mode)
    return str(path)


def test_payment_providers_are_asked_whether_they_know_us(
    alone: Shell, sandbox: dict[str, Any], tmp_path: Path
) -> None:
    good = {
        "TALKTIME_STRIPE_URL": sandbox["url"],
        "TALKTIME_STRIPE_KEY_FILE": secret_file(tmp_path, "key", sandbox["stripe_key"]),
        "TALKTIME_BILLING_URL": sandbox["url"],
        "TALKTIME_BILLING_TOKEN_FILE": secret_file(tmp_path, "token", sandbox["billing_token"]),
    }
    assert [verdict for verdict, _ in findings(alone, "payments", **good)] == ["ok", "ok"]
    wrong = good | {"TALKTIME_STRIPE_KEY_FILE": secret_file(tmp_path, "wrong", "sk_test_wrong")}
    (stripe, billing) = findings(alone, "payments", **wrong)
    assert (stripe[0], billing[0]) == ("bad", "ok")
    assert "sk_test_wrong" not in stripe[1]
    away = good | {"TALKTIME_BILLING_URL": "http://127.0.0.1:1"}
    assert [verdict for verdict, _ in findings(alone, "payments", **away)] == ["ok", "bad"]


def test_a_secret_that_others_may_read_is_refused(alone: Shell, tmp_path: Path) -> None:
    key = secret_file(tmp_path, "key", "sk_test_open", 0o644)
    examined = alone.run("doctor", TALKTIME_PORT="0", TALKTIME_STRIPE_KEY_FILE=key)
    said = examined.out + examined.err
    assert (examined.code, "chmod 600" in said, "sk_test_open" in said) == (1, True, False)


def test_a_mail_server_is_greeted(alone: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = Controller(Sink(), hostname="127.0.0.1", port=port)
    server.start()
    settings = {
        "TALKTIME_SMTP_URL": f"smtp://127.0.0.1:{port}",
        "TALKTIME_MAIL_FROM": "phones@example.com",
    }
    try:
        assert findings(alone, "mail", **settings) == [("ok", f"127.0.0.1:{port} lets us in")]
    finally:
        server.stop()
    ((verdict, _),) = findings(alone, "mail", **settings)
    assert verdict == "bad"
