"""Rows of the usage report from calls that were really made: one for each stretch, and none for what cost and used nothing."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from ledger.world import World
from reports.kit import Archive, lines_of, rows
from talktime_server.archive.database import Database
from talktime_server.ledger import keys
from talktime_server.ledger.profiles import Payer
from talktime_server.ledger.records import EMERGENCY, INCLUDED, Pool, Sources, Terms

TEN_A_MINUTE = Terms(10, 3, 60, 60)
PLAN = Pool("US/MCOPSTN1", "", 600, bought=1)


async def told(world: World, database: Database) -> list[dict[str, Any]]:
    await Archive(database).keep(await lines_of(world))
    return await rows(database, tenant_id=world.tenant.tenant_id)


async def test_a_call_that_credits_paid_has_one_row_with_its_fee_apart(
    world: World, either: Database
) -> None:
    await world.fund(1000)
    await world.authorize("c1", 600, terms=TEN_A_MINUTE)
    await world.advance(30)
    await world.settle("c1", 90)
    [row] = await told(world, either)
    assert (row["connection_fee_micros"], row["charge_micros"]) == (3, 20)
    assert (row["duration_seconds"], row["capability"], row["postpaid"]) == (90, "MCOPSTNPP", False)
    assert row["stopped_ms"] - row["started_ms"] == 90_000
    assert (row["user_location"], row["domestic"], row["currency"]) == ("US", "", "USD")
    assert row["number_type"] == "Subscriber"


@pytest.mark.parametrize("behind", ["credits", "invoice"])
async def test_a_call_that_outlives_its_pool_has_two_rows_that_follow_each_other(
    world: World, database: Database, behind: str
) -> None:
    """Semantics 39: what comes after the pool has no fee, for that falls due at the start."""
    await world.fund(1000)
    sources = Sources(pools=(PLAN,), credits=behind == "credits", postpaid=behind == "invoice")
    await world.authorize("c1", 1200, sources=sources, terms=TEN_A_MINUTE)
    await world.advance(700)
    await world.settle("c1", 661)
    first, second = await told(world, database)
    assert (first["capability"], first["pool_id"]) == ("MCOPSTN1", "US/MCOPSTN1")
    assert (first["duration_seconds"], first["pool_seconds"], first["charge_micros"]) == (
        600,
        600,
        0,
    )
    assert second["started_ms"] == first["stopped_ms"]
    assert (second["duration_seconds"], second["charge_micros"]) == (61, 20)
    assert second["connection_fee_micros"] == first["connection_fee_micros"] == 0
    assert second["postpaid"] is (behind == "invoice")
    assert second["stopped_ms"] == first["ended_ms"]
    assert first["usage_id"] != second["usage_id"]


async def test_a_fee_that_credits_cannot_pay_alone_is_in_both_rows(
    world: World, database: Database
) -> None:
    await world.fund(2)
    both = Sources(credits=True, postpaid=True)
    await world.authorize("c1", 60, sources=both, terms=TEN_A_MINUTE)
    await world.settle("c1", 60)
    found = await told(world, database)
    paid = {row["postpaid"]: (row["connection_fee_micros"], row["charge_micros"]) for row in found}
    assert paid == {False: (2, 0), True: (1, 10)}
    assert sum(row["duration_seconds"] for row in found) == 60
    assert all(a["stopped_ms"] == b["started_ms"] for a, b in pairwise(found))


async def test_what_nobody_paid_is_not_charged(world: World, database: Database) -> None:
    """The overrun of a call goes down to the floor, and the rest is uncollected: no row has it."""
    await world.fund(15)
    await world.authorize("c1", 60, terms=TEN_A_MINUTE)
    await world.settle("c1", 600)
    [row] = await told(world, database)
    assert row["connection_fee_micros"] + row["charge_micros"] == 15
    assert row["duration_seconds"] == 600


async def test_talk_time_that_no_source_covered_is_told_as_given_away(
    world: World, database: Database
) -> None:
    await world.authorize("c1", 600, sources=Sources(pools=(PLAN,)))
    await world.settle("c1", 660)
    covered, given = await told(world, database)
    assert (covered["capability"], covered["duration_seconds"]) == ("MCOPSTN1", 600)
    assert (given["capability"], given["duration_seconds"]) == ("FREECALL", 60)
    assert given["charge_micros"] + given["connection_fee_micros"] + given["pool_seconds"] == 0


@pytest.mark.parametrize(
    ("sources", "licences", "capability"),
    [
        (INCLUDED, ("MCOEV", "MCOPSTN2", "MCOPSTN5"), "MCOPSTN5"),
        (INCLUDED, ("MCOEV", "MCOPSTN_PAYG_1"), "MCOEV"),
        (INCLUDED, (), "MCOEV"),
        (EMERGENCY, ("MCOPSTN2",), "MCOEV"),
    ],
    ids=["plan", "pay as you go", "none any more", "emergency"],
)
async def test_a_call_that_costs_nothing_has_a_row_too(
    world: World, database: Database, sources: Sources, licences: tuple[str, ...], capability: str
) -> None:
    ann = replace(world.payers["ann"], licenses=licences, version=0)
    world.payers["ann"] = await world.directory.put_payer(world.tenant.tenant_id, ann)
    await world.authorize("c1", 600, sources=sources)
    await world.settle("c1", 30)
    [row] = await told(world, database)
    assert (row["charge_micros"], row["connection_fee_micros"]) == (0, 0)
    assert (row["duration_seconds"], row["capability"]) == (30, capability)


async def test_calls_that_came_to_nothing_have_no_rows(world: World, database: Database) -> None:
    """Refused, released, never answered, or left to expire without a charge."""
    await world.fund(1000)
    await world.authorize("refused", 10_000, terms=Terms(10**6, 0, 60, 60))
    await world.authorize("released", 60)
    await world.release("released")
    await world.authorize("unanswered", 60, terms=TEN_A_MINUTE)
    await world.settle("unanswered", 0)
    await world.authorize("left", 60)
    await world.advance(3600)
    await world.ledger.expire(world.tenant, ["left"])
    assert await told(world, database) == []


async def test_a_late_settle_replaces_what_the_expiry_charged(
    world: World, database: Database
) -> None:
    """Semantics 13: the orphan was charged what its last Extend proved; the settle says what it was."""
    await world.set(charge_orphans=True)
    await world.fund(10_000)
    await world.authorize("c1", 600, terms=TEN_A_MINUTE)
    await world.advance(130)
    await world.extend("c1", 1, 60)
    await world.advance(3600)
    await world.ledger.expire(world.tenant, ["c1"])
    archive, lines = Archive(database), await lines_of(world)
    await archive.keep(lines)
    await world.advance(60)
    [orphan] = await rows(database, tenant_id=world.tenant.tenant_id)
    assert (orphan["duration_seconds"], orphan["charge_micros"]) == (130, 30)
    await world.settle("c1", 300)
    await archive.keep((await lines_of(world))[len(lines) :])
    [settled] = await rows(database, tenant_id=world.tenant.tenant_id)
    assert (settled["duration_seconds"], settled["charge_micros"]) == (300, 50)
    assert settled["usage_id"] == orphan["usage_id"]
    assert settled["started_ms"] == orphan["started_ms"], "a late settle says nothing of the start"
    assert settled["ended_ms"] > orphan["ended_ms"]


async def test_an_orphan_that_was_never_answered_loses_its_rows(
    world: World, database: Database
) -> None:
    await world.set(charge_orphans=True)
    await world.fund(10_000)
    await world.authorize("c1", 600)
    await world.advance(130)
    await world.extend("c1", 1, 60)
    await world.advance(3600)
    await world.ledger.expire(world.tenant, ["c1"])
    await world.settle("c1", 0)
    assert await told(world, database) == []


async def test_an_id_that_is_used_again_is_another_call(world: World, database: Database) -> None:
    """Receipts live for a day; whoever uses an id again later must not wipe out what the first one cost."""
    await world.fund(10_000)
    for duration in (60, 120):
        await world.authorize("c1", 600)
        await world.settle("c1", duration)
        await world.store.command("DEL", keys.call(world.tenant.tenant_id, "c1"))
        await world.advance(90_000)
    found = await told(world, database)
    assert [row["duration_seconds"] for row in found] == [60, 120]
    assert found[0]["usage_id"] != found[1]["usage_id"]


async def test_a_call_that_never_asked_ends_when_it_is_settled(
    world: World, database: Database
) -> None:
    await world.fund(10_000)
    await world.settle("c1", 90, world.unreserved(TEN_A_MINUTE))
    [row] = await told(world, database)
    assert row["stopped_ms"] == row["ended_ms"]
    assert row["started_ms"] == row["ended_ms"] - 90_000


async def test_lines_that_come_again_make_the_same_rows(world: World, either: Database) -> None:
    """A transaction that was rolled back, or an archiver that died before it noted how far it was."""
    await world.fund(10_000)
    await world.authorize("c1", 600, sources=Sources(pools=(PLAN,), credits=True))
    await world.settle("c1", 90)
    await world.settle("c2", 90, world.unreserved(TEN_A_MINUTE))
    before = await told(world, either)
    await Archive(either).follow_again(await lines_of(world))
    assert await rows(either, tenant_id=world.tenant.tenant_id) == before


async def test_names_are_those_of_the_line_however_batches_are_cut(
    world: World, database: Database
) -> None:
    """A payer moves and changes its name between two calls; all of it is archived at once."""
    await world.fund(10_000)
    owner = world.tenant.tenant_id
    for name, country in (("Ann", "US"), ('=HYPERLINK("x")', "GB")):
        payer = Payer("ann", country, name, user_principal_name=f"{country}@example.com")
        world.payers["ann"] = await world.directory.put_payer(owner, payer)
        await world.authorize(f"c{country}", 60)
        await world.settle(f"c{country}", 60)
    lines, archive = await lines_of(world), Archive(database)
    await archive.keep(lines[:-3])
    await archive.keep(lines[-3:])
    found = await rows(database, tenant_id=owner)
    names = [(row["user_display_name"], row["user_location"]) for row in found]
    assert names == [("Ann", "US"), ('=HYPERLINK("x")', "GB")]
    assert found[1]["user_principal_name"] == "GB@example.com"
