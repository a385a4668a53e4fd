"""One effect per id: what a repeat is answered, and what a clash (semantics, identity and repetition)."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from service.raw import Raw
from service.site import AT_HOME, LONDON, MADRID, MINUTE, MOBILE, Site
from talktime import Authorization, Client, Conflict, IdempotencyMismatch, Unavailable
from talktime.v1 import authorization_service_pb2 as pb
from talktime_server.ledger import keys

MakeSite = Callable[..., Site]


def request_of(site: Site, **changes: Any) -> pb.AuthorizeRequest:
    fields: dict[str, Any] = {
        "tenant_id": site.tenant_id,
        "call_id": "leg-1",
        "payer_id": "alice",
        "call_type": pb.CALL_TYPE_USER_OUT,
        "from_number": AT_HOME,
        "to_number": LONDON,
        "requested_seconds": 60,
    }
    return pb.AuthorizeRequest(**(fields | changes))


def first_answer(answer: Authorization) -> Authorization:
    return dataclasses.replace(answer, replayed=False)


def test_a_repeated_authorize_gets_the_first_answer_byte_for_byte(site: Site, raw: Raw) -> None:
    """semantics 1"""
    first = raw.ask(request_of(site))
    again = raw.ask(request_of(site))
    answer = again.answer(pb.AuthorizeResponse)
    assert (answer.outcome, answer.replayed) == (pb.OUTCOME_AUTHORIZED, True)
    answer.replayed = False
    assert answer.SerializeToString() == first.body
    assert site.sums() == (10_000_000, MINUTE)


def test_a_replay_shows_the_first_answer_also_when_the_money_moved_since(site: Site) -> None:
    """semantics 1"""
    first = site.call(call_id="leg-1")
    site.fund(5_000_000)
    site.call(MADRID)
    again = site.call(call_id="leg-1")
    assert again.replayed
    assert first_answer(again) == first


CHANGED = {
    "payer_id": "bob",
    "call_type": pb.CALL_TYPE_CONF_OUT,
    "from_number": "+14255550199",
    "to_number": MOBILE,
    "conference_id": "townhall",
    "requested_seconds": 61,
    "routing_number": MADRID,
}


@pytest.mark.parametrize("field", CHANGED)
def test_the_same_id_with_another_content_is_refused_by_the_fields_name(
    site: Site, raw: Raw, field: str
) -> None:
    """semantics 2"""
    raw.ask(request_of(site)).answer(pb.AuthorizeResponse)
    before = site.sums(), len(site.entries())
    reply = raw.ask(request_of(site, **{field: CHANGED[field]}))
    assert (reply.code.name, reply.reason) == ("ALREADY_EXISTS", "IDEMPOTENCY_MISMATCH")
    assert reply.facts["field"] == field
    assert reply.facts["outcome"] == "NOT_APPLIED"
    assert (site.sums(), len(site.entries())) == before


def test_a_repeat_on_another_process_gets_the_first_answer(site: Site, crowd: list[Client]) -> None:
    """semantics 3: the receipt is in the store, whoever is asked."""
    first = site.call(call_id="leg-1")
    for client in crowd:
        again = client.authorize(
            "alice",
            "USER_OUT",
            LONDON,
            requested_seconds=60,
            call_id="leg-1",
            tenant_id=site.tenant_id,
        )
        assert again.replayed
        assert first_answer(again) == first
    assert site.sums() == (10_000_000, MINUTE)


def test_a_refused_call_stays_refused_for_its_id_when_money_comes(make_site: MakeSite) -> None:
    """semantics 4"""
    site = make_site()
    first = site.call(call_id="leg-1")
    assert (first.authorized, first.reason) == (False, "INSUFFICIENT_CREDITS")
    site.fund(10_000_000)
    again = site.call(call_id="leg-1")
    assert again.replayed
    assert first_answer(again) == first
    assert site.call(call_id="leg-2").authorized


def test_one_call_id_of_two_sites_clashes_and_is_never_merged(site: Site) -> None:
    """semantics 5"""
    site.call(call_id="leg-1", from_number="+14255550101")
    with pytest.raises(IdempotencyMismatch) as clash:
        site.call(call_id="leg-1", from_number="+14255550102")
    assert clash.value.facts["field"] == "from_number"
    assert site.balance().open_calls == 1


def test_one_call_id_in_two_tenants_is_two_calls(make_site: MakeSite) -> None:
    """semantics 5"""
    for site in (make_site(), make_site()):
        site.fund(MINUTE)
        assert not site.call(call_id="leg-1").replayed
        assert site.sums() == (MINUTE, MINUTE)


def test_a_store_that_forgot_its_scripts_is_taught_them_again(site: Site) -> None:
    """semantics 7"""
    with site.service.store() as store:
        store.script_flush()
        call = site.call()
        store.script_flush()
        assert site.settle(call, 60).charged_micros == MINUTE


def test_receipts_of_ended_calls_live_a_day_and_refusals_ten_minutes(site: Site) -> None:
    """semantics 8: without the archive; an open call never goes by time."""
    settled, released, opened = site.call(), site.call(), site.call()
    refused = site.call("+390612345678")
    site.settle(settled, 30)
    site.router.release(released.call_id)

    def life_s(call: Authorization) -> int:
        return int(store.ttl(keys.call(site.tenant_id, call.call_id)))

    with site.service.store() as store:
        assert 86_300 < life_s(settled) <= 86_400
        assert 86_300 < life_s(released) <= 86_400
        assert 500 < life_s(refused) <= 600
        assert life_s(opened) == -1


def test_a_failure_is_not_remembered_and_the_repeat_is_decided_anew(site: Site) -> None:
    """semantics 9: a store out of memory fails the script; nothing of it stays."""
    with site.service.store() as store:
        store.config_set("maxmemory", "1")
        try:
            with pytest.raises(Unavailable) as failed:
                site.call(call_id="leg-1")
        finally:
            store.config_set("maxmemory", "0")
    assert failed.value.outcome == "NOT_APPLIED"
    assert site.sums() == (10_000_000, 0)
    again = site.call(call_id="leg-1")
    assert again.authorized
    assert not again.replayed


def test_a_settled_id_is_over_and_tells_a_later_authorize_what_it_first_said(site: Site) -> None:
    """semantics 1: also after its end the first answer is given again."""
    first = site.call(call_id="leg-1")
    site.settle(first, 60)
    again = site.call(call_id="leg-1")
    assert again.replayed
    assert first_answer(again) == first
    assert site.sums() == (10_000_000 - MINUTE, 0)


def test_a_funding_is_added_once_per_id(site: Site) -> None:
    """semantics 44"""
    first = site.operator.add_funds("invoice-1", 5_000_000)
    again = site.operator.add_funds("invoice-1", 5_000_000)
    assert again.replayed
    assert dataclasses.replace(again, replayed=False) == first
    with pytest.raises(IdempotencyMismatch) as clash:
        site.operator.add_funds("invoice-1", 5_000_001)
    assert clash.value.facts["field"] == "amount_micros"
    assert site.sums() == (15_000_000, 0)


def test_a_settle_with_another_duration_names_the_first_receipt(site: Site) -> None:
    """semantics 13"""
    call = site.call()
    site.settle(call, 45)
    with pytest.raises(Conflict) as clash:
        site.settle(call, 46)
    assert clash.value.reason == "ALREADY_SETTLED"
    assert clash.value.facts["duration_seconds"] == "45"
    assert clash.value.facts["charged_micros"] == str(MINUTE)
    assert site.sums() == (10_000_000 - MINUTE, 0)
