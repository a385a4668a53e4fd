"""Both engines serve the same edge the same way: answers, statuses, deadlines, streams, and what breaks the rules."""

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # ships no types
    BadRequest,
    ErrorInfo,
)
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]  # ships no types
from grpc_status import rpc_status  # type: ignore[import-untyped]  # ships no types

from engines.echo_app import CHAT, ECHO, REFUSE, SLOW
from engines.kit import ask, own_channel, running
from engines.raw_http2 import DATA, END_HEADERS, END_STREAM, GO_AWAY, connected
from talktime_server.config import Engine


async def test_a_call_is_answered(engine: Engine, tmp_path: Path) -> None:
    async with running(tmp_path, engine=engine) as service, own_channel(service.address) as channel:
        assert await ask(channel, ECHO, "hello") == "hello"
        # Larger than one HTTP/2 frame, so it comes in pieces.
        long = "x" * 16_300
        assert await ask(channel, ECHO, long) == long


async def test_many_calls_at_once_get_their_own_answers(engine: Engine, tmp_path: Path) -> None:
    async with running(tmp_path, engine=engine) as service, own_channel(service.address) as channel:
        texts = [str(n) for n in range(300)]
        assert list(await asyncio.gather(*(ask(channel, ECHO, t) for t in texts))) == texts


async def test_a_failure_arrives_with_its_details(engine: Engine, tmp_path: Path) -> None:
    async with running(tmp_path, engine=engine) as service, own_channel(service.address) as channel:
        error = await failure(ask(channel, REFUSE, ""))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "to_number: is 100 % not a number: ☎"
    packed = rpc_status.from_call(error).details
    info, request = ErrorInfo(), BadRequest()
    assert packed[0].Unpack(info)
    assert packed[1].Unpack(request)
    assert (info.reason, info.domain, info.metadata["outcome"]) == (
        "NOT_E164",
        "talktime",
        "NOT_APPLIED",
    )
    assert request.field_violations[0].field == "to_number"


async def test_an_unknown_method_is_answered_by_the_edge(engine: Engine, tmp_path: Path) -> None:
    async with running(tmp_path, engine=engine) as service, own_channel(service.address) as channel:
        error = await failure(ask(channel, "/test.Echo/Nothing", ""))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert error.details() == "there is no such method"


async def test_the_callers_deadline_reaches_the_edge(engine: Engine, tmp_path: Path) -> None:
    async with running(tmp_path, engine=engine) as service, own_channel(service.address) as channel:
        await ask(channel, ECHO, "hello")
        assert 0.2 < float(await ask(channel, ECHO, "left", timeout_s=1.5)) < 1.9
        began = time.monotonic()
        error = await failure(ask(channel, SLOW, "5", timeout_s=0.2))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - began < 1.9


async def test_a_stream_goes_both_ways_and_ends_with_a_status(
    engine: Engine, tmp_path: Path
) -> None:
    async with running(tmp_path, engine=engine) as service, own_channel(service.address) as channel:
        chat: Any = channel.stream_stream(CHAT)()
        for message in (b"one", b"two", b"x" * 200_000):
            await chat.write(message)
            assert await chat.read() == message
        await chat.done_writing()
        assert await chat.read() is grpc.aio.EOF
        assert await chat.code() is grpc.StatusCode.OK

        chat = channel.stream_stream(CHAT)()
        await chat.write(b"refuse")
        with pytest.raises(grpc.aio.AioRpcError):
            await chat.read()
        assert await chat.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_health_is_watched_as_a_stream(engine: Engine, tmp_path: Path) -> None:
    async with running(tmp_path, engine=engine) as service, own_channel(service.address) as channel:
        request = health_pb2.HealthCheckRequest().SerializeToString()
        watch: Any = channel.unary_stream("/grpc.health.v1.Health/Watch")
        answer = health_pb2.HealthCheckResponse.FromString(await watch(request).read())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_two_workers_share_one_port(engine: Engine, tmp_path: Path) -> None:
    async with running(tmp_path, engine=engine, workers=2) as service:
        assert len(set(service.workers)) == 2
        await asyncio.gather(*(once(service.address, str(n)) for n in range(20)))


async def test_a_length_of_4_gib_is_refused_before_it_is_read(
    engine: Engine, tmp_path: Path
) -> None:
    async with running(tmp_path, engine=engine) as service:
        frames = await asyncio.to_thread(send_prefix, service.address, b"\0\xff\xff\xff\xff")
        assert b"8" in b"".join(frame[3] for frame in frames if frame[0] != DATA)
        await once(service.address, "still there")


async def test_a_message_over_the_cap_is_refused(engine: Engine, tmp_path: Path) -> None:
    async with running(tmp_path, engine=engine) as service, own_channel(service.address) as channel:
        for size in (20_000, 300_000):
            error = await failure(ask(channel, ECHO, "x" * size))
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_headers_without_a_message_are_cut_and_take_no_slot(
    engine: Engine, tmp_path: Path
) -> None:
    """B18: an open half and a closed half. Others are served all the while, even with one slot in all.

    A stream may be silent for longer: its caller says something when there is something to ask.
    """
    async with (
        running(tmp_path, engine=engine, in_flight=1) as service,
        own_channel(service.address) as channel,
    ):
        chat: Any = channel.stream_stream(CHAT)()
        cut = [
            asyncio.create_task(asyncio.to_thread(headers_alone, service.address, flags))
            for flags in (END_HEADERS, END_HEADERS | END_STREAM)
        ]
        while not all(task.done() for task in cut):
            await once(service.address, "served")
            await asyncio.wait(cut, timeout=0.2)
        assert all(task.result() < 12.0 for task in cut)
        await chat.write(b"at last")
        assert await chat.read() == b"at last"


def headers_alone(address: str, flags: int) -> float:
    """Opens calls without a message; how long until all of them are over."""
    began = time.monotonic()
    with connected(address, 15.0) as wire:
        for stream in (1, 3, 5):
            wire.call(stream, ECHO, flags)
        over: set[int] = set()
        for kind, ends, stream, _ in wire.frames():
            if kind == 3 or (kind in (0, 1) and ends & END_STREAM):
                over.add(stream)
            if kind == GO_AWAY or len(over) == 3:
                break
    return time.monotonic() - began


def send_prefix(address: str, prefix: bytes) -> list[tuple[int, int, int, bytes]]:
    """The answer to a call whose message starts with this prefix, and never comes."""
    with connected(address, 3.0) as wire:
        wire.call(1, ECHO)
        wire.send(DATA, 0, 1, prefix + b"some")
        return wire.until_over(1)


async def once(address: str, text: str) -> None:
    """One call on a connection of its own, as its own process would make it."""
    async with own_channel(address) as channel:
        assert await ask(channel, ECHO, text) == text


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value
