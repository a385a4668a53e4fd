"""A worker of recharges that dies: for each line on its input it forks itself, works for one tenant, and is killed at one moment.

It imports once and forks often, so that hundreds of real processes can be killed in the time of a test. A line is JSON: `tenant`,
`moment` (see MOMENTS), `claim_ms`. For each child one line comes back, with its number and the signal that ended it; 0 when it
lived on. Run with the URLs of a store and of a sandbox.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from typing import Any

import structlog

from ledger.world import open_world
from recharge.mortal import Fate, Mortal, MortalRows
from recharge.stage import AT_ONCE, PATIENCE, charging_of
from talktime_server.payments.billing import BillingGateway
from talktime_server.payments.gateway import Gateway
from talktime_server.payments.payments import Payments
from talktime_server.payments.sandbox import SandboxSettings
from talktime_server.payments.stripe_gateway import StripeGateway

# The steps of a recharge, and what is lost when the worker dies there.
MOMENTS = {
    "claim seen": "before freeze 1",
    "charge frozen": "after freeze 1",
    "provider being asked": "while asking",
    "reply on its way": "after gateway 1",
    "answer at hand": "after charge 1",
    "about to credit": "before add 1",
    "credited": "after add 1",
    "marked": "after outcome 1",
    "armed again": "after arm 1",
}
ASKING_S = (
    0.004  # into a request: about when the provider has it, and before or after its reply by chance
)


def gateways_at(url: str, timeout_s: float) -> dict[str, Gateway]:
    """Both gateways of a sandbox in another process."""
    kept = SandboxSettings()
    return {
        "stripe": StripeGateway(
            kept.stripe_key,
            webhook_secret=kept.stripe_webhook_secret,
            base_url=url,
            timeout_s=timeout_s,
        ),
        "billing": BillingGateway(
            url,
            kept.billing_token,
            webhook_secret=kept.billing_webhook_secret,
            timeout_s=timeout_s,
        ),
    }


def die() -> None:
    """At once, as by `kill -9` or a lost machine."""
    os.kill(os.getpid(), signal.SIGKILL)


class _Asked:
    """A gateway whose worker dies while it asks, or before it reads the reply."""

    def __init__(self, inner: Gateway, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def charge(self, intent: Any) -> Any:
        if self._fate.at == "while asking":
            threading.Timer(ASKING_S, die).start()
        return await self._fate.watch("gateway", lambda: self._inner.charge(intent))


async def work(store_url: str, sandbox_url: str, order: dict[str, Any]) -> None:
    """One tenant's recharge, up to the moment."""
    fate = Fate(MOMENTS[order["moment"]], die)
    gateways = gateways_at(sandbox_url, PATIENCE.attempt_s)
    mortal: Any = {name: _Asked(each, fate) for name, each in gateways.items()}
    payments = Payments(mortal, patience=PATIENCE, spacing=AT_ONCE)
    async with open_world(store_url, order["tenant"]) as world:
        recharges = MortalRows(world.store, fate)
        asked: Any = Mortal(payments, fate, "charge", "reconcile")
        charging = charging_of(world, recharges, asked, order["claim_ms"])
        funds: Any = Mortal(world.ledger.funds, fate, "add")
        charging._funds = funds
        await charging.serve(order["tenant"])
        await payments.close()


def fork(store_url: str, sandbox_url: str, order: dict[str, Any]) -> int:
    """The child's number; the child itself never comes back."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.run(work(store_url, sandbox_url, order))
            code = 0
        finally:
            os._exit(code)
    return child


def main() -> None:
    """Forks for each line, and tells of each child that ended."""
    structlog.configure(processors=[lambda *_: (_ for _ in ()).throw(structlog.DropEvent)])
    store_url, sandbox_url = sys.argv[1:]
    for line in sys.stdin:
        orders = json.loads(line)
        children = [fork(store_url, sandbox_url, order) for order in orders]
        ends = [os.waitpid(child, 0)[1] for child in children]
        sys.stdout.write(json.dumps(ends) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
