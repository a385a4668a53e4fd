"""What is trimmed from the store reads and proves as if it were there."""

import itertools
from dataclasses import replace

from archive.doings import archived, grow_old, live_a_little
from ledger.world import World
from talktime_server.archive.database import Database
from talktime_server.archive.history import History
from talktime_server.ledger import keys
from talktime_server.ledger.entries import Entry
from talktime_server.ledger.journal import Journal
from talktime_server.ledger.packed import call_of
from talktime_server.words import CallState


async def lived(world: World) -> None:
    for mark in ("a", "b", "c"):
        await live_a_little(world, mark)
    await grow_old(world)
    await live_a_little(world, "d")


async def forget(world: World, share: float = 1.0, *, spare: int = 0) -> None:
    """Has the store forget the first lines of its journal, as the archiver does; never the last `spare`."""
    stream = keys.journal(keys.shard_of("acme"))
    positions = [each for each, _ in await world.store.command("XRANGE", stream, "-", "+")]
    positions = positions[: len(positions) - spare]
    gone = positions[: int(len(positions) * share)]
    if gone:
        await world.store.command("XDEL", stream, *gone)


async def listed(journal: Journal, size: int, reference: str = "") -> list[Entry]:
    found, position = await journal.page("acme", "", size, reference)
    while position:
        page, position = await journal.page("acme", position, size, reference)
        assert len(page) <= size
        found += page
    return [replace(entry, position="") for entry in found]


async def test_trimmed_streams_list_as_untrimmed_ones(world: World, database: Database) -> None:
    await lived(world)
    before = await listed(world.journal, 1000)
    one_call = await listed(world.journal, 1000, "longb")
    await archived(world, database)
    await live_a_little(world, "e")
    fresh = (await listed(world.journal, 1000))[len(before) :]
    before += fresh
    journal = Journal(world.store, world.ledger, History(database))
    for share, size in itertools.product((0.0, 0.3, 0.7), (1, 7, 1000)):
        await forget(world, share, spare=len(fresh))
        assert await listed(journal, size) == before
        assert await listed(journal, size, "longb") == one_call


async def test_lines_that_are_trimmed_between_two_pages_are_not_lost(
    world: World, database: Database
) -> None:
    await lived(world)
    before = await listed(world.journal, 1000)
    journal = Journal(world.store, world.ledger, History(database))
    found, position = await journal.page("acme", "", 3)
    await archived(world, database)
    await forget(world)
    rest, end = await journal.page("acme", position, 1000)
    assert end == ""
    assert [replace(entry, position="") for entry in found + rest] == before


async def test_trimmed_streams_prove_as_untrimmed_ones(world: World, database: Database) -> None:
    await lived(world)
    untrimmed = await world.journal.prove(world.tenant)
    await archived(world, database)
    journal = Journal(world.store, world.ledger, History(database))
    for share in (0.0, 0.5, 1.0):
        await forget(world, share)
        proof = await journal.prove(world.tenant)
        assert proof.conserved
        assert proof.entries == untrimmed.entries
    await live_a_little(world, "e")
    assert (await journal.prove(world.tenant)).conserved
    await forget(world)
    gap = await journal.prove(world.tenant)
    assert not gap.conserved


async def test_a_packed_call_reads_as_the_store_shows_it(world: World) -> None:
    await lived(world)
    await world.authorize("beyond", 600)
    await world.extend("beyond", 1, 3_600)
    states = set()
    names = await world.store.command("KEYS", f"{keys.call('acme', '')}*")
    for name in names:
        call_id = name.decode().rpartition(":")[2]
        call = call_of(await world.store.command("GET", name))
        assert call == await world.ledger.show("acme", call_id)
        states.add(call.state)
    assert states == set(CallState)


async def test_the_archive_knows_calls_as_they_ended(world: World, database: Database) -> None:
    await lived(world)
    ended = {name: await world.ledger.show("acme", name) for name in ("paida", "backb", "late")}
    await archived(world, database)
    history = History(database)
    for call_id, call in ended.items():
        packed = await history.packed_call("acme", call_id)
        assert packed
        assert call_of(packed) == call
    assert await history.packed_call("acme", "never") is None
    assert await history.packed_call("other", "paida") is None
    assert await history.packed_call("acme", "fa") is None  # a funding is no call
