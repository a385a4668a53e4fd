"""Charges through Stripe: off-session payment intents, confirmed at once, with the charge id as their key.

The library builds the requests and verifies the webhooks; it never repeats one, and it asks through our own exchange, so
that a hostile answer ends at its limits. Stripe's search knows a payment intent up to a minute after it was made: that
it finds nothing is therefore no proof.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import stripe
import structlog

from talktime_server.payments.errors import (
    BadRequest,
    BadSignature,
    KeyReused,
    UnreadableEvent,
    UnreadableReply,
)
from talktime_server.payments.exchange import Exchange, Question, read_json
from talktime_server.payments.gateway import Event, EventKind, Intent, Outcome, Result
from talktime_server.payments.minor_units import to_minor
from talktime_server.payments.replies import Standing, code, part
from talktime_server.payments.stripe_replies import ours, read_event, read_standing

TIMEOUT_S = 20.0
TOLERANCE_S = 300
MAX_DESCRIPTION = 255
MAX_SIGNATURE = 1024
# What the library raises over JSON that is not Stripe's.
_CONFUSED = (AttributeError, KeyError, TypeError, ValueError)
_log = structlog.get_logger("talktime.payments.stripe")


class StripeGateway:
    """One Stripe account. `base_url` is Stripe's own unless a sandbox is meant."""

    name = "stripe"

    def __init__(
        self,
        secret_key: str,
        *,
        webhook_secret: str,
        base_url: str = stripe.DEFAULT_API_BASE,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret_key = secret_key
        self._webhook_secret = webhook_secret
        self._clock = clock
        self._exchange = Exchange(base_url, timeout_s=timeout_s)
        client = stripe.StripeClient(
            secret_key,
            base_addresses={"api": base_url.rstrip("/")},
            max_network_retries=0,
            http_client=_Line(self._exchange),
        )
        self._intents = client.v1.payment_intents

    async def charge(self, intent: Intent) -> Result:
        """Asks for the charge once; a card's error is an answer."""
        amount = to_minor(intent.amount_micros, intent.currency)
        made = self._intents.create_async(
            {
                "amount": amount,
                "currency": intent.currency.lower(),
                "customer": intent.method.customer,
                "payment_method": intent.method.token,
                "off_session": True,
                "confirm": True,
                # Nobody is there to be sent elsewhere and back.
                "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                "metadata": {"charge_id": intent.charge_id, "tenant_id": intent.tenant_id},
                "description": intent.description[:MAX_DESCRIPTION],
            },
            {"idempotency_key": intent.charge_id},
        )
        return _read(await _answer(made)).answering(intent)

    async def look_up(self, intent: Intent) -> Result | None:
        """How the charge stands, found by its id in the metadata; a success before anything else."""
        query = f"metadata['charge_id']:'{intent.charge_id}'"
        found = await _answer(self._intents.search_async({"query": query}))
        if not isinstance(found.get("data"), list):
            raise UnreadableReply("Stripe's search is not as documented")
        results = [_read(each).answering(intent) for each in found["data"]]
        paid = [each for each in results if each.outcome is Outcome.SUCCEEDED]
        return next(iter(paid or results), None)

    async def check(self) -> None:
        """That Stripe answers and takes our key for payment intents."""
        await _answer(self._intents.list_async({"limit": 1}))

    def read_event(self, headers: Mapping[str, str], body: bytes) -> Event | None:
        """What a signed webhook says; None for what is not about our charges."""
        self._verify(headers.get("stripe-signature", ""), body)
        try:
            return read_event(read_json(body))
        except UnreadableReply as error:
            raise UnreadableEvent("the webhook is not as documented") from error

    async def confirm(self, event: Event) -> Event | None:
        """The event with its charge as Stripe tells it when asked; a refund's and a dispute's charge is known here only."""
        content = await _answer(self._intents.retrieve_async(event.provider_id))
        if event.kind is not EventKind.CHARGE and not ours(content):
            return None
        return _read(content).confirming(event)

    async def close(self) -> None:
        """Closes its connections."""
        await self._exchange.close()

    def _verify(self, header: str, body: bytes) -> None:
        """The library compares in constant time and refuses what is old; what comes from the future is refused here."""
        try:
            if not header.isascii() or len(header) > MAX_SIGNATURE:
                raise BadSignature("the webhook is not signed")
            stripe.Webhook.construct_event(
                body.decode(), header, self._webhook_secret, TOLERANCE_S, self._secret_key
            )
            if _signed_at_s(header) > self._clock() + TOLERANCE_S:
                raise BadSignature("the webhook's signature is of another time")
        except (stripe.SignatureVerificationError, UnicodeDecodeError) as error:
            raise BadSignature("the webhook's signature is wrong or too old") from error
        except _CONFUSED as error:
            raise UnreadableEvent("the webhook is no event") from error


class _Line(stripe.HTTPClient):
    """What the library asks through, in the shape that it wants."""

    name = "talktime"

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        body = (post_data or "").encode()
        reply = await self._exchange.ask(Question(method.upper(), url, headers, body))
        return reply.body, reply.status, reply.headers

    async def close_async(self) -> None:
        await self._exchange.close()


async def _answer(asking: Awaitable[Any]) -> dict[str, Any]:
    """A plain object for what the library returns or raises."""
    try:
        answer = await asking
        return dict(answer.to_dict())
    except stripe.CardError as error:
        return _declined(error)
    except stripe.IdempotencyError:
        raise KeyReused("this charge id was used before with another charge") from None
    except stripe.InvalidRequestError as error:
        _log.warning("stripe_refused", code=code(error.code), request_id=error.request_id)
        raise BadRequest("Stripe does not take this request") from None
    except (stripe.StripeError, *_CONFUSED):
        raise UnreadableReply("Stripe's answer is not as documented") from None


def _declined(error: stripe.CardError) -> dict[str, Any]:
    """The payment intent within a card's error, with the error where a later look-up would show it."""
    body = error.json_body if isinstance(error.json_body, dict) else {}
    why = part(body, "error")
    intent = dict(part(why, "payment_intent"))
    if not intent:
        raise UnreadableReply("Stripe declined without a payment intent")
    if not intent.get("last_payment_error"):
        intent["last_payment_error"] = dict(why)
    return intent


def _read(content: Any) -> Standing:
    if not isinstance(content, dict):
        raise UnreadableReply("Stripe's payment intent is not as documented")
    return read_standing(content)


def _signed_at_s(header: str) -> int:
    return int(next(each[2:] for each in header.split(",") if each.startswith("t=")))
