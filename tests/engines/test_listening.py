"""One question, many answers: both engines tell them at the caller's pace, and end them with the caller."""

import asyncio
import contextlib
import json
import signal
import time
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from engines.echo_app import ECHO, EXPORT, PART_BYTES
from engines.kit import PATIENCE_S, apart, ask, own_channel, running
from engines.test_json import post, send
from talktime.v1.account_service_pb2 import CallFilter, ExportCallsRequest, ExportCallsResponse
from talktime_server.config import Engine

BUFFERED_BYTES = 40_000_000
"""What may be on its way to a caller who does not read: on both sides, and in the sockets between."""


def asked(text: str) -> bytes:
    return ExportCallsRequest(filter=CallFilter(payer_id=text)).SerializeToString()


def listen(channel: grpc.aio.Channel, text: str, timeout_s: float = 20.0) -> Any:
    listening: Any = channel.unary_stream(EXPORT)
    return listening(asked(text), timeout=timeout_s)


async def numbers(call: Any) -> list[int]:
    """The answers as they came, up to the end or to what ended them."""
    told: list[int] = []
    with contextlib.suppress(grpc.aio.AioRpcError):
        while (body := await call.read()) is not grpc.aio.EOF:
            told += [ExportCallsResponse.FromString(body).row_count]
    return told


async def counted(channel: grpc.aio.Channel, what: str) -> int:
    return int(await ask(channel, ECHO, what))


async def let_go(channel: grpc.aio.Channel) -> None:
    """Waits until nothing is being told any more."""
    deadline = time.monotonic() + PATIENCE_S
    while await counted(channel, "open"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_all_answers_come_in_order(engine: Engine, tmp_path: Path) -> None:
    async with running(tmp_path, engine=engine) as service, own_channel(service.address) as channel:
        for count in (0, 1, 1000):
            call = listen(channel, str(count))
            assert await numbers(call) == list(range(1, count + 1))
            assert await call.code() is grpc.StatusCode.OK
        assert await counted(channel, "open") == 0


@pytest.mark.parametrize("told", [0, 3])
async def test_what_fails_ends_as_a_status(engine: Engine, told: int, tmp_path: Path) -> None:
    async with running(tmp_path, engine=engine) as service, own_channel(service.address) as channel:
        call = listen(channel, f"{told} refuse")
        assert len(await numbers(call)) == told
        assert await call.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert await call.details() == "said enough"
        call = listen(channel, f"{told} break")
        assert len(await numbers(call)) == told
        assert await call.code() is grpc.StatusCode.INTERNAL
        assert "bug" not in (await call.details() or "")


@pytest.mark.parametrize(
    ("messages", "code", "text"),
    [
        ([], "INVALID_ARGUMENT", "without a message"),
        ([b"\xff\xfe"], "INVALID_ARGUMENT", "not a"),
        ([b"x" * 300_000], "RESOURCE_EXHAUSTED", "over 262144 bytes"),
        ([asked("1 wait"), asked("1")], "INVALID_ARGUMENT", "more than one message"),
    ],
    ids=["none", "garbage", "large", "two"],
)
async def test_the_question_is_checked(
    engine: Engine, messages: list[bytes], code: str, text: str, tmp_path: Path
) -> None:
    async with running(tmp_path, engine=engine) as service, own_channel(service.address) as channel:
        talking: Any = channel.stream_stream(EXPORT)
        call = talking(iter(messages), timeout=20)
        await numbers(call)
        assert (await call.code()).name == code
        if text != "not a":
            assert text in await call.details()
        await let_go(channel)


async def test_a_caller_who_goes_ends_it(engine: Engine, tmp_path: Path) -> None:
    async with running(tmp_path, engine=engine) as service, own_channel(service.address) as channel:
        leaving = [listen(channel, "1 wait") for _ in range(5)]
        for call in leaving:
            await call.read()
        assert await counted(channel, "open") == 5
        for call in leaving:
            call.cancel()
        await let_go(channel)
        async with own_channel(service.address) as other:
            await listen(other, "1 wait").read()
        await let_go(channel)


async def test_the_callers_deadline_ends_it(engine: Engine, tmp_path: Path) -> None:
    async with running(tmp_path, engine=engine) as service, own_channel(service.address) as channel:
        call = listen(channel, "2 wait", timeout_s=2.0)
        assert await numbers(call) == [1, 2]
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await let_go(channel)


async def test_what_is_not_read_is_not_made(engine: Engine, tmp_path: Path) -> None:
    parts = 1000
    async with (
        running(tmp_path, engine=engine) as service,
        own_channel(service.address) as slow,
        own_channel(service.address) as other,
    ):
        call = listen(slow, f"{parts} long", timeout_s=50)
        await call.read()
        made = await still(other)
        assert made * PART_BYTES < BUFFERED_BYTES
        assert await numbers(call) == list(range(2, parts + 1))
        await let_go(other)


async def still(channel: grpc.aio.Channel) -> int:
    """How many parts were made, once that does not change any more."""
    made, same = 0, 0
    while same < 10:
        await asyncio.sleep(0.05)
        before, made = made, await counted(channel, "made")
        same = same + 1 if made == before else 0
    return made


async def test_a_drain_sends_listeners_to_another_process(engine: Engine, tmp_path: Path) -> None:
    async with (
        apart(tmp_path, engine=engine) as service,
        own_channel(service.address) as channel,
    ):
        call = listen(channel, "1 wait")
        await call.read()
        service.process.send_signal(signal.SIGTERM)
        assert await numbers(call) == []
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert "reconnect" in (await call.details() or "")
        assert await asyncio.wait_for(service.process.wait(), 10) == 0


async def test_json_gets_an_array_or_a_plain_refusal(tmp_path: Path) -> None:
    async with running(tmp_path, engine=Engine.ENVOY) as service:
        body: dict[str, Any] = {"filter": {"payer_id": "3"}}
        status, parts = await asyncio.to_thread(post, service.address, EXPORT, body)
        assert (status, [part["row_count"] for part in parts]) == (200, ["1", "2", "3"])
        body["filter"]["payer_id"] = "0 refuse"
        status, failure = await asyncio.to_thread(post, service.address, EXPORT, body)
        assert (status, failure["message"]) == (400, "said enough")
        garbage = (service.address, EXPORT, json.dumps([1]).encode(), "application/json")
        assert (await asyncio.to_thread(send, *garbage))[0] == 400
