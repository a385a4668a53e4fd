"""A service started by its own command, with a tenant, payers, credits, a deck and a few calls."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.command import Shell, document_of, until
from talktime import Client, Payer, RateRow, Tenant

LONDON = "+442079460018"
STOP_LIMIT_S = 30.0
ROWS = (RateRow("44", "United Kingdom", 30_000, 0, 60, 60), RateRow("1", "North America", 10_000))


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A machine where no service runs."""
    return Shell(tmp_path / "state", {"TALKTIME_TARGET": "127.0.0.1:1"})


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A machine where one runs, for tests that keep to calls of their own."""
    with running(tmp_path_factory.mktemp("served")) as shell:
        yield shell


@contextmanager
def running(folder: Path) -> Iterator[Shell]:
    """A service with its state in a folder, furnished; it ends well, and leaves nothing running."""
    # On a busy machine a store may be late without being ill.
    patient = {"TALKTIME_STORE_TIMEOUT_MS": "1000"}
    shell = Shell(folder / "state", patient)
    service = shell.start("serve", "--engine", "grpcio", "--workers", "1", "--port", "0", "--json")
    try:
        told = document_of(service)
        token = Path(told["operator_token_file"]).read_text().strip()
        furnish(told["address"], token)
        yield Shell(
            shell.state,
            {"TALKTIME_TARGET": told["address"], "TALKTIME_TENANT": "contoso"},
            shell.mark,
        )
    finally:
        service.send_signal(signal.SIGINT)
        service.communicate(timeout=STOP_LIMIT_S)
    assert service.returncode == 0
    until(lambda: not shell.left_behind())


def furnish(address: str, token: str) -> None:
    """What the commands under test find there."""
    with Client(address, token, tenant_id="contoso", timeout_s=2) as client:
        client.put_tenant(Tenant("contoso", "USD", "US", "Contoso"))
        client.put_payer(Payer("alice", "US", ("MCOPSTN1", "MCOPSTNC"), "Alice"))
        client.put_payer(Payer("bob", "US", ("MCOPSTN1",)))
        client.add_funds("first", 100_000_000)
        client.put_rate_deck("first", "USD", ROWS)
        client.activate_rate_deck("first", len(ROWS))
        for call_id in ("to-extend", "to-settle", "to-release", "to-show"):
            client.authorize("alice", "USER_OUT", LONDON, call_id=call_id)
