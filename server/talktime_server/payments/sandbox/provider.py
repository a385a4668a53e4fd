"""The sandbox itself: its two APIs over one bank, with idempotency keys that are kept as a provider keeps them."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from talktime_server.payments.billing import BillingGateway
from talktime_server.payments.gateway import Gateway, PaymentMethod
from talktime_server.payments.listening import listening
from talktime_server.payments.sandbox.bank import Bank, Charged, Order, Token, number
from talktime_server.payments.sandbox.billing_side import BillingSide
from talktime_server.payments.sandbox.courier import Courier, Delivery
from talktime_server.payments.sandbox.hostile import cut, hostile
from talktime_server.payments.sandbox.settings import SandboxSettings
from talktime_server.payments.sandbox.sides import Answer, BadOrder, Side
from talktime_server.payments.sandbox.stripe_side import StripeSide, payment_intent
from talktime_server.payments.stripe_gateway import StripeGateway

CUSTOMER = "cus_sandbox"
_SEARCH = re.compile(r"metadata\['charge_id'\]:'([^']*)'")
_TURNED_AWAY = {
    Token.UNAVAILABLE: (503, "unavailable"),
    Token.RATE_LIMITED: (429, "rate_limited"),
    Token.CONFLICT: (409, "in_progress"),
}
Answering = Callable[[Side, Request], Awaitable[ASGIApp]]


class Sandbox:
    """A provider that lives as long as an `async with` block; `url` is known inside it.

    `away = True` makes it fail every request, `webhook_url` may be changed at any time; `requests` has each request that
    came, as "POST /v1/charges".
    """

    def __init__(self, settings: SandboxSettings | None = None, *, port: int = 0) -> None:
        self.settings = settings or SandboxSettings()
        self.away = False
        self.url = ""
        self.requests: list[str] = []
        self._port = port
        self._bank = Bank()
        self._sides: dict[str, Side] = {
            "stripe": StripeSide(self.settings),
            "billing": BillingSide(self.settings),
        }
        self._kept: dict[tuple[str, str], tuple[str, Answer]] = {}
        self._under_way: set[tuple[str, str]] = set()
        self._closing = asyncio.Event()
        self._courier = Courier(self.settings.webhook_url)
        self._listening: AbstractAsyncContextManager[int] | None = None

    async def __aenter__(self) -> Self:
        # Half of what it does would be an error of any other server.
        app = Starlette(routes=self._routes())
        self._listening = listening(app, port=self._port, log_level="critical")
        self.url = f"http://127.0.0.1:{await self._listening.__aenter__()}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._closing.set()
        await self._courier.close()
        if self._listening:
            await self._listening.__aexit__(None, None, None)

    @property
    def charges(self) -> Mapping[str, Charged]:
        """What became of each charge id: `times` is how often money was really taken for it."""
        return self._bank.charges

    @property
    def keys(self) -> Mapping[str, list[str]]:
        """The idempotency keys that came for each charge id, one for each try."""
        return self._bank.keys

    @property
    def deliveries(self) -> list[Delivery]:
        """Every webhook that was sent, repeats included."""
        return self._courier.deliveries

    @property
    def webhook_url(self) -> str:
        """Where webhooks go; a path is added to it."""
        return self._courier.target

    @webhook_url.setter
    def webhook_url(self, url: str) -> None:
        self._courier.target = url

    def gateways(self, *, timeout_s: float = 10.0) -> dict[str, Gateway]:
        """Both gateways, set up for this sandbox; whoever asks for them closes them."""
        kept = self.settings
        return {
            "stripe": StripeGateway(
                kept.stripe_key,
                webhook_secret=kept.stripe_webhook_secret,
                base_url=self.url,
                timeout_s=timeout_s,
            ),
            "billing": BillingGateway(
                self.url,
                kept.billing_token,
                webhook_secret=kept.billing_webhook_secret,
                timeout_s=timeout_s,
            ),
        }

    @staticmethod
    def method(token: str, *, gateway: str = "billing") -> PaymentMethod:
        """A payment method of the sandbox's only customer."""
        return PaymentMethod(gateway, CUSTOMER, token)

    def act(self, charge_id: str) -> None:
        """The payer confirms what wanted an action, or the bank ends what was pending: it is paid, and called back."""
        charged = self.charges[charge_id]
        charged.pay()
        side = self._sides[charged.order.side]
        self._courier.later(side, side.letter(charged), after_s=0)

    def refund(self, charge_id: str, amount_micros: int) -> str:
        """Gives back some of a charge, and calls back; the refund's id."""
        return self._reverse(charge_id, amount_micros, "refund")

    def dispute(self, charge_id: str, amount_micros: int) -> str:
        """The payer's bank takes some of a charge back, and it is called back; the dispute's id."""
        return self._reverse(charge_id, amount_micros, "dispute")

    async def webhooks_arrived(self) -> None:
        """Waits until every webhook was taken, or given up."""
        await self._courier.arrived()

    async def drop_webhooks(self) -> None:
        """Gives up every webhook that is under way, as a provider does after some days."""
        await self._courier.drop()

    def _reverse(self, charge_id: str, amount_micros: int, kind: str) -> str:
        charged = self.charges[charge_id]
        reversal_id = number("re" if kind == "refund" else "dp")
        charged.reversals.append((reversal_id, amount_micros))
        side = self._sides[charged.order.side]
        self._courier.later(side, side.reversal(charged, kind), after_s=0)
        return reversal_id

    def _routes(self) -> list[Route]:
        stripe, billing = self._sides["stripe"], self._sides["billing"]
        table: tuple[tuple[str, str, Side, Answering], ...] = (
            ("POST", "/v1/payment_intents", stripe, self._post),
            ("GET", "/v1/payment_intents", stripe, self._list),
            ("GET", "/v1/payment_intents/search", stripe, self._search),
            ("GET", "/v1/payment_intents/{provider_id}", stripe, self._get_intent),
            ("POST", "/v1/charges", billing, self._post),
            ("GET", "/v1/charges/{charge_id}", billing, self._get_charge),
            ("GET", "/v1/health", billing, self._health),
        )
        return [
            Route(path, partial(self._serve, side, answer), methods=[method])
            for method, path, side, answer in table
        ]

    async def _serve(self, side: Side, answer: Answering, request: Request) -> ASGIApp:
        self.requests.append(f"{request.method} {request.url.path}")
        if self.away:
            return _json(side.error(503, "unavailable"))
        if not side.may(request):
            return _json(side.error(401, "unauthorized"))
        return await answer(side, request)

    async def _list(self, side: Side, request: Request) -> ASGIApp:
        return _json(Answer(200, {"object": "list", "data": [], "has_more": False}))

    async def _health(self, side: Side, request: Request) -> ASGIApp:
        return _json(Answer(200, {"status": "ok"}))

    async def _search(self, side: Side, request: Request) -> ASGIApp:
        asked = _SEARCH.fullmatch(request.query_params.get("query", ""))
        charged = self.charges.get(asked[1]) if asked else None
        found = [payment_intent(charged)] if charged else []
        return _json(Answer(200, {"object": "search_result", "data": found, "has_more": False}))

    async def _get_intent(self, side: Side, request: Request) -> ASGIApp:
        charged = self._bank.by_provider_id(request.path_params["provider_id"])
        if charged is None:
            return _json(side.error(404, "resource_missing"))
        return _json(Answer(200, payment_intent(charged)))

    async def _get_charge(self, side: Side, request: Request) -> ASGIApp:
        charged = self.charges.get(request.path_params["charge_id"])
        return _json(side.answer(charged) if charged else side.error(404, "charge_unknown"))

    async def _post(self, side: Side, request: Request) -> ASGIApp:
        try:
            order = side.read(request, await request.body())
        except BadOrder as refused:
            return _json(side.error(400, str(refused)))
        first = self._bank.asked(order)
        return self._before(side, order, first) or await self._charge(side, order, first)

    def _before(self, side: Side, order: Order, first: bool) -> ASGIApp | None:
        """The answer to a key that is known, and to a first try that is turned away."""
        key = (order.side, order.key)
        if key in self._under_way:
            return _json(side.error(409, "key_in_use"))
        if key in self._kept:
            fingerprint, answer = self._kept[key]
            same = fingerprint == order.fingerprint
            return self._again(order, answer) if same else _json(_reused(side))
        if first and order.token in _TURNED_AWAY:
            return _json(side.error(*_TURNED_AWAY[Token(order.token)]))
        return None

    def _again(self, order: Order, answer: Answer) -> ASGIApp:
        return hostile(order.token) or _json(answer)

    async def _charge(self, side: Side, order: Order, first: bool) -> ASGIApp:
        key = (order.side, order.key)
        self._under_way.add(key)
        try:
            if order.token == Token.SLOW:
                await self._pause(self.settings.slow_s)
            charged = self._bank.charge(order)
        finally:
            self._under_way.discard(key)
        answer = _disguised(order, side.answer(charged))
        failed = order.token == Token.ERROR_AFTER_CHARGING
        error = side.error(500, "internal")
        self._kept[key] = (order.fingerprint, error if failed and side.keeps_failures else answer)
        await self._call_back(side, charged)
        return await self._after(order, error if failed else answer)

    async def _after(self, order: Order, answer: Answer) -> ASGIApp:
        """The answer to a try that charged, as its token spoils it."""
        if order.token == Token.TIMEOUT_AFTER_CHARGING:
            await self._pause(self.settings.hang_s)
        if order.token == Token.RESET_MID_REPLY:
            return cut
        return self._again(order, answer)

    async def _call_back(self, side: Side, charged: Charged) -> None:
        letter, token = side.letter(charged), charged.order.token
        if token == Token.WEBHOOK_BEFORE_REPLY:
            return await self._courier.carry(side, letter)
        for _ in range(2 if token == Token.DUPLICATE_WEBHOOK else 1):
            self._courier.later(side, letter, after_s=self.settings.webhook_after_s)
        return None

    async def _pause(self, seconds: float) -> None:
        """Keeps silent, but never longer than the sandbox lives."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)


def _reused(side: Side) -> Answer:
    return side.error(400 if side.keeps_failures else 422, "key_reused")


def _disguised(order: Order, answer: Answer) -> Answer:
    if order.token != Token.OTHER_CHARGE:
        return answer
    other = {"charge_id": f"not-{order.charge_id}", "tenant_id": order.tenant_id}
    return Answer(answer.status, {**answer.content, **other, "metadata": other})


def _json(answer: Answer) -> JSONResponse:
    return JSONResponse(dict(answer.content), answer.status)
