"""The sandbox keeps keys as a provider does, counts what it charges, and runs as a program."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import httpx
import pytest

import talktime_server
from payments.stage import AT_ONCE, PATIENCE, TIMEOUT_S, open_stage
from talktime_server.payments.billing import BillingGateway
from talktime_server.payments.gateway import Intent, Outcome
from talktime_server.payments.payments import Payments
from talktime_server.payments.sandbox import Sandbox, SandboxSettings, Token

SETTINGS = SandboxSettings()
ORDER = {
    "charge_id": "acme:1",
    "tenant_id": "acme",
    "amount_micros": 50_000_000,
    "currency_code": "USD",
    "customer": "cus_sandbox",
    "payment_method": "tok_approved",
}


async def post(url: str, order: dict[str, object], key: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {SETTINGS.billing_token}", "idempotency-key": key}
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(f"{url}/v1/charges", json=order, headers=headers)


async def test_a_second_key_takes_the_money_a_second_time() -> None:
    """Or a harness that counts here would prove nothing."""
    async with Sandbox() as sandbox:
        for key in ("k1", "k1", "k2"):
            assert (await post(sandbox.url, ORDER, key)).json()["status"] == "succeeded"
        assert sandbox.charges["acme:1"].times == 2
        assert sandbox.keys["acme:1"] == ["k1", "k1", "k2"]
        other = await post(sandbox.url, ORDER | {"amount_micros": 60_000_000}, "k1")
        assert (other.status_code, sandbox.charges["acme:1"].times) == (422, 2)


@pytest.mark.parametrize("order", [{}, {"amount_micros": -1}, {"amount_micros": "x"}])
async def test_an_order_that_is_none_is_refused(order: dict[str, object]) -> None:
    async with Sandbox() as sandbox:
        whole = ORDER | order if order else {}
        assert (await post(sandbox.url, whole, "k")).status_code == 400
        assert (await post(sandbox.url, ORDER, "")).status_code == 400
        assert sandbox.charges == {}


async def test_the_end_does_not_wait_for_those_who_hang() -> None:
    """A sandbox that keeps silent for twenty seconds ends at once when its block does."""
    async with open_stage() as stage:
        intent = stage.intent(Token.TIMEOUT_AFTER_CHARGING, "billing")
        hanging = asyncio.create_task(stage.gateways["billing"].charge(intent))
        await asyncio.sleep(TIMEOUT_S / 4)
        hanging.cancel()
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 2


async def test_it_runs_as_a_program() -> None:
    server = Path(talktime_server.__file__).parent.parent
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "talktime_server.payments.sandbox",
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(server)},
    )
    try:
        assert program.stdout is not None
        told = json.loads(await asyncio.wait_for(program.stdout.readline(), 20))
        gateway = BillingGateway(
            told["url"], told["billing_token"], webhook_secret=SETTINGS.billing_webhook_secret
        )
        payments = Payments({"billing": gateway}, patience=PATIENCE, spacing=AT_ONCE)
        method = Sandbox.method(Token.APPROVED)
        result = await payments.charge(Intent("a:1", "acme", 50_000_000, "USD", method))
        assert result.outcome is Outcome.SUCCEEDED
        assert "tok_declined" in told["tokens"]
        await payments.close()
    finally:
        program.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(program.wait(), 20) == 0
