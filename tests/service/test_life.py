"""The life of a hold: it ends once, and a late settle still charges once (semantics, reservation life)."""

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from service.running import until
from service.site import BERLIN, LONDON, MADRID, MINUTE, Site
from talktime import (
    AsyncClient,
    Authorization,
    CallFields,
    CallType,
    Conflict,
    NotFound,
    OrphanCharge,
    TalktimeError,
)
from talktime_server.ledger import keys

MakeSite = Callable[..., Site]
T = TypeVar("T")
FIELDS = CallFields("alice", CallType.USER_OUT, LONDON)
LEASE_S = 60 + 120


async def outcome_of(asked: Coroutine[Any, Any, T]) -> T | TalktimeError:
    try:
        return await asked
    except TalktimeError as error:
        return error


def test_a_settle_charges_what_was_used_and_frees_the_rest(site: Site) -> None:
    """semantics 10"""
    call = site.call(requested_seconds=600)
    assert site.sums() == (10_000_000, 10 * MINUTE)
    receipt = site.settle(call, 125)
    assert receipt.charged_micros == 3 * MINUTE
    assert (receipt.billed_seconds, receipt.overrun, receipt.late) == (180, False, False)
    assert site.sums() == (10_000_000 - 3 * MINUTE, 0)


def test_an_overrun_takes_the_hold_then_free_credits(site: Site) -> None:
    """semantics 11"""
    receipt = site.settle(site.call(), 150)
    assert (receipt.charged_micros, receipt.overrun) == (3 * MINUTE, True)
    assert receipt.uncollected_micros == 0
    assert site.sums() == (10_000_000 - 3 * MINUTE, 0)


def test_an_overrun_stops_at_the_floor_and_the_rest_is_owed_by_nobody(make_site: MakeSite) -> None:
    """semantics 11, 43"""
    site = make_site(floor_micros=-MINUTE)
    site.fund(2 * MINUTE)
    receipt = site.settle(site.call(), 300)
    assert (receipt.charged_micros, receipt.uncollected_micros) == (3 * MINUTE, 2 * MINUTE)
    assert site.sums() == (-MINUTE, 0)
    assert site.balance().uncollected_micros == 2 * MINUTE


def test_an_overrun_leaves_the_holds_of_others_alone(make_site: MakeSite) -> None:
    """semantics 11"""
    site = make_site()
    site.fund(2 * MINUTE)
    first, second = site.call(), site.call()
    assert site.settle(first, 120).uncollected_micros == MINUTE
    assert site.settle(second, 60).charged_micros == MINUTE
    assert site.sums() == (0, 0)


def test_a_settle_repeated_gets_the_same_receipt(site: Site) -> None:
    """semantics 12"""
    call = site.call()
    first = site.settle(call, 45)
    again = site.settle(call, 45)
    assert again.replayed
    assert dataclasses.replace(again, replayed=False) == first
    assert site.kinds(call.call_id) == ["HOLD", "SETTLE"]


def test_a_settle_without_an_authorize_charges_once_by_its_fields(site: Site) -> None:
    """semantics 14"""
    first = site.router.settle("leg-1", 61, FIELDS)
    assert (first.charged_micros, first.unreserved) == (2 * MINUTE, True)
    again = site.router.settle("leg-1", 61, FIELDS)
    assert again.replayed
    assert dataclasses.replace(again, replayed=False) == first
    later = site.call(call_id="leg-1")
    assert (later.authorized, later.reason, later.replayed) == (False, "ALREADY_SETTLED", True)
    assert site.router.get_call("leg-1").settlement is not None
    assert site.sums() == (10_000_000 - 2 * MINUTE, 0)


def test_a_settle_of_nobodys_call_is_kept_as_unmatched_and_moves_nothing(site: Site) -> None:
    """semantics 14: without the call's fields there is nothing to charge by."""
    for _ in range(2):
        with pytest.raises(NotFound) as unknown:
            site.router.settle("leg-1", 61)
        assert unknown.value.reason == "UNKNOWN_CALL"
    assert site.kinds("leg-1") == ["UNMATCHED"]
    assert site.sums() == (10_000_000, 0)


async def test_an_authorize_and_its_settle_at_once_charge_once_whoever_comes_first(
    site: Site,
) -> None:
    """semantics 15"""
    async with (
        AsyncClient(
            site.service.address, site.service.router, tenant_id=site.tenant_id, timeout_s=2.0
        ) as one,
        AsyncClient(
            site.service.address, site.service.router, tenant_id=site.tenant_id, timeout_s=2.0
        ) as two,
    ):
        for n in range(20):
            asked, settled = await asyncio.gather(
                one.authorize(
                    "alice", "USER_OUT", LONDON, call_id=f"leg-{n}", requested_seconds=60
                ),
                two.settle(f"leg-{n}", 60, FIELDS),
            )
            assert asked.authorized is not settled.unreserved
            assert settled.charged_micros == MINUTE
    assert site.sums() == (10_000_000 - 20 * MINUTE, 0)


def test_a_settle_after_the_lease_charges_once_and_says_late(site: Site) -> None:
    """semantics 16"""
    call = site.call()
    site.pass_time(LEASE_S + 1)
    assert site.sums() == (10_000_000, 0)
    receipt = site.settle(call, 60)
    assert (receipt.late, receipt.charged_micros) == (True, MINUTE)
    assert site.kinds(call.call_id) == ["HOLD", "EXPIRE", "SETTLE"]
    assert site.settle(call, 60).replayed
    assert site.sums() == (10_000_000 - MINUTE, 0)


def test_a_settle_after_the_lease_that_nobody_swept_is_late_too(site: Site) -> None:
    """semantics 16"""
    call = site.call()
    site.pass_time(LEASE_S + 1)
    receipt = site.settle(call, 60)
    assert (receipt.late, receipt.charged_micros) == (True, MINUTE)
    assert site.sums() == (10_000_000 - MINUTE, 0)


def test_an_extend_adds_talk_time_and_answers_the_new_total(site: Site) -> None:
    """semantics 17"""
    call = site.call()
    more = site.router.extend(call.call_id, 1, 120)
    assert (more.authorized, more.granted_seconds, more.reacquired) == (True, 180, False)
    assert more.rate == call.rate
    assert site.sums() == (10_000_000, 3 * MINUTE)
    stored = site.router.get_call(call.call_id)
    assert (stored.granted_seconds, stored.held_micros) == (180, 3 * MINUTE)
    before, after = call.decided_time, stored.lease_expire_time
    assert before is not None
    assert after is not None
    assert (after - before).total_seconds() == LEASE_S + 120


def test_an_extend_after_the_lease_takes_the_money_anew(site: Site) -> None:
    """semantics 18"""
    call = site.call()
    site.pass_time(LEASE_S + 1)
    assert site.sums() == (10_000_000, 0)
    more = site.router.extend(call.call_id, 1, 60)
    assert (more.authorized, more.granted_seconds, more.reacquired) == (True, 120, True)
    assert site.sums() == (10_000_000, 2 * MINUTE)
    assert site.settle(call, 100).late is False


def test_an_extend_after_the_lease_is_refused_when_the_money_is_gone(make_site: MakeSite) -> None:
    """semantics 18: no second more than it had."""
    site = make_site()
    site.fund(MINUTE)
    call = site.call()
    site.pass_time(LEASE_S + 1)
    assert site.call().authorized
    more = site.router.extend(call.call_id, 1, 60)
    assert (more.authorized, more.reason) == (False, "INSUFFICIENT_CREDITS")
    assert more.granted_seconds == call.granted_seconds
    assert site.sums() == (MINUTE, MINUTE)


async def test_an_extend_and_a_settle_at_once_end_in_one_charge(site: Site) -> None:
    """semantics 19"""
    async with AsyncClient(
        site.service.address, site.service.router, tenant_id=site.tenant_id, timeout_s=2.0
    ) as client:
        for n in range(20):
            call = f"leg-{n}"
            await client.authorize("alice", "USER_OUT", LONDON, call_id=call, requested_seconds=60)
            more, receipt = await asyncio.gather(
                outcome_of(client.extend(call, 1, 60)), client.settle(call, 60)
            )
            if isinstance(more, TalktimeError):
                assert more.reason == "ALREADY_SETTLED"
            else:
                assert more.granted_seconds == 120
            assert receipt.charged_micros == MINUTE
    assert site.sums() == (10_000_000 - 20 * MINUTE, 0)


def test_an_extend_after_the_settle_is_told_so(site: Site) -> None:
    """semantics 19"""
    call = site.call()
    site.settle(call, 60)
    with pytest.raises(Conflict) as clash:
        site.router.extend(call.call_id, 1, 60)
    assert clash.value.reason == "ALREADY_SETTLED"


def test_an_extend_repeated_by_its_sequence_adds_nothing(site: Site) -> None:
    """semantics 20"""
    call = site.call()
    first = site.router.extend(call.call_id, 2, 60)
    again = site.router.extend(call.call_id, 2, 60)
    assert again.replayed
    assert dataclasses.replace(again, replayed=False) == first
    lower = site.router.extend(call.call_id, 1, 600)
    assert (lower.replayed, lower.granted_seconds) == (True, 120)
    assert site.sums() == (10_000_000, 2 * MINUTE)


def test_the_same_sequence_with_other_seconds_is_refused(site: Site) -> None:
    """semantics 20"""
    call = site.call()
    site.router.extend(call.call_id, 1, 60)
    with pytest.raises(TalktimeError) as clash:
        site.router.extend(call.call_id, 1, 61)
    assert clash.value.reason == "IDEMPOTENCY_MISMATCH"
    assert clash.value.facts["field"] == "additional_seconds"


def test_sequences_may_have_gaps_and_never_go_back(site: Site) -> None:
    """semantics 21"""
    call = site.call()
    assert site.router.extend(call.call_id, 7, 60).granted_seconds == 120
    assert site.router.extend(call.call_id, 900, 60).granted_seconds == 180
    assert site.router.extend(call.call_id, 8, 60).replayed
    assert site.router.get_call(call.call_id).extend_sequence == 900


def test_the_first_end_of_a_call_stands(site: Site) -> None:
    """semantics 22"""
    settled, released = site.call(), site.call()
    site.settle(settled, 60)
    site.router.release(released.call_id)
    with pytest.raises(Conflict) as after_settle:
        site.router.release(settled.call_id)
    assert after_settle.value.reason == "ALREADY_SETTLED"
    assert after_settle.value.facts["charged_micros"] == str(MINUTE)
    with pytest.raises(Conflict) as after_release:
        site.settle(released, 60)
    assert after_release.value.reason == "ALREADY_RELEASED"
    assert site.sums() == (10_000_000 - MINUTE, 0)


def test_a_release_gives_the_hold_back_once(site: Site) -> None:
    """semantics 23"""
    call = site.call()
    first = site.router.release(call.call_id)
    assert (first.state, first.released_micros) == ("RELEASED", MINUTE)
    again = site.router.release(call.call_id)
    assert again.replayed
    assert dataclasses.replace(again, replayed=False) == first
    assert site.kinds(call.call_id) == ["HOLD", "RELEASE"]
    assert site.sums() == (10_000_000, 0)


def test_a_call_never_answered_costs_nothing_not_even_the_fee(site: Site) -> None:
    """semantics 24"""
    silent, answered = site.call(BERLIN), site.call(BERLIN)
    assert site.settle(silent, 0).charged_micros == 0
    assert site.sums() == (10_000_000, MINUTE + 10_000)
    assert site.settle(answered, 1).charged_micros == MINUTE + 10_000
    assert site.sums() == (10_000_000 - MINUTE - 10_000, 0)


def test_an_orphan_is_given_back_by_time(site: Site) -> None:
    """semantics 25: by the tenant's own next question, here for its balance."""
    call = site.call()
    site.pass_time(LEASE_S + 1)
    assert site.sums() == (10_000_000, 0)
    assert site.router.get_call(call.call_id).state == "EXPIRED"
    assert site.kinds(call.call_id) == ["HOLD", "EXPIRE"]
    balance = site.balance()
    assert (balance.open_calls, balance.abandoned_calls) == (0, 1)


def test_an_idle_tenants_orphan_is_given_back_by_the_sweeper(site: Site) -> None:
    """semantics 25: nobody asks anything of the tenant."""
    call = site.call()
    site.pass_time(LEASE_S + 1)
    with site.service.store() as store:
        # The sweeper goes by the store's own clock, which no test can move: so the index says that it is time.
        store.zadd(keys.due(keys.shard_of(site.tenant_id)), {site.tenant_id: 1})
    until(lambda: site.router.get_call(call.call_id).state == "EXPIRED")
    assert site.kinds(call.call_id) == ["HOLD", "EXPIRE"]


def test_an_orphan_costs_what_its_last_extend_proved_where_the_tenant_says_so(
    make_site: MakeSite,
) -> None:
    """semantics 25, 16: and a settle that comes after all charges the difference."""
    site = make_site(orphan_charge=OrphanCharge.PROVEN)
    site.fund(10_000_000)
    call = site.call(requested_seconds=120)
    site.pass_time(100)
    assert site.router.extend(call.call_id, 1, 120).authorized
    site.pass_time(1000)
    assert site.sums() == (10_000_000 - 2 * MINUTE, 0)
    receipt = site.settle(call, 230)
    assert (receipt.late, receipt.charged_micros) == (True, 4 * MINUTE)
    assert site.sums() == (10_000_000 - 4 * MINUTE, 0)


async def test_the_reaper_and_a_settle_at_once_end_a_hold_once(site: Site) -> None:
    """semantics 26"""
    service = site.service
    calls = [site.call() for _ in range(20)]
    site.pass_time(LEASE_S + 1)
    async with (
        AsyncClient(service.address, service.router, tenant_id=site.tenant_id) as router,
        AsyncClient(service.address, service.operator, tenant_id=site.tenant_id) as operator,
    ):
        receipts, _ = await asyncio.gather(
            asyncio.gather(*(router.settle(c.call_id, 60, timeout_s=2.0) for c in calls)),
            asyncio.gather(*(operator.get_balance() for _ in range(20))),
        )
    assert [(r.late, r.charged_micros) for r in receipts] == [(True, MINUTE)] * 20
    assert site.sums() == (10_000_000 - 20 * MINUTE, 0)
    assert all(site.kinds(call.call_id).count("EXPIRE") <= 1 for call in calls)


def test_an_expired_hold_is_free_at_once_for_balances_and_for_new_calls(
    make_site: MakeSite,
) -> None:
    """semantics 27"""
    site = make_site()
    site.fund(MINUTE)
    site.call()
    assert not site.call().authorized
    site.pass_time(LEASE_S + 1)
    assert site.call().authorized
    assert site.sums() == (MINUTE, MINUTE)


def refusals(calls: list[Authorization]) -> list[str | None]:
    return [call.reason for call in calls]


LIMITS: tuple[tuple[str, int], ...] = (
    ("max_open_calls", 2),
    ("max_open_calls_per_payer", 2),
    ("max_payer_hold_percent", 1),
)


@pytest.mark.parametrize(("setting", "value"), LIMITS)
def test_nobody_starves_the_others_by_holding(
    make_site: MakeSite, setting: str, value: int
) -> None:
    """semantics 28: one percent of the balance is just two calls."""
    site = make_site(**{setting: value})
    site.fund(200 * MINUTE)
    calls = [site.call() for _ in range(3)]
    assert refusals(calls) == [None, None, "CALL_LIMIT"]
    site.put_payer("bob")
    other = site.router.authorize("bob", "USER_OUT", LONDON, requested_seconds=60)
    assert other.authorized is (setting != "max_open_calls")
    site.router.release(calls[0].call_id)
    assert site.call().authorized


def test_abandoned_calls_are_counted(site: Site) -> None:
    """semantics 28: the number that points at a router which does not settle."""
    for _ in range(3):
        site.call()
    site.pass_time(LEASE_S + 1)
    assert site.balance().abandoned_calls == 3


def test_the_lease_outlives_the_grant(make_site: MakeSite) -> None:
    """semantics 29"""
    site = make_site(lease_grace_seconds=30, default_grant_seconds=300)
    site.fund(10_000_000)
    call = site.call(MADRID, requested_seconds=0)
    assert (call.granted_seconds, call.lease_seconds) == (300, 330)
