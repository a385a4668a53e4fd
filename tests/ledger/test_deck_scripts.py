"""Decks as stored: uploaded in parts, put in force in one step, soon or at a time, never changed afterwards."""

import json
import zlib
from itertools import count

import pytest

from ledger.world import World
from talktime_server.failure import Conflict, NotFound
from talktime_server.ledger import keys
from talktime_server.ledger.decks import (
    LEAD_MS,
    Decks,
    InScope,
    Scope,
    Switch,
    Timeline,
    pack,
    remaining,
    unpack,
)
from talktime_server.ledger.rate_table import Row

DAY_MS = 86_400_000
_names = count(1)


def rows(*prefixes: str) -> list[Row]:
    return [(prefix, f"to {prefix}", 100, 0, 60, 60, "OUT", "") for prefix in prefixes]


@pytest.fixture
def decks(world: World) -> Decks:
    return Decks(world.store)


@pytest.fixture
def version(world: World) -> str:
    """A deck that nobody else knows."""
    return f"deck-{world.tenant.tenant_id}"


@pytest.fixture
def scope() -> Scope:
    """A currency that nobody else knows, so to speak."""
    return Scope("AAA", f"payer-of-decks-{next(_names)}")


async def put(decks: Decks, version: str, scope: Scope, *prefixes: str) -> int:
    return await decks.put(version, scope.currency, 0, rows(*(prefixes or ("1",))))


async def timeline(decks: Decks, scope: Scope) -> Timeline:
    """What the store has for a scope, without what is over."""
    look = await decks.look()
    while not look.complete and scope not in look.changed:
        look = await decks.look(look.revision)
    return remaining(look.changed.get(scope, ()), look.now_ms)


async def now_ms(decks: Decks) -> int:
    return (await decks.look()).now_ms


async def versions(decks: Decks, scope: Scope) -> list[str]:
    return [switch.deck_version for switch in await timeline(decks, scope)]


async def read(decks: Decks, version: str) -> tuple[str, list[Row]]:
    """A deck's currency and its rows, in the order in which they were stored."""
    currency, table = await decks.read(version)
    found = {}
    for index, way in ((table.outbound, "OUT"), (table.inbound, "IN")):
        for rows_in_area, _ in index.areas.values():
            for name, number in rows_in_area.items():
                origin = name.rstrip("0123456789")
                found[number] = (name.removeprefix(origin), way, origin)
    rows = [
        (prefix, *table.priced(n), way, origin)
        for n, (prefix, way, origin) in sorted(found.items())
    ]
    return currency, rows


async def pass_time(world: World, scope: Scope) -> None:
    """Moves the switches of a scope a day back."""
    text = (await world.store.command("HGET", keys.active_decks(), str(scope))).decode().split()
    text[::2] = [str(int(at) - DAY_MS) for at in text[::2]]
    await world.store.command("HSET", keys.active_decks(), str(scope), " ".join(text))


async def test_a_deck_is_in_force_only_when_it_is_activated(
    world: World, decks: Decks, version: str, scope: Scope
) -> None:
    """Semantics 88: the switch is one step, a little ahead, so that every process has heard of it."""
    assert await decks.put(version, "AAA", 0, rows("1", "44")) == 2
    assert await decks.put(version, "AAA", 1, rows("49")) == 3
    assert await timeline(decks, scope) == ()
    found = await decks.find(version)
    assert (found.active, found.active_ms, found.row_count) == (False, 0, 3)
    before = await now_ms(decks)
    starts_ms = await decks.activate(version, 3, scope)
    assert before + LEAD_MS <= starts_ms < before + LEAD_MS + 60_000
    assert await timeline(decks, scope) == (Switch(starts_ms, version),)
    await pass_time(world, scope)
    found = await decks.find(version)
    assert (found.active, found.active_ms) == (True, starts_ms)
    assert found.scopes == (InScope(scope, starts_ms - DAY_MS),)
    assert await read(decks, version) == ("AAA", rows("1", "44", "49"))


async def test_rows_for_calls_that_come_in_are_kept_with_their_origin(
    decks: Decks, version: str
) -> None:
    stored: list[Row] = [
        ("1800", "Toll-free", 100, 0, 60, 60, "IN", "CA"),
        ("1800", "Toll-free", 100, 0, 60, 60, "IN", ""),
        ("1800", "Toll-free", 100, 0, 60, 60, "OUT", ""),
    ]
    await decks.put(version, "AAA", 0, stored)
    assert await read(decks, version) == ("AAA", stored)


def test_parts_of_older_stores_are_read_and_written_as_they_were() -> None:
    """They have six columns; a part that is sent again must be the same to the byte."""
    older = [["44", "UK", 1, 0, 60, 60]]
    part = zlib.compress(json.dumps(older, separators=(",", ":")).encode(), 1)
    assert unpack(part) == [("44", "UK", 1, 0, 60, 60, "OUT", "")]
    assert pack(unpack(part)) == part


async def test_a_part_sent_again_replaces_itself(decks: Decks, version: str) -> None:
    assert await decks.put(version, "AAA", 0, rows("1", "44")) == 2
    assert await decks.put(version, "AAA", 0, rows("1", "44")) == 2
    assert await decks.put(version, "AAA", 0, rows("1")) == 1
    assert await read(decks, version) == ("AAA", rows("1"))


@pytest.mark.parametrize("shadow", [False, True])
async def test_an_activated_deck_never_changes(
    decks: Decks, version: str, scope: Scope, shadow: bool
) -> None:
    """The calls it priced are explained by it for ever; a repeat of what it holds is a repeat."""
    await put(decks, version, scope)
    await decks.activate(version, 1, Scope(scope.currency, scope.tenant_id, shadow))
    assert await put(decks, version, scope) == 1
    with pytest.raises(Conflict) as caught:
        await decks.put(version, "AAA", 1, rows("44"))
    assert caught.value.reason == "DECK_ACTIVE"


async def test_an_incomplete_deck_is_not_put_in_force(
    decks: Decks, version: str, scope: Scope
) -> None:
    """Semantics 88: a broken upload changes nothing."""
    await put(decks, version, scope)
    with pytest.raises(Conflict) as caught:
        await decks.activate(version, 2, scope)
    assert (caught.value.reason, caught.value.facts) == ("DECK_INCOMPLETE", {"row_count": "1"})
    assert await timeline(decks, scope) == ()


async def test_a_prefix_in_two_parts_is_not_put_in_force(
    decks: Decks, version: str, scope: Scope
) -> None:
    await decks.put(version, "AAA", 0, rows("1", "44"))
    await decks.put(version, "AAA", 1, rows("44"))
    with pytest.raises(Conflict) as caught:
        await decks.activate(version, 3, scope)
    assert (caught.value.reason, caught.value.facts) == ("DECK_DUPLICATE", {"prefix": "44"})
    assert await timeline(decks, scope) == ()


async def test_a_deck_has_one_currency_and_prices_no_other(
    decks: Decks, version: str, scope: Scope
) -> None:
    await decks.put(version, "AAA", 0, rows("1"))
    with pytest.raises(Conflict) as caught:
        await decks.put(version, "AAB", 1, rows("44"))
    assert caught.value.reason == "CURRENCY_FIXED"
    with pytest.raises(Conflict) as caught:
        await decks.activate(version, 1, Scope("AAB", scope.tenant_id))
    assert caught.value.reason == "CURRENCY_MISMATCH"


async def test_the_next_deck_takes_the_place_of_the_one_before(
    world: World, decks: Decks, version: str, scope: Scope
) -> None:
    for name in (f"{version}-1", f"{version}-2", f"{version}-1"):
        await put(decks, name, scope)
        await decks.activate(name, 1, scope)
        await pass_time(world, scope)
        assert await versions(decks, scope) == [name]
    assert not (await decks.find(f"{version}-2")).active


async def test_what_is_asked_for_last_is_in_force_last(
    decks: Decks, version: str, scope: Scope
) -> None:
    """Also when it needs less time ahead than the one before: a small deck behind a large one."""
    large = [(str(10**6 + n), "Large", 1, 0, 60, 60, "OUT", "") for n in range(20_000)]
    await decks.put(f"{version}-large", "AAA", 0, large)
    await put(decks, f"{version}-small", scope)
    first_ms = await decks.activate(f"{version}-large", len(large), scope)
    second_ms = await decks.activate(f"{version}-small", 1, scope)
    assert first_ms <= second_ms
    assert (await versions(decks, scope))[-1] == f"{version}-small"


async def test_an_activation_again_changes_nothing(
    world: World, decks: Decks, version: str, scope: Scope
) -> None:
    await put(decks, version, scope)
    starts_ms = await decks.activate(version, 1, scope)
    look = await decks.look()
    assert await decks.activate(version, 1, scope) == starts_ms
    await pass_time(world, scope)
    assert await decks.activate(version, 1, scope) == starts_ms - DAY_MS
    planned_ms = look.now_ms + DAY_MS
    await put(decks, f"{version}-2", scope)
    for _ in range(2):
        assert await decks.activate(f"{version}-2", 1, scope, from_ms=planned_ms) == planned_ms
    assert await versions(decks, scope) == [version, f"{version}-2"]


async def test_one_deck_is_kept_ahead_and_a_later_plan_takes_its_place(
    world: World, decks: Decks, version: str, scope: Scope
) -> None:
    names = [f"{version}-{n}" for n in range(4)]
    for name in names:
        await put(decks, name, scope)
    soon_ms = await now_ms(decks) + DAY_MS
    await decks.activate(names[0], 1, scope)
    await pass_time(world, scope)
    await decks.activate(names[1], 1, scope, from_ms=soon_ms)
    await decks.activate(names[2], 1, scope, from_ms=2 * soon_ms)
    assert await versions(decks, scope) == [names[0], names[2]]
    await decks.activate(names[3], 1, scope)
    # The old one is there until the new one has begun, which may be by now.
    assert await versions(decks, scope) in (
        [names[0], names[3], names[2]],
        [names[3], names[2]],
    )
    stored = {deck.deck_version: deck for deck in await decks.stored()}
    assert stored[names[2]].scopes == (InScope(scope, 2 * soon_ms),)
    assert not stored[names[2]].active


async def test_a_time_that_is_over_means_now(decks: Decks, version: str, scope: Scope) -> None:
    await put(decks, version, scope)
    before = await now_ms(decks)
    assert await decks.activate(version, 1, scope, from_ms=before - DAY_MS) >= before + LEAD_MS


async def test_a_deck_out_of_force_takes_what_was_planned_with_it(
    world: World, decks: Decks, version: str, scope: Scope
) -> None:
    names = [f"{version}-{n}" for n in range(2)]
    for name in names:
        await put(decks, name, scope)
    await decks.activate(names[0], 1, scope)
    await decks.activate(names[1], 1, scope, from_ms=await now_ms(decks) + DAY_MS)
    await pass_time(world, scope)
    await decks.deactivate(scope)
    assert await versions(decks, scope) in ([names[1], ""], [""])
    await pass_time(world, scope)
    assert await versions(decks, scope) == [""]
    out_of_force = await timeline(decks, scope)
    await decks.deactivate(scope)
    assert await timeline(decks, scope) == out_of_force
    assert not (await decks.find(names[0])).active


async def test_an_unknown_deck_is_not_found(decks: Decks, scope: Scope) -> None:
    with pytest.raises(NotFound):
        await decks.activate("nowhere", 1, scope)
    with pytest.raises(NotFound):
        await decks.find("nowhere")
