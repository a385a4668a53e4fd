"""A worker that slept through its claim's time wakes up while another is at its charge."""

import asyncio
from contextlib import suppress

from recharge.stage import PATIENCE, Stage, charging_of, rule, until
from talktime_server.payments.billing import BillingGateway
from talktime_server.payments.gateway import Intent, Result
from talktime_server.payments.payments import Payments
from talktime_server.payments.sandbox import Token

NOBODY = "http://127.0.0.1:9"
SECRET = "whsec_" + "c2VjcmV0" * 6


class Asleep(Payments):
    """Sleeps before it asks a provider that cannot be reached from where it is."""

    def __init__(self, gateway: BillingGateway) -> None:
        super().__init__({"billing": gateway}, patience=PATIENCE)
        self.asleep, self.awake = asyncio.Event(), asyncio.Event()

    async def charge(self, intent: Intent, *, tries: int = 0) -> Result:
        self.asleep.set()
        await self.awake.wait()
        return await super().charge(intent, tries=tries)


async def test_who_lost_a_claim_does_not_say_that_nothing_was_charged(stage: Stage) -> None:
    """Semantics 52, 56: who took over may have charged meanwhile, and died before it was told."""
    await stage.set_rule(rule(Token.TIMEOUT_AFTER_CHARGING))
    await stage.spend(51)
    slow = Asleep(BillingGateway(NOBODY, "token", webhook_secret=SECRET))
    first = charging_of(stage.world, stage.recharges, slow)
    sleeping = asyncio.create_task(first.serve(stage.owner))
    await slow.asleep.wait()
    await stage.world.advance(61)
    second = asyncio.create_task(stage.serve())
    await until(lambda: any(each.times for each in stage.charges()))
    second.cancel()
    with suppress(asyncio.CancelledError):
        await second
    slow.awake.set()
    await sleeping
    await slow.close()
    await stage.wait(61)
    await stage.wait(61)
    assert (await stage.state(), await stage.settled()) == ("ARMED", 299)
    (charge,) = stage.charges()
    assert charge.times == 1
    await stage.check()
