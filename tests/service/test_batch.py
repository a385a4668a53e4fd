"""Many legs of a conference asked about in one step: all or none, or each for itself."""

from collections.abc import Callable

import pytest

from service.site import HARARE, LONDON, Site
from talktime import InvalidRequest, Leg

MakeSite = Callable[..., Site]
MINUTE = 200_000  # what a minute to HARARE costs


def legs(count: int, **more: object) -> list[Leg]:
    """Legs to HARARE, a minute each."""
    plain = {"conference_id": "townhall", "requested_seconds": 60}
    return [
        Leg("alice", "CONF_OUT", HARARE, call_id=f"leg-{n}", **{**plain, **more})  # type: ignore[arg-type]  # fields of different kinds
        for n in range(count)
    ]


def test_best_effort_grants_what_the_money_pays_for(make_site: MakeSite) -> None:
    """semantics 68, 69: a verdict for each leg, "7 of 10"."""
    site = make_site()
    site.fund(7 * MINUTE + 1)
    batch = site.router.authorize_batch(legs(10))
    assert batch.authorized_legs == 7
    assert [leg.authorized for leg in batch.verdicts] == [True] * 7 + [False] * 3
    assert {leg.reason for leg in batch.verdicts[7:]} == {"INSUFFICIENT_CREDITS"}
    assert site.sums() == (7 * MINUTE + 1, 7 * MINUTE)


def test_all_or_none_moves_nothing_when_one_leg_is_refused(make_site: MakeSite) -> None:
    """semantics 69: who alone would have been granted is told so."""
    site = make_site()
    site.fund(7 * MINUTE)
    before = len(site.entries())
    batch = site.router.authorize_batch(legs(10), all_or_none=True)
    assert batch.authorized_legs == 0
    reasons = [leg.reason for leg in batch.verdicts]
    assert reasons == ["BATCH_REFUSED"] * 7 + ["INSUFFICIENT_CREDITS"] * 3
    assert site.sums() == (7 * MINUTE, 0)
    assert len(site.entries()) == before
    again = site.router.authorize_batch(legs(10), all_or_none=True)
    assert [leg.reason for leg in again.verdicts] == reasons
    assert all(leg.replayed for leg in again.verdicts)


def test_all_or_none_grants_all(make_site: MakeSite) -> None:
    site = make_site()
    site.fund(10 * MINUTE)
    batch = site.router.authorize_batch(legs(10), all_or_none=True)
    assert batch.authorized_legs == 10
    assert site.sums() == (10 * MINUTE, 10 * MINUTE)
    again = site.router.authorize_batch(legs(10), all_or_none=True)
    assert [leg.replayed for leg in again.verdicts] == [True] * 10
    assert site.sums() == (10 * MINUTE, 10 * MINUTE)


def test_legs_settle_singly(site: Site) -> None:
    """semantics 70: nothing is implied for the others."""
    first, second, third = site.router.authorize_batch(legs(3)).verdicts
    assert site.settle(first, 30).charged_micros == MINUTE
    site.router.release(second.call_id)
    assert site.router.extend(third.call_id, 1, 60).granted_seconds == 120
    assert site.money().held_micros == 2 * MINUTE


def test_a_conference_keeps_to_its_budget(site: Site) -> None:
    """semantics 68, 69: what its legs hold and spent counts, whoever asks for them and when."""
    batch = site.router.authorize_batch(legs(5, conference_budget_micros=3 * MINUTE))
    assert [leg.reason for leg in batch.verdicts] == [None] * 3 + ["SPEND_LIMIT"] * 2
    site.settle(batch.verdicts[0], 60)
    site.router.release(batch.verdicts[1].call_id)
    more = site.router.authorize(
        "alice",
        "CONF_OUT",
        HARARE,
        conference_id="townhall",
        requested_seconds=180,
        conference_budget_micros=3 * MINUTE,
    )
    assert (more.granted_seconds, more.final_grant) == (60, True)
    other = site.router.authorize(
        "alice",
        "CONF_OUT",
        HARARE,
        conference_id="another",
        requested_seconds=60,
        conference_budget_micros=3 * MINUTE,
    )
    assert other.authorized


def test_pool_and_credits_are_shared_by_the_legs_of_one_batch(make_site: MakeSite) -> None:
    """The pool's last minutes go to the legs in their order."""
    site = make_site()
    site.settle(site.router.authorize("alice", "CONF_OUT", LONDON, requested_seconds=3480), 3480)
    site.fund(60_000)
    asked = [
        Leg("alice", "CONF_OUT", LONDON, call_id=f"l-{n}", requested_seconds=60) for n in range(4)
    ]
    batch = site.router.authorize_batch(asked)
    kinds = [[s.kind.value for s in leg.sources] for leg in batch.verdicts]
    assert kinds == [["POOL"], ["POOL"], ["CREDITS"], []]


@pytest.mark.parametrize(
    ("bad", "field", "rule"),
    [
        (
            Leg("alice", "CONF_OUT", "911", call_id="x1"),
            "legs[1].call.to_number",
            "EMERGENCY_IN_BATCH",
        ),
        (Leg("alice", "CONF_OUT", LONDON, call_id="leg-0"), "legs[1].call.call_id", "DUPLICATE_ID"),
        (
            Leg("alice", "CONF_OUT", LONDON, call_id="x2", conference_budget_micros=5),
            "legs[1].call.conference_id",
            "MISSING_FIELD",
        ),
    ],
)
def test_a_bad_leg_refuses_the_batch_and_is_named(
    site: Site, bad: Leg, field: str, rule: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        site.router.authorize_batch([*legs(1), bad])
    assert (refused.value.violations[0].field, refused.value.violations[0].rule) == (field, rule)
    assert site.money().held_micros == 0
