"""The gateways that settings ask for, each made when it is first needed.

A serving process seldom asks a provider anything, so it does not load their libraries at its start.
"""

import asyncio
import base64
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from talktime_server.payments.gateway import Event, Gateway, Intent, Result

Read = Callable[[Path], str]


class Setup(Protocol):
    """What of the settings is about providers; secrets stand in files."""

    @property
    def stripe_key_file(self) -> Path | None:
        """With one, there is Stripe."""

    @property
    def stripe_webhook_secret_file(self) -> Path | None:
        """With one, Stripe may call back."""

    @property
    def stripe_url(self) -> str:
        """Empty is Stripe's own."""

    @property
    def billing_url(self) -> str:
        """With one, there is a billing service."""

    @property
    def billing_token_file(self) -> Path | None:
        """Always there with the URL."""

    @property
    def billing_webhook_secret_file(self) -> Path | None:
        """With one, it may call back."""


class Later:
    """A gateway that is made, and its libraries loaded, when it is first asked something."""

    def __init__(self, name: str, make: Callable[[], Gateway]) -> None:
        self._name = name
        self._make = make
        self._making = asyncio.Lock()
        self._gateway: Gateway | None = None

    @property
    def name(self) -> str:
        """The word that a payment method names it by."""
        return self._name

    def made(self) -> Gateway:
        """The gateway itself. Raises ValueError for a secret or URL that it cannot take."""
        if self._gateway is None:
            self._gateway = self._make()
        return self._gateway

    async def charge(self, intent: Intent) -> Result:
        """As the gateway."""
        return await (await self._ready()).charge(intent)

    async def look_up(self, intent: Intent) -> Result | None:
        """As the gateway."""
        return await (await self._ready()).look_up(intent)

    async def check(self) -> None:
        """As the gateway."""
        await (await self._ready()).check()

    def read_event(self, headers: Mapping[str, str], body: bytes) -> Event | None:
        """As the gateway."""
        return self.made().read_event(headers, body)

    async def confirm(self, event: Event) -> Event | None:
        """As the gateway."""
        return await (await self._ready()).confirm(event)

    async def close(self) -> None:
        """Lets go of its connections, if it ever had any."""
        if self._gateway:
            await self._gateway.close()

    async def _ready(self) -> Gateway:
        # In a thread, because loading takes as long as a thousand calls.
        async with self._making:
            return await asyncio.to_thread(self.made) if self._gateway is None else self._gateway


def gateways(setup: Setup, read: Read) -> dict[str, Later]:
    """The gateways by name; `read` gives the secret that a file holds."""
    found = {}
    if setup.stripe_key_file:
        found["stripe"] = Later("stripe", lambda: _stripe(setup, read))
    if setup.billing_url:
        found["billing"] = Later("billing", lambda: _billing(setup, read))
    return found


def callers_back(setup: Setup) -> tuple[str, ...]:
    """The names of the gateways whose providers may call back."""
    files = {
        "stripe": setup.stripe_webhook_secret_file,
        "billing": setup.billing_webhook_secret_file,
    }
    return tuple(name for name, file in files.items() if file)


def _stripe(setup: Setup, read: Read) -> Gateway:
    from talktime_server.payments.stripe_gateway import StripeGateway

    assert setup.stripe_key_file
    key = read(setup.stripe_key_file)
    webhook_secret = _secret(setup.stripe_webhook_secret_file, read)
    if setup.stripe_url:
        return StripeGateway(key, webhook_secret=webhook_secret, base_url=setup.stripe_url)
    return StripeGateway(key, webhook_secret=webhook_secret)


def _billing(setup: Setup, read: Read) -> Gateway:
    from talktime_server.payments.billing import BillingGateway

    assert setup.billing_token_file
    return BillingGateway(
        setup.billing_url,
        token=read(setup.billing_token_file),
        webhook_secret=_secret(setup.billing_webhook_secret_file, read),
    )


def _secret(file: Path | None, read: Read) -> str:
    """A webhook secret; without one, one that nobody knows, so that no signature is ever good."""
    return read(file) if file else "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
