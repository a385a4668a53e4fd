"""What the tests of payments share: a sandbox, short patience, and intents that nobody used before."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count

import httpx
from starlette.applications import Starlette

from talktime_server.payments.billing import BillingGateway
from talktime_server.payments.gateway import Event, Gateway, Intent
from talktime_server.payments.incoming import Incoming, OnEvent
from talktime_server.payments.listening import listening
from talktime_server.payments.payments import Patience, Payments
from talktime_server.payments.sandbox import Sandbox, SandboxSettings, Token
from talktime_server.payments.spacing import Spacing
from talktime_server.payments.stripe_gateway import StripeGateway

GATEWAYS = ("billing", "stripe")
TIMEOUT_S = 0.7
DOLLARS_50 = 50_000_000
SETTINGS = SandboxSettings(slow_s=1.1 * TIMEOUT_S, hang_s=20.0)
PATIENCE = Patience(tries=3, attempt_s=TIMEOUT_S, total_s=5.0, first_wait_s=0.1, longest_wait_s=0.4)
UNHURRIED = replace(PATIENCE, attempt_s=5.0, total_s=20.0)
AT_ONCE = Spacing(gap_s=0.0, failures=1000)
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Stage:
    """A sandbox, its two gateways, and a client that charges through them."""

    sandbox: Sandbox
    gateways: dict[str, Gateway]
    payments: Payments

    def intent(self, token: str, gateway: str, *, amount_micros: int = DOLLARS_50) -> Intent:
        """A charge that was never asked for."""
        method = self.sandbox.method(token, gateway=gateway)
        charge_id = f"acme:{next(_numbers)}"
        return Intent(charge_id, "acme", amount_micros, "USD", method, "credits")

    def times(self, intent: Intent) -> int:
        """How often the sandbox really took the money."""
        charged = self.sandbox.charges.get(intent.charge_id)
        return charged.times if charged else 0

    @asynccontextmanager
    async def unhurried_payments(self) -> AsyncIterator[Payments]:
        """Another client, to whom a busy machine does not look like a silent provider."""
        gateways = self.sandbox.gateways(timeout_s=UNHURRIED.attempt_s)
        payments = Payments(gateways, patience=UNHURRIED, spacing=AT_ONCE)
        try:
            yield payments
        finally:
            await payments.close()


@asynccontextmanager
async def open_stage(
    settings: SandboxSettings = SETTINGS,
    *,
    patience: Patience = PATIENCE,
    spacing: Spacing = AT_ONCE,
    timeout_s: float = TIMEOUT_S,
) -> AsyncIterator[Stage]:
    """A stage until the block ends; nothing of it stays open."""
    async with Sandbox(settings) as sandbox:
        gateways = sandbox.gateways(timeout_s=timeout_s)
        payments = Payments(gateways, patience=patience, spacing=spacing)
        try:
            yield Stage(sandbox, gateways, payments)
        finally:
            await payments.close()


def unhurried(spacing: Spacing = AT_ONCE) -> AbstractAsyncContextManager[Stage]:
    """A stage for what is answered: a busy machine does not look like a silent provider."""
    return open_stage(patience=UNHURRIED, spacing=spacing, timeout_s=UNHURRIED.attempt_s)


@asynccontextmanager
async def open_webhooks(
    stage: Stage, on_event: OnEvent, *, body_timeout_s: float = 10.0
) -> AsyncIterator[httpx.AsyncClient]:
    """Our webhooks served, the sandbox told of them, and a client that posts to them."""
    incoming = Incoming(stage.gateways, on_event, body_timeout_s=body_timeout_s)
    async with listening(Starlette(routes=incoming.routes())) as port:
        url = f"http://127.0.0.1:{port}"
        stage.sandbox.webhook_url = url
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            yield client
        stage.sandbox.webhook_url = ""


class Heard:
    """The events that came, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, intent: Intent) -> list[Event]:
        """Those about one charge."""
        return [each for each in self.events if each.charge_id == intent.charge_id]


async def until(done: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    """Waits until something is so; fails when it never is."""
    ends_s = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < ends_s
        await asyncio.sleep(0.01)


@asynccontextmanager
async def silent_port() -> AsyncIterator[str]:
    """The URL of a port that takes connections and hangs up without a word."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def dead_url() -> str:
    """The URL of a port where nobody listens any more."""
    async with silent_port() as url:
        return url


def gateway_at(name: str, url: str, *, token: str = "wrong") -> Gateway:
    """A gateway that asks somebody else than the sandbox, or with another secret."""
    if name == "stripe":
        return StripeGateway(token, webhook_secret="s", base_url=url, timeout_s=TIMEOUT_S)
    return BillingGateway(
        url, token, webhook_secret=SETTINGS.billing_webhook_secret, timeout_s=TIMEOUT_S
    )


def intent_for(gateway: str, charge_id: str = "acme:1") -> Intent:
    """A charge of fifty dollars."""
    method = Sandbox.method(Token.APPROVED, gateway=gateway)
    return Intent(charge_id, "acme", 50_000_000, "USD", method)
