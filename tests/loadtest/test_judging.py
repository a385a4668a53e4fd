"""Servers that fail or lie: whatever is not answered as it must be counts as an error, by name."""

import asyncio
from dataclasses import replace

import pytest

from loadtest.kit import (
    PLAIN,
    UNARY,
    authorized,
    frame,
    frame_of,
    generate,
    grpc_server,
    raw_peer,
    refused,
)
from talktime_loadtest.asking import Kind
from talktime_loadtest.wire import DATA, END_STREAM, HEADERS, RST_STREAM, SETTINGS

AUTHORIZE = replace(UNARY, mix={Kind.AUTHORIZE: 1}, count=12, seconds=10.0, settle_all=False)


async def test_a_grpc_error_is_an_error() -> None:
    async def unavailable(_: str, __: bytes) -> bytes:
        raise LookupError("UNAVAILABLE")

    async with grpc_server(unavailable) as port:
        told = await generate(replace(AUTHORIZE, port=port))
    assert told.errors == {"UNAVAILABLE": 12}
    assert told.books["unknown"] == 12
    assert told.latencies_us() == []


@pytest.mark.parametrize("body", [b"", b"\xff\xff", b"\x08\x09"], ids=["empty", "garbage", "word"])
async def test_a_wrong_answer_is_an_error(body: bytes) -> None:
    async def wrong(_: str, __: bytes) -> bytes:
        return body

    async with grpc_server(wrong) as port:
        told = await generate(replace(AUTHORIZE, port=port))
    assert told.errors == {"WRONG_ANSWER": 12}


async def test_a_grant_where_a_refusal_is_due_is_an_error() -> None:
    async def generous(_: str, __: bytes) -> bytes:
        return authorized()

    async with grpc_server(generous) as port:
        told = await generate(replace(AUTHORIZE, port=port, mix={Kind.REFUSE: 1}))
    assert told.errors == {"WRONG_ANSWER": 12}


async def test_refusals_are_answers_and_are_counted_with_their_reason() -> None:
    async def strict(_: str, __: bytes) -> bytes:
        return refused()

    async with grpc_server(strict) as port:
        told = await generate(replace(AUTHORIZE, port=port))
    assert told.errors == {}
    assert told.books["reasons"] == {"POLICY": 12}
    assert len(told.latencies_us()) == 12


async def test_a_second_answer_that_differs_from_the_first_is_an_error() -> None:
    async def forgetful(_: str, __: bytes) -> bytes:
        return authorized()

    async with grpc_server(forgetful) as port:
        told = await generate(replace(AUTHORIZE, port=port, duplicate_every=4, in_flight=1))
    assert told.errors == {"NOT_THE_FIRST_ANSWER": 3}


async def test_a_reset_is_an_error() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            kind, _, number, _ = await frame_of(reader)
            if kind == HEADERS:
                writer.write(frame(RST_STREAM, 0, number, b"\0\0\0\x02"))

    async with raw_peer(reset) as port:
        told = await generate(replace(AUTHORIZE, port=port))
    assert told.errors == {"RESET": 12}


async def test_a_connection_that_breaks_is_an_error_and_is_made_again() -> None:
    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(4):
            await frame_of(reader)

    async with raw_peer(drop) as port:
        told = await generate(replace(AUTHORIZE, port=port, in_flight=1, count=3))
    assert told.errors == {"CONNECTION_LOST": 3}


async def test_what_failed_is_asked_again_with_its_id_when_that_is_wanted() -> None:
    bodies: list[bytes] = []

    async def late(_: str, body: bytes) -> bytes:
        bodies.append(body)
        if len(bodies) == 1:
            raise LookupError("UNAVAILABLE")
        return authorized()

    async with grpc_server(late) as port:
        told = await generate(replace(AUTHORIZE, port=port, in_flight=1, count=1, attempts=3))
    assert told.errors == {"UNAVAILABLE": 1}
    assert (told.books["unknown"], sum(told.books["granted"])) == (0, 1)
    assert bodies[0] == bodies[1]


async def test_an_operation_that_is_never_answered_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("talktime_loadtest.generator.ANSWERS_LIMIT_S", 0.1)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await frame_of(reader)

    async with raw_peer(silent) as port:
        told = await generate(replace(PLAIN, port=port, seconds=0.1))
    assert told.errors == {"NO_ANSWER": 4}


async def test_a_message_waits_for_the_windows_and_arrives_whole() -> None:
    """The peer lets a few bytes through at a time; what comes is what was sent, in order."""
    came = bytearray()
    enough = asyncio.Event()

    async def narrow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\x20"))
        while True:
            kind, flags, number, payload = await frame_of(reader)
            if kind == DATA:
                came.extend(payload)
                assert len(payload) <= COMMON
                writer.write(frame(8, 0, number, len(payload).to_bytes(4, "big")))
                writer.write(frame(8, 0, 0, len(payload).to_bytes(4, "big")))
            if flags & END_STREAM or (len(came) > 5 and len(came) == 5 + int.from_bytes(came[1:5])):
                enough.set()

    async with raw_peer(narrow) as port:
        load = asyncio.create_task(generate(replace(PLAIN, port=port, seconds=30.0)))
        await asyncio.wait_for(enough.wait(), 10)
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
    from talktime.v1.authorization_service_pb2 import ExchangeRequest

    assert len(ExchangeRequest.FromString(bytes(came[5:])).operations) == 4


COMMON = 65_535
