"""A store that is asked over TLS, in each of its forms: as over a plain line, and only when it is the one it should be."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from clusters import PRIMARIES, ClusterProcess, free_ports, until
from doors import Door
from ledger.cluster_kit import MINUTE, answers, counting, mark
from ledger.world import open_world
from notices.certificates import Certificate, make_certificate
from sentinels import NAME, WatchedStore
from stores import StoreProcess
from talktime_server.failure import Applied, StoreAway
from talktime_server.ledger.store import Store

AT_ONCE = 500
LONG = 2_000_000  # bytes: more than TLS takes in a record, or a socket at once


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


class Secured:
    """Stores behind doors, and how they are asked."""

    def __init__(self, certificate: Certificate) -> None:
        self.doors: list[Door] = []
        self.context = certificate.context()
        self.certificate = certificate

    def place(self, port: int, inside: Path) -> Door:
        self.doors.append(Door(port, inside, self.context))
        return self.doors[-1]

    def url(self, kind: str, ports: list[int], name: str = "", host: str = "localhost") -> str:
        hosts = ",".join(f"{host}:{port}" for port in ports)
        return f"rediss{kind}://{hosts}{name}?ssl_ca_certs={self.certificate.path}"


Form = Callable[[Secured], AbstractAsyncContextManager[str]]


@pytest_asyncio.fixture
async def secured(certificate: Certificate) -> AsyncIterator[Secured]:
    placed = Secured(certificate)
    yield placed
    await asyncio.gather(*(door.close() for door in placed.doors))


@asynccontextmanager
async def one_server(secured: Secured) -> AsyncIterator[str]:
    process, (port,) = StoreProcess(), free_ports(1)
    try:
        await process.start()
        secured.place(port, process.socket)
        yield secured.url("", [port])
    finally:
        process.stop()


@asynccontextmanager
async def of_a_cluster(secured: Secured) -> AsyncIterator[str]:
    ports = free_ports(PRIMARIES)
    process = ClusterProcess(ports)
    try:
        await process.start()
        for port, member in zip(ports, process.members, strict=True):
            secured.place(port, member.process.socket)
        yield secured.url("+cluster", ports)
    finally:
        process.stop()


@asynccontextmanager
async def watched(secured: Secured) -> AsyncIterator[str]:
    ports = free_ports(3)
    store = WatchedStore(ports[:2])
    try:
        for port, process in zip(
            ports, (store.primary.process, store.replica.process, store.sentinel), strict=True
        ):
            secured.place(port, process.socket)
        await store.start()
        yield secured.url("+sentinel", ports[2:], f"/{NAME}")
    finally:
        store.stop()


FORMS = (one_server, of_a_cluster, watched)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: str(form.__name__))
async def test_calls_are_decided_and_conserved_in_every_form(secured: Secured, form: Form) -> None:
    async with form(secured) as url, open_world(url, "acme", timeout_s=5.0) as world:
        await world.fund(AT_ONCE * MINUTE)
        await asyncio.gather(*(world.authorize(f"c{n}", MINUTE) for n in range(AT_ONCE)))
        for door in secured.doors:
            await door.put_out()
        await until(lambda: answers(world, "c0"))
        await asyncio.gather(*(world.settle(f"c{n}", MINUTE) for n in range(AT_ONCE)))
        proof = await world.prove()
        assert (proof.conserved, proof.balance.spent_micros) == (True, AT_ONCE * MINUTE)
        assert sum(door.secured for door in secured.doors) >= 2
        # Only Sentinels and replicas of these tests speak plainly, among themselves.
        assert form is watched or not any(door.plain for door in secured.doors)


async def test_what_is_long_comes_whole_and_in_order(secured: Secured) -> None:
    async with one_server(secured) as url:
        store = Store(url, timeout_s=5.0)
        script, long = counting(store), "x" * LONG
        await store.command("SET", mark(0, "long"), long)
        counts = asyncio.gather(
            *(script([mark(0, "count")], [long[:5_000]]) for _ in range(AT_ONCE))
        )
        assert await store.command("GET", mark(0, "long")) == long.encode()
        assert [answer[1] for answer in await counts] == list(range(1, AT_ONCE + 1))
        assert {door.plain for door in secured.doors} == {0}
        await store.close()


@pytest.mark.parametrize("why", ["another authority", "another name"])
async def test_a_store_that_may_be_another_is_told_nothing(secured: Secured, why: str) -> None:
    async with one_server(secured) as url:
        wrong = {
            "another authority": url.partition("?")[0],
            "another name": url.replace("localhost", "127.1"),
        }[why]
        store = Store(wrong, timeout_s=2.0)
        with pytest.raises(StoreAway) as refused:
            await counting(store)([mark(0, "secret")], [])
        assert (refused.value.reason, refused.value.applied) == ("STORE_AWAY", Applied.NOT_APPLIED)
        await store.close()


async def test_a_store_that_asks_for_a_certificate_is_shown_one(secured: Secured) -> None:
    ours = secured.certificate
    secured.context.verify_mode = ssl.CERT_REQUIRED
    secured.context.load_verify_locations(ours.path)
    async with one_server(secured) as url:
        unknown = Store(url, timeout_s=2.0)
        known = Store(f"{url}&ssl_certfile={ours.path}&ssl_keyfile={ours.key}", timeout_s=2.0)
        with pytest.raises(StoreAway):
            await counting(unknown)([mark(0, "known")], [])
        assert await counting(known)([mark(0, "known")], []) == [b"ok", 1]
        await asyncio.gather(unknown.close(), known.close())


async def test_a_connection_may_take_longer_than_an_answer(secured: Secured) -> None:
    """Nobody waits for it that long, nothing was asked meanwhile, and it comes about all the same."""
    async with one_server(secured) as url:
        store = Store(url, timeout_s=0.1)
        script, command = counting(store), store.command
        secured.doors[0].late_s = 0.5
        for ask in (
            lambda: script([mark(0, "late")], []),
            lambda: command("INCR", mark(0, "slow")),
        ):
            began_s, failed = time.monotonic(), 0
            while (failure := await tried(ask)) is not None:
                assert failure.applied is Applied.NOT_APPLIED
                failed += 1
            assert (failed >= 1, time.monotonic() - began_s < 5) == (True, True)
        assert await store.strings([mark(0, "late"), mark(0, "slow")]) == [b"1", b"1"]
        assert secured.doors[0].secured == 2
        await store.close()


async def tried(ask: Callable[[], Awaitable[Any]]) -> StoreAway | None:
    try:
        await ask()
    except StoreAway as failure:
        return failure
    return None


async def test_a_process_that_starts_waits_for_its_connection(secured: Secured) -> None:
    async with one_server(secured) as url:
        secured.doors[0].late_s = 0.5
        store, nobody = Store(url, timeout_s=0.1), Store("redis://localhost:1", timeout_s=0.1)
        await store.reach()
        assert await store.command("PING")
        with pytest.raises(StoreAway):
            await nobody.reach()
        await asyncio.gather(store.close(), nobody.close())
