"""What the tests of recharges share: a tenant of a real store, a sandbox that charges, and short ways to dip and to look."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import msgpack

from ledger.world import World, open_world
from talktime_server.ledger.entries import Entry
from talktime_server.ledger.recharge_rows import Method, Recharge, Rule
from talktime_server.ledger.recharges import Recharges
from talktime_server.payments.payments import Patience, Payments
from talktime_server.payments.sandbox import Charged, Sandbox, SandboxSettings, Token
from talktime_server.payments.spacing import Spacing
from talktime_server.words import EntryKind
from talktime_server.work import orders
from talktime_server.work.charging import Charging
from talktime_server.work.events import Events

UNIT = 1_000_000
TIMEOUT_S = 0.6
SETTINGS = SandboxSettings(slow_s=1.1 * TIMEOUT_S, hang_s=20.0)
PATIENCE = Patience(tries=3, attempt_s=TIMEOUT_S, total_s=5.0, first_wait_s=0.1, longest_wait_s=0.4)
UNHURRIED = replace(PATIENCE, attempt_s=5.0, total_s=20.0)  # a busy machine is no silent provider
AT_ONCE = Spacing(gap_s=0.0, failures=10_000)
CUSTOMER = "cus_sandbox"
HOUR_S = 3600
DAY_S = 24 * HOUR_S
_numbers = count(1)


def method(token: str = Token.APPROVED, gateway: str = "billing") -> Method:
    """A payment method of the sandbox."""
    return Method(gateway, CUSTOMER, token)


def rule(*tokens: str, **settings: Any) -> Rule:
    """Below 100, buy 200: with these tokens in order, or one that pays."""
    methods = tuple(method(token) for token in tokens or (Token.APPROVED,))
    usual = Rule(enabled=True, trigger_micros=100 * UNIT, amount_micros=200 * UNIT, methods=methods)
    return replace(usual, **settings)


@dataclass(slots=True)
class Stage:
    """One tenant, and everything that recharges it."""

    world: World
    sandbox: Sandbox
    payments: Payments
    recharges: Recharges
    charging: Charging
    events: Events
    unit: int = UNIT

    @property
    def owner(self) -> str:
        return self.world.tenant.tenant_id

    async def set_rule(self, new: Rule) -> None:
        await self.recharges.change(self.owner, lambda view: orders.set_rule(view, new))

    async def resume(self) -> None:
        await self.recharges.change(self.owner, orders.resume)

    async def spend(self, units: int) -> None:
        """Takes credits away, as a call would."""
        change = (f"spent{next(_numbers)}", -units * UNIT, "spent", 0)
        await self.world.ledger.funds.adjust(self.owner, *change)

    async def serve(self) -> None:
        """What the worker does for this tenant now."""
        await self.charging.serve(self.owner)

    async def wait(self, seconds: float) -> None:
        """Lets time pass for this tenant, and has the worker look."""
        await self.world.advance(seconds)
        await self.serve()

    async def row(self) -> Recharge:
        return (await self.recharges.view(self.owner)).recharge

    async def state(self) -> str:
        return (await self.recharges.view(self.owner)).state.value

    async def settled(self) -> int:
        """In units."""
        money = (await self.recharges.view(self.owner)).money
        assert money.settled_micros % UNIT == 0
        return money.settled_micros // UNIT

    async def lines(self) -> list[tuple[Entry, dict[str, Any]]]:
        """The lines about the recharge, with what they say."""
        found, _ = await self.world.journal.page(self.owner, "", 10_000)
        return [
            (entry, msgpack.unpackb(entry.details))
            for entry in found
            if entry.kind is EntryKind.RECHARGE
        ]

    async def story(self) -> list[str]:
        """The states that the journal tells of, in order."""
        return [said["state"] for _, said in await self.lines()]

    def charges(self) -> list[Charged]:
        """What the sandbox knows of this tenant's charges, in the order of asking."""
        known = self.sandbox.charges.values()
        return [each for each in known if each.order.tenant_id == self.owner]

    async def check(self) -> None:
        """Whatever happened: every charge was made once and credited once, and all money is there."""
        paid = {each.order.charge_id: each for each in self.charges() if each.times}
        assert all(each.times == 1 for each in paid.values())
        found, _ = await self.world.journal.page(self.owner, "", 10_000)
        credited = [
            (entry.reference, entry.settled_delta_micros)
            for entry in found
            if entry.kind is EntryKind.FUND and entry.reference.startswith("rc-")
        ]
        assert sorted(credited) == sorted((key, each.amount_micros) for key, each in paid.items())
        proof = await self.world.prove()
        assert proof.conserved, proof


@asynccontextmanager
async def open_stage(
    url: str,
    tenant_id: str,
    sandbox: Sandbox,
    *,
    claim_ms: int = 60_000,
    patience: Patience = PATIENCE,
) -> AsyncIterator[Stage]:
    """A stage until the block ends."""
    async with open_world(url, tenant_id) as world:
        gateways = sandbox.gateways(timeout_s=patience.attempt_s)
        payments = Payments(gateways, patience=patience, spacing=AT_ONCE)
        recharges = Recharges(world.store)
        charging = charging_of(world, recharges, payments, claim_ms)
        events = Events(recharges, charging=charging, funds=world.ledger.funds)
        try:
            yield Stage(world, sandbox, payments, recharges, charging, events)
        finally:
            await payments.close()


def charging_of(
    world: World, recharges: Recharges, payments: Payments, claim_ms: int = 60_000
) -> Charging:
    """Another worker."""
    return Charging(
        recharges,
        funds=world.ledger.funds,
        directory=world.directory,
        payments=payments,
        claim_ms=claim_ms,
    )


async def until(done: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    """Waits until something is so; fails when it never is."""
    ends_s = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < ends_s
        await asyncio.sleep(0.01)
