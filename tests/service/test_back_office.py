"""What the back office does for a service that runs: everything that happens is soon in the archive, whatever dies."""

import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

from service.conftest import put_decks
from service.running import Running, Served, Service, until
from service.site import MINUTE, Site
from talktime import Client, NotPermitted
from talktime_server.config import Engine
from talktime_server.ledger import keys
from talktime_server.ledger.account import Account

KILLS = 3
TRIES = 3
PATIENCE_S = 20.0


def archived(service: Running, tenant_id: str) -> list[int]:
    """The versions of a tenant's lines in the archive, in their order; none while it is being made."""
    path = service.settings.state_dir / "archive.db"
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        ask = "SELECT version FROM entries WHERE tenant_id = ? ORDER BY version"
        with suppress(sqlite3.OperationalError):
            return [version for (version,) in database.execute(ask, (tenant_id,))]
        return []


def lines_of(site: Site) -> int:
    """How many lines a tenant's journal has."""
    with site.service.store() as store:
        return Account.read(store.get(keys.account(site.tenant_id))).version


def all_archived(site: Site) -> bool:
    return archived(site.service, site.tenant_id) == list(range(1, lines_of(site) + 1))


@pytest.fixture
def battered(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of the test's own, whose processes it may kill."""
    running = Service(engine, tmp_path_factory.mktemp("battered")).start()
    try:
        put_decks(running)
        yield running
    finally:
        running.stop()


def test_what_happens_is_soon_in_the_archive(site: Site) -> None:
    for _ in range(5):
        site.settle(site.call(), 60)
    until(lambda: all_archived(site), within_s=PATIENCE_S)


def test_an_ended_call_is_soon_in_the_usage_report(site: Site) -> None:
    call = site.call()
    site.settle(call, 60)
    until(lambda: list(site.operator.list_calls()), within_s=PATIENCE_S)
    (row,) = site.operator.list_calls()
    assert (row.call_id, row.duration_seconds, row.charge_micros) == (call.call_id, 60, MINUTE)


def test_an_operator_sees_how_far_the_archive_is(site: Site) -> None:
    until(lambda: all_archived(site), within_s=PATIENCE_S)
    until(lambda: site.operator.get_archive_status().waiting == 0)
    status = site.operator.get_archive_status()
    assert status.entries >= lines_of(site)
    assert status.archive_time is not None
    assert (status.lag_ms, list(status.alarms)) == (0, [])
    with (
        Client(site.service.address, site.service.auditor) as auditor,
        pytest.raises(NotPermitted),
    ):
        auditor.get_archive_status()


def test_calls_go_on_while_the_back_office_is_killed(battered: Service) -> None:
    site = Site.open(battered)
    site.fund(10_000_000_000)
    stop, answered = threading.Event(), 0

    def call_on() -> None:
        nonlocal answered
        while not stop.wait(0.02):
            site.settle(site.call(), 1)
            answered += 1

    caller = threading.Thread(target=call_on)
    caller.start()
    try:
        for _ in range(KILLS):
            pid = until(lambda: battered.supervisor.back_office or 0, within_s=PATIENCE_S)
            os.kill(pid, signal.SIGKILL)
            until(other_than(battered, pid), within_s=PATIENCE_S)
            until(more_than(answered, lambda: answered))
            until(caught_up(site, lines_of(site)), within_s=PATIENCE_S)
    finally:
        stop.set()
        caller.join()
    until(lambda: all_archived(site), within_s=PATIENCE_S)
    site.close()


def caught_up(site: Site, count: int) -> Callable[[], bool]:
    return lambda: len(archived(site.service, site.tenant_id)) >= count


def more_than(count: int, answered: Callable[[], int]) -> Callable[[], bool]:
    return lambda: answered() > count


def other_than(service: Service, pid: int) -> Callable[[], bool]:
    return lambda: service.supervisor.back_office not in (None, pid)


def test_when_a_service_stops_the_archive_has_everything(served: Served) -> None:
    """Where the disk takes seconds it says that it left some for the next start: not each time."""
    site = Site.open(served)
    site.fund(10_000_000_000)
    for _ in range(TRIES):
        if stopped_whole(site, served):
            return
        served.start()
        site = Site.of(served, site.tenant_id)
    raise AssertionError("it never brought the last lines in time")


def stopped_whole(site: Site, served: Served) -> bool:
    """Stops it after many calls; whether it brought their lines to the archive first, and did not say that it could not."""
    until(lambda: all_archived(site), within_s=PATIENCE_S)
    for _ in range(200):
        site.settle(site.call(), 60)
    count, said = lines_of(site), len(served.log_path.read_text())
    site.hang_up()
    assert served.stop() == 0
    if "archive_behind" in served.log_path.read_text()[said:]:
        return False
    assert archived(served, site.tenant_id) == list(range(1, count + 1))
    return True
