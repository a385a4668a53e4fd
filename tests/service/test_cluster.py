"""A whole service over a cluster: tenants of every shard, calls in every shape, the archive, the doctor."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from cli.command import Shell
from clusters import ClusterProcess, tenant_in
from service.running import Service, until
from service.site import CURRENCY, DECK, LICENSES, LONDON, MINUTE, ROWS
from talktime import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    Payer,
    RetrySettings,
    Tenant,
    Unavailable,
)
from talktime_server.config import Engine
from talktime_server.ledger import keys
from talktime_server.ledger.account import Account
from talktime_server.ledger.store import Store

TENANTS = [tenant_in(shard, "spread") for shard in range(keys.SHARDS)]
CALLS = 3  # of each tenant, in each shape
PATIENCE_S = 20.0
ONE_TRY = RetrySettings(attempts=1)


@pytest.fixture(scope="module")
def spread(cluster: ClusterProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service over the cluster, with a tenant in each shard and its decks in force."""
    asyncio.run(cluster.empty())  # one archive is for one store, and other tests had this one
    folder = tmp_path_factory.mktemp("spread")
    running = Service(Engine.GRPCIO, folder, store_url=cluster.url, workers=1).start()
    try:
        with Client(running.address, running.operator, timeout_s=2.0) as operator:
            operator.put_rate_deck(DECK, CURRENCY, ROWS)
            operator.activate_rate_deck(DECK, len(ROWS))
            until(lambda: operator.get_rate_decks(LONDON).rates)
            for tenant_id in TENANTS:
                operator.put_tenant(Tenant(tenant_id, currency_code=CURRENCY, country="US"))
                operator.put_payer(Payer("alice", "US", LICENSES), tenant_id=tenant_id)
                operator.add_funds("first", 100 * MINUTE, tenant_id=tenant_id)
        yield running
    finally:
        running.stop()
        asyncio.run(cluster.empty())


def one_by_one(service: Service) -> None:
    with Client(service.address, service.router, timeout_s=2.0) as router:
        for tenant_id in TENANTS:
            for n in range(CALLS):
                call = router.authorize(
                    "alice",
                    "USER_OUT",
                    LONDON,
                    tenant_id=tenant_id,
                    call_id=f"one-{n}",
                    requested_seconds=60,
                )
                assert call.authorized
                settled = router.settle(f"one-{n}", 60, tenant_id=tenant_id)
                assert settled.charged_micros == MINUTE


async def in_a_stream(service: Service) -> None:
    """Calls of all tenants mixed in each message; those of one tenant in their order."""
    async with AsyncClient(service.address, service.router, timeout_s=2.0) as router:

        async def talk(tenant_id: str, n: int) -> None:
            call_id = f"stream-{n}"
            call = await router.authorize(
                "alice",
                "USER_OUT",
                LONDON,
                tenant_id=tenant_id,
                call_id=call_id,
                requested_seconds=60,
            )
            assert call.authorized
            settled = await router.settle(call_id, 60, tenant_id=tenant_id)
            assert settled.charged_micros == MINUTE

        await asyncio.gather(*(talk(each, n) for n in range(CALLS) for each in TENANTS))


async def versions(url: str) -> dict[str, int]:
    """How many lines the journal of each tenant has."""
    store = Store(url, timeout_s=10.0)
    kept = await store.strings([keys.account(each) for each in TENANTS])
    await store.close()
    return {each: Account.read(one).version for each, one in zip(TENANTS, kept, strict=True)}


def archived(path: Path) -> dict[str, list[int]]:
    """The versions of each tenant's lines in the archive; none while it is being made."""
    found: dict[str, list[int]] = {each: [] for each in TENANTS}
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database,
    ):
        rows = database.execute("SELECT tenant_id, version FROM entries ORDER BY version")
        for tenant_id, version in rows:
            found[tenant_id].append(version)
    return found


def test_calls_of_all_shards_are_served_archived_and_conserved(
    spread: Service, cluster: ClusterProcess
) -> None:
    one_by_one(spread)
    asyncio.run(in_a_stream(spread))
    lines = asyncio.run(versions(cluster.url))
    whole = {each: list(range(1, count + 1)) for each, count in lines.items()}
    path = spread.settings.state_dir / "archive.db"
    until(lambda: archived(path) == whole, within_s=PATIENCE_S)
    with Client(spread.address, spread.operator, timeout_s=2.0) as operator:
        for tenant_id in TENANTS:
            proof = operator.check_conservation(tenant_id=tenant_id)
            assert proof.conserved, proof
            balance = operator.get_balance(tenant_id=tenant_id)
            assert balance.spent_micros == 2 * CALLS * MINUTE
        status = operator.get_archive_status()
        assert not status.alarms


def test_a_primary_that_dies_is_missed_by_its_own_tenants_alone(
    spread: Service, cluster: ClusterProcess
) -> None:
    """Even the one that has what all shards share: the others are served and archived; then all go on."""
    victim = asyncio.run(cluster.home(0))
    homes = {each: asyncio.run(cluster.home(keys.shard_of(each))) for each in TENANTS}
    here = next(each for each, home in homes.items() if home is victim)
    there = next(each for each, home in homes.items() if home is not victim)
    with Client(spread.address, spread.router, timeout_s=2.0, retry=ONE_TRY) as router:

        def calls(tenant_id: str, call_id: str) -> bool:
            try:
                call = router.authorize(
                    "alice",
                    "USER_OUT",
                    LONDON,
                    tenant_id=tenant_id,
                    call_id=call_id,
                    requested_seconds=60,
                )
            except (Unavailable, DeadlineExceeded):
                return False
            return call.authorized

        victim.process.kill()
        assert not calls(here, "lost")
        for n in range(20):
            until(partial(calls, there, f"kept-{n}"))
        path = spread.settings.state_dir / "archive.db"
        lines = Account.read(asyncio.run(_account(cluster.url, there))).version
        whole = list(range(1, lines + 1))
        until(lambda: archived(path)[there] == whole, within_s=PATIENCE_S)
        asyncio.run(victim.process.start())
        until(lambda: calls(here, "found"), within_s=PATIENCE_S)
    with Client(spread.address, spread.operator, timeout_s=2.0) as operator:
        for tenant_id in (here, there):
            assert operator.check_conservation(tenant_id=tenant_id).conserved


async def _account(url: str, tenant_id: str) -> bytes:
    store = Store(url, timeout_s=10.0)
    try:
        return bytes(await store.command("GET", keys.account(tenant_id)))
    finally:
        await store.close()


def test_the_doctor_finds_a_cluster_sound(
    spread: Service, cluster: ClusterProcess, tmp_path: Path
) -> None:
    shell = Shell(tmp_path / "state", {"TALKTIME_STORE_URL": cluster.url, "TALKTIME_PORT": "0"})
    found = shell.ask("doctor", "--json").document["findings"]
    told = {each["check"]: (each["verdict"], each["found"]) for each in found}
    assert told["store"] == (
        "ok",
        "the store of TALKTIME_STORE_URL; its settings keep money safe",
    )
    assert told["clock"][0] == "ok"
