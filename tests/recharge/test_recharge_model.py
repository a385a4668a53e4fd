"""A recharge and a plain one live the same life at random: dips, changes of the rule, declines, webhooks twice and out of
order, workers that die anywhere, time that passes. After each step they agree, and nothing was charged or credited twice.

TALKTIME_RECHARGE_EXAMPLES asks for more than the usual.
"""

import asyncio
import os
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from itertools import count
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from recharge.mortal import Fate, Killed, Mortal, MortalRows, die_by_exception
from recharge.plain import PlainRecharge, PlainRule
from recharge.stage import UNIT, Stage, charging_of, method, open_stage
from stores import StoreProcess
from talktime_server.ledger.recharge_rows import Rule
from talktime_server.payments.gateway import Event, EventKind, Outcome
from talktime_server.payments.payments import Patience
from talktime_server.payments.sandbox import Charged, Sandbox, Token
from talktime_server.work.caps import rolled
from talktime_server.work.orders import Decision

EXAMPLES = int(os.environ.get("TALKTIME_RECHARGE_EXAMPLES", "12"))
STEPS = 25
KILLS = 2  # in one life: each lets a minute pass, and pauses must not be blurred by more than a few
ONE_TRY = Patience(
    tries=1, attempt_s=20.0
)  # the machine may be busy; nothing here is slow of itself
BEGIN_S = 1_900_000_000 // 86_400 * 86_400 + 12 * 3600 + 300  # five past noon, years from now
TOKENS = st.sampled_from(
    [
        (Token.APPROVED,),
        (Token.DECLINED,),
        (Token.EXPIRED_CARD, Token.APPROVED),
        (Token.DECLINED, Token.EXPIRED_CARD),
        (Token.ACTION_REQUIRED,),
        (Token.DECLINED, Token.PENDING),
    ]
)
RULES = st.builds(
    PlainRule,
    tokens=TOKENS,
    enabled=st.sampled_from([True, True, True, False]),
    trigger=st.sampled_from([100, 400]),
    amount=st.sampled_from([50, 200]),
    fill_gap=st.booleans(),
    per_day=st.sampled_from([1, 2, 5]),
    cooling=st.sampled_from([0, 1500]),
)
Answer = TypeVar("Answer")
_numbers = count(1)


class TwoRecharges(RuleBasedStateMachine):
    """One life."""

    url: str
    runner: asyncio.Runner

    def run(self, asking: Coroutine[Any, Any, Answer]) -> Answer:
        return self.runner.run(asking)

    @initialize(new=RULES)
    def begin(self, new: PlainRule) -> None:
        self.stack, self.kills, self.refunds = AsyncExitStack(), 0, 0
        self.run(self._open())
        self.plain = PlainRecharge(BEGIN_S, 150)
        self.another_rule(new)

    async def _open(self) -> None:
        sandbox = await self.stack.enter_async_context(Sandbox())
        owner = f"model{os.getpid()}-{next(_numbers)}"
        self.stage: Stage = await self.stack.enter_async_context(
            open_stage(self.url, owner, sandbox, patience=ONE_TRY)
        )
        await self.stage.world.stop_clock_at(BEGIN_S * 1000)
        await self.stage.world.fund(150 * UNIT)

    @rule(new=RULES)
    def another_rule(self, new: PlainRule) -> None:
        self.plain.set_rule(new)
        self.run(self.stage.set_rule(_real(new)))

    @rule(units=st.sampled_from([1, 30, 120]))
    def spend(self, units: int) -> None:
        self.plain.move(-units)
        self.run(self.stage.spend(units))

    @rule()
    def fund_by_hand(self) -> None:
        self.plain.move(100)
        self.run(self.stage.world.fund(100 * UNIT, f"hand{next(_numbers)}"))

    @rule()
    def serve(self) -> None:
        self.plain.serve()
        self.run(self.stage.serve())

    @rule(moment=st.integers(1, 14))
    def serve_and_die(self, moment: int) -> None:
        """Somewhere on the way; whoever takes over comes a minute later."""
        if self.kills == KILLS:
            return
        self.kills += 1
        self.plain.serve()
        self.run(self._die(moment))
        self.let_time_pass(60)

    async def _die(self, moment: int) -> None:
        fate = Fate(moment, die_by_exception)
        stage = self.stage
        world = stage.world
        mortal = charging_of(
            world,
            MortalRows(world.store, fate),
            Mortal(stage.payments, fate, "charge", "reconcile"),  # type: ignore[arg-type]  # it passes everything on
        )
        mortal._funds = Mortal(world.ledger.funds, fate, "add")  # type: ignore[assignment]  # likewise
        try:
            await mortal.serve(stage.owner)
        except Killed:
            return

    @rule(seconds=st.sampled_from([600, 3 * 3600, 25 * 3600]))
    def let_time_pass(self, seconds: int) -> None:
        self.plain.now += seconds
        self.plain.serve()
        self.run(self.stage.wait(seconds))

    @rule()
    def outage(self) -> None:
        """Asked during it, it is found out right after."""
        self.stage.sandbox.away = self.plain.away = True
        self.plain.serve()
        self.run(self.stage.serve())
        self.stage.sandbox.away = self.plain.away = False
        self.let_time_pass(600)

    @rule()
    def go_on_by_hand(self) -> None:
        if self.plain.resume():
            self.run(self.stage.resume())

    @precondition(lambda self: self.plain.state in ("NEEDS_REVIEW", "ACTION_REQUIRED"))
    @rule(paid=st.booleans())
    def an_operator_decides(self, paid: bool) -> None:
        charge_id = self._last().order.charge_id
        if paid:
            self._last().pay()
            self.plain.paid(self.plain.last)
        else:
            self.plain.not_charged()
        decision = Decision.CHARGED if paid else Decision.NOT_CHARGED
        for _ in range(2):
            self.run(self.stage.charging.decide(self.stage.owner, charge_id, decision))

    @precondition(lambda self: self.plain.charges)
    @rule(number=st.integers(0, 50), times=st.integers(1, 2), confirmed=st.booleans())
    def the_provider_calls_back(self, number: int, times: int, confirmed: bool) -> None:
        """Of any charge, however old, with what is so now; the customer may have confirmed it just before."""
        charges = self.stage.charges()
        if not charges:
            return
        number %= len(charges)
        real = charges[number]
        plain = [each for each in self.plain.charges if each.amount][number]
        if confirmed and real.outcome in (Outcome.ACTION_REQUIRED, Outcome.PENDING):
            real.pay()
        if real.outcome is Outcome.SUCCEEDED:
            self.plain.paid(plain)
        elif real.outcome is Outcome.ACTION_REQUIRED:
            self.plain.still_waits(plain)
        for _ in range(times):
            self.run(self.stage.events.take(self._event(real)))

    @precondition(lambda self: any(each.credited for each in self.plain.charges))
    @rule(number=st.integers(0, 50))
    def money_goes_back(self, number: int) -> None:
        pairs = zip(
            self.stage.charges(), [each for each in self.plain.charges if each.amount], strict=True
        )
        credited = [pair for pair in pairs if pair[1].credited and pair[1].refunded < 30]
        if not credited:
            return
        real, plain = credited[number % len(credited)]
        plain.refunded += 10
        self.refunds += 1
        self.plain.move(-10)
        for _ in range(2):
            self.run(self.stage.events.take(self._event(real, f"re_{self.refunds}")))

    def _last(self) -> Charged:
        return self.stage.charges()[-1]

    def _event(self, charge: Charged, refund: str = "") -> Event:
        return Event(
            "e",
            EventKind.REFUND if refund else EventKind.CHARGE,
            charge.order.charge_id,
            self.stage.owner,
            Outcome.SUCCEEDED if refund else charge.outcome,
            charge.provider_id,
            10 * UNIT if refund else charge.amount_micros,
            charge.currency,
            reference=refund,
        )

    @invariant()
    def they_agree(self) -> None:
        if hasattr(self, "plain"):
            assert self.run(self._real_standing()) == self._plain_standing()

    async def _real_standing(self) -> dict[str, Any]:
        view = await self.stage.recharges.view(self.stage.owner)
        row = rolled(view.recharge, view.now_ms)
        return {
            "now": view.now_ms // 1000,
            "state": view.state.value,
            "settled": view.money.settled_micros // UNIT,
            "claims": view.claims,
            "declines": row.declines,
            "today": row.day_count,
            "this month": row.month_count,
            "charges": [each.amount_micros // UNIT for each in self.stage.charges()],
            "paid": sum(each.times for each in self.stage.charges()),
        }

    def _plain_standing(self) -> dict[str, Any]:
        plain = self.plain
        real = [each for each in plain.charges if each.amount]
        return {
            "now": plain.now,
            "state": plain.state,
            "settled": plain.balance,
            "claims": plain.claims,
            "declines": plain.declines,
            "today": plain.counted(),
            "this month": plain.counted(by_month=True),
            "charges": [each.amount for each in real],
            "paid": sum(each.paid for each in real),
        }

    def teardown(self) -> None:
        if not hasattr(self, "plain"):
            return
        try:
            self.run(self.stage.check())
        finally:
            self.run(self.stack.aclose())


def _real(plain: PlainRule) -> Rule:
    return Rule(
        enabled=plain.enabled,
        trigger_micros=plain.trigger * UNIT,
        amount_micros=plain.amount * UNIT,
        fill_gap=plain.fill_gap,
        max_per_day=plain.per_day,
        methods=tuple(method(token) for token in plain.tokens),
        cooling_seconds=plain.cooling,
    )


def test_two_recharges_live_the_same_life(store_process: StoreProcess) -> None:
    with asyncio.Runner() as runner:
        machine = type("Life", (TwoRecharges,), {"url": store_process.url, "runner": runner})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                phases=(Phase.explicit, Phase.reuse, Phase.generate),
                database=None,
                print_blob=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
