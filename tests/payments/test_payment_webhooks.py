"""Webhooks of the providers over real HTTP (reliability.md B80, C23, F45): what is taken, what is not, and what is asked for again."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest
import pytest_asyncio
import standardwebhooks
import stripe

from payments.stage import GATEWAYS, SETTINGS, Heard, Stage, open_webhooks, until
from talktime_server.failure import StoreAway
from talktime_server.payments.gateway import Event, EventKind, Intent, Outcome
from talktime_server.payments.incoming import MAX_BODY_BYTES, REMEMBERED_S, Remembered
from talktime_server.payments.sandbox import Token

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True)
class Ear:
    """Our webhooks, served; the events that got through; and the sandbox that calls."""

    stage: Stage
    client: httpx.AsyncClient
    heard: Heard

    async def paid(self, gateway: str, token: Token = Token.APPROVED) -> Intent:
        """A charge whose own webhook has come already."""
        intent = self.stage.intent(token, gateway)
        await self.stage.payments.charge(intent)
        await self.stage.sandbox.webhooks_arrived()
        self.heard.events.clear()
        return intent


@pytest_asyncio.fixture(loop_scope="module")
async def ear(stage: Stage) -> AsyncIterator[Ear]:
    heard = Heard()
    async with open_webhooks(stage, heard) as client:
        yield Ear(stage, client, heard)
        await stage.sandbox.drop_webhooks()


def body_of(gateway: str, stage: Stage, intent: Intent, **altered: object) -> bytes:
    """The success event of a charge, as its provider writes it."""
    charged = stage.sandbox.charges[intent.charge_id]
    if gateway == "billing":
        about: dict[str, object] = {
            "billing_id": charged.provider_id,
            "charge_id": intent.charge_id,
            "tenant_id": "acme",
            "status": "succeeded",
            "amount_micros": 50_000_000,
            "currency_code": "USD",
        }
        event = {"type": "charge.succeeded", "timestamp": "2026-11-21T00:00:00Z"}
        return json.dumps(event | {"data": about | altered}).encode()
    about = {
        "id": charged.provider_id,
        "status": "succeeded",
        "amount_received": 5000,
        "currency": "usd",
        "metadata": {"charge_id": intent.charge_id, "tenant_id": "acme"},
    }
    event_id = f"evt_{intent.charge_id}_{len(altered)}"
    event = {"id": event_id, "object": "event", "type": "payment_intent.succeeded"}
    return json.dumps(event | {"data": {"object": about | altered}}).encode()


def headers_of(
    gateway: str, body: bytes, *, at_s: float = 0, secret: str = "", message_id: str = "msg_x"
) -> dict[str, str]:
    """Signed by the providers' own packages, not by ours."""
    at_s = int(at_s or time.time())
    if gateway == "billing":
        key = standardwebhooks.Webhook(secret or SETTINGS.billing_webhook_secret)
        signature = key.sign(message_id, datetime.fromtimestamp(at_s, UTC), body.decode())
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at_s)),
            "webhook-signature": signature,
        }
    header = stripe.WebhookSignature.generate_signature_header(
        body.decode(), secret or SETTINGS.stripe_webhook_secret, int(at_s)
    )
    return {"stripe-signature": header}


def message_id(intent: Intent) -> str:
    return f"msg_{intent.charge_id}"


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_what_is_signed_is_taken_once(ear: Ear, gateway: str) -> None:
    """B80: a replayed id is answered with 200, and nothing happens."""
    intent = await ear.paid(gateway)
    body = body_of(gateway, ear.stage, intent)
    for _ in range(3):
        headers = headers_of(gateway, body, message_id=message_id(intent))
        reply = await ear.client.post(f"/webhooks/{gateway}", content=body, headers=headers)
        assert (reply.status_code, reply.content) == (200, b"")
    (event,) = ear.heard.of(intent)
    assert (event.kind, event.outcome) == (EventKind.CHARGE, Outcome.SUCCEEDED)
    assert (event.amount_micros, event.currency, event.tenant_id) == (50_000_000, "USD", "acme")
    assert event.provider_id == ear.stage.sandbox.charges[intent.charge_id].provider_id


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize(
    ("away_s", "status"), [(-310, 401), (-290, 200), (290, 200), (310, 401), (-86_400, 401)]
)
async def test_the_time_of_signing(ear: Ear, gateway: str, away_s: int, status: int) -> None:
    intent = await ear.paid(gateway)
    body = body_of(gateway, ear.stage, intent)
    headers = headers_of(
        gateway, body, at_s=time.time() + away_s, message_id=f"{message_id(intent)}_{away_s}"
    )
    reply = await ear.client.post(f"/webhooks/{gateway}", content=body, headers=headers)
    assert reply.status_code == status
    assert len(ear.heard.of(intent)) == (status == 200)


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_nothing_that_was_altered_or_never_signed_is_taken(ear: Ear, gateway: str) -> None:
    intent = await ear.paid(gateway)
    body = body_of(gateway, ear.stage, intent)
    headers = headers_of(gateway, body, message_id=message_id(intent))
    other = SETTINGS.billing_webhook_secret[:-4] + "AAA="
    forged = headers_of(gateway, body, secret=other, message_id=message_id(intent))
    cases: list[tuple[dict[str, str], bytes]] = [({}, body), (forged, body)]
    cases += [(headers, body[:at] + b"~" + body[at + 1 :]) for at in range(0, len(body), 7)]
    cases += [(headers, body[:5] + b"\xff" + body[6:]), (headers, body + b" ")]
    cases += [({name: value + "é" for name, value in headers.items()}, body)]
    cases += [(dict.fromkeys(headers, ""), body), (dict.fromkeys(headers, ","), body)]
    cases += [(dict.fromkeys(headers, "t=1,v1=a,v1"), body)]
    for each, content in cases:
        encoded = [(name.encode(), value.encode()) for name, value in each.items()]
        reply = await ear.client.post(f"/webhooks/{gateway}", content=content, headers=encoded)
        assert reply.status_code == 401, (each, content)
    assert ear.heard.events == []


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_every_byte_of_a_signature_counts(ear: Ear, gateway: str) -> None:
    intent = await ear.paid(gateway)
    body = body_of(gateway, ear.stage, intent)
    good = headers_of(gateway, body, message_id=message_id(intent))
    subject = ear.stage.gateways[gateway]
    assert subject.read_event(good, body)
    for name, value in good.items():
        for at in range(len(value)):
            for other in "0~":
                if value[at] == other:
                    continue
                altered = good | {name: value[:at] + other + value[at + 1 :]}
                with pytest.raises(Exception, match=r"signed|signature"):
                    subject.read_event(altered, body)


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_the_body_has_bounds(ear: Ear, gateway: str) -> None:
    path = f"/webhooks/{gateway}"
    assert (await ear.client.post(path)).status_code == 400
    most = b" " * MAX_BODY_BYTES
    headers = headers_of(gateway, most)
    assert (await ear.client.post(path, content=most, headers=headers)).status_code == 400
    assert (await ear.client.post(path, content=most)).status_code == 401
    assert (await ear.client.post(path, content=most + b" ")).status_code == 413
    assert (await ear.client.get(path)).status_code == 405
    assert (await ear.client.post("/webhooks/other", content=b"{}")).status_code == 404
    # A megabyte is refused by its announcement, and without one as soon as it is too much.
    port = ear.client.base_url.port
    assert port is not None
    assert b" 413 " in await raw(port, path, b"content-length: 1048576\r\n\r\n")
    chunk = b"10001\r\n" + b"x" * 0x10001 + b"\r\n"
    assert b" 413 " in await raw(port, path, b"transfer-encoding: chunked\r\n\r\n" + chunk)


async def raw(port: int, path: str, rest: bytes) -> bytes:
    """The first line of the answer to a request that never ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"POST {path} HTTP/1.1\r\nhost: localhost\r\n".encode() + rest)
        await writer.drain()
        return await asyncio.wait_for(reader.readline(), 5)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_body_that_drips_is_not_waited_for(stage: Stage) -> None:
    async with open_webhooks(stage, Heard(), body_timeout_s=0.1) as client:
        port = client.base_url.port
        assert port is not None
        line = await raw(port, "/webhooks/billing", b"content-length: 10\r\n\r\n12")
        assert b" 408 " in line


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("content", [b"[]", b"5", b"{", b'{"type":"charge.succeeded"}', b'"x"'])
async def test_what_is_signed_and_no_event_is_refused_for_good(
    ear: Ear, gateway: str, content: bytes
) -> None:
    headers = headers_of(gateway, content)
    reply = await ear.client.post(f"/webhooks/{gateway}", content=content, headers=headers)
    # An object of a type that Stripe might add is none of our business; the rest is not readable.
    unknown = gateway == "stripe" and content.startswith(b'{"')
    assert reply.status_code == (200 if unknown else 400)


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_events_of_others_are_not_ours(ear: Ear, gateway: str) -> None:
    """The account may serve other shops: their events are taken, and nothing happens."""
    intent = await ear.paid(gateway)
    other = body_of(gateway, ear.stage, intent).replace(b"succeeded", b"reconsidered", 1)
    bodies = [other]
    if gateway == "stripe":
        bodies.append(body_of(gateway, ear.stage, intent, metadata={"order": "7"}))
    for body in bodies:
        headers = headers_of(gateway, body, message_id="msg_others")
        reply = await ear.client.post(f"/webhooks/{gateway}", content=body, headers=headers)
        assert reply.status_code == 200
    assert ear.heard.events == []


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_what_the_provider_does_not_confirm_is_not_taken(ear: Ear, gateway: str) -> None:
    """C23: the amount is read back; somebody who has our secret, and not the provider, credits nothing."""
    intent = await ear.paid(gateway)
    amount = {"amount_micros": 90_000_000} if gateway == "billing" else {"amount_received": 9000}
    currency = {"currency_code": "EUR"} if gateway == "billing" else {"currency": "eur"}
    lies: list[dict[str, object]] = [{**amount}, {**currency}]
    for n, altered in enumerate(lies):
        body = body_of(gateway, ear.stage, intent, **altered)
        headers = headers_of(gateway, body, message_id=f"{message_id(intent)}_{n}")
        reply = await ear.client.post(f"/webhooks/{gateway}", content=body, headers=headers)
        assert reply.status_code == 503
    assert ear.heard.events == []


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_an_event_that_comes_late_tells_how_the_charge_stands_now(
    ear: Ear, gateway: str
) -> None:
    """Semantics 58: a webhook that was overtaken takes nothing back."""
    intent = await ear.paid(gateway, Token.ACTION_REQUIRED)
    ear.stage.sandbox.act(intent.charge_id)
    await ear.stage.sandbox.webhooks_arrived()
    ear.heard.events.clear()
    stripes: dict[str, object] = {"status": "processing", "amount": 5000}
    billings: dict[str, object] = {"status": "action_required"}
    altered = billings if gateway == "billing" else stripes
    body = body_of(gateway, ear.stage, intent, **altered)
    headers = headers_of(gateway, body, message_id=message_id(intent))
    reply = await ear.client.post(f"/webhooks/{gateway}", content=body, headers=headers)
    assert reply.status_code == 200
    assert [each.outcome for each in ear.heard.of(intent)] == [Outcome.SUCCEEDED]


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("kind", [EventKind.REFUND, EventKind.DISPUTE])
async def test_money_that_goes_back_names_its_charge(
    ear: Ear, gateway: str, kind: EventKind
) -> None:
    """Semantics 62 and 63: each refund and dispute has an id of its own."""
    intent = await ear.paid(gateway)
    reverse = ear.stage.sandbox.refund if kind is EventKind.REFUND else ear.stage.sandbox.dispute
    ids = [reverse(intent.charge_id, micros) for micros in (10_000_000, 20_000_000)]
    await ear.stage.sandbox.webhooks_arrived()
    told = {(each.reference, each.amount_micros, each.kind) for each in ear.heard.of(intent)}
    assert told == {(ids[0], 10_000_000, kind), (ids[1], 20_000_000, kind)}
    assert {(e.outcome, e.tenant_id) for e in ear.heard.events} == {(Outcome.SUCCEEDED, "acme")}
    reverse(intent.charge_id, 60_000_000)
    await until(lambda: ear.stage.sandbox.deliveries[-1].status == 503)
    assert len(ear.heard.of(intent)) == 2


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_the_sandbox_calls_back_for_every_token(ear: Ear, gateway: str) -> None:
    """F45: duplicated, before the reply, after faults: for each charge that is paid exactly one success gets through."""
    tokens = (
        Token.APPROVED,
        Token.DUPLICATE_WEBHOOK,
        Token.WEBHOOK_BEFORE_REPLY,
        Token.TIMEOUT_AFTER_CHARGING,
        Token.ERROR_AFTER_CHARGING,
        Token.RESET_MID_REPLY,
        Token.DECLINED,
        Token.ACTION_REQUIRED,
        Token.PENDING,
    )
    intents = [ear.stage.intent(token, gateway) for token in tokens]
    told = await asyncio.gather(*(ear.stage.payments.charge(each) for each in intents))
    await ear.stage.sandbox.webhooks_arrived()
    for intent, result in zip(intents, told, strict=True):
        events = ear.heard.of(intent)
        assert 1 <= len(events) <= 2
        assert {(e.outcome, e.provider_id) for e in events} == {
            (result.outcome, result.provider_id)
        }
    twice = [each for each in ear.stage.sandbox.deliveries if each.status != 200]
    assert twice == [] or {each.status for each in twice} == {503}


async def test_a_webhook_comes_before_the_reply(stage: Stage) -> None:
    """The event is taken while the charge is still being asked for."""
    replied = asyncio.Event()
    order = []

    async def on_event(event: Event) -> None:
        order.append("reply" if replied.is_set() else "event")

    async with open_webhooks(stage, on_event):
        intent = stage.intent(Token.WEBHOOK_BEFORE_REPLY, "stripe")
        result = await stage.payments.charge(intent)
        replied.set()
        assert (result.outcome, order, stage.times(intent)) == (Outcome.SUCCEEDED, ["event"], 1)


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("error", [StoreAway("STORE_AWAY", "away"), RuntimeError("a bug")])
async def test_what_could_not_be_taken_is_asked_for_again(
    stage: Stage, gateway: str, error: Exception
) -> None:
    """The store is away: the provider keeps the event, and sends it again until it is taken."""
    heard = Heard()
    failures = [error, error]

    async def on_event(event: Event) -> None:
        if failures:
            raise failures.pop()
        await heard(event)

    async with open_webhooks(stage, on_event):
        intent = stage.intent(Token.APPROVED, gateway)
        before = len(stage.sandbox.deliveries)
        await stage.payments.charge(intent)
        await stage.sandbox.webhooks_arrived()
        statuses = [each.status for each in stage.sandbox.deliveries[before:]]
        assert statuses == [503, 503, 200]
        assert len(heard.of(intent)) == 1


async def test_ids_are_remembered_for_a_day() -> None:
    now_s = 0.0
    remembered = Remembered(ticks=lambda: now_s)
    remembered.add("a")
    now_s = REMEMBERED_S - 1
    assert "a" in remembered
    assert "b" not in remembered
    now_s = REMEMBERED_S
    assert "a" not in remembered
