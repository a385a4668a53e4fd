"""What the service survives: processes and stores that die or stop, in the middle of calls."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]  # ships no types

from service.conftest import put_decks
from service.load import Load
from service.raw import Raw
from service.running import Service, until
from service.site import LONDON, MINUTE, Site
from talktime import Client, NotFound, RetrySettings, Unavailable
from talktime_server.config import Engine

CALLS = int(os.environ.get("TALKTIME_FAULT_CALLS", "1000"))
HEALTH = "/grpc.health.v1.Health/Check"
EMERGENCY_LIMIT_S = 0.25
TIMEOUT_S = 1.0
TESTS_PATIENCE_MS, USUAL_PATIENCE_MS = 1_000, 50  # with the store
ONE_TRY = RetrySettings(attempts=1)


@pytest.fixture(params=[TESTS_PATIENCE_MS])
def battered(
    request: pytest.FixtureRequest, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service that a test may ill-treat; the parameter is how long it waits for its store."""
    folder = tmp_path_factory.mktemp("battered")
    running = Service(engine, folder, store_timeout_ms=request.param).start()
    try:
        put_decks(running)
        yield running
    finally:
        running.stop()


def serving(service: Service) -> bool:
    """Whether a process of the service says that it can serve."""
    asked = health_pb2.HealthCheckRequest(service="talktime.v1.AuthorizationService")
    raw = Raw(service.address, service.router)
    reply = raw.send(HEALTH, asked.SerializeToString())
    raw.close()
    if reply.code is not grpc.StatusCode.OK:
        return False
    status = reply.answer(health_pb2.HealthCheckResponse).status
    return bool(status == health_pb2.HealthCheckResponse.SERVING)


def healed(service: Service, workers: tuple[int, ...]) -> bool:
    """Whether as many processes as before run, serve, and are none that died."""
    now = service.supervisor.workers
    return len(now) == len(workers) and all(serving(service) for _ in range(4))


async def test_a_killed_process_loses_no_call_and_charges_none_twice(battered: Service) -> None:
    """semantics 83, 85: another process answers with the first receipt, and nobody's lock is left behind."""
    site = Site.open(battered)
    site.fund(CALLS * MINUTE)
    load, workers = Load(site, CALLS), battered.supervisor.workers

    async def kill() -> None:
        os.kill(workers[0], signal.SIGKILL)

    await load.run(kill)
    until(lambda: workers[0] not in battered.supervisor.workers, within_s=15)
    await asyncio.to_thread(until, lambda: healed(battered, workers), 15)
    await load.repeat()
    load.prove()
    site.close()


async def test_a_killed_store_loses_nothing_that_was_answered(battered: Service) -> None:
    """semantics 6, 80: nothing is sent twice by the driver, and what was answered is in the journal on disk."""
    site = Site.open(battered)
    site.fund(CALLS * MINUTE)
    load, store = Load(site, CALLS), battered.store_pid

    async def kill() -> None:
        await asyncio.to_thread(battered.kill_store)

    await load.run(kill)
    await asyncio.to_thread(until, lambda: battered.store_pid != store, 15)
    workers = battered.supervisor.workers
    await asyncio.to_thread(until, lambda: healed(battered, workers), 15)
    await load.repeat()
    load.prove()
    site.close()


def timed(client: Client, payer_id: str, number: str, call_id: str) -> float:
    """Places an emergency call; returns how long the answer took."""
    began = time.monotonic()
    assert client.authorize(payer_id, "USER_OUT", number, call_id=call_id).authorized
    return time.monotonic() - began


def refused_while_away(client: Client, call_id: str) -> str:
    """Asks for an ordinary call while the store is stopped; returns what is said of its outcome."""
    began = time.monotonic()
    with pytest.raises(Unavailable) as away:
        client.authorize("alice", "USER_OUT", LONDON, call_id=call_id, requested_seconds=60)
    assert time.monotonic() - began < TIMEOUT_S
    return away.value.outcome


@pytest.mark.parametrize("battered", [USUAL_PATIENCE_MS], indirect=True)
def test_a_stopped_store_stops_ordinary_calls_alone_and_leaves_no_doubt_behind(
    battered: Service,
) -> None:
    """semantics 73, 80, 82"""
    site = Site.open(battered)
    site.fund(100 * MINUTE)
    site.call()
    store, outcomes = battered.store_pid, {}
    with Client(
        battered.address,
        battered.router,
        tenant_id=site.tenant_id,
        timeout_s=TIMEOUT_S,
        retry=ONE_TRY,
    ) as router:
        assert router.authorize("alice", "USER_OUT", "112", call_id="help-0").authorized
        os.kill(store, signal.SIGSTOP)
        try:
            outcomes = {f"leg-{n}": refused_while_away(router, f"leg-{n}") for n in range(20)}
            took = [timed(router, "alice", "911", f"help-{n}") for n in range(1, 6)]
            took += [timed(router, "stranger", "112", f"help-{n}") for n in range(6, 9)]
            until(lambda: not serving(battered))
        finally:
            os.kill(store, signal.SIGCONT)
        assert sorted(took)[len(took) // 2] < EMERGENCY_LIMIT_S, took
        assert max(took) < TIMEOUT_S, took
        until(lambda: all(serving(battered) for _ in range(4)), within_s=10)
        for call_id, outcome in outcomes.items():
            prove_outcome(site, call_id, outcome)
    recorded = {f"help-{n}" for n in range(9)}
    until(lambda: recorded <= {e.reference_id for e in site.entries() if e.kind == "RECORD"})
    assert site.sums() == (100 * MINUTE, 21 * MINUTE)
    site.close()


def prove_outcome(site: Site, call_id: str, outcome: str) -> None:
    """NOT_APPLIED is never wrong; after UNKNOWN the repeat tells."""
    found = known(site.router, call_id)
    assert outcome == "UNKNOWN" or not found
    again = site.call(call_id=call_id)
    assert again.authorized
    assert again.replayed or not found


def known(router: Client, call_id: str) -> bool:
    """Whether the store knows the call."""
    try:
        return router.get_call(call_id).state == "OPEN"
    except NotFound:
        return False
