"""Carries one tenant's recharge on: counts and freezes a charge, asks the provider, credits, and marks; each safe to repeat.

The order is the promise. What will be asked is stored before it is asked; the money is credited before
the charge is marked as done (semantics 59); and whatever is cut off in between is gone through again by
whoever takes over, with the same charge id: the provider and the ledger both give their first answer again.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import structlog

from talktime_server.failure import Conflict, Failure, Mismatch
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.funds import Funds
from talktime_server.ledger.recharge_rows import Step, View
from talktime_server.ledger.recharges import Recharges
from talktime_server.payments.gateway import Intent, Outcome, PaymentMethod, Result
from talktime_server.payments.payments import KEY_WINDOW_MS, Payments, wait_before_round_s
from talktime_server.words import RechargeState
from talktime_server.work import orders, steps
from talktime_server.work.orders import Decision
from talktime_server.work.steps import Claimant

CLAIM_MS = 60_000
RENEWALS = 3  # within a claim's time, so that one that is late harms nothing
MOST_STEPS = 20  # of one tenant in a row, before the others have their turn
DESCRIPTION = "Communications credits"

_log = structlog.get_logger("talktime.recharge")


@dataclass(frozen=True, slots=True)
class _Turn:
    """A charge that is this worker's to ask for: `fresh` when nobody ever did."""

    view: View
    fresh: bool


class Charging:
    """What every worker of recharges, the webhooks and the operators do through."""

    def __init__(
        self,
        recharges: Recharges,
        *,
        funds: Funds,
        directory: Directory,
        payments: Payments,
        claim_ms: int = CLAIM_MS,
    ) -> None:
        self._recharges = recharges
        self._funds = funds
        self._directory = directory
        self.payments = payments
        self._me = Claimant(secrets.token_hex(8), claim_ms)

    async def serve(self, tenant_id: str) -> None:
        """Does what there is to do for a tenant now. Raises Failure when it cannot; what was done stays done."""
        for number in range(MOST_STEPS):
            view = await self._recharges.view(tenant_id)
            if steps.to_begin(view) or steps.to_ask(view):
                await self._charge(view)
            elif steps.to_arm(view):
                await self._recharges.write(view, steps.arm(view))
            else:
                if number == 0:
                    await self._put_right(view)
                return

    async def _charge(self, view: View) -> None:
        """Makes the charge ours and asks for it; does nothing when somebody was faster."""
        if steps.to_begin(view):
            turn = await self._begun(view)
        else:
            turn = await self._written(view, steps.take(view, self._me), fresh=False)
        if turn:
            await self._ask(turn)

    async def _begun(self, view: View) -> _Turn | None:
        tenant = await self._directory.fresh_tenant(view.tenant_id)
        if tenant.postpaid:
            # A balance that refills would never come to its end, and the switch would never happen (domain.md 5).
            await self._recharges.write(view, orders.turn_off(view, "POSTPAID"))
            return None
        turn = await self._written(view, steps.begin(view, tenant.currency, self._me), fresh=True)
        return turn if turn and turn.view.state is RechargeState.CHARGING else None

    async def _written(self, view: View, step: Step, *, fresh: bool) -> _Turn | None:
        if not await self._recharges.write(view, step):
            return None
        return _Turn(replace(view, recharge=step.recharge), fresh)

    async def _put_right(self, view: View) -> None:
        """Nothing is to be done now: the index must not say otherwise, or it would be looked at for ever."""
        if view.ruled:
            await self._recharges.write(view, Step(view.recharge))

    async def _ask(self, turn: _Turn) -> None:
        view, row = turn.view, turn.view.recharge
        async with self._kept(view):
            result = await self._result(turn)
            await self.take_answer(view.tenant_id, row.charge_id, result)

    async def _result(self, turn: _Turn) -> Result:
        row = turn.view.recharge
        intent = intent_of(turn.view)
        if turn.fresh:
            return await self.payments.charge(intent)
        since_ms = max(0, turn.view.now_ms - row.begun_ms)
        if row.provider_id:
            # The provider has it: its key would only give the first answer again.
            since_ms = max(since_ms, KEY_WINDOW_MS)
        return await self.payments.reconcile(intent, first_tried_ms_ago=since_ms)

    @asynccontextmanager
    async def _kept(self, view: View) -> AsyncIterator[None]:
        """Puts the deadline off while the block lasts: a slow provider is no dead worker."""
        renewing = asyncio.create_task(self._renew(view.tenant_id, view.recharge.charge_id))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _renew(self, tenant_id: str, charge_id: str) -> None:
        while True:
            await asyncio.sleep(self._me.claim_ms / 1000 / RENEWALS)
            try:
                await self._recharges.change(
                    tenant_id, lambda view: steps.keep(view, charge_id, self._me)
                )
            except Failure as failure:
                _log.warning("recharge_not_renewed", tenant_id=tenant_id, reason=failure.reason)

    async def take_answer(self, tenant_id: str, charge_id: str, result: Result) -> None:
        """Credits a success and moves the recharge on, wherever the answer came from.

        One about a charge that is not open any more moves nothing, but for a success: that is credited.
        """
        view = await self._recharges.view(tenant_id)
        came = False
        if result.outcome is Outcome.SUCCEEDED:
            try:
                came = await self.credit(view, charge_id, result.amount_micros)
            except Conflict as conflict:
                return await self._put_aside(tenant_id, charge_id, conflict.reason)
        wait_s = wait_before_round_s(view.recharge.rounds + 1)
        wait_ms = None if wait_s is None else int(wait_s * 1000)
        moved = await self._recharges.change(
            tenant_id, lambda view: self._answered(view, charge_id, result, wait_ms)
        )
        if came and not moved:
            await self._recharges.change(
                tenant_id, lambda view: steps.succeeded_late(view, charge_id, result)
            )
        _log.info(
            "recharge_answered" if moved else "recharge_answered_late",
            tenant_id=tenant_id,
            charge_id=charge_id,
            outcome=result.outcome,
            code=result.code,
        )
        return None

    def _answered(
        self, view: View, charge_id: str, result: Result, wait_ms: int | None
    ) -> Step | None:
        """That nothing was charged is known of our own tries alone: who took over may have charged meanwhile."""
        ours = view.recharge.owner == self._me.name
        if result.outcome is Outcome.NOT_CHARGED and not ours:
            return None
        return steps.answered(view, charge_id, result, wait_ms)

    async def credit(self, view: View, charge_id: str, amount_micros: int) -> bool:
        """Adds the credits of a charge, once however often it is asked; whether they came in now. Raises Conflict."""
        row = view.recharge
        days = row.expire_days if row.charge_id == charge_id else view.rule.expire_days
        days = days or steps.DEFAULT_EXPIRE_DAYS
        try:
            funding = await self._funds.add(view.tenant_id, charge_id, amount_micros, days)
        except Mismatch as mismatch:
            # Credited before, with the life that the rule gave it then: the money is there.
            if mismatch.facts.get("field") == "expire_days":
                return False
            raise
        return not funding.replayed

    async def _put_aside(self, tenant_id: str, charge_id: str, reason: str) -> None:
        """Money came in and the ledger cannot take it: a person decides."""
        _log.error("recharge_not_credited", charge_id=charge_id, reason=reason)
        await self._recharges.change(
            tenant_id, lambda view: steps.uncreditable(view, charge_id, reason)
        )

    async def decide(self, tenant_id: str, charge_id: str, decision: Decision) -> None:
        """Carries out what an operator says of a charge. Raises Conflict for one that is not open, or cannot be credited."""
        if decision is Decision.NOT_CHARGED:
            await self._recharges.change(
                tenant_id, lambda view: orders.not_charged(view, charge_id)
            )
            return
        view = await self._recharges.view(tenant_id)
        if not orders.check_decision(view, charge_id, decision):
            return
        await self.credit(view, charge_id, view.recharge.amount_micros)
        await self._recharges.change(tenant_id, lambda view: _charged(view, charge_id))


def _charged(view: View, charge_id: str) -> Step | None:
    """A success on an operator's word."""
    paid = Result(Outcome.SUCCEEDED)
    step = steps.answered(view, charge_id, paid, None)
    if step is None:
        return None
    row = orders.decided(step.recharge, charge_id, Decision.CHARGED)
    return Step(row, step.line)


def intent_of(view: View) -> Intent:
    """What the provider is asked for: frozen in the row, and the same whoever asks."""
    row = view.recharge
    method = PaymentMethod(row.gateway, row.customer, row.token)
    return Intent(
        row.charge_id, view.tenant_id, row.amount_micros, row.currency, method, DESCRIPTION
    )
