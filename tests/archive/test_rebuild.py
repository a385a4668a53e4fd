"""A store that was thrown away comes back from SQL alone, to the micro."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgpack
import pytest
import pytest_asyncio

from archive.doings import archived, grow_old, live_a_little
from ledger.world import World, open_world
from stores import StoreProcess
from talktime_server.archive.archiver import Archiver
from talktime_server.archive.database import Database
from talktime_server.archive.history import History
from talktime_server.archive.rebuild import REBUILDING, rebuild
from talktime_server.archive.restoring import Writer
from talktime_server.archive.verify import verify
from talktime_server.decision import catalog
from talktime_server.failure import Conflict, Unsafe
from talktime_server.ledger import keys
from talktime_server.ledger.account import Account
from talktime_server.ledger.blocks import block_of
from talktime_server.ledger.journal import Journal
from talktime_server.ledger.recharge_rows import Line, Rule, Step, View
from talktime_server.ledger.recharges import Recharges
from talktime_server.ledger.records import Terms
from talktime_server.ledger.store import Store
from talktime_server.ledger.upgrade import DATA_VERSION, Upgrade
from talktime_server.words import RechargeState

# Of a store's keys these are no part of the journal, and the receipts of calls that ended stay in the archive.
APART = (b":j", b":secret", b":probe", b":bl:")


@pytest_asyncio.fixture
async def fresh_process() -> AsyncIterator[StoreProcess]:
    """A store with nothing in it."""
    process = StoreProcess()
    try:
        await process.start()
        yield process
    finally:
        process.stop()


@pytest_asyncio.fixture
async def fresh(fresh_process: StoreProcess) -> AsyncIterator[Store]:
    """The way there."""
    store = Store(fresh_process.url, timeout_s=10.0)
    yield store
    await store.close()


async def lived(world: World) -> None:
    """A tenant with all that can be restored."""
    await world.set(costly_rate_per_minute_micros=600, max_open_calls_per_payer=100)
    await live_a_little(world, "a")
    await grow_old(world)
    ann = world.payers["ann"]
    licensed = replace(ann, licenses=("MCOPSTN1",), version=0)
    world.payers["ann"] = await world.directory.put_payer("acme", licensed)
    world.payers["ben"] = await world.directory.block_payer("acme", "ben", "fraud")
    await Recharges(world.store).change("acme", _armed)
    await live_a_little(world, "b")
    await world.authorize("dear", 60, terms=Terms(600, 5), costly=True)
    await world.authorize("conf", 60, conference="weekly", budget=100_000)
    await world.authorize("confdone", 60, conference="weekly", budget=100_000)
    await world.settle("confdone", 60)
    await world.ledger.funds.refund("acme", "r1", "fa", 500, "sorry", chargeback=False)


async def test_a_rebuilt_store_is_the_one_that_was(
    world: World, database: Database, fresh: Store
) -> None:
    await lived(world)
    await archived(world, database)
    told: list[tuple[int, int]] = []
    restored = await rebuild(database, fresh, lambda done, total: told.append((done, total)))
    assert restored.proven, restored.wrong
    assert (restored.tenants, restored.payers, restored.open_calls) == (1, 2, 5)
    assert told[-1] == (2, 2)
    kept = await _kept(fresh)
    assert kept == await _kept(world.store)
    assert kept[keys.recharges(keys.shard_of("acme"))]  # the claim is to be taken up
    assert await _blocks(fresh) == await _blocks(world.store)


async def test_it_serves_and_is_archived_again(
    world: World, database: Database, fresh: Store, fresh_process: StoreProcess
) -> None:
    await lived(world)
    await archived(world, database)
    money = await world.ledger.balance(world.tenant)
    await rebuild(database, fresh)
    await Upgrade(fresh, catalog.counted_licenses).run()
    async with open_world(fresh_process.url, "acme") as again:
        assert replace(await again.ledger.balance(again.tenant), read_ms=0) == replace(
            money, read_ms=0
        )
        await again.settle("longb", 400)
        assert (await again.authorize("dear", 60, terms=Terms(600, 5))).replayed
        await live_a_little(again, "after")
        await archived(again, database)
        journal = Journal(again.store, again.ledger, History(database))
        proof = await journal.prove(again.tenant)
        assert proof.conserved, proof
        assert (await verify(database)).sound


async def test_one_that_is_cut_off_anywhere_is_run_again(
    world: World, database: Database, fresh: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lived(world)
    await archived(world, database)
    put, left = Writer.put, [0]

    async def dying(self: Writer, *ask: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            await self.flush()
            raise KeyboardInterrupt
        await put(self, *ask)

    monkeypatch.setattr(Writer, "put", dying)
    for commands in range(0, 200, 7):
        left[0] = commands
        try:
            restored = await rebuild(database, fresh)
        except KeyboardInterrupt:
            assert await fresh.command("GET", keys.stored_version()) == REBUILDING.encode()
            with pytest.raises(Unsafe):
                await Upgrade(fresh, catalog.counted_licenses).run()
            with pytest.raises(Unsafe):
                await Archiver(fresh, database).step()
        else:
            break
    assert restored.proven
    assert await _kept(fresh) == await _kept(world.store)
    assert int(await fresh.command("GET", keys.stored_version())) == DATA_VERSION


async def test_a_store_with_anything_in_it_is_refused(world: World, database: Database) -> None:
    await live_a_little(world)
    await archived(world, database)
    with pytest.raises(Conflict) as refused:
        await rebuild(database, world.store)
    assert refused.value.reason == "STORE_NOT_EMPTY"
    assert "1 tenants" in refused.value.message


async def test_an_archive_without_a_line_restores_nothing(database: Database, fresh: Store) -> None:
    with pytest.raises(Conflict) as refused:
        await rebuild(database, fresh)
    assert refused.value.reason == "ARCHIVE_EMPTY"
    assert await fresh.command("DBSIZE") == 0


def _armed(view: View) -> Step:
    rule = Rule(enabled=True, trigger_micros=5_000_000, amount_micros=10_000_000, version=1)
    armed = replace(view.recharge, nonce="n", rule=rule, state=RechargeState.ARMED, next_ms=0)
    return Step(armed, Line(RechargeState.ARMED))


async def _kept(store: Store) -> dict[str, Any]:
    """Every key with all that is under it, except what is no part of the journal."""
    kept: dict[str, Any] = {}
    for name in sorted(await store.command("KEYS", "*")):
        lives = await store.command("TTL", name)
        if lives < 0 and not any(word in name for word in APART):
            kept[name.decode()] = await _value(store, name)
    kept.pop(keys.archive(), None)
    kept.pop(keys.stored_version(), None)
    return kept


async def _value(store: Store, name: bytes) -> Any:
    kind = await store.command("TYPE", name)
    if kind == b"string":
        stored = await store.command("GET", name)
        # Calls a second are not counted again: the second of the last one is over. When the index looks at the
        # tenant need not be known.
        return (
            Account.read(stored)._replace(second=0, started=0, due_ms=0)
            if b":a:" in name
            else stored
        )
    if kind == b"zset":
        return await store.command("ZRANGE", name, 0, -1, "WITHSCORES")
    assert kind == b"hash"
    found = await store.command("HGETALL", name)
    # As above, of payers.
    spent = {field: msgpack.unpackb(row)[:-2] for field, row in found.items() if b":b:" in name}
    # A sum that nothing was added to is not there, or is 0.
    return {field: row for field, row in (found | spent).items() if row != b"0"}


async def _blocks(store: Store) -> list[Any]:
    rows = await store.command("XRANGE", keys.blocks("acme"), "-", "+")
    return [replace(block_of(*row), position="") for row in rows]
