"""Reads Stripe's payment intents and events: from their JSON to the words of this house."""

from collections.abc import Mapping
from typing import Any

from talktime_server.payments.errors import UnreadableReply
from talktime_server.payments.gateway import Event, EventKind, Outcome, Result
from talktime_server.payments.minor_units import to_micros
from talktime_server.payments.replies import Standing, code, part, text, url, whole

_STATUSES = {
    "succeeded": Outcome.SUCCEEDED,
    "processing": Outcome.PENDING,
    "requires_capture": Outcome.PENDING,
    "requires_confirmation": Outcome.PENDING,
    "requires_action": Outcome.ACTION_REQUIRED,
    "canceled": Outcome.DECLINED,
}
_AUTHENTICATION = "authentication_required"
_CHARGE_EVENTS = tuple(
    f"payment_intent.{word}"
    for word in ("succeeded", "payment_failed", "requires_action", "processing", "canceled")
)
_REVERSALS = {"refund.created": EventKind.REFUND, "charge.dispute.created": EventKind.DISPUTE}


def ours(content: Mapping[str, Any]) -> bool:
    """Whether a payment intent was made by talktime: the same account may serve other shops."""
    return "charge_id" in part(content, "metadata")


def read_standing(content: Mapping[str, Any]) -> Standing:
    """A payment intent of ours. Raises UnreadableReply."""
    metadata = part(content, "metadata")
    outcome, why = _outcome(content)
    currency = text(content, "currency").upper()
    # What was received is what the payer paid; before that, the sum that was asked for.
    paid = "amount_received" if outcome is Outcome.SUCCEEDED else "amount"
    result = Result(
        outcome=outcome,
        provider_id=text(content, "id"),
        code=why,
        action_url=_action_url(content) if outcome is Outcome.ACTION_REQUIRED else "",
        amount_micros=to_micros(whole(content, paid), currency),
        currency=currency,
    )
    return Standing(text(metadata, "charge_id"), text(metadata, "tenant_id"), result)


def read_event(content: Mapping[str, Any]) -> Event | None:
    """An event about a payment intent, a refund or a dispute; None for any other, and for another shop's."""
    kind, about = content.get("type"), part(part(content, "data"), "object")
    if kind in _CHARGE_EVENTS and ours(about):
        return read_standing(about).called_back(text(content, "id"))
    if kind in _REVERSALS and about.get("payment_intent"):
        return _reversal_event(text(content, "id"), _REVERSALS[str(kind)], about)
    return None


def _outcome(content: Mapping[str, Any]) -> tuple[Outcome, str]:
    """How an intent stands, and the word for why when it was declined."""
    status = content.get("status")
    if status == "requires_payment_method":
        return _after_failure(part(content, "last_payment_error"))
    outcome = _STATUSES.get(str(status))
    if outcome is None:
        raise UnreadableReply("the payment intent's status is not a documented one")
    return outcome, "canceled" if outcome is Outcome.DECLINED else ""


def _after_failure(error: Mapping[str, Any]) -> tuple[Outcome, str]:
    if not error:
        return Outcome.PENDING, ""
    if error.get("code") == _AUTHENTICATION:
        return Outcome.ACTION_REQUIRED, _AUTHENTICATION
    # "card_declined" is every decline's code: the bank's own word says more.
    bank = error.get("decline_code")
    said = bank if error.get("code") == "card_declined" and bank else error.get("code")
    return Outcome.DECLINED, code(said)


def _action_url(content: Mapping[str, Any]) -> str:
    return url(part(part(content, "next_action"), "redirect_to_url").get("url"))


def _reversal_event(event_id: str, kind: EventKind, about: Mapping[str, Any]) -> Event:
    """Stripe names the payment intent only: which charge it is, is read back."""
    currency = text(about, "currency").upper()
    return Event(
        event_id=event_id,
        kind=kind,
        charge_id="",
        tenant_id="",
        outcome=Outcome.SUCCEEDED,
        provider_id=text(about, "payment_intent"),
        amount_micros=to_micros(whole(about, "amount"), currency),
        currency=currency,
        reference=text(about, "id"),
    )
