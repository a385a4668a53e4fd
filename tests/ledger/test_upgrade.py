"""Semantics 91: what data version 1 wrote is served as if it had been written today, and what a newer one wrote is not touched."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from ledger.old_rows import DECK_ROWS, LICENSES, OWNER, write_old_store, write_profiles
from ledger.world import PATIENCE_S, World, open_world
from stores import StoreProcess, contents
from talktime_server.decision.catalog import counted_licenses
from talktime_server.failure import StoreAway, Unsafe
from talktime_server.ledger import keys
from talktime_server.ledger.decks import Decks
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.profiles import Payer
from talktime_server.ledger.store import Store
from talktime_server.ledger.upgrade import PAGE, Upgrade

MANY = 2 * PAGE + 7
COUNTS = {"MCOPSTN1:US": 2, "MCOMEETADV:": 1}


@pytest_asyncio.fixture
async def store(own_store: StoreProcess) -> AsyncIterator[Store]:
    """A connection to an empty store."""
    async with connected(own_store) as store:
        yield store


@asynccontextmanager
async def connected(process: StoreProcess) -> AsyncIterator[Store]:
    """What one more process has."""
    store = Store(process.url, timeout_s=PATIENCE_S)
    try:
        yield store
    finally:
        await store.close()


@pytest_asyncio.fixture
async def old_world(own_store: StoreProcess, store: Store) -> AsyncIterator[World]:
    """An old tenant in a store that was brought up to date."""
    await write_old_store(store)
    await upgrade(store)
    async with open_world(own_store.url, OWNER) as world:
        yield world


async def upgrade(
    store: Store, counted: Callable[[Payer], tuple[str, ...]] = counted_licenses
) -> None:
    await Upgrade(store, counted).run()


async def version(store: Store) -> bytes | None:
    found: bytes | None = await store.command("GET", keys.stored_version())
    return found


async def counts(store: Store, owner: str = OWNER) -> dict[str, int]:
    row = await store.command("HGETALL", keys.meters(owner))
    return {name.decode().removeprefix("n:"): int(count) for name, count in row.items()}


def many() -> dict[str, list[str]]:
    return {f"user{n:05}": ["MCOPSTN1"] for n in range(MANY)}


async def test_an_empty_store_gets_this_version(store: Store) -> None:
    await upgrade(store)
    assert await version(store) == b"5"


async def test_nothing_but_the_version_is_looked_at_when_it_is_this_one(store: Store) -> None:
    await upgrade(store)
    await write_old_store(store)
    asked = int((await store.command("INFO", "stats"))["total_commands_processed"])
    await upgrade(store)
    told = int((await store.command("INFO", "stats"))["total_commands_processed"])
    assert told - asked == 2  # its own question, and the first of these two
    assert await counts(store) == {}


async def test_a_store_of_version_4_gets_the_number_and_nothing_else(store: Store) -> None:
    """Its accounts are there, and its calls are read as they are."""
    await upgrade(store)
    await write_profiles(store)
    await store.command("SET", keys.stored_version(), 4)
    before = await contents(store)
    await upgrade(store)
    after = await contents(store)
    assert {name for name in after if before.get(name) != after[name]} == {
        keys.stored_version().encode()
    }
    assert before.keys() == after.keys()
    assert await version(store) == b"5"


@pytest.mark.parametrize("newer", ["6", "12", "2b"])
async def test_a_newer_store_is_refused_and_left_alone(store: Store, newer: str) -> None:
    await write_old_store(store)
    await store.command("SET", keys.stored_version(), newer)
    before = await contents(store)
    with pytest.raises(Unsafe, match=f"data version {newer}, this talktime reads up to 5: start"):
        await upgrade(store)
    assert await contents(store) == before


async def test_payers_are_counted_and_only_the_archive_is_told(store: Store) -> None:
    """Calls and decks stay byte for byte; money goes into the account."""
    await write_old_store(store)
    before = await contents(store)
    await upgrade(store)
    assert await counts(store) == COUNTS
    after = await contents(store)
    changed = {name for name in after if before.get(name) != after[name]}
    payers = {keys.payer(OWNER, name) for name in ("ann", "ben", "eve")}
    written = {keys.tenant(OWNER), keys.account(OWNER), keys.meters(OWNER), *payers}
    written.add(keys.stored_version())
    written.add(keys.journal(keys.shard_of(OWNER)))
    assert changed == {name.encode() for name in written}
    assert before.keys() - after.keys() == {keys.old_tenant(OWNER).encode()}


async def test_payers_are_what_they_were(store: Store) -> None:
    await write_old_store(store)
    await upgrade(store)
    after = await Directory(store, counted_licenses).list_payers(OWNER, "", 10)
    assert [payer.version for payer in after] == [2, 2, 2]
    assert {p.payer_id: list(p.licenses) for p in after} == LICENSES
    assert {p.country for p in after} == {"US"}


async def test_the_archive_is_told_of_what_older_versions_kept_to_themselves(
    old_world: World,
) -> None:
    """Each profile, and each call that is open."""
    page, _ = await old_world.journal.page(OWNER, "", 1000)
    told = {(line.kind.value, line.reference): line for line in page}
    assert {("PROFILE", name) for name in ("", "ann", "ben", "eve")} <= told.keys()
    open_calls = await old_world.store.command("ZRANGE", keys.open_calls(OWNER), 0, -1)
    for call_id in open_calls:
        stored = await old_world.store.command("GET", keys.call(OWNER, call_id.decode()))
        assert told["KEEP", call_id.decode()].call == stored


async def test_a_store_of_the_version_before_is_told_of_too(store: Store) -> None:
    """It counted, but told nobody; a second start has nothing left to do."""
    await write_old_store(store)
    await store.command("SET", keys.stored_version(), "2")
    await upgrade(store)
    assert await version(store) == b"5"
    before = await contents(store)
    await store.command("SET", keys.stored_version(), "2")
    await upgrade(store)
    after = await contents(store)
    changed = {name for name in after if before.get(name) != after[name]}
    # Open calls are written down once more, which is what happens after a cut.
    assert changed <= {keys.account(OWNER).encode(), keys.journal(keys.shard_of(OWNER)).encode()}


async def test_old_calls_go_on(old_world: World) -> None:
    """Each way a hold ends, and each repeat."""
    await old_world.play(
        """
        balance                        -> 9880/3000, spent 120, abandoned 1, open 5
        authorize again 600            -> again: granted 600 s, holds 600; 9880/3000
        extend extended 1 60           -> judge
        extend extended 1 60 sources=CREDITS -> granted 660 s, holds 660; 9880/3060
        extend extended 1 60           -> again: granted 660 s, holds 660; 9880/3060
        paid extended                  -> CREDITS 660 s for 660
        settle settled 61              -> charged 120; 9760/2460
        settle settled 61              -> again: charged 120; 9760/2460
        paid settled                   -> CREDITS 61 s for 120
        release released               -> released 600; 9760/1860
        authorize a 600                -> granted 600 s, holds 600; 9760/2460
        settle a 600                   -> charged 600; 9160/1860
        wait 700
        expire expired                 -> expired 600; 9160/1260
        settle expired 60              -> charged 60 late; 9100/1260
        expire extended                -> open, 660 s, holds 660
        wait 60
        expire extended again          -> expired 660; 9100/600
        settle extended 700            -> charged 720 late overrun; 8380/0
        """
    )
    assert await old_world.use("ann") == await old_world.use("ben") == (0, 0)


async def test_old_receipts_are_given_again(old_world: World) -> None:
    await old_world.play(
        """
        settle old-settled 61          -> again: charged 120; 9880/0
        settle old-settled 62          -> ALREADY_SETTLED
        release old-released           -> again: released 600; 9880/0
        release old-expired            -> again: expired 600; 9880/0
        settle old-expired 60          -> charged 60 late; 9820/3000
        authorize old-refused 600      -> again: refused NO_LICENSE; 10000/0
        authorize old-refused 60       -> another requested_seconds than before
        authorize old-refused 600 budget=5 conference=room -> another conference_id than before
        fund f1 10000                  -> again: 10000/0
        """
    )


async def test_pools_have_their_size(old_world: World) -> None:
    """Two licences with ten minutes each, in the pools of stories."""
    await old_world.play(
        """
        authorize a 1500 sources=COUNTED -> final 1200 s, holds 0; 9880/3000
        """
    )


async def test_the_deck_in_force_stays_in_force(old_world: World) -> None:
    decks = Decks(old_world.store)
    assert (await decks.find("v1")).active
    currency, table = await decks.read("v1")
    assert currency == "USD"
    assert [table.priced(number) for number in range(len(table))] == [
        tuple(row[1:]) for row in DECK_ROWS
    ]


async def test_many_processes_upgrade_at_once_and_none_is_counted_twice(
    own_store: StoreProcess, store: Store
) -> None:
    """And an administrator writes payers meanwhile: what he wrote stays."""
    await write_profiles(store, many())
    administrator = Directory(store, counted_licenses)

    async def assign(payer_id: str) -> None:
        while not await store.command("EXISTS", keys.account(OWNER)):
            await asyncio.sleep(0)
        await administrator.assign_licenses(OWNER, payer_id, add=("MCOPSTN2",), remove=())

    async with connected(own_store) as another:
        await asyncio.gather(
            upgrade(store),
            upgrade(another),
            upgrade(another),
            *(assign(f"user{n:05}") for n in range(0, MANY, 10)),
        )
    assert await counts(store) == {"MCOPSTN1:US": MANY, "MCOPSTN2:US": len(range(0, MANY, 10))}
    assert await version(store) == b"5"


async def test_one_that_is_cut_off_is_finished_by_the_next(store: Store) -> None:
    """Somewhere in the second page; what comes after goes on there."""
    await write_profiles(store, many())
    asked: list[str] = []

    def failing(payer: Payer) -> tuple[str, ...]:
        asked.append(payer.payer_id)
        if payer.payer_id == f"user{PAGE + 250:05}":
            raise StoreAway("STORE_AWAY", "the power went")
        return counted_licenses(payer)

    with pytest.raises(StoreAway):
        await upgrade(store, failing)
    assert await version(store) is None
    asked.clear()

    def counted(payer: Payer) -> tuple[str, ...]:
        asked.append(payer.payer_id)
        return counted_licenses(payer)

    await upgrade(store, counted)
    assert min(asked) == f"user{PAGE:05}"
    assert await counts(store) == {"MCOPSTN1:US": MANY}
    assert await store.command("GET", keys.upgrade_mark()) is None


async def test_every_tenant_is_walked_and_one_may_have_been_done(store: Store) -> None:
    owners = [f"tenant{n:02}" for n in range(40)]
    for owner in owners:
        await write_profiles(store, {"ann": ["MCOPSTN1"]}, owner)
    await store.command("SET", keys.upgrade_mark(), "tenant07 ann")
    await upgrade(store)
    done = {owner: await counts(store, owner) for owner in owners}
    assert [owner for owner in owners if not done[owner]] == owners[:8]


async def test_a_payer_that_cannot_be_read_is_passed_over(store: Store) -> None:
    await write_old_store(store)
    await store.command("HSET", keys.payer(OWNER, "ann"), "p", "{")
    await store.command("ZADD", keys.payers(OWNER), 0, "nobody")
    await upgrade(store)
    assert await counts(store) == COUNTS
    assert await version(store) == b"5"
