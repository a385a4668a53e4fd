"""What providers call back, brought to the recharge it is about: a webhook may come twice, early, late, or in any order.

A success is credited whatever the recharge does meanwhile (semantics 58); a lower word moves only a charge that is still
open; what is taken back becomes a refund or a chargeback of the charge's funding (62, 63).
"""

import hashlib
import re

import structlog

from talktime_server.failure import Conflict, Mismatch, NotFound
from talktime_server.ledger.funds import Funds
from talktime_server.ledger.recharge_rows import View
from talktime_server.ledger.recharges import Recharges
from talktime_server.payments.gateway import Event, EventKind, Outcome, Result
from talktime_server.words import RechargeState
from talktime_server.work import steps
from talktime_server.work.charging import Charging

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@=+~-]{1,63}")
_REASONS = {
    EventKind.REFUND: "refunded at the payment provider",
    EventKind.DISPUTE: "disputed by the customer's bank",
}

_log = structlog.get_logger("talktime.recharge")


class Events:
    """Takes events as `payments.incoming.Incoming` gives them."""

    def __init__(self, recharges: Recharges, *, charging: Charging, funds: Funds) -> None:
        self._recharges = recharges
        self._charging = charging
        self._funds = funds

    async def take(self, event: Event) -> None:
        """Does what an event asks for, once. Raises Failure when it cannot now: the provider sends it again."""
        try:
            view = await self._recharges.view(event.tenant_id)
        except NotFound:
            _ignored(event, "no such tenant")
            return
        if why := _foreign(view, event):
            _ignored(event, why)
            return
        try:
            await self._take(view, event)
        except (Conflict, Mismatch) as failure:
            _ignored(event, failure.reason)  # and would be, however often it came

    async def _take(self, view: View, event: Event) -> None:
        if event.kind is EventKind.CHARGE:
            await self._charging.take_answer(event.tenant_id, event.charge_id, _result(event))
        else:
            await self._take_back(view, event)

    async def _take_back(self, view: View, event: Event) -> None:
        row = view.recharge
        if row.charge_id == event.charge_id and row.state in steps.IN_FLIGHT:
            # It was paid, or there would be nothing to take back: the news of that is on its way.
            paid = Result(Outcome.SUCCEEDED, event.provider_id, amount_micros=row.amount_micros)
            await self._charging.take_answer(event.tenant_id, event.charge_id, paid)
        try:
            await self._refund(event, event.amount_micros)
        except Conflict as conflict:
            # A dispute is of the whole charge, though some of it was given back before: what is left goes.
            left_micros = int(conflict.facts.get("refundable_micros", 0))
            if not left_micros:
                raise
            await self._refund(event, left_micros)

    async def _refund(self, event: Event, amount_micros: int) -> None:
        await self._funds.refund(
            event.tenant_id,
            refund_id(event.reference),
            event.charge_id,
            amount_micros,
            _REASONS[event.kind],
            chargeback=event.kind is EventKind.DISPUTE,
        )


def _foreign(view: View, event: Event) -> str:
    """Why an event is not for this recharge; empty when it is."""
    row = view.recharge
    if not (row.nonce and event.charge_id.startswith(f"rc-{row.nonce}-")):
        return "not a charge of this store"
    if event.kind is not EventKind.CHARGE or row.charge_id != event.charge_id:
        return ""
    if (event.amount_micros, event.currency) != (row.amount_micros, row.currency):
        return "another amount than was asked for"
    if event.outcome is not Outcome.SUCCEEDED and _is_asked(view):
        return "it is being asked for, and will be answered"
    return ""


def refund_id(reference: str) -> str:
    """The provider's reference where it can be an id, so that an operator who enters the same refund enters it once."""
    if _ID.fullmatch(reference):
        return reference
    return f"rv-{hashlib.sha256(reference.encode()).hexdigest()[:32]}"


def _is_asked(view: View) -> bool:
    """Whether a worker is at it: its own answer comes, or whoever takes over from it asks again."""
    row = view.recharge
    return row.state is RechargeState.CHARGING and row.owner != "" and view.now_ms < row.next_ms


def _result(event: Event) -> Result:
    return Result(
        event.outcome,
        event.provider_id,
        event.code,
        event.action_url,
        event.amount_micros,
        event.currency,
    )


def _ignored(event: Event, why: str) -> None:
    _log.warning(
        "payment_event_ignored",
        tenant_id=event.tenant_id,
        charge_id=event.charge_id,
        kind=event.kind,
        outcome=event.outcome,
        why=why,
    )
