"""Minutes through the service: who shares a pool, what comes after it, and that none is given twice."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from service.load import answered, clients_of
from service.site import AT_HOME, HARARE, LONDON, MINUTE, Site
from talktime import AsyncClient, Authorization, BoughtLicense, Client, Exchange

MakeSite = Callable[..., Site]
ZONE_A = "zone-a/MCOMEETADV"
HOME_POOL = "US/MCOPSTN1"
LEGS, POOL_MINUTES, PAID_MINUTES = 1000, 100, 50
RUNS = 3
PLANS_OF_ALICE = ("MCOPSTN5",)  # 120 minutes


def paid_by(call: Authorization) -> list[tuple[str, int, int]]:
    """What pays: kind, seconds and micros of each stretch."""
    return [(source.kind.value, source.seconds, source.amount_micros) for source in call.sources]


def test_a_domestic_call_is_paid_by_the_plan_that_the_users_of_a_country_share(
    make_site: MakeSite,
) -> None:
    """domain.md 3: 120 minutes for each of the two licences, one pool."""
    site = make_site()
    for payer_id in ("alice", "bob"):
        site.put_payer(payer_id, licenses=PLANS_OF_ALICE)
    call = site.call(AT_HOME, requested_seconds=90)
    assert paid_by(call) == [("POOL", 90, 0)]
    assert site.pools()["US/MCOPSTN5"] == (0, 120, 240 * 60 - 120)
    receipt = site.settle(call, 61)
    assert [(s.pool_id, s.seconds) for s in receipt.charges] == [("US/MCOPSTN5", 61)]
    assert (receipt.billed_seconds, receipt.charged_micros) == (120, 0)
    assert site.pools()["US/MCOPSTN5"] == (120, 0, 240 * 60 - 120)
    assert site.sums() == (0, 0)


def test_a_pool_follows_the_licences_at_once(make_site: MakeSite) -> None:
    site = make_site()
    site.put_payer("alice", licenses=("MCOPSTN5",))
    assert site.pools()["US/MCOPSTN5"] == (0, 0, 7200)
    site.put_payer("bob", licenses=("MCOPSTN5",))
    assert site.pools()["US/MCOPSTN5"] == (0, 0, 14_400)
    site.operator.assign_licenses("bob", add=["MCOPSTN6"], remove=["MCOPSTN5"])
    assert site.pools()["US/MCOPSTN5"] == (0, 0, 7200)
    assert site.pools()["US/MCOPSTN6"] == (0, 0, 14_400)


def test_what_the_pool_does_not_cover_comes_from_credits(make_site: MakeSite) -> None:
    """semantics 39: one hold, two charges, one call."""
    site = make_site()
    site.put_payer("alice", licenses=("MCOPSTN5", "MCOPSTNC"))
    site.fund(1_000_000)
    site.settle(site.call(AT_HOME, requested_seconds=7020), 7020)  # leaves three minutes
    call = site.call(AT_HOME, requested_seconds=600)
    assert paid_by(call) == [("POOL", 180, 0), ("CREDITS", 420, 140_000)]
    receipt = site.settle(call, 241)
    assert [(s.kind.value, s.seconds, s.amount_micros) for s in receipt.charges] == [
        ("POOL", 180, 0),
        ("CREDITS", 61, 40_000),
    ]
    assert receipt.charged_micros == 40_000
    assert site.pools()["US/MCOPSTN5"] == (7200, 0, 0)
    assert site.sums() == (960_000, 0)


def test_a_pool_used_up_refuses_who_has_no_credits_licence(make_site: MakeSite) -> None:
    site = make_site()
    site.put_payer("alice", licenses=PLANS_OF_ALICE)
    site.fund(1_000_000)
    site.settle(site.call(AT_HOME, requested_seconds=7200), 7200)
    assert site.call(AT_HOME).reason == "POOL_EXHAUSTED"
    site.set(billing_mode="POSTPAID")
    assert paid_by(site.call(AT_HOME)) == [("POSTPAID", 60, 20_000)]


def test_after_credits_the_invoice_pays_to_the_micro(make_site: MakeSite) -> None:
    """domain.md 5: remaining credits are spent first, then the tenant is postpaid by itself."""
    site = make_site(billing_mode="POSTPAID")
    site.fund(MINUTE + 1)
    call = site.call(LONDON, requested_seconds=180)
    assert [(k, m) for k, _, m in paid_by(call)] == [
        ("CREDITS", MINUTE + 1),
        ("POSTPAID", 2 * MINUTE - 1),
    ]
    receipt = site.settle(call, 180)
    assert receipt.charged_micros == 3 * MINUTE
    assert site.sums() == (0, 0)
    assert site.balance().postpaid_micros == 2 * MINUTE - 1
    assert paid_by(site.call(LONDON)) == [("POSTPAID", 60, MINUTE)]


async def dial_out(clients: list[AsyncClient], run: int) -> list[Authorization]:
    """All legs of one conference at once, each for a minute."""

    async def leg(stream: Exchange, n: int) -> Authorization:
        call, _ = await answered(
            lambda: stream.authorize(
                "alice",
                "CONF_OUT",
                LONDON,
                call_id=f"run{run}-leg{n}",
                conference_id=f"townhall-{run}",
                requested_seconds=60,
            )
        )
        return call

    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(client.exchange(max_in_flight=LEGS))
            for client in clients
        ]
        asked = (leg(streams[n % len(streams)], n) for n in range(LEGS))
        return list(await asyncio.gather(*asked))


async def hang_up(clients: list[AsyncClient], calls: list[Authorization]) -> None:
    """Settles every leg, for anything up to its minute."""

    async def end(n: int, call: Authorization) -> None:
        client = clients[n % len(clients)]
        await answered(lambda: client.settle(call.call_id, 1 + n % 60))

    await asyncio.gather(*(end(n, call) for n, call in enumerate(calls)))


@pytest.mark.parametrize("run", range(RUNS))
async def test_a_thousand_legs_get_exactly_the_minutes_there_are(
    make_site: MakeSite, run: int
) -> None:
    """100 minutes in the pool and credits for 50 more: 150 legs, whoever asks first."""
    site = make_site(bought_licenses=(BoughtLicense("MCOMEETADV", 2),))
    used = site.router.authorize("alice", "CONF_OUT", LONDON, requested_seconds=1200)
    site.settle(used, 1200)
    site.fund(PAID_MINUTES * MINUTE)
    async with clients_of(site) as clients:
        calls = await dial_out(clients, run)
        granted = [call for call in calls if call.authorized]
        kinds = Counter(source.kind.value for call in granted for source in call.sources)
        assert kinds == {"POOL": POOL_MINUTES, "CREDITS": PAID_MINUTES}
        refused = {call.reason for call in calls if not call.authorized}
        assert (len(granted), refused) == (150, {"INSUFFICIENT_CREDITS"})
        assert site.pools()[ZONE_A] == (1200, POOL_MINUTES * 60, 0)
        await hang_up(clients, granted)
    assert site.pools()[ZONE_A] == (7200, 0, 0)
    assert site.balance().spent_micros == PAID_MINUTES * MINUTE
    assert site.sums() == (0, 0)


def minutes_by_month(site: Site) -> Counter[tuple[int, str]]:
    """What the journal says is used and held, by the month it is of."""
    moved: Counter[tuple[int, str]] = Counter()
    for entry in site.entries():
        for pool in entry.pools:
            moved[pool.month, "used"] += pool.used_delta_seconds // 60
            moved[pool.month, "held"] += pool.held_delta_seconds // 60
    return moved


def test_calls_stay_in_the_month_they_began_in(make_site: MakeSite) -> None:
    """semantics 40: a month turns in the middle of 200 open calls, and both months are exact."""
    site = make_site()
    now = datetime.fromtimestamp(site.now_ms() / 1000, UTC)
    next_month = (now.replace(day=1) + timedelta(days=32)).replace(
        day=1, hour=0, minute=0, second=0
    )
    site.pass_time(int((next_month - now).total_seconds()) - 60)
    calls = [site.call(AT_HOME, requested_seconds=600) for _ in range(200)]
    site.pass_time(120)
    old, new = now.year * 100 + now.month, next_month.year * 100 + next_month.month
    assert minutes_by_month(site) == {(old, "used"): 0, (old, "held"): 2000}
    assert site.pools()[HOME_POOL] == (0, 0, 3000 * 60)
    late = site.call(AT_HOME, requested_seconds=60)
    assert site.router.extend(calls[0].call_id, 1, 60).authorized
    for n, call in enumerate(calls):
        if n % 2:
            site.router.release(call.call_id)
        else:
            assert site.settle(call, 121).billed_seconds == 180
    expected = {(old, "used"): 300, (old, "held"): 0, (new, "used"): 0, (new, "held"): 1}
    assert minutes_by_month(site) == expected
    site.settle(late, 60)
    assert site.pools()[HOME_POOL] == (60, 0, 2999 * 60)


def test_two_processes_see_one_pool(make_site: MakeSite, crowd: list[Client]) -> None:
    """The last minute is given once, whoever asks in whichever process."""
    site = make_site()
    site.put_payer("alice", licenses=PLANS_OF_ALICE)
    site.settle(site.call(AT_HOME, requested_seconds=7140), 7140)

    def ask(client: Client) -> str | None:
        return client.authorize(
            "alice", "USER_OUT", AT_HOME, tenant_id=site.tenant_id, requested_seconds=60
        ).reason

    reasons = [ask(client) for client in crowd]
    assert sorted(reasons, key=str) == sorted([None, *["POOL_EXHAUSTED"] * 15], key=str)


def test_outside_the_zone_credits_pay_from_the_first_second(site: Site) -> None:
    """domain.md 3: a US organizer's call to Zimbabwe."""
    call = site.router.authorize("alice", "CONF_OUT", HARARE, requested_seconds=60)
    assert paid_by(call) == [("CREDITS", 60, 200_000)]
