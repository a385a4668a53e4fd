"""Whatever happens to a tenant's calls, its rows come to what the ledger charged: to the micro, and to the second of a pool."""

import os
import secrets
from itertools import count
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.world import World, open_world
from reports.chance import step
from reports.kit import Archive, catalogue, lines_of, rows
from stores import StoreProcess
from talktime_server.archive.database import Database
from talktime_server.archive.stretches import Ended, rows_of
from talktime_server.ledger.entries import Entry
from talktime_server.ledger.operations import Balance
from talktime_server.ledger.records import (
    Call,
    Ending,
    Facts,
    Grant,
    Money,
    Slice,
    Stretch,
    Terms,
)
from talktime_server.words import CallState, EntryKind, SourceKind

LIVES = int(os.environ.get("TALKTIME_REPORT_LIVES", "6"))
STEPS = 150
_numbers = count(1)
RARE = {"MCOPSTNPP", "FREECALL", "MCOEV", "plan", "big"}
SEEN: set[str] = set()


@pytest.mark.timeout(600)
async def test_rows_come_to_what_the_ledger_charged(
    store_process: StoreProcess, database: Database
) -> None:
    """Random lives: pools, credits, invoices, orphans, late settles; archived in parts cut anywhere."""
    lived = 0
    while lived < LIVES or (lived < 10 * LIVES and not RARE <= SEEN):
        lived += 1
        seed = secrets.randbits(64)
        async with open_world(store_process.url, f"sums{os.getpid()}-{next(_numbers)}") as world:
            await live(world, Random(seed), database, seed)
    assert RARE <= SEEN


async def live(world: World, chance: Random, database: Database, seed: int) -> None:
    for _ in range(STEPS):
        await step(world, chance)
    balance = await world.ledger.balance(world.tenant)  # which ends what is due, so it comes first
    lines, archive = await lines_of(world), Archive(database)
    while lines:
        cut = chance.randint(1, 20)
        await archive.keep(lines[:cut])
        lines = lines[cut:]
    await compare(world, database, balance, seed)


async def compare(world: World, database: Database, balance: Balance, seed: int) -> None:
    found = await rows(database, tenant_id=world.tenant.tenant_id)
    spent = invoiced = 0
    for row in found:
        micros = row["connection_fee_micros"] + row["charge_micros"]
        assert min(row["connection_fee_micros"], row["charge_micros"]) >= 0, seed
        assert row["started_ms"] + row["duration_seconds"] * 1000 == row["stopped_ms"], seed
        spent, invoiced = (
            spent + micros * (not row["postpaid"]),
            invoiced + micros * row["postpaid"],
        )
    assert (spent, invoiced) == (balance.spent_micros, balance.postpaid_micros), f"life {seed}"
    moved = [pool.used_delta_seconds for line in await lines_of(world) for pool in line.pools]
    assert sum(row["pool_seconds"] for row in found) == sum(moved), f"life {seed}"
    assert found
    SEEN.update(row["capability"] for row in found)


STRETCHES = st.lists(
    st.tuples(
        st.sampled_from(["POOL", "CREDITS", "POSTPAID"]),
        st.integers(0, 9_000),
        st.integers(0, 10**9),
    ),
    max_size=4,
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(STRETCHES, st.integers(0, 10**9), st.integers(0, 600), st.booleans(), st.booleans())
def test_the_rows_of_a_call_are_its_stretches(
    parts: list[tuple[str, int, int]], fee: int, unpaid: int, late: bool, asked: bool
) -> None:
    """No micro and no second is lost or told twice, however a call was split."""
    stretches = tuple(
        Stretch(SourceKind(kind), seconds, 0 if kind == "POOL" else micros, "p" * (kind == "POOL"))
        for kind, seconds, micros in parts
    )
    duration = sum(part.seconds for part in stretches) + unpaid
    ended = ended_call(stretches, duration, fee, late=late, asked=asked)
    made = rows_of(ended, catalogue())
    if not duration:
        assert made == []
        return
    charged = sum(row["connection_fee_micros"] + row["charge_micros"] for row in made)
    assert charged == sum(part.amount_micros for part in stretches)
    assert sum(row["duration_seconds"] for row in made) == duration
    assert all(row["charge_micros"] >= 0 for row in made)
    assert sum(row["connection_fee_micros"] for row in made) <= fee
    assert len({row["usage_id"] for row in made}) == len(made)


def ended_call(
    stretches: tuple[Stretch, ...], duration: int, fee: int, *, late: bool, asked: bool
) -> Ended:
    money, at_ms = Money(0, 0), 1_795_287_385_570
    ending = Ending(duration, 0, 0, 0, late, False, not asked, money, at_ms, stretches=stretches)
    first = Grant(600, 0, 720, False, money, at_ms - 60_000) if asked else None
    facts = Facts("USER_OUT", "ann", "+12025550100", "+442071838750", "", "600", "")
    slices = (Slice("p", 0, 60),)
    terms = Terms(10, fee, 60, 60)
    call = Call(CallState.SETTLED, facts, None, 0, 600, 0, terms, first, None, ending, 0, slices)
    entry = Entry("acme", "1-1", 7, EntryKind.SETTLE, "c1", 0, 0, duration, at_ms)
    return Ended(entry, call, None, None)
