"""Decks as stored: uploaded in parts, put in force in one step, never changed afterwards."""

import pytest

from ledger.world import World
from talktime_server.failure import Conflict, NotFound
from talktime_server.ledger.decks import Decks, Row


def rows(*prefixes: str) -> list[Row]:
    return [(prefix, f"to {prefix}", 100, 0, 60, 60) for prefix in prefixes]


@pytest.fixture
def decks(world: World) -> Decks:
    return Decks(world.store)


@pytest.fixture
def version(world: World) -> str:
    """A deck that nobody else knows."""
    return f"deck-{world.tenant.tenant_id}"


async def test_a_deck_is_in_force_only_when_it_is_activated(decks: Decks, version: str) -> None:
    """Semantics 88: the switch is one step."""
    assert await decks.put(version, "AAA", 0, rows("1", "44")) == 2
    assert await decks.put(version, "AAA", 1, rows("49")) == 3
    assert "AAA" not in await decks.active()
    found = await decks.find(version)
    assert (found.active, found.active_ms, found.row_count) == (False, 0, 3)
    activated = await decks.activate(version, 3)
    assert activated.active
    assert (await decks.active())["AAA"] == version
    assert await decks.rows(version) == rows("1", "44", "49")


async def test_a_part_sent_again_replaces_itself(decks: Decks, version: str) -> None:
    assert await decks.put(version, "AAB", 0, rows("1", "44")) == 2
    assert await decks.put(version, "AAB", 0, rows("1", "44")) == 2
    assert await decks.put(version, "AAB", 0, rows("1")) == 1
    assert await decks.rows(version) == rows("1")


async def test_an_activated_deck_never_changes(decks: Decks, version: str) -> None:
    """The calls it priced are explained by it for ever; a repeat of what it holds is a repeat."""
    await decks.put(version, "AAC", 0, rows("1"))
    await decks.activate(version, 1)
    assert await decks.put(version, "AAC", 0, rows("1")) == 1
    with pytest.raises(Conflict) as caught:
        await decks.put(version, "AAC", 1, rows("44"))
    assert caught.value.reason == "DECK_ACTIVE"


async def test_an_incomplete_deck_is_not_put_in_force(decks: Decks, version: str) -> None:
    """Semantics 88: a broken upload changes nothing."""
    await decks.put(version, "AAD", 0, rows("1"))
    with pytest.raises(Conflict) as caught:
        await decks.activate(version, 2)
    assert (caught.value.reason, caught.value.facts) == ("DECK_INCOMPLETE", {"row_count": "1"})
    assert "AAD" not in await decks.active()


async def test_a_prefix_in_two_parts_is_not_put_in_force(decks: Decks, version: str) -> None:
    await decks.put(version, "AAE", 0, rows("1", "44"))
    await decks.put(version, "AAE", 1, rows("44"))
    with pytest.raises(Conflict) as caught:
        await decks.activate(version, 3)
    assert (caught.value.reason, caught.value.facts) == ("DECK_DUPLICATE", {"prefix": "44"})
    assert "AAE" not in await decks.active()


async def test_a_deck_has_one_currency(decks: Decks, version: str) -> None:
    await decks.put(version, "AAF", 0, rows("1"))
    with pytest.raises(Conflict) as caught:
        await decks.put(version, "AAG", 1, rows("44"))
    assert caught.value.reason == "CURRENCY_FIXED"


async def test_the_next_deck_takes_the_place_of_the_one_before(decks: Decks, version: str) -> None:
    for name in (f"{version}-1", f"{version}-2"):
        await decks.put(name, "AAH", 0, rows("1"))
        await decks.activate(name, 1)
    assert (await decks.active())["AAH"] == f"{version}-2"
    assert not (await decks.find(f"{version}-1")).active
    await decks.activate(f"{version}-1", 1)
    assert (await decks.active())["AAH"] == f"{version}-1"


async def test_an_unknown_deck_is_not_found(decks: Decks) -> None:
    with pytest.raises(NotFound):
        await decks.activate("nowhere", 1)
    with pytest.raises(NotFound):
        await decks.find("nowhere")
