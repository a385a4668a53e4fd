"""How a call is kept: one form on both sides, and calls as data version 4 kept them are as good (semantics 91)."""

import re
from collections.abc import Sequence
from typing import Any

import msgpack
import pytest

from house import SCRIPTS
from ledger.world import World
from talktime_server.failure import Broken
from talktime_server.ledger import keys
from talktime_server.ledger.operations import Judge, Outcome
from talktime_server.ledger.packed import fields_of_call
from talktime_server.ledger.records import SOURCES, STATES, Sources

TWINS = ("row", "names")
OVER = (b"held", b"lease", b"epoch")  # which version 4 left out of a receipt


async def as_version_4(world: World, call_id: str) -> None:
    """Keeps a call as data version 4 did: by its names, the price as a list."""
    key = keys.call(world.tenant.tenant_id, call_id)
    fields = fields_of_call(await world.store.command("GET", key))
    goes_on = fields[b"state"] in (b"OPEN", b"EXPIRED")
    kept = {
        name.decode(): value
        for name, value in fields.items()
        if value is not None and value is not False and (goes_on or name not in OVER)
    }
    packed = msgpack.packb(kept, use_bin_type=False)
    await world.store.command("SET", key, packed, "KEEPTTL")


async def twins(world: World) -> None:
    """Two calls, alike but for the form in which they are kept."""
    await world.fund(100_000)
    for call_id in TWINS:
        await world.authorize(call_id)
    await as_version_4(world, "names")


def alike(outcomes: Sequence[Outcome | Judge]) -> None:
    """All but the money and the moment, for one came after the other."""
    row, names = map(told, outcomes)
    assert row == names


def told(outcome: Outcome | Judge) -> dict[str, Any]:
    assert isinstance(outcome, Outcome)
    fields = {**outcome.call._asdict(), "replayed": outcome.replayed, "lease_ms": 0}
    for name, moment in (("first", "decided_ms"), ("last", "decided_ms"), ("ending", "ended_ms")):
        if answer := fields[name]:
            fields[name] = answer._replace(**{"money": None, moment: 0})
    return fields


@pytest.mark.parametrize("end", ["settle", "release"])
async def test_an_open_call_goes_on_and_ends(world: World, end: str) -> None:
    await twins(world)
    shown = [await world.ledger.show(world.tenant.tenant_id, call_id) for call_id in TWINS]
    assert shown[0].facts == shown[1].facts
    assert shown[0].terms == shown[1].terms
    alike([await world.authorize(call_id) for call_id in TWINS])
    if end == "release":
        alike([await world.release(call_id) for call_id in TWINS])
        return
    alike([await world.extend(call_id, 1, 60) for call_id in TWINS])
    alike([await world.settle(call_id, 620) for call_id in TWINS])
    assert (await world.prove()).conserved


async def test_a_receipt_is_found_again(world: World) -> None:
    await twins(world)
    for call_id in TWINS:
        await world.settle(call_id, 61)
    await as_version_4(world, "names")
    alike([await world.settle(call_id, 61) for call_id in TWINS])
    assert (await world.prove()).conserved


async def test_a_call_that_time_ended_is_settled_late(world: World) -> None:
    await twins(world)
    await world.advance(3_600)
    await world.ledger.balance(world.tenant)
    await as_version_4(world, "names")
    alike([await world.settle(call_id, 61) for call_id in TWINS])
    assert (await world.prove()).conserved


async def test_what_pays_is_one_of_those_that_a_row_can_name(world: World) -> None:
    """Nothing else is kept, and nothing is held for it."""
    await world.fund(1_000)

    class Unheard(Sources):
        def texts(self) -> tuple[str, str, str]:
            return "BARTER", "", ""

    with pytest.raises(Broken):
        await world.authorize("c", sources=Unheard())
    balance = await world.ledger.balance(world.tenant)
    assert balance.money == (1_000, 0)


def test_the_words_of_a_row_stand_in_one_order() -> None:
    text = (SCRIPTS / "row.lua").read_text()
    words = {
        name: re.findall(r'"([^"]*)"', row)
        for name, row in re.findall(r"(STATES|SOURCES) = \{(.*?)\}", text)
    }
    assert words["STATES"] == [state.value for state in STATES]
    assert words["SOURCES"] == [source.decode() for source in SOURCES]
