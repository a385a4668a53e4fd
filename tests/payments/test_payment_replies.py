"""Hostile answers end at their limits and are refused by name (reliability.md C10), and nothing of them is let in."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from payments.stage import GATEWAYS, TIMEOUT_S, Stage, gateway_at, intent_for
from talktime_server.payments import errors
from talktime_server.payments.exchange import MAX_REPLY_BYTES, Exchange, Question
from talktime_server.payments.sandbox import Token

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTILE = (
    (Token.HTML, errors.UnreadableReply),
    (Token.ENDLESS, errors.UnreadableReply),
    (Token.REDIRECT, errors.UnreadableReply),
    (Token.DRIP, errors.Silent),
    (Token.RESET_MID_REPLY, errors.Silent),
    (Token.OTHER_CHARGE, errors.WrongReply),
    (Token.ERROR_AFTER_CHARGING, errors.ProviderFailed),
    (Token.UNAVAILABLE, errors.ProviderFailed),
    (Token.RATE_LIMITED, errors.Busy),
    (Token.CONFLICT, errors.InProgress),
)


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize(("token", "wanted"), HOSTILE, ids=lambda each: str(each))
async def test_an_answer_that_is_none_has_a_name(
    stage: Stage, gateway: str, token: Token, wanted: type[errors.PaymentFailure]
) -> None:
    """And it ends in time, whatever is still coming."""
    began = time.monotonic()
    with pytest.raises(wanted) as caught:
        await stage.gateways[gateway].charge(stage.intent(token, gateway))
    assert type(caught.value) is wanted
    assert time.monotonic() - began < 10
    assert caught.value.applied is wanted.outcome


@asynccontextmanager
async def answering(raw: bytes) -> AsyncIterator[str]:
    """A server that gives everybody the same bytes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http(status: str, headers: str, body: bytes) -> bytes:
    lines = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return lines.encode() + body


JSON = "content-type: application/json\r\n"
RAW = (
    ("largest", http("200 OK", JSON, b'{"a":"' + b"x" * (MAX_REPLY_BYTES - 8) + b'"}'), None),
    ("too long", http("200 OK", JSON, b" " * (MAX_REPLY_BYTES + 1)), errors.UnreadableReply),
    ("packed", http("200 OK", JSON + "content-encoding: gzip\r\n", b"x"), errors.UnreadableReply),
    ("no type", http("200 OK", "", b"{}"), errors.UnreadableReply),
    ("list", http("200 OK", JSON, b"[]"), errors.UnreadableReply),
    ("empty", http("200 OK", JSON, b""), errors.UnreadableReply),
    ("not text", http("200 OK", JSON, b"\xff\xfe\xfd"), errors.UnreadableReply),
    ("deep", http("200 OK", JSON, b"[" * 60_000), errors.UnreadableReply),
    ("huge number", http("200 OK", JSON, b"9" * 60_000), errors.UnreadableReply),
    ("no http", b"SSH-2.0-x\r\n\r\n", errors.Silent),
    ("nothing", b"", errors.Silent),
    ("html and 502", http("502 Bad", "content-type: text/html\r\n", b"<"), errors.ProviderFailed),
    ("away", http("302 Found", "location: http://localhost:1/\r\n", b""), errors.UnreadableReply),
    ("nowhere", http("302 Found", "location: http://[\r\n", b""), errors.PaymentFailure),
    ("busy", http("429 Busy", "retry-after: 99999999\r\n", b""), errors.Busy),
    ("forbidden", http("403 No", JSON, b"{}"), errors.BadCredentials),
)


@pytest.mark.parametrize(("raw", "wanted"), [row[1:] for row in RAW], ids=[row[0] for row in RAW])
async def test_bytes_that_are_no_answer_fail_as_what_they_are(
    raw: bytes, wanted: type[errors.PaymentFailure] | None
) -> None:
    async with answering(raw) as url:
        exchange = Exchange(url, timeout_s=TIMEOUT_S)
        asking = exchange.ask(Question("GET", f"{url}/v1/health"))
        try:
            if wanted is None:
                assert (await asking).status == 200
                return
            with pytest.raises(wanted) as caught:
                await asking
            assert (caught.value.retry_after_s or 0) <= 3600
        finally:
            await exchange.close()


@pytest.mark.parametrize("url", ["http://billing.example.com", "ftp://localhost", "localhost", ""])
async def test_credentials_never_leave_in_the_clear(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        Exchange(url, timeout_s=1)


@pytest.mark.parametrize("name", ["data", "metadata", "object", "error", "status"])
@pytest.mark.parametrize("value", [5, "x", [], {}, None, [[]], {"a": []}])
@pytest.mark.parametrize("status", ["200 OK", "402 Declined", "400 Bad", "404 Gone"])
async def test_stripes_library_is_not_led_astray(name: str, value: object, status: str) -> None:
    """Whatever JSON comes, the failure is one of ours."""
    body = json.dumps({"id": "x", "object": "payment_intent", name: value}).encode()
    await no_gateway_breaks(http(status, JSON, body))


async def no_gateway_breaks(raw: bytes) -> None:
    async with answering(raw) as url:
        for name in GATEWAYS:
            gateway = gateway_at(name, url)
            for ask in (gateway.charge, gateway.look_up):
                with suppress(errors.PaymentFailure):
                    assert await ask(intent_for(name)) is None
            await gateway.close()


async def test_no_failure_repeats_what_the_provider_or_the_request_said(stage: Stage) -> None:
    """Errors may be shown: neither tokens nor customers nor the provider's text are in them."""
    for gateway in GATEWAYS:
        for token, _ in HOSTILE:
            intent = stage.intent(token, gateway)
            with pytest.raises(errors.PaymentFailure) as caught:
                await stage.gateways[gateway].charge(intent)
            for secret in (intent.method.token, intent.method.customer, "sandbox", "sign in"):
                assert secret not in f"{caught.value} {caught.value.facts}"
