"""What our gateway and the sandbox really send is what billing_openapi.yaml says, and is signed as it says."""

import importlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import httpx
import pytest
import standardwebhooks
import stripe
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from payments.stage import AT_ONCE, PATIENCE, SETTINGS, Stage, open_stage
from talktime_server.payments.billing import BillingGateway
from talktime_server.payments.listening import listening
from talktime_server.payments.payments import Payments
from talktime_server.payments.sandbox import Token

YAML = importlib.import_module("yaml")
CONTRACT: dict[str, Any] = YAML.safe_load(
    resources.files("talktime_server.payments").joinpath("billing_openapi.yaml").read_text()
)
TYPES = {"object": dict, "string": str, "integer": int, "array": list}
TOKENS = (
    Token.APPROVED,
    Token.DECLINED,
    Token.ACTION_REQUIRED,
    Token.PENDING,
    Token.ERROR_AFTER_CHARGING,
    Token.UNAVAILABLE,
    Token.RATE_LIMITED,
    Token.CONFLICT,
)


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A request and its answer, as they went over the wire."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    answer: bytes


@dataclass(frozen=True, slots=True)
class Wire:
    """Stands between a gateway and the sandbox, and between the sandbox and our webhooks."""

    url: str
    exchanged: list[Exchanged] = field(default_factory=list)
    letters: list[Request] = field(default_factory=list)


@asynccontextmanager
async def open_wire(stage: Stage) -> AsyncIterator[Wire]:
    async with httpx.AsyncClient(base_url=stage.sandbox.url, trust_env=False) as inner:

        async def forward(request: Request) -> Response:
            body = await request.body()
            reply = await inner.request(
                request.method,
                request.url.path,
                content=body,
                headers={k: v for k, v in request.headers.items() if k != "host"},
            )
            wire.exchanged.append(
                Exchanged(
                    request.method,
                    request.url.path,
                    request.headers,
                    body,
                    reply.status_code,
                    reply.content,
                )
            )
            return Response(reply.content, reply.status_code, dict(reply.headers))

        async def keep(request: Request) -> Response:
            await request.body()
            wire.letters.append(request)
            return Response()

        routes = [
            Route("/webhooks/{gateway}", keep, methods=["POST"]),
            Route("/{path:path}", forward, methods=["GET", "POST"]),
        ]
        async with listening(Starlette(routes=routes)) as port:
            wire = Wire(f"http://127.0.0.1:{port}")
            stage.sandbox.webhook_url = wire.url
            yield wire


async def test_everything_that_is_sent_fits_the_contract() -> None:
    async with open_stage() as stage, open_wire(stage) as wire:
        kept = SETTINGS
        gateway = BillingGateway(
            wire.url, kept.billing_token, webhook_secret=kept.billing_webhook_secret
        )
        payments = Payments({"billing": gateway}, patience=PATIENCE, spacing=AT_ONCE)
        intents = [stage.intent(token, "billing") for token in TOKENS]
        for intent in intents:
            await payments.charge(intent)
            await gateway.look_up(intent)
        assert await gateway.look_up(stage.intent(Token.APPROVED, "billing")) is None
        await payments.check("billing")
        stage.sandbox.refund(intents[0].charge_id, 10_000_000)
        stage.sandbox.dispute(intents[0].charge_id, 10_000_000)
        await stage.sandbox.webhooks_arrived()
        await payments.close()
        for each in wire.exchanged:
            check_exchange(each)
        assert {each.status for each in wire.exchanged} >= {200, 404, 409, 429, 500, 503}
        for letter in wire.letters:
            await check_letter(letter)
        kinds = {json.loads(await letter.body())["type"] for letter in wire.letters}
        assert kinds >= {f"charge.{word}" for word in ("succeeded", "refunded", "disputed")}


def check_exchange(each: Exchanged) -> None:
    if each.status == 503:
        return  # the contract leaves open what a service that is away can still say
    path = re.sub(r"/v1/charges/.+", "/v1/charges/{charge_id}", each.path)
    operation = CONTRACT["paths"][path][each.method.lower()]
    assert each.headers["authorization"] == f"Bearer {SETTINGS.billing_token}"
    if wanted := operation.get("requestBody"):
        content = json.loads(each.body)
        fits(content, schema_of(wanted))
        assert each.headers["idempotency-key"] == content["charge_id"]
    answer = resolved(operation["responses"][str(each.status)])
    fits(json.loads(each.answer), schema_of(answer))


async def check_letter(letter: Request) -> None:
    """Signed as the specification's package wants it, and as the contract writes it."""
    body = await letter.body()
    standardwebhooks.Webhook(SETTINGS.billing_webhook_secret).verify(body, dict(letter.headers))
    fits(json.loads(body), schema_of(CONTRACT["webhooks"]["event"]["post"]["requestBody"]))


def schema_of(content: Mapping[str, Any]) -> Mapping[str, Any]:
    return resolved(content["content"]["application/json"]["schema"])


def resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in node:
        return node
    found: Any = CONTRACT
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return resolved(found)


def fits(value: Any, schema: Mapping[str, Any]) -> None:
    """Whether a value fits a schema; of JSON Schema as much as the contract uses."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return fits_one(value, schema["anyOf"])
    assert isinstance(value, TYPES[schema["type"]]), (value, schema)
    assert value in schema.get("enum", [value])
    if isinstance(value, str):
        assert re.search(schema.get("pattern", ""), value), (value, schema)
        assert schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**6)
    elif isinstance(value, int):
        assert schema.get("minimum", 0) <= value <= schema.get("maximum", 10**18)
    elif isinstance(value, dict):
        fits_object(value, schema)
    return None


def fits_object(value: dict[str, Any], schema: Mapping[str, Any]) -> None:
    assert set(schema["required"]) <= set(value), (value, schema["required"])
    properties = schema["properties"]
    # A field that the contract does not name would be one that a reader cannot know.
    assert set(value) <= set(properties), value
    for name, each in value.items():
        fits(each, properties[name])


def fits_one(value: Any, schemas: list[Mapping[str, Any]]) -> None:
    for schema in schemas:
        try:
            fits(value, schema)
        except AssertionError:
            continue
        return
    raise AssertionError(value)


def test_the_check_itself_sees_what_does_not_fit() -> None:
    charge = {
        "billing_id": "b",
        "charge_id": "c",
        "tenant_id": "t",
        "status": "succeeded",
        "amount_micros": 1,
        "currency_code": "USD",
    }
    schema = CONTRACT["components"]["schemas"]["Charge"]
    fits(charge, schema)
    wrong: list[dict[str, object]] = [
        {"amount_micros": "1"},
        {"amount_micros": 0},
        {"status": "paid"},
        {"currency_code": "usd"},
        {"extra": 1},
        {"action_url": "http://localhost"},
    ]
    for each in wrong:
        with pytest.raises(AssertionError):
            fits(charge | each, schema)
    del charge["billing_id"]
    with pytest.raises(AssertionError):
        fits(charge, schema)


def test_every_operation_and_answer_of_the_contract_resolves() -> None:
    for path in CONTRACT["paths"].values():
        for operation in path.values():
            for answer in operation["responses"].values():
                assert schema_of(resolved(answer))["type"] == "object"


async def test_stripes_letters_are_signed_as_its_library_wants() -> None:
    async with open_stage() as stage, open_wire(stage) as wire:
        await stage.payments.charge(stage.intent(Token.APPROVED, "stripe"))
        await stage.sandbox.webhooks_arrived()
        (letter,) = wire.letters
        event = stripe.Webhook.construct_event(
            await letter.body(), letter.headers["stripe-signature"], SETTINGS.stripe_webhook_secret
        )
        assert event.type == "payment_intent.succeeded"
