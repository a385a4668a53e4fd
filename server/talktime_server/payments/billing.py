"""Charges through a plain HTTP service that keeps the contract of billing_openapi.yaml, beside this file."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from talktime_server.payments.errors import (
    BadRequest,
    KeyReused,
    UnreadableEvent,
    UnreadableReply,
    WrongReply,
)
from talktime_server.payments.exchange import Exchange, Question, Reply, read_json
from talktime_server.payments.gateway import Event, EventKind, Intent, Outcome, Result
from talktime_server.payments.minor_units import to_minor
from talktime_server.payments.replies import Standing, code, part, text, url, whole
from talktime_server.payments.signatures import secret_bytes, verify

TIMEOUT_S = 10.0
MAX_DESCRIPTION = 255
_STATUSES = {
    "succeeded": Outcome.SUCCEEDED,
    "declined": Outcome.DECLINED,
    "action_required": Outcome.ACTION_REQUIRED,
    "pending": Outcome.PENDING,
}
_CHARGES = tuple(f"charge.{word}" for word in _STATUSES)
_REVERSALS = {"charge.refunded": EventKind.REFUND, "charge.disputed": EventKind.DISPUTE}


class BillingGateway:
    """A billing service at `base_url`, which is asked with a bearer token and signs with a secret of its own."""

    name = "billing"

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        webhook_secret: str,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._credentials = {"authorization": f"Bearer {token}"}
        self._webhook_key = secret_bytes(webhook_secret)
        self._clock = clock
        self._exchange = Exchange(base_url, timeout_s=timeout_s)

    async def charge(self, intent: Intent) -> Result:
        """Asks for the charge once; the service gives its first answer again to the same key."""
        to_minor(intent.amount_micros, intent.currency)
        reply = await self._ask("POST", "/v1/charges", body=_order(intent), key=intent.charge_id)
        if reply.status == 422:
            raise KeyReused("this charge id was used before with another charge")
        if reply.status >= 400:
            raise BadRequest("the billing service does not take this charge")
        return read_standing(reply.content).answering(intent)

    async def look_up(self, intent: Intent) -> Result | None:
        """How the charge stands, None when the service never heard of it."""
        standing = await self._standing(intent.charge_id)
        return standing.answering(intent) if standing else None

    async def check(self) -> None:
        """That the service answers and takes our token."""
        reply = await self._ask("GET", "/v1/health")
        if reply.status != 200 or reply.content.get("status") != "ok":
            raise UnreadableReply("the billing service's health is not as documented")

    def read_event(self, headers: Mapping[str, str], body: bytes) -> Event | None:
        """What a signed webhook says; None for a type that the contract does not name."""
        event_id = verify(self._webhook_key, headers, body, now_s=self._clock())
        try:
            return _read_event(event_id, read_json(body))
        except UnreadableReply as error:
            raise UnreadableEvent("the webhook is not as documented") from error

    async def confirm(self, event: Event) -> Event | None:
        """The event with the charge as the service tells it when asked."""
        standing = await self._standing(event.charge_id)
        if standing is None or standing.charge_id != event.charge_id:
            raise WrongReply("the service does not know what it called back", reason="WRONG_CHARGE")
        return standing.confirming(event)

    async def close(self) -> None:
        """Closes its connections."""
        await self._exchange.close()

    async def _standing(self, charge_id: str) -> Standing | None:
        reply = await self._ask("GET", f"/v1/charges/{quote(charge_id, safe='')}")
        if reply.status == 200:
            return read_standing(reply.content)
        # Any web server answers 404: only the contract's own word says that there is no such charge.
        if reply.status == 404 and part(reply.content, "error").get("code") == "charge_unknown":
            return None
        raise UnreadableReply("the billing service's answer is not as documented")

    async def _ask(self, method: str, path: str, *, body: bytes = b"", key: str = "") -> Reply:
        headers = dict(self._credentials)
        if body:
            headers |= {"content-type": "application/json", "idempotency-key": key}
        return await self._exchange.ask(Question(method, self._base_url + path, headers, body))


def read_standing(content: Mapping[str, Any]) -> Standing:
    """A Charge of the contract. Raises UnreadableReply."""
    outcome = _STATUSES.get(str(content.get("status")))
    if outcome is None:
        raise UnreadableReply("the billing service's status is not a documented one")
    result = Result(
        outcome=outcome,
        provider_id=text(content, "billing_id"),
        code=code(content.get("decline_code")) if outcome is Outcome.DECLINED else "",
        action_url=url(content.get("action_url")),
        amount_micros=whole(content, "amount_micros"),
        currency=text(content, "currency_code"),
    )
    return Standing(text(content, "charge_id"), text(content, "tenant_id"), result)


def _order(intent: Intent) -> bytes:
    order = {
        "charge_id": intent.charge_id,
        "tenant_id": intent.tenant_id,
        "amount_micros": intent.amount_micros,
        "currency_code": intent.currency,
        "customer": intent.method.customer,
        "payment_method": intent.method.token,
        "description": intent.description[:MAX_DESCRIPTION],
    }
    return json.dumps(order).encode()


def _read_event(event_id: str, content: Mapping[str, Any]) -> Event | None:
    kind = content.get("type")
    if kind in _CHARGES:
        return read_standing(part(content, "data")).called_back(event_id)
    if kind in _REVERSALS:
        return _reversal_event(event_id, _REVERSALS[str(kind)], part(content, "data"))
    return None


def _reversal_event(event_id: str, kind: EventKind, content: Mapping[str, Any]) -> Event:
    return Event(
        event_id=event_id,
        kind=kind,
        charge_id=text(content, "charge_id"),
        tenant_id=text(content, "tenant_id"),
        outcome=Outcome.SUCCEEDED,
        provider_id=text(content, "billing_id"),
        amount_micros=whole(content, "amount_micros"),
        currency=text(content, "currency_code"),
        reference=text(content, "reversal_id"),
    )
