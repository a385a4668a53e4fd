"""Clocks, deadlines, slow stores and absurd numbers (semantics, time, failure, scale)."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor

from service.raw import Raw
from service.running import until
from service.site import LONDON, MINUTE, Site
from service.test_identity import request_of
from talktime import AsyncClient, DeadlineExceeded, InvalidRequest, NotFound
from talktime.v1 import account_service_pb2, authorization_service_pb2

MakeSite = Callable[..., Site]
SLOW_MS = 900


def requests() -> list[Descriptor]:
    files = (authorization_service_pb2, account_service_pb2)
    services = [s for f in files for s in f.DESCRIPTOR.services_by_name.values()]
    return [method.input_type for service in services for method in service.methods]


def test_no_request_takes_an_instant() -> None:
    """semantics 77: durations come from callers, instants never."""
    for request in requests():
        if request.name == "ActivateRateDeckRequest":
            continue  # the date of a price list is no time of a call; the store's clock says when it has come
        fields = [(f.name, f.message_type) for f in request.fields]
        assert not [name for name, kind in fields if kind and kind.name == "Timestamp"]


def test_instants_are_the_stores(site: Site) -> None:
    """semantics 77: an hour ahead of every machine's clock here."""
    site.pass_time(3600)
    expected_s = site.now_ms() / 1000
    call = site.call()
    receipt = site.settle(call, 60)
    for told in (call.decided_time, receipt.settled_time, site.entries()[-1].entry_time):
        assert told is not None
        assert abs(told.timestamp() - expected_s) < 5


def test_a_clock_that_goes_back_moves_no_tenants_time_back(site: Site) -> None:
    """semantics 78: the store's clock is an hour behind what this tenant has seen, and an hour on it still is."""
    site.pass_time(3600)
    calls = [site.call() for _ in range(3)]
    times = [call.decided_time for call in calls]
    assert all(times)
    assert times == sorted(times, key=lambda at: at or 0)
    assert {call.lease_seconds for call in calls} == {180}
    lines = [entry.entry_time for entry in site.entries()]
    assert lines == sorted(lines, key=lambda at: at.timestamp() if at else 0)
    assert site.balance().open_calls == 3


async def test_a_slow_store_ends_the_call_in_time_and_the_repeat_is_safe(site: Site) -> None:
    """semantics 82: what came too late took effect once, and its receipt is there."""
    service = site.service
    async with AsyncClient(
        service.address, service.router, tenant_id=site.tenant_id, timeout_s=0.5
    ) as router:
        await router.authorize("alice", "USER_OUT", LONDON, requested_seconds=60, timeout_s=2.0)
        with service.store() as store:
            store.client_pause(SLOW_MS, all=False)
            with pytest.raises(DeadlineExceeded) as late:
                await router.authorize(
                    "alice", "USER_OUT", LONDON, requested_seconds=60, call_id="leg-1"
                )
            store.client_unpause()
        assert late.value.outcome == "UNKNOWN"
        again = await router.authorize(
            "alice", "USER_OUT", LONDON, requested_seconds=60, call_id="leg-1", timeout_s=2.0
        )
    assert (again.authorized, again.replayed) == (True, True)
    assert site.sums() == (10_000_000, 2 * MINUTE)


def test_a_call_without_a_deadline_gets_the_services_own(site: Site, raw: Raw) -> None:
    """semantics 82: 250 ms, not the caller's patience."""
    raw.ask(request_of(site, call_id="warm-up"))
    with site.service.store() as store:
        store.client_pause(900, all=False)
        reply = raw.ask(request_of(site), timeout_s=None)
        assert store.client_unpause()
    assert (reply.code.name, reply.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
    assert reply.facts["outcome"] == "UNKNOWN"
    until(lambda: site.router.get_call("leg-1").state == "OPEN")


@pytest.mark.parametrize("left_s", [0.001, 0.003])
def test_a_call_that_is_late_already_touches_no_money(site: Site, raw: Raw, left_s: float) -> None:
    """semantics 84"""
    for _ in range(5):
        reply = raw.ask(request_of(site), timeout_s=left_s)
        assert reply.code.name == "DEADLINE_EXCEEDED"
    with pytest.raises(NotFound):
        site.router.get_call("leg-1")
    assert site.kinds() == ["FUND"]


ABSURD: list[tuple[str, Callable[[Site], Any], str]] = [
    ("a negative request", lambda s: s.call(requested_seconds=-1), "requested_seconds"),
    ("a request of two days", lambda s: s.call(requested_seconds=172_800), "requested_seconds"),
    ("a negative duration", lambda s: s.router.settle("leg-1", -1), "duration_seconds"),
    ("a year-long call", lambda s: s.router.settle("leg-1", 31_536_000), "duration_seconds"),
    ("a negative extension", lambda s: s.router.extend("leg-1", 1, -60), "additional_seconds"),
    ("an endless extension", lambda s: s.router.extend("leg-1", 1, 2**62), "additional_seconds"),
    ("a sequence of 0", lambda s: s.router.extend("leg-1", 0, 60), "sequence"),
    ("negative money", lambda s: s.fund(-1), "amount_micros"),
    ("no money", lambda s: s.fund(0), "amount_micros"),
    ("too much money", lambda s: s.fund(10**12 + 1), "amount_micros"),
    ("credits for ever", lambda s: s.fund(1, expire_days=3651), "expire_days"),
    ("a floor above zero", lambda s: s.set(floor_micros=1), "tenant.floor_micros"),
    ("a floor without end", lambda s: s.set(floor_micros=-(10**13)), "tenant.floor_micros"),
    (
        "a rate beyond reason",
        lambda s: s.put_payer("alice", max_rate_per_minute_micros=10**9 + 1),
        "payer.max_rate_per_minute_micros",
    ),
]


@pytest.mark.parametrize(("ask", "field"), [row[1:] for row in ABSURD], ids=[r[0] for r in ABSURD])
def test_absurd_numbers_are_refused_by_their_fields_name(
    site: Site, ask: Callable[[Site], Any], field: str
) -> None:
    """semantics 89"""
    call = site.call(call_id="leg-1")
    before = site.sums(), len(site.entries())
    with pytest.raises(InvalidRequest) as refused:
        ask(site)
    assert [(v.field, v.rule) for v in refused.value.violations] == [(field, "OUT_OF_RANGE")]
    assert (site.sums(), len(site.entries())) == before
    assert site.settle(call, 60).charged_micros == MINUTE


def test_a_call_is_never_longer_than_a_day(make_site: MakeSite) -> None:
    """semantics 89: the sum of extensions is bounded in the script too."""
    site = make_site()
    site.fund(10**9)
    call = site.call(requested_seconds=86_000)
    more = site.router.extend(call.call_id, 1, 86_000)
    assert more.granted_seconds == 86_400
    assert site.router.extend(call.call_id, 2, 60).reason == "CALL_LIMIT"


async def test_hundreds_of_expired_holds_are_freed_for_one_call(make_site: MakeSite) -> None:
    """semantics 90: a hundred at a time, until there is enough, within the call's own deadline."""
    site = make_site()
    site.fund(350 * MINUTE)
    async with AsyncClient(
        site.service.address, site.service.router, tenant_id=site.tenant_id, timeout_s=2.0
    ) as router:
        for _ in range(7):
            asked = (
                router.authorize("alice", "USER_OUT", LONDON, requested_seconds=60)
                for _ in range(50)
            )
            assert all(call.authorized for call in await asyncio.gather(*asked))
    assert site.money().available_micros == 0
    site.pass_time(181)
    call = site.call(requested_seconds=350 * 60)
    assert call.granted_seconds == 350 * 60
    assert site.balance().abandoned_calls == 350
