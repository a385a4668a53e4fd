"""The sandbox as a billing service: the contract of billing_openapi.yaml."""

import json
import time
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request

from talktime_server.payments.gateway import Outcome
from talktime_server.payments.sandbox.bank import Charged, Order, number
from talktime_server.payments.sandbox.settings import SandboxSettings
from talktime_server.payments.sandbox.sides import ACTION_URL, Answer, BadOrder, Letter
from talktime_server.payments.signatures import secret_bytes, sign

_FIELDS = ("charge_id", "tenant_id", "currency_code", "customer", "payment_method")
_REVERSALS = {"refund": "charge.refunded", "dispute": "charge.disputed"}


class BillingSide:
    """Reads and writes what the contract says."""

    keeps_failures = False

    def __init__(self, settings: SandboxSettings) -> None:
        self._credentials = f"Bearer {settings.billing_token}"
        self._key = secret_bytes(settings.billing_webhook_secret)

    def may(self, request: Request) -> bool:
        """Whether the request has the token."""
        return request.headers.get("authorization") == self._credentials

    def read(self, request: Request, body: bytes) -> Order:
        """A ChargeRequest with its key."""
        try:
            asked = json.loads(body)
            charge_id, tenant_id, currency, customer, token = (str(asked[name]) for name in _FIELDS)
            amount_micros = int(asked["amount_micros"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadOrder("a ChargeRequest is wanted") from error
        key = request.headers.get("idempotency-key", "")
        if not key or amount_micros <= 0:
            raise BadOrder("an Idempotency-Key and an amount above zero are wanted")
        return Order(
            "billing", key, charge_id, tenant_id, amount_micros, currency, customer, token, body
        )

    def answer(self, charged: Charged) -> Answer:
        """A Charge; a decline is an answer."""
        return Answer(200, _charge(charged))

    def error(self, status: int, code: str) -> Answer:
        """An Error."""
        return Answer(status, {"error": {"code": code, "message": f"the sandbox says: {code}"}})

    def letter(self, charged: Charged) -> Letter:
        """An Event with a Charge."""
        return _letter(f"charge.{charged.outcome.lower()}", _charge(charged))

    def reversal(self, charged: Charged, kind: str) -> Letter:
        """An Event with a Reversal."""
        reversal_id, amount_micros = charged.reversals[-1]
        return _letter(
            _REVERSALS[kind],
            _whose(charged) | {"reversal_id": reversal_id, "amount_micros": amount_micros},
        )

    def signed(self, letter: Letter) -> dict[str, str]:
        """Signed now, after the Standard Webhooks specification."""
        return sign(self._key, letter.event_id, int(time.time()), letter.body)


def _whose(charged: Charged) -> dict[str, Any]:
    return {
        "billing_id": charged.provider_id,
        "charge_id": charged.order.charge_id,
        "tenant_id": charged.order.tenant_id,
        "amount_micros": charged.amount_micros,
        "currency_code": charged.currency,
    }


def _charge(charged: Charged) -> dict[str, Any]:
    charge = _whose(charged) | {"status": charged.outcome.lower()}
    if charged.outcome is Outcome.DECLINED:
        charge["decline_code"] = charged.code
    if charged.outcome is Outcome.ACTION_REQUIRED:
        charge["action_url"] = f"{ACTION_URL}/{charged.provider_id}"
    return charge


def _letter(kind: str, about: dict[str, Any]) -> Letter:
    happened = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"type": kind, "timestamp": happened, "data": about}
    return Letter("/webhooks/billing", number("msg"), json.dumps(content).encode())
