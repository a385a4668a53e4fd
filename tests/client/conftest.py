"""A server that misbehaves on demand, and one face for both clients."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from client.lying_server import LyingServer
from client.stream_kit import Book
from talktime import AsyncClient, Client


@pytest.fixture
def server() -> Iterator[LyingServer]:
    server = LyingServer().start()
    yield server
    server.stop()


class Face:
    """Calls a client's methods without caring which client it is: one test body serves both."""

    def __init__(self, kind: type[Client | AsyncClient], *args: Any, **kwargs: Any) -> None:
        self._loop = asyncio.Runner()
        self.client = kind(*args, **kwargs)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.client, name)
        return lambda *args, **kwargs: self._done(method(*args, **kwargs))

    def _done(self, answer: Any) -> Any:
        if isinstance(answer, AsyncIterator):
            return self._loop.run(_all(answer))
        if isinstance(answer, Iterator):
            return list(answer)
        return self._loop.run(answer) if asyncio.iscoroutine(answer) else answer

    def end(self) -> None:
        self._done(self.client.close())
        self._loop.close()


async def _all(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


Make = Callable[..., Any]


@pytest.fixture(params=[Client, AsyncClient], ids=["blocking", "asynchronous"])
def make(request: pytest.FixtureRequest, server: LyingServer) -> Iterator[Make]:
    """Makes a client of the kind under test, connected to the server unless told otherwise."""
    faces: list[Face] = []

    def make_face(target: str | None = None, token: str = "secret", **settings: Any) -> Face:
        settings = {"timeout_s": 2.0, **settings}
        faces.append(Face(request.param, target or server.target, token, **settings))
        return faces[-1]

    yield make_face
    for face in faces:
        face.end()


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
async def client(server: LyingServer) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.target, "secret", tenant_id="acme", timeout_s=2.0) as client:
        yield client
