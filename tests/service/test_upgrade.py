"""Semantics 91 as an operator meets it: the service starts over an older store, and not over a newer one."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ledger.old_rows import NUMBER, OWNER, write_old_store
from service.running import Service
from service.site import AT_HOME, Site
from stores import StoreProcess
from talktime_server.config import Engine
from talktime_server.control import StartRefused
from talktime_server.ledger import keys
from talktime_server.ledger.store import Store

POOL_SECONDS = 2 * 3000 * 60  # two licences of the domestic plan


@pytest.fixture
def old_store() -> Iterator[StoreProcess]:
    """A store of its own, as data version 1 left it."""
    process = StoreProcess()
    try:
        asyncio.run(_start_old(process))
        yield process
    finally:
        process.stop()


async def _start_old(process: StoreProcess) -> None:
    await process.start()
    store = Store(process.url, timeout_s=10)
    await write_old_store(store)
    await store.close()


def test_the_service_goes_on_where_an_older_one_stopped(
    engine: Engine, old_store: StoreProcess, tmp_path: Path
) -> None:
    """Two processes bring the store up to date at once; then old calls and pools are as they should be."""
    service = Service(engine, tmp_path, store_url=old_store.url).start()
    try:
        site = Site.of(service, OWNER)
        _finish_old_calls(site)
        home = site.router.authorize("ben", "USER_OUT", AT_HOME, requested_seconds=60)
        assert home.granted_seconds == 60
        assert site.pools() == {
            "US/MCOPSTN1": (0, 60, POOL_SECONDS - 60),
            "zone-a/MCOMEETADV": (0, 0, 3600),
        }
        assert site.router.settle(home.call_id, 30).charged_micros == 0
        assert site.sums() == (9640, 1200)
        site.close()
    finally:
        service.stop()


def _finish_old_calls(site: Site) -> None:
    again = site.router.authorize(
        "ann",
        "USER_OUT",
        NUMBER,
        from_number="+12025550100",
        requested_seconds=600,
        call_id="again",
    )
    assert (again.replayed, again.granted_seconds) == (True, 600)
    assert site.router.settle("old-settled", 61).replayed
    assert site.router.extend("expired", 1, 60).granted_seconds == 660
    assert site.router.settle("expired", 61).charged_micros == 120
    assert site.router.settle("settled", 61).charged_micros == 120
    assert site.router.release("released").released_micros == 600


def test_a_newer_store_is_not_served(
    engine: Engine, old_store: StoreProcess, tmp_path: Path
) -> None:
    with redis.Redis(unix_socket_path=str(old_store.socket)) as store:
        store.set(keys.stored_version(), "6")
    with pytest.raises(StartRefused, match="the store holds data version 6, this talktime reads"):
        Service(engine, tmp_path, store_url=old_store.url).start()
