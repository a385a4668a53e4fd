"""Callers on several machines at the same moment: the store decides one after the other, and every answer says so."""

from collections import Counter
from collections.abc import Iterator

import pytest

from ledger.crowd import PROCESSES, Ask, Crowd, Said
from ledger.world import World
from stores import StoreProcess
from talktime_server.ledger import keys
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
    assert proof.entries == (2 if verb == "authorize" else 3)
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
