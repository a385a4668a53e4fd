"""The journal: every movement in its order, read page by page, and a proof that notices what is missing."""

import pytest

from ledger.world import World
from talktime_server.ledger import keys
from talktime_server.ledger.entries import Entry

PROFILES = 3  # lines about the tenant and its two payers, which come first


async def a_day(world: World) -> None:
    """A funding, a call that was settled and one that is open."""
    await world.fund(1000, "f1")
    await world.authorize("a", 600)
    await world.settle("a", 61)
    await world.authorize("b", 60)


def line(entry: Entry) -> tuple[int, str, str, int, int, int]:
    return (
        entry.version,
        str(entry.kind),
        entry.reference,
        entry.settled_delta_micros,
        entry.held_delta_micros,
        entry.seconds,
    )


async def test_each_movement_is_one_line_with_the_next_version(world: World) -> None:
    await a_day(world)
    page, more = await world.journal.page(world.tenant.tenant_id, "", 100)
    assert [line(entry) for entry in page] == [
        (1, "PROFILE", "", 0, 0, 0),
        (2, "PROFILE", "ann", 0, 0, 0),
        (3, "PROFILE", "ben", 0, 0, 0),
        (4, "FUND", "f1", 1000, 0, 0),
        (5, "HOLD", "a", 0, 600, 600),
        (6, "SETTLE", "a", -120, -600, 61),
        (7, "HOLD", "b", 0, 60, 60),
    ]
    assert more == ""
    assert all(entry.entered_ms > 0 for entry in page)


async def test_pages_go_on_where_the_last_one_ended(world: World) -> None:
    await a_day(world)
    owner, read, position = world.tenant.tenant_id, [], ""
    for _ in range(PROFILES + 4):
        page, position = await world.journal.page(owner, position, 1)
        read += [entry.version for entry in page]
    assert read == [1, 2, 3, 4, 5, 6, 7]
    assert await world.journal.page(owner, position, 1) == ([], "")


async def test_the_lines_of_one_call_can_be_picked_out(world: World) -> None:
    await a_day(world)
    page, _ = await world.journal.page(world.tenant.tenant_id, "", 100, reference="a")
    assert [entry.kind for entry in page] == ["HOLD", "SETTLE"]


async def test_tenants_of_one_shard_do_not_see_each_other(world: World) -> None:
    await a_day(world)
    owner = world.tenant.tenant_id
    same_shard = (f"{owner}-{n}" for n in range(10_000))
    neighbour = next(n for n in same_shard if keys.shard_of(n) == keys.shard_of(owner))
    await world.directory.put_tenant(world.tenant_like(neighbour))
    await world.ledger.funds.add(neighbour, "f1", 7, 30)
    page, _ = await world.journal.page(neighbour, "", 100)
    assert [line(entry) for entry in page] == [
        (1, "PROFILE", "", 0, 0, 0),
        (2, "FUND", "f1", 7, 0, 0),
    ]
    assert (await world.prove()).conserved


async def last_entry(world: World) -> bytes:
    stream = keys.journal(keys.shard_of(world.tenant.tenant_id))
    rows = await world.store.command("XREVRANGE", stream, "+", "-", "COUNT", 1)
    return bytes(rows[0][0])


@pytest.mark.parametrize(
    "damage",
    [
        ("SET", "account", "settled_micros 1"),
        ("SET", "account", "held_micros -1"),
        ("SET", "account", "spent_micros 1"),
        ("HINCRBY", "tenant", "loaded 1"),
        ("HINCRBY", "tenant", "expired -1"),
        ("SET", "account", "version 1"),
        ("ZREM", "open", "b"),
        ("XDEL", "journal", "the last line"),
        ("XADD", "journal", "a line too many"),
    ],
    ids=lambda words: " ".join(map(str, words)),
)
async def test_the_proof_notices_every_micro_that_is_not_where_it_belongs(
    world: World, damage: tuple[str, str, str]
) -> None:
    """Promise 3: sums, open holds and journal are three readings of one truth."""
    await a_day(world)
    assert (await world.prove()).conserved
    await hurt(world, *damage)
    assert not (await world.prove()).conserved


async def moved(world: World, place: str, by: str) -> bytes:
    """The account with another number in one place."""
    account = await world.account()
    return account._replace(**{place: getattr(account, place) + int(by)}).pack()


async def hurt(world: World, command: str, where: str, what: str) -> None:
    owner = world.tenant.tenant_id
    name = {
        "tenant": world.key,
        "account": keys.account(owner),
        "open": keys.open_calls(owner),
        "journal": keys.journal(keys.shard_of(owner)),
    }[where]
    words: list[object] = [*what.split()]
    if command == "SET":
        words = [await moved(world, *what.split())]
    if command == "XDEL":
        words = [await last_entry(world)]
    if command == "XADD":
        entry = {"t": owner, "v": 8, "k": "FUND", "r": "", "s": 0, "h": 0, "d": 0, "at": 1}
        words = ["*", *(word for pair in entry.items() for word in pair)]
    await world.store.command(command, name, *words)
