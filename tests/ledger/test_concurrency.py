"""Callers on several machines at the same moment: the store decides one after the other, and every answer says so."""

from collections import Counter
from collections.abc import Iterator

import pytest

from ledger.crowd import PROCESSES, Ask, Crowd, Said
from ledger.happenings import next_month_ms
from ledger.plain_call import month_of
from ledger.story import SOURCES
from ledger.world import World
from stores import StoreProcess
from talktime_server.words import CallState

CALLERS = 100
MINUTE = 60  # seconds, and micros
RACES = 240


@pytest.fixture(scope="module")
def crowd(store_process: StoreProcess) -> Iterator[Crowd]:
    crowd = Crowd(store_process.url)
    yield crowd
    crowd.leave()


def shared_out(asks: list[Ask]) -> list[list[Ask]]:
    return [asks[n::PROCESSES] for n in range(PROCESSES)]


def grants(said: list[list[Said]]) -> int:
    return sum("state=<CallState.OPEN" in each.text for own in said for each in own)


@pytest.mark.parametrize("affordable", [7, 1, 99])
async def test_a_hundred_callers_on_the_last_cent_get_exactly_what_there_is(
    world: World, crowd: Crowd, affordable: int
) -> None:
    """Semantics 30: as many grants as the balance covers, none too many and none too few."""
    await world.fund(affordable * MINUTE + MINUTE - 1)
    asks: list[Ask] = [("authorize", f"c{n}", MINUTE) for n in range(CALLERS)]
    said = crowd.ask(world.tenant.tenant_id, shared_out(asks), at_once=CALLERS)
    assert grants(said) == affordable
    proof = await world.prove()
    assert proof.balance.money.held_micros == affordable * MINUTE
    assert proof.conserved


async def test_a_hundred_callers_on_one_limit_get_exactly_that_many_calls(
    world: World, crowd: Crowd
) -> None:
    """Semantics 28."""
    await world.set(max_open_calls_per_payer=7)
    await world.fund(CALLERS * MINUTE)
    asks: list[Ask] = [("authorize", f"c{n}", MINUTE) for n in range(CALLERS)]
    said = crowd.ask(world.tenant.tenant_id, shared_out(asks), at_once=5)
    assert grants(said) == 7
    assert await world.use("ann") == (7, 420)


@pytest.mark.parametrize("verb", ["authorize", "extend", "settle", "release"])
async def test_one_id_at_once_from_everywhere_has_one_effect_and_one_answer(
    world: World, crowd: Crowd, verb: str
) -> None:
    """Semantics 1, 3, 12, 20 and 23: sixty-four callers, and one of them was first."""
    await world.fund(5000)
    if verb != "authorize":
        await world.authorize("a", MINUTE)
    asks: list[Ask] = [(verb, "a", MINUTE)] * 64
    said = [
        each
        for own in crowd.ask(world.tenant.tenant_id, shared_out(asks), at_once=8)
        for each in own
    ]
    assert len({each.text for each in said}) == 1
    assert Counter(each.replayed for each in said) == {False: 1, True: 63}
    proof = await world.prove()
    assert len(await world.told()) == (2 if verb == "authorize" else 3)
    assert proof.conserved


async def race(
    world: World, crowd: Crowd, asks: dict[str, int], *, late: bool
) -> dict[str, list[list[Said]]]:
    """Opens calls and lets each verb at all of them, from several processes and in one order, so that they meet."""
    await world.fund(RACES * MINUTE * 3)
    for n in range(RACES):
        await world.authorize(f"c{n}", MINUTE)
    if late:
        await world.advance(MINUTE + 121)
    verbs = [*asks] * (PROCESSES // len(asks))
    lists: list[list[Ask]] = [[(v, f"c{n}", asks[v]) for n in range(RACES)] for v in verbs]
    said = crowd.ask(world.tenant.tenant_id, lists, at_once=3)
    proof = await world.prove()
    assert proof.conserved, proof
    assert proof.balance.money.held_micros == 0
    assert await world.use("ann") == (0, 0)
    return {v: [own for at, own in zip(verbs, said, strict=True) if at == v] for v in asks}


@pytest.mark.parametrize("charge_orphans", [False, True])
async def test_a_settle_and_the_sweeper_end_a_hold_once(
    world: World, crowd: Crowd, charge_orphans: bool
) -> None:
    """Semantics 16 and 26: whoever is first, the call is charged once and its money given back once."""
    await world.set(charge_orphans=charge_orphans)
    said = await race(world, crowd, {"settle": MINUTE, "expire": 0}, late=True)
    assert all("late=True" in each.text for own in said["settle"] for each in own)
    balance = await world.ledger.balance(world.tenant)
    assert balance.spent_micros == RACES * MINUTE
    assert balance.open_calls == 0


async def test_a_settle_and_an_extension_come_one_after_the_other(
    world: World, crowd: Crowd
) -> None:
    """Semantics 19: the extension was granted before the end, or is told of it."""
    said = await race(world, crowd, {"settle": MINUTE, "extend": MINUTE}, late=False)
    assert (await world.ledger.balance(world.tenant)).spent_micros == RACES * MINUTE
    for own in said["extend"]:
        for each in own:
            assert each.failure == "ALREADY_SETTLED" or "granted_seconds=120" in each.text


async def test_an_extension_and_the_sweeper_leave_one_hold_or_none(
    world: World, crowd: Crowd
) -> None:
    """Semantics 18 and 25: taken anew with all of its money, or expired."""
    await world.fund(RACES * MINUTE * 3)
    for n in range(RACES):
        await world.authorize(f"c{n}", MINUTE)
    await world.advance(MINUTE + 121)
    lists: list[list[Ask]] = [
        [(verb, f"c{n}", MINUTE) for n in range(RACES)]
        for verb in ("extend", "expire", "extend", "expire")
    ]
    crowd.ask(world.tenant.tenant_id, lists, at_once=3)
    proof = await world.prove()
    assert proof.conserved
    assert proof.balance.open_calls == RACES
    assert proof.balance.money.held_micros == RACES * 2 * MINUTE


async def test_of_a_settle_and_a_release_the_first_stands(world: World, crowd: Crowd) -> None:
    """Semantics 22."""
    said = await race(world, crowd, {"settle": MINUTE, "release": 0}, late=False)
    settled = 0
    for n in range(RACES):
        call = await world.ledger.show(world.tenant.tenant_id, f"c{n}")
        settled += call.state is CallState.SETTLED
        failures = {own[n].failure for own in said["settle"]}
        assert failures == ({""} if call.state is CallState.SETTLED else {"ALREADY_RELEASED"})
    assert (await world.ledger.balance(world.tenant)).spent_micros == settled * MINUTE


async def test_a_settle_may_overtake_its_authorize(world: World, crowd: Crowd) -> None:
    """Semantics 14 and 15: whichever is second finds what the first left; the call is charged once."""
    await world.fund(RACES * MINUTE)
    lists: list[list[Ask]] = [
        [(verb, f"c{n}", MINUTE) for n in range(RACES)]
        for verb in ("authorize", "bill", "authorize", "bill")
    ]
    said = crowd.ask(world.tenant.tenant_id, lists, at_once=3)
    assert not any(each.failure for own in said for each in own)
    for n in range(RACES):
        assert said[1][n].text == said[3][n].text, "both settles show one receipt"
    proof = await world.prove()
    assert proof.conserved
    assert (proof.balance.spent_micros, proof.balance.open_calls) == (RACES * MINUTE, 0)


async def rows(world: World) -> dict[str, tuple[int, int]]:
    return await world.ledger.pool_rows(world.tenant.tenant_id)


@pytest.mark.parametrize("run", [1, 2, 3])
async def test_a_thousand_callers_get_the_minutes_that_are_left_and_then_the_credits(
    world: World, crowd: Crowd, run: int
) -> None:
    """Semantics 30 and 39: a hundred minutes of the pool, fifty of credits, and no second more."""
    await world.fund(50 * MINUTE + MINUTE - 1)
    asks: list[Ask] = [("authorize:HUNDRED+CREDITS", f"c{run}-{n}", MINUTE) for n in range(1000)]
    said = crowd.ask(world.tenant.tenant_id, shared_out(asks), at_once=250)
    assert grants(said) == 150
    assert list((await rows(world)).values()) == [(0, 100 * MINUTE)]
    proof = await world.prove()
    assert (proof.conserved, proof.balance.money.held_micros) == (True, 50 * MINUTE)
    granted = [ask[1] for own in zip(shared_out(asks), said, strict=True) for ask in opened(*own)]
    ends: list[Ask] = [("settle", call_id, MINUTE) for call_id in granted]
    crowd.ask(world.tenant.tenant_id, shared_out(ends), at_once=50)
    assert list((await rows(world)).values()) == [(100 * MINUTE, 0)]
    proof = await world.prove()
    assert (proof.conserved, proof.balance.spent_micros) == (True, 50 * MINUTE)


def opened(asks: list[Ask], said: list[Said]) -> list[Ask]:
    pairs = zip(asks, said, strict=True)
    return [ask for ask, each in pairs if "state=<CallState.OPEN" in each.text]


async def test_a_hundred_callers_race_for_the_last_minute_of_a_pool(
    world: World, crowd: Crowd
) -> None:
    """Semantics 30, and again when it is given back and when it is used."""
    await world.authorize("most", 99 * MINUTE, sources=SOURCES["HUNDRED"])
    for n, end in enumerate(("release", "settle", "")):
        asks: list[Ask] = [("authorize:HUNDRED", f"c{n}-{m}", MINUTE) for m in range(CALLERS)]
        said = crowd.ask(world.tenant.tenant_id, shared_out(asks), at_once=CALLERS)
        winners = [ask for own in zip(shared_out(asks), said, strict=True) for ask in opened(*own)]
        assert len(winners) == (1 if n < 2 else 0)
        if end == "release":
            await world.release(winners[0][1])
        elif end == "settle":
            await world.settle(winners[0][1], 1)
    assert list((await rows(world)).values()) == [(MINUTE, 99 * MINUTE)]
    assert (await world.prove()).conserved


async def test_a_month_that_turns_among_two_hundred_open_calls_leaves_both_months_exact(
    world: World, crowd: Crowd
) -> None:
    """Semantics 40: extended, overrun and settled in the old month to its last minute, while the new one begins."""
    turn_ms = next_month_ms(await world.now_ms())
    await world.stop_clock_at(turn_ms - 1)
    old = [f"old{n}" for n in range(200)]
    for call_id in old:
        await world.authorize(call_id, MINUTE, sources=SOURCES["BIG"])
    await world.stop_clock_at(turn_ms)
    new = [f"new{n}" for n in range(200)]
    begin: list[Ask] = [("authorize:BIG", call_id, MINUTE) for call_id in new]
    crowd.ask(
        world.tenant.tenant_id,
        [
            [("extend", call_id, MINUTE) for call_id in old[:100]],
            [("settle", call_id, 90) for call_id in old[100:]],
            begin[:100],
            begin[100:],
        ],
        at_once=10,
    )
    names = [f"big@{month_of(ms)}" for ms in (turn_ms - 1, turn_ms)]
    assert await rows(world) == {names[0]: (12_000, 12_000), names[1]: (0, 12_000)}
    ends: list[Ask] = [("settle", call_id, 61) for call_id in old[:100]]
    ends += [("settle", call_id, 1) for call_id in new]
    crowd.ask(world.tenant.tenant_id, shared_out(ends), at_once=10)
    assert await rows(world) == {names[0]: (24_000, 0), names[1]: (12_000, 0)}
    assert (await world.prove()).conserved
