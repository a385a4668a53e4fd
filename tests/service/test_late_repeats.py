"""Semantics 8: a repeat that comes after its receipt's life is answered from the archive, and charges nobody again."""

import pytest

from service.conftest import put_decks
from service.running import Service, until
from service.site import LONDON, Site
from service.test_back_office import PATIENCE_S, all_archived
from talktime import CallFields, CallState, CallType, Conflict, NotFound, Unavailable
from talktime_server.config import Engine
from talktime_server.ledger import keys

MINUTE_MICROS = 60_000_000


def forget(site: Site, call_id: str) -> None:
    """What time does to a receipt: the call is gone from the store, once the archive has it."""
    until(lambda: all_archived(site), within_s=PATIENCE_S)
    with site.service.store() as store:
        assert store.delete(keys.call(site.tenant_id, call_id)) == 1


@pytest.fixture
def settled(site: Site) -> str:
    """A call that was settled long ago."""
    site.fund(MINUTE_MICROS)
    call = site.call()
    site.settle(call, 61)
    forget(site, call.call_id)
    return call.call_id


def test_a_late_settle_gets_the_first_answer_again(site: Site, settled: str) -> None:
    before = site.sums()
    first = site.router.settle(settled, 61)
    assert (first.replayed, first.charged_micros > 0) == (True, True)
    fields = CallFields("alice", CallType.USER_OUT, LONDON)
    again = site.router.settle(settled, 61, fields)
    assert (again.replayed, again.charged_micros) == (True, first.charged_micros)
    assert site.sums() == before


@pytest.mark.parametrize("fields", [None, CallFields("alice", CallType.USER_OUT, LONDON)])
def test_another_duration_is_refused_and_charges_nothing(
    site: Site, settled: str, fields: CallFields | None
) -> None:
    before = site.sums()
    with pytest.raises(Conflict) as refused:
        site.router.settle(settled, 3600, fields)
    assert refused.value.reason == "RECEIPT_EXPIRED"
    assert refused.value.facts["duration_seconds"] == "61"
    assert site.sums() == before


def test_a_late_release_or_extend_of_a_settled_call_is_refused(site: Site, settled: str) -> None:
    for late in (
        lambda: site.router.release(settled),
        lambda: site.router.extend(settled, sequence=1, additional_seconds=60),
    ):
        with pytest.raises(Conflict) as refused:
            late()
        assert refused.value.reason == "RECEIPT_EXPIRED"


def test_a_late_release_of_a_released_call_is_answered_again(site: Site) -> None:
    site.fund(MINUTE_MICROS)
    call = site.call()
    site.router.release(call.call_id)
    forget(site, call.call_id)
    assert site.router.release(call.call_id).replayed
    with pytest.raises(Conflict) as refused:
        site.settle(call, 60)
    assert refused.value.reason == "RECEIPT_EXPIRED"


def test_a_call_that_ended_by_time_is_charged_once_however_late_it_is_settled(site: Site) -> None:
    """Promise 4: by its own rate, as if the store had kept it."""
    site.fund(MINUTE_MICROS)
    call = site.call()
    site.pass_time(3600)
    assert site.balance().abandoned_calls == 1
    forget(site, call.call_id)
    before = site.sums()
    charged = site.settle(call, 61)
    assert (charged.late, charged.replayed) == (True, False)
    assert site.sums() == (before[0] - charged.charged_micros, 0)
    assert site.settle(call, 61).replayed
    forget(site, call.call_id)
    assert site.settle(call, 61).replayed
    assert site.sums() == (before[0] - charged.charged_micros, 0)


def test_an_old_call_can_be_looked_at(site: Site, settled: str) -> None:
    assert site.router.get_call(settled).state is CallState.SETTLED


def test_a_call_that_never_was_is_unknown_or_charged_by_its_fields(site: Site) -> None:
    site.fund(MINUTE_MICROS)
    with pytest.raises(NotFound):
        site.router.settle("never-1", 60)
    charged = site.router.settle("never-2", 60, CallFields("alice", CallType.USER_OUT, LONDON))
    assert charged.unreserved


def test_without_the_archive_nobody_is_charged_for_a_call_that_may_be_an_old_one(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The settle is refused as not applied, so its router sends it again; calls that the store knows go on."""
    folder = tmp_path_factory.mktemp("no-archive")
    away = "postgresql://nobody@127.0.0.1:1/none"
    service = Service(engine, folder, archive_url=away).start()
    try:
        put_decks(service)
        site = Site.open(service)
        site.fund(MINUTE_MICROS)
        site.settle(site.call(), 60)
        before = site.sums()
        with pytest.raises(Unavailable) as refused:
            site.router.settle("perhaps-old", 60, CallFields("alice", CallType.USER_OUT, LONDON))
        assert (refused.value.reason, refused.value.outcome) == ("ARCHIVE_AWAY", "NOT_APPLIED")
        assert site.sums() == before
        site.hang_up()
    finally:
        service.stop()
