"""Calls for help: what is stored of their payer, or how old the copy at hand is, never keeps them from passing."""

import asyncio

import pytest

from ledger.world import PATIENCE_S, World
from talktime_server.decision import catalog, emergency
from talktime_server.decision.emergency import Emergencies
from talktime_server.decision.verdict import Question
from talktime_server.failure import Invalid
from talktime_server.ledger import keys
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.profiles import Payer
from talktime_server.words import CallType, SourceKind

BROKEN = ["{}", "[]", "not JSON", '{"licenses": 1}']


def help_from(world: World, number: str, call_id: str = "help") -> Question:
    """A call of ann's to such a number."""
    return Question(
        world.tenant.tenant_id, call_id, "ann", CallType.USER_OUT, "", number, "", 0, ""
    )


def emergencies(world: World, directory: Directory) -> Emergencies:
    return Emergencies(directory=directory, plan=catalog.number_plan(), ledger=world.ledger)


async def test_a_payer_who_moved_reaches_the_help_of_the_new_country(world: World) -> None:
    """A process that knows the payer from before must not refuse by what was true then."""
    elsewhere = Directory(world.store, catalog.counted_licenses)
    await elsewhere.fresh(world.tenant.tenant_id, "ann")
    await world.directory.put_payer(world.tenant.tenant_id, Payer("ann", "GB"))
    passed = await emergencies(world, elsewhere).passes(help_from(world, "999"))
    assert passed.country == "GB"


async def test_another_countrys_number_is_refused_by_the_profile_of_now(world: World) -> None:
    with pytest.raises(Invalid):
        await emergencies(world, world.directory).passes(help_from(world, "999"))


@pytest.mark.parametrize("text", BROKEN)
async def test_a_profile_that_cannot_be_read_keeps_nobody_from_help(
    world: World, text: str
) -> None:
    """And is no end for the records of the others."""
    await world.store.command("HSET", keys.payer(world.tenant.tenant_id, "ann"), "p", text)
    calls = emergencies(world, Directory(world.store, catalog.counted_licenses))
    assert (await calls.passes(help_from(world, "112"))).country == ""
    bens = Question(world.tenant.tenant_id, "bens", "ben", CallType.USER_OUT, "", "911", "", 0, "")
    await calls.passes(bens)
    assert await calls.finish()
    kept = await world.ledger.show(world.tenant.tenant_id, "bens")
    assert kept.free is SourceKind.EMERGENCY


async def test_a_record_dropped_while_it_is_written_takes_no_other_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emergency, "MOST_WAITING", 1)
    calls = emergencies(world, world.directory)
    await calls.passes(help_from(world, "911", "first"))
    writing = asyncio.create_task(calls.finish())
    await asyncio.sleep(0)
    await calls.passes(help_from(world, "911", "second"))
    assert await writing
    kept = await world.ledger.show(world.tenant.tenant_id, "second")
    assert kept.free is SourceKind.EMERGENCY


async def test_the_end_comes_when_it_is_due_though_the_store_hangs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emergency, "LAST_TRY_S", 0.05)
    calls = emergencies(world, world.directory)
    await calls.passes(help_from(world, "911", "late"))
    await world.store.command("CLIENT", "PAUSE", 60_000, "WRITE")
    calls.drain(0.1)
    try:
        async with asyncio.timeout(PATIENCE_S / 2):
            assert not await calls.finish()
    finally:
        await world.store.command("CLIENT", "UNPAUSE")
    monkeypatch.undo()
    assert await calls.finish()
    kept = await world.ledger.show(world.tenant.tenant_id, "late")
    assert kept.free is SourceKind.EMERGENCY
