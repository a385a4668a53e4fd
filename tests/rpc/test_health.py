"""Health says whether the process is alive and can serve, without flapping; reflection shows the contract."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1.health_pb2 import (  # type: ignore[import-untyped]  # ships no types
    HealthCheckRequest,
    HealthCheckResponse,
)
from grpc_reflection.v1alpha.reflection_pb2 import (  # type: ignore[import-untyped]  # ships no types
    ServerReflectionRequest,
    ServerReflectionResponse,
)

from rpc.edge_kit import Kit, details
from talktime_server.failure import Code, TooMuch
from talktime_server.rpc.edge import Edge, Incoming
from talktime_server.rpc.health import MAX_WATCHERS, Health
from talktime_server.rpc.reflection import PATHS, Reflection
from talktime_server.rpc.tokens import Tokens

AUTHORIZATION = "talktime.v1.AuthorizationService"
CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


@dataclass
class Ticks:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


# What happens, and whether the process serves afterwards; times in seconds since the last row.
STORY = [
    (0.0, None, False),  # it has not heard of the store yet
    (0.0, True, True),  # the first good news needs no proof
    (0.5, False, True),  # a blink is forgiven
    (0.5, True, True),
    (0.5, False, True),
    (2.1, None, False),  # two seconds of silence are not
    (0.0, True, False),  # back, but not yet believed
    (0.5, False, False),
    (0.4, True, False),
    (0.9, True, False),
    (0.2, True, True),  # a second of good news
    (1.9, None, True),
    (0.2, None, False),  # silence again
]


def test_serving_follows_the_store_without_flapping() -> None:
    ticks = Ticks()
    health = Health(ticks)
    for row, (later_s, writable, serving) in enumerate(STORY):
        ticks.now_s += later_s
        if writable is not None:
            health.set_store_writable(writable)
        assert health.serving is serving, f"row {row}"


async def ask(edge: Edge, service: str) -> tuple[Code, int]:
    body = HealthCheckRequest(service=service).SerializeToString()
    reply = await edge.unary(Incoming(CHECK, (), body, None, "test"))
    return reply.code, HealthCheckResponse.FromString(reply.body).status


async def test_check_needs_no_token(kit: Kit) -> None:
    edge = kit.edge()
    assert await ask(edge, "") == (Code.OK, SERVING)
    assert await ask(edge, AUTHORIZATION) == (Code.OK, NOT_SERVING)
    kit.health.set_store_writable(True)
    assert await ask(edge, AUTHORIZATION) == (Code.OK, SERVING)
    assert await ask(edge, "talktime.v1.AccountService") == (Code.OK, SERVING)
    kit.health.drain()
    assert await ask(edge, AUTHORIZATION) == (Code.OK, NOT_SERVING)
    assert await ask(edge, "") == (Code.OK, SERVING)
    assert (await ask(edge, "another.Service"))[0] == Code.NOT_FOUND


async def one(body: bytes) -> AsyncIterator[bytes]:
    yield body


def watch(edge: Edge, service: str) -> AsyncGenerator[bytes, None]:
    body = HealthCheckRequest(service=service).SerializeToString()
    return edge.exchange(Incoming(WATCH, (), b"", None, "test"), one(body))


async def test_watch_shows_every_change_and_ends_with_the_process(kit: Kit) -> None:
    edge = kit.edge()
    watching = watch(edge, AUTHORIZATION)
    shown = [HealthCheckResponse.FromString(await anext(watching)).status]
    kit.health.set_store_writable(True)
    shown.append(HealthCheckResponse.FromString(await anext(watching)).status)
    kit.health.drain()
    edge.drain()
    shown += [HealthCheckResponse.FromString(body).status async for body in watching]
    assert shown == [NOT_SERVING, SERVING, NOT_SERVING]
    assert edge.in_flight == 0


async def test_watch_of_an_unknown_service_says_so_and_stays(kit: Kit) -> None:
    watching = watch(kit.edge(), "another.Service")
    first = HealthCheckResponse.FromString(await anext(watching))
    assert first.status == HealthCheckResponse.SERVICE_UNKNOWN
    await watching.aclose()


async def test_watchers_are_bounded(kit: Kit) -> None:
    edge = kit.edge()
    watching = [watch(edge, "") for _ in range(MAX_WATCHERS + 1)]
    for watcher in watching[:-1]:
        await anext(watcher)
    with pytest.raises(TooMuch):
        await anext(watching[-1])
    await asyncio.gather(*(watcher.aclose() for watcher in watching))
    assert edge.in_flight == 0


async def reflect(
    kit: Kit, *questions: ServerReflectionRequest, path: str = PATHS[0]
) -> list[ServerReflectionResponse]:
    edge = Edge([], Reflection([AUTHORIZATION]).streams(), tokens=Tokens(kit.path))

    async def asked() -> AsyncIterator[bytes]:
        for question in questions:
            yield question.SerializeToString()

    answers = edge.exchange(kit.call(path=path), asked())
    return [ServerReflectionResponse.FromString(answer) async for answer in answers]


@pytest.mark.parametrize("path", PATHS)
async def test_reflection_shows_services_and_whole_files(kit: Kit, path: str) -> None:
    listed, symbol, name, unknown, extension = await reflect(
        kit,
        ServerReflectionRequest(list_services="*"),
        ServerReflectionRequest(file_containing_symbol=AUTHORIZATION),
        ServerReflectionRequest(file_by_filename="talktime/v1/status.proto"),
        ServerReflectionRequest(file_containing_symbol="no.such.Thing"),
        ServerReflectionRequest(),
        path=path,
    )
    assert [s.name for s in listed.list_services_response.service] == [AUTHORIZATION]
    files = [
        FileDescriptorProto.FromString(text).name
        for text in symbol.file_descriptor_response.file_descriptor_proto
    ]
    assert files[0] == "talktime/v1/authorization_service.proto"
    assert "google/protobuf/timestamp.proto" in files
    assert name.file_descriptor_response.file_descriptor_proto
    assert unknown.error_response.error_code == extension.error_response.error_code == 5


async def test_reflection_is_not_there_unless_turned_on(kit: Kit) -> None:
    edge = kit.edge()
    assert not edge.streaming(PATHS[0])
    reply = await edge.unary(kit.call(path=PATHS[0]))
    assert details(reply)[0].reason == "UNKNOWN_METHOD"
