"""A whole service recharges: the settings name a provider, its webhooks come in, and money goes on to calls."""

import contextlib
import json
import random
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.conftest import put_decks
from service.running import Service, until
from service.site import Site
from talktime import PaymentMethod, RechargeRule
from talktime_server.config import Engine
from talktime_server.payments.sandbox import Token

UNIT = 1_000_000
PATIENCE_S = 25.0
WEBHOOK_SECRET = "whsec_sandbox"


def free_port() -> int:
    """One that no connection is given by chance: it is taken again a moment later, by another process."""
    for port in random.sample(range(20_000, 30_000), 50):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("there is no free port")


@pytest.fixture(scope="module")
def door() -> int:
    """The port where providers call back."""
    return free_port()


@pytest.fixture(scope="module")
def sandbox(door: int) -> Iterator[dict[str, Any]]:
    """A payment provider that plays one, and calls back."""
    module = "talktime_server.payments.sandbox"
    command = [sys.executable, "-m", module, "--webhooks", f"http://127.0.0.1:{door}"]
    environ = {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) as playing:
        assert playing.stdout is not None
        yield json.loads(playing.stdout.readline())
        playing.terminate()


@pytest.fixture(scope="module")
def paying(
    sandbox: dict[str, Any], door: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service that charges through it."""
    folder = tmp_path_factory.mktemp("paying")
    settings = {
        "stripe_url": sandbox["url"],
        "stripe_key_file": secret_file(folder / "key", sandbox["stripe_key"]),
        "stripe_webhook_secret_file": secret_file(folder / "secret", WEBHOOK_SECRET),
        "webhook_port": door,
    }
    running = Service(Engine.GRPCIO, folder, **settings).start()
    try:
        put_decks(running)
        yield running
    finally:
        running.stop()


def secret_file(path: Path, content: str) -> Path:
    path.write_text(content + "\n")
    path.chmod(0o600)
    return path


def rule(token: Token) -> RechargeRule:
    method = PaymentMethod("stripe", "cus_sandbox", token)
    return RechargeRule(True, 50 * UNIT, 100 * UNIT, (method,))


def states(site: Site) -> list[str]:
    """The steps of the tenant's recharges, as the archive has them, newest first."""
    return [step.state.value for step in site.operator.list_recharges()]


def test_a_balance_below_the_trigger_is_recharged_once(paying: Service) -> None:
    site = Site.open(paying)
    site.fund(20 * UNIT)
    site.operator.set_recharge_rule(rule(Token.APPROVED))
    until(lambda: site.sums() == (120 * UNIT, 0), within_s=PATIENCE_S)
    site.settle(site.call(), 60)
    assert site.kinds().count("FUND") == 2
    until(lambda: "COOLING" in states(site), within_s=PATIENCE_S)
    site.close()


def test_a_declined_card_adds_nothing_and_stops_no_call(paying: Service) -> None:
    site = Site.open(paying)
    site.fund(20 * UNIT)
    site.operator.set_recharge_rule(rule(Token.DECLINED))
    until(lambda: "DECLINED" in states(site), within_s=PATIENCE_S)
    assert site.call().authorized
    assert site.kinds().count("FUND") == 1
    site.close()


def test_a_dry_run_asks_the_provider_and_charges_nothing(paying: Service) -> None:
    site = Site.open(paying)
    site.operator.set_recharge_rule(rule(Token.DECLINED))
    trial = site.operator.test_recharge()
    provider = [check for check in trial.checks if "stripe" in check.check + check.explanation]
    assert provider
    assert all(check.passed for check in provider)
    site.close()


def test_nobody_unsigned_is_listened_to(paying: Service, door: int) -> None:
    until(lambda: "webhooks_" in paying.log_path.read_text(), within_s=PATIENCE_S)
    assert "webhooks_taken" in paying.log_path.read_text(), paying.log_path.read_text()
    for path, status in (("stripe", 401), ("billing", 404)):
        request = urllib.request.Request(f"http://127.0.0.1:{door}/webhooks/{path}", b"{}")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=5)
        with refused.value as answer:
            assert answer.code == status
