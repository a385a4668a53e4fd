"""The sandbox as Stripe: payment intents, made and confirmed at once, searched and read, and their webhooks."""

import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from talktime_server.payments.gateway import Outcome
from talktime_server.payments.minor_units import to_micros, to_minor
from talktime_server.payments.sandbox.bank import Charged, Order, number
from talktime_server.payments.sandbox.settings import SandboxSettings
from talktime_server.payments.sandbox.sides import ACTION_URL, Answer, BadOrder, Letter

_STATUSES = {
    Outcome.SUCCEEDED: "succeeded",
    Outcome.DECLINED: "requires_payment_method",
    Outcome.ACTION_REQUIRED: "requires_action",
    Outcome.PENDING: "processing",
}
_EVENTS = {
    Outcome.SUCCEEDED: "payment_intent.succeeded",
    Outcome.DECLINED: "payment_intent.payment_failed",
    Outcome.ACTION_REQUIRED: "payment_intent.requires_action",
    Outcome.PENDING: "payment_intent.processing",
}
_REVERSALS = {"refund": "refund.created", "dispute": "charge.dispute.created"}
_OFF_SESSION = {"confirm": "true", "off_session": "true"}
_FIELDS = ("metadata[charge_id]", "metadata[tenant_id]", "customer", "payment_method")


class StripeSide:
    """Reads and writes what Stripe would, as far as our gateway uses it."""

    keeps_failures = True

    def __init__(self, settings: SandboxSettings) -> None:
        self._credentials = f"Bearer {settings.stripe_key}"
        self._secret = settings.stripe_webhook_secret.encode()

    def may(self, request: Request) -> bool:
        """Whether the request has the secret key."""
        return request.headers.get("authorization") == self._credentials

    def read(self, request: Request, body: bytes) -> Order:
        """The fields of a payment intent that is confirmed off session."""
        asked = dict(parse_qsl(body.decode("latin-1")))
        key = request.headers.get("idempotency-key", "")
        if not key or any(asked.get(name) != value for name, value in _OFF_SESSION.items()):
            raise BadOrder("an Idempotency-Key, confirm and off_session are wanted")
        try:
            currency = asked["currency"].upper()
            amount_micros = to_micros(int(asked["amount"]), currency)
            charge_id, tenant_id, customer, token = (asked[name] for name in _FIELDS)
        except (KeyError, ValueError) as error:
            raise BadOrder("amount, currency, customer, payment_method, metadata") from error
        return Order(
            "stripe", key, charge_id, tenant_id, amount_micros, currency, customer, token, body
        )

    def answer(self, charged: Charged) -> Answer:
        """A payment intent, or a card's error with one in it."""
        intent = payment_intent(charged)
        if charged.outcome in (Outcome.DECLINED, Outcome.ACTION_REQUIRED):
            return Answer(402, {"error": _card_error(charged) | {"payment_intent": intent}})
        return Answer(200, intent)

    def error(self, status: int, code: str) -> Answer:
        """An error that is no card's."""
        kind = "idempotency_error" if "key" in code else "invalid_request_error"
        kind = "api_error" if status >= 500 else kind
        return Answer(status, {"error": {"type": kind, "code": code, "message": code}})

    def letter(self, charged: Charged) -> Letter:
        """An event with the payment intent."""
        return _letter(_EVENTS[charged.outcome], payment_intent(charged))

    def reversal(self, charged: Charged, kind: str) -> Letter:
        """An event with a refund or a dispute; both name the payment intent, and nothing of ours."""
        reversal_id, amount_micros = charged.reversals[-1]
        about = {
            "id": reversal_id,
            "object": kind,
            "amount": to_minor(amount_micros, charged.currency),
            "currency": charged.currency.lower(),
            "payment_intent": charged.provider_id,
            "metadata": {},
        }
        return _letter(_REVERSALS[kind], about)

    def signed(self, letter: Letter) -> dict[str, str]:
        """Signed now, in Stripe's own way."""
        at = str(int(time.time()))
        signed = hmac.digest(self._secret, f"{at}.".encode() + letter.body, hashlib.sha256)
        return {"stripe-signature": f"t={at},v1={signed.hex()}"}


def payment_intent(charged: Charged) -> dict[str, Any]:
    """The JSON of a payment intent."""
    order, paid = charged.order, charged.outcome is Outcome.SUCCEEDED
    amount = to_minor(charged.amount_micros, charged.currency)
    failed = charged.outcome in (Outcome.DECLINED, Outcome.ACTION_REQUIRED)
    return {
        "id": charged.provider_id,
        "object": "payment_intent",
        "amount": amount,
        "amount_received": amount if paid else 0,
        "currency": charged.currency.lower(),
        "customer": order.customer,
        "payment_method": order.token,
        "status": _STATUSES[charged.outcome],
        "metadata": {"charge_id": order.charge_id, "tenant_id": order.tenant_id},
        "last_payment_error": _card_error(charged) if failed else None,
        "next_action": _next_action(charged),
        "livemode": False,
    }


def _card_error(charged: Charged) -> dict[str, Any]:
    plain = charged.code in ("expired_card", "authentication_required")
    return {
        "type": "card_error",
        "code": charged.code if plain else "card_declined",
        "decline_code": charged.code,
        "message": "the sandbox declines",
    }


def _next_action(charged: Charged) -> dict[str, Any] | None:
    if charged.outcome is not Outcome.ACTION_REQUIRED:
        return None
    address = f"{ACTION_URL}/{charged.provider_id}"
    return {"type": "redirect_to_url", "redirect_to_url": {"url": address}}


def _letter(kind: str, about: dict[str, Any]) -> Letter:
    event_id = number("evt")
    content = {
        "id": event_id,
        "object": "event",
        "type": kind,
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": about},
    }
    return Letter("/webhooks/stripe", event_id, json.dumps(content).encode())
