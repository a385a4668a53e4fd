"""Add funds: credits come in once per id."""

import pytest

from ledger.world import DAY_S, World
from stores import contents
from talktime_server.failure import Mismatch, NotFound


async def test_funds_come_in_once_per_id(world: World) -> None:
    await world.play(
        """
        fund f1 5000            -> 5000/0
        fund f1 5000            -> again: 5000/0
        fund f2 7               -> 5007/0
        fund f1 5000            -> again: 5000/0
        balance                 -> 5007/0, spent 0
        """
    )


@pytest.mark.parametrize(
    ("row", "field"),
    [("fund f1 5001", "amount_micros"), ("fund f1 5000 days=30", "expire_days")],
)
async def test_an_altered_funding_is_told_the_field_and_moves_nothing(
    world: World, row: str, field: str
) -> None:
    """Semantics 2."""
    await world.fund(5000, "f1")
    before = await contents(world.store, [world.tenant.tenant_id])
    await world.play(f"{row} -> another {field} than before")
    assert await contents(world.store, [world.tenant.tenant_id]) == before


async def test_credits_end_after_their_days(world: World) -> None:
    first = await world.ledger.funds.add(world.tenant.tenant_id, "f1", 5000, 30)
    second = await world.ledger.funds.add(world.tenant.tenant_id, "f1", 5000, 30)
    assert first.expires_ms == second.expires_ms
    assert 0 <= await world.now_ms() + 30 * DAY_S * 1000 - first.expires_ms < 60_000


async def test_funds_for_nobody_are_refused(world: World) -> None:
    with pytest.raises(NotFound) as caught:
        await world.ledger.funds.add(f"{world.tenant.tenant_id}-not", "f1", 5000, 30)
    assert caught.value.reason == "UNKNOWN_TENANT"


async def test_two_tenants_may_use_the_same_ids(world: World) -> None:
    """Semantics 5: an id belongs to its tenant."""
    other = await world.directory.put_tenant(world.tenant_like(f"{world.tenant.tenant_id}-b"))
    await world.ledger.funds.add(other.tenant_id, "f1", 7, 30)
    await world.play(
        """
        fund f1 5000            -> 5000/0
        balance                 -> 5000/0, spent 0
        """
    )
    assert (await world.ledger.balance(other)).money.settled_micros == 7


async def test_a_mismatch_names_the_id_that_was_used_before(world: World) -> None:
    await world.fund(5000, "f1")
    with pytest.raises(Mismatch, match="funding_id"):
        await world.fund(5001, "f1")
