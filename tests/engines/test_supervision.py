"""What runs is kept running, ends in order, and leaves nothing behind."""

import asyncio
import contextlib
import os
import signal
import time
from functools import partial
from pathlib import Path

import grpc
import grpc.aio
import pytest
import redis

from engines.echo_app import ECHO, SLOW
from engines.kit import (
    PATIENCE_S,
    apart,
    ask,
    kill,
    lives,
    own_channel,
    running,
    settings_of,
    until,
)
from talktime_server import engines as choosing
from talktime_server.config import Engine
from talktime_server.control import StartRefused
from talktime_server.rpc import envoy
from talktime_server.supervisor import Supervisor

CALLERS = 16


async def test_a_killed_worker_is_replaced(engine: Engine, tmp_path: Path) -> None:
    async with running(tmp_path, engine=engine) as service:
        (first,) = service.workers
        kill(first)
        await until(lambda: service.workers not in ((), (first,)))
        await served_again(service.address)


async def test_a_killed_store_comes_back_with_what_it_answered(tmp_path: Path) -> None:
    async with running(tmp_path, engine=Engine.GRPCIO) as service:
        assert service.store is not None
        first = service.store.pid
        assert first is not None
        with redis.Redis.from_url(service.store.url) as store:
            store.set("kept", "yes")
        kill(first)
        await until(lambda: service.store is not None and service.store.pid not in (None, first))
        await until(lambda: stored(service.settings.store_url) == b"yes")


async def test_the_store_can_be_stopped_and_started(tmp_path: Path) -> None:
    async with running(tmp_path, engine=Engine.GRPCIO) as service:
        store = service.store
        assert store is not None
        await store.stop()
        assert store.pid is None
        assert stored(store.url) is None
        await store.start()
        with redis.Redis.from_url(store.url) as again:
            assert again.config_get("appendonly") == {"appendonly": "yes"}
            assert again.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert again.config_get("port") == {"port": "0"}


async def test_one_folder_serves_one_supervisor(tmp_path: Path) -> None:
    async with running(tmp_path, engine=Engine.GRPCIO):
        with pytest.raises(StartRefused, match=f"in use by process {os.getpid()};"):
            await Supervisor(settings_of(tmp_path, engine=Engine.GRPCIO)).__aenter__()
    async with running(tmp_path, engine=Engine.GRPCIO) as service:
        assert service.workers


async def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "one", engine=Engine.GRPCIO) as service:
        port = service.settings.port
        with pytest.raises(StartRefused, match=f":{port}: Address already in use"):
            async with running(tmp_path / "two", engine=Engine.GRPCIO, port=port):
                pass


async def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="TALKTIME_HOST"):
        # An address that is kept for documentation, so that no machine has it.
        async with running(tmp_path, engine=Engine.GRPCIO, host="192.0.2.1"):
            pass


async def test_why_a_process_cannot_start_is_said(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="RuntimeError: the store at its socket has the wrong"):
        async with running(tmp_path, engine=engine, app="engines.echo_app:refuse_to_open"):
            pass


async def test_the_folders_let_nobody_else_in(tmp_path: Path) -> None:
    async with running(tmp_path, engine=Engine.ENVOY) as service:
        state = service.settings.state_dir
        for folder in (state, state / "store", state / "run"):
            assert folder.stat().st_mode & 0o777 == 0o700
    assert not (state / "run").exists()


async def test_a_long_path_does_not_hinder_the_sockets(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    async with running(tmp_path, engine=Engine.ENVOY, state_dir=long) as service:
        await served_again(service.address)
        assert service.store is not None
        assert (long / "store" / "appendonlydir").is_dir()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_no_call_is_lost_when_the_service_is_asked_to_stop(
    engine: Engine, how: signal.Signals, tmp_path: Path
) -> None:
    """Calls under way are answered; one that comes too late is told UNAVAILABLE at once, and may be repeated."""
    async with apart(tmp_path, engine=engine, workers=2) as service:
        callers = [Caller(service.address, ECHO, str(n)) for n in range(CALLERS)]
        slow = Caller(service.address, SLOW, "0.5")
        async with asyncio.TaskGroup() as group:
            group.create_task(slow.call_until_refused())
            for caller in callers:
                group.create_task(caller.call_until_refused())
            await until(lambda: all(caller.answered > 2 for caller in (slow, *callers)))
            service.process.send_signal(how)
            began = time.monotonic()
        refused = [caller.refused for caller in (slow, *callers)]
        assert refused == [grpc.StatusCode.UNAVAILABLE] * len(refused)
        assert await asyncio.wait_for(service.process.wait(), 10) == 0
        assert time.monotonic() - began < 10
        assert not any(map(lives, (*service.workers, service.store)))


async def test_a_killed_supervisor_leaves_nothing_behind(engine: Engine, tmp_path: Path) -> None:
    async with apart(tmp_path, engine=engine, workers=2) as service:
        service.process.kill()
        await until(lambda: not any(map(lives, (*service.workers, service.store))), 5.0)
    # And its folder serves the next one at once.
    async with running(tmp_path, engine=engine) as again:
        await served_again(again.address)


def test_the_envoy_engine_is_taken_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choosing.choose(Engine.AUTO).engine is Engine.ENVOY
    assert choosing.choose(Engine.GRPCIO).engine is Engine.GRPCIO
    monkeypatch.setattr(envoy, "obstacle", lambda: "there is no wheel.")
    choice = choosing.choose(Engine.AUTO)
    assert choice.engine is Engine.GRPCIO
    assert choice.why == "as envoy cannot run here: there is no wheel."
    with pytest.raises(StartRefused, match=r"TALKTIME_ENGINE is 'envoy', which cannot run here"):
        choosing.choose(Engine.ENVOY)


class Caller:
    """Calls one after the other until it is refused; every answer must be the right one."""

    def __init__(self, address: str, path: str, text: str) -> None:
        self.answered = 0
        self.refused: grpc.StatusCode | None = None
        self._address, self._path, self._text = address, path, text

    async def call_until_refused(self) -> None:
        async with own_channel(self._address) as channel:
            while self.refused is None:
                await self.call_once(channel)

    async def call_once(self, channel: grpc.aio.Channel) -> None:
        try:
            answer = await ask(channel, self._path, self._text)
        except grpc.aio.AioRpcError as error:
            self.refused = error.code()
        else:
            assert answer == self._text
            self.answered += 1


async def served_again(address: str) -> None:
    """Asks until there is an answer; until then there may only be UNAVAILABLE."""
    deadline = time.monotonic() + PATIENCE_S
    caller = Caller(address, ECHO, "here")
    while not caller.answered:
        assert caller.refused in (None, grpc.StatusCode.UNAVAILABLE)
        assert time.monotonic() < deadline
        async with own_channel(address) as channel:
            await caller.call_once(channel)


def stored(url: str) -> bytes | None:
    """What the test kept in the store; None while there is no store."""
    try:
        with redis.Redis.from_url(url) as store:
            value = store.get("kept")
            assert value is None or isinstance(value, bytes)
            return value
    except redis.ConnectionError:
        return None


async def test_the_back_office_comes_back_and_calls_go_on_meanwhile(
    engine: Engine, tmp_path: Path
) -> None:
    async with (
        running(tmp_path, engine=engine, back_office="yes") as service,
        own_channel(service.address) as channel,
    ):
        caller = Caller(service.address, ECHO, "here")
        for _ in range(3):
            await until(lambda: service.back_office is not None and at_work(tmp_path))
            first = service.back_office
            assert first is not None
            kill(first)
            await until(partial(replaced, service, first))
            await caller.call_once(channel)
            assert caller.refused is None


async def test_without_an_archive_calls_are_served_all_the_same(
    engine: Engine, tmp_path: Path
) -> None:
    """A database that is away is waited for; one that this version may not write ends the back office alone."""
    away = "postgresql://127.0.0.1:1/nothing"
    async with running(tmp_path, engine=engine, back_office="yes", archive_url=away) as service:
        await until(lambda: "archive_away" in (tmp_path / "log").read_text())
        await served_again(service.address)
        assert service.back_office is not None


async def test_everything_ends_in_the_order_of_who_needs_whom(tmp_path: Path) -> None:
    async with apart(tmp_path, engine=Engine.GRPCIO, workers=2, back_office="yes") as service:
        # The supervisor knows that it works: one that is not ready yet is not waited for.
        await until(lambda: "worker_started" in (tmp_path / "log").read_text())
        await until(lambda: at_work(tmp_path))
        assert len(left_of(tmp_path)) >= 4
        service.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(service.process.wait(), 15) == 0
        assert not left_of(tmp_path)
    log = (tmp_path / "log").read_text()
    # It gave its lease up in a store that was still there.
    assert "lease_lost" in log
    assert "lease_not_given_up" not in log


def left_of(folder: Path) -> list[str]:
    """The processes that were started with a state folder below this one."""
    mark, left = f"TALKTIME_STATE_DIR={folder}".encode(), []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in environ.read_bytes() and lives(int(environ.parent.name)):
                left.append(environ.parent.name)
    return left


def replaced(service: Supervisor, gone: int) -> bool:
    return service.back_office not in (None, gone)


def at_work(folder: Path) -> bool:
    """Whether the back office of the service holds its lease."""
    socket_path = folder / "state" / "run" / "store"
    with redis.Redis.from_url(f"unix://{socket_path}") as store:
        return store.get("tt:{s00}:lease") is not None
