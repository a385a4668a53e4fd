"""Semantics 8: nobody is charged twice for a call whose receipt is gone, though the archive is behind or knows little of it."""

import pytest

from archive.doings import archived
from ledger.world import World
from talktime_server.archive.database import Database
from talktime_server.archive.late_calls import LateCalls
from talktime_server.decision.receipts import Receipts
from talktime_server.failure import ArchiveAway, Conflict
from talktime_server.ledger import keys
from talktime_server.words import CallState

OLD_MS = 1


async def _forget(world: World, call_id: str) -> None:
    assert await world.store.command("DEL", keys.call("acme", call_id)) == 1


async def test_an_archive_that_is_behind_says_so(world: World, database: Database) -> None:
    """It may know the call as an open one, or not at all."""
    await world.fund(10_000)
    await world.authorize("open")
    archiver = await archived(world, database)
    receipts = Receipts(LateCalls(database, world.store, receipt_life_ms=0))
    await world.settle("open", 60)
    await world.authorize("unheard")
    await world.settle("unheard", 60)
    for call_id in ("open", "unheard"):
        await _forget(world, call_id)
        with pytest.raises(ArchiveAway) as refused:
            await receipts.find("acme", call_id)
        assert refused.value.reason == "ARCHIVE_BEHIND"
    while await archiver.step():
        pass
    receipts = Receipts(LateCalls(database, world.store, receipt_life_ms=OLD_MS))
    for call_id in ("open", "unheard"):
        record = await receipts.find("acme", call_id)
        assert record
        assert record.call.state is CallState.SETTLED
    assert await receipts.find("acme", "never") is None


async def test_young_lines_that_wait_do_not_matter(world: World, database: Database) -> None:
    """Their calls have their receipts in the store."""
    await archived(world, database)
    await world.fund(10_000)
    late = LateCalls(database, world.store, receipt_life_ms=3_600_000)
    assert await late.packed_call("acme", "never") is None


async def test_a_line_without_its_call_is_an_end_all_the_same(
    world: World, database: Database
) -> None:
    """As the data version before the archive wrote them."""
    await world.fund(10_000)
    for call_id in ("settled", "released", "lost"):
        await world.authorize(call_id)
    await world.settle("settled", 60)
    await world.release("released")
    await world.advance(3_600)
    await world.ledger.balance(world.tenant)
    stream = keys.journal(keys.shard_of("acme"))
    for position, fields in await world.store.command("XRANGE", stream, "-", "+"):
        at_ms, _, number = position.decode().partition("-")
        plain = [part for name, value in fields.items() for part in (name, value) if name != b"c"]
        await world.store.command("XDEL", stream, position)
        await world.store.command("XADD", f"{stream}:plain", f"{at_ms}-{number}", *plain)
    await world.store.command("RENAME", f"{stream}:plain", stream)
    await archived(world, database)
    late = LateCalls(database, world.store, receipt_life_ms=3_600_000)
    for call_id in ("settled", "released"):
        with pytest.raises(Conflict) as refused:
            await late.packed_call("acme", call_id)
        assert refused.value.reason == "RECEIPT_EXPIRED"
    assert await late.packed_call("acme", "lost") is None
