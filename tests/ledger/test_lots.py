"""Credits in lots: spent oldest first, lost when their time is over, taken back whole (domain.md 5, semantics 41, 62, 63)."""

import msgpack
import pytest

from ledger.world import DAY_S, World
from talktime_server.failure import Conflict, Mismatch, NotFound
from talktime_server.ledger.operations import Balance
from talktime_server.words import EntryKind

DAY_MS = DAY_S * 1000


async def lots(world: World) -> list[tuple[str, int]]:
    """What is left, oldest first."""
    return [(lot.funding_id, lot.left_micros) for lot in (await balance(world)).lots]


async def balance(world: World) -> Balance:
    return await world.ledger.balance(world.tenant)


async def spend(world: World, call_id: str, seconds: int) -> None:
    """At a micro a second, by the minute."""
    await world.authorize(call_id, seconds)
    await world.settle(call_id, seconds)


async def test_the_oldest_purchase_is_spent_first(world: World) -> None:
    await world.fund(100, "f1")
    await world.fund(200, "f2", days=30)
    await spend(world, "a", 60)
    assert await lots(world) == [("f1", 40), ("f2", 200)]
    await spend(world, "b", 120)
    assert await lots(world) == [("f2", 120)]


async def test_a_lot_tells_what_it_was_and_when_it_ends(world: World) -> None:
    await world.fund(100, "f1", days=30)
    await spend(world, "a", 60)
    (lot,) = (await balance(world)).lots
    assert (lot.amount_micros, lot.left_micros) == (100, 40)
    assert lot.expires_ms - lot.funded_ms == 30 * DAY_MS
    assert (await balance(world)).expires_ms == lot.expires_ms


async def test_only_the_lot_whose_time_is_over_is_lost(world: World) -> None:
    """A later purchase with a shorter life goes before an earlier one with a longer."""
    await world.play(
        """
        fund f1 1000 days=30            -> 1000/0
        fund f2 500 days=1              -> 1500/0
        wait 86401
        balance                         -> 1000/0, spent 0, expired 500
        """
    )
    assert await lots(world) == [("f1", 1000)]


async def test_held_money_finishes_its_call_and_what_comes_back_of_it_is_lost(
    world: World,
) -> None:
    """Semantics 41."""
    await world.set(lease_grace_seconds=3600)
    await world.play(
        """
        fund f1 1000 days=1             -> 1000/0
        wait 86000
        authorize a 600                 -> granted 600 s, holds 600; 1000/600
        wait 401
        balance                         -> 600/600, spent 0, expired 400, open 1
        fund f2 300                     -> 900/600
        settle a 60                     -> charged 60; 300/0
        balance                         -> 300/0, spent 60, expired 940
        """
    )
    assert await lots(world) == [("f2", 300)]


async def test_a_hold_of_afterwards_keeps_no_money_whose_time_is_over(world: World) -> None:
    """Or a tenant that always has a call open would never lose any."""
    await world.set(lease_grace_seconds=3600)
    await world.play(
        """
        fund f1 1000 days=1             -> 1000/0
        fund f2 1000                    -> 2000/0
        wait 86000
        authorize a 600                 -> granted 600 s, holds 600; 2000/600
        wait 401
        authorize b 600                 -> granted 600 s, holds 600; 1600/1200
        release a                       -> released 600; 1000/600
        balance                         -> 1000/600, spent 0, expired 1000, open 1
        """
    )
    assert await lots(world) == [("f2", 1000)]


async def test_new_money_pays_what_is_owed_first(world: World) -> None:
    """Semantics 43: the lot is smaller by it."""
    await world.set(floor_micros=-500)
    await world.fund(100, "f1")
    await world.authorize("a", 60)
    await world.settle("a", 300)
    assert (await balance(world)).money.settled_micros == -200
    await world.fund(1000, "f2")
    assert await lots(world) == [("f2", 800)]


async def test_very_many_lots_become_one(world: World) -> None:
    """So that nothing that walks them is ever long; money is neither lost nor made."""
    for n in range(230):
        await world.fund(1, f"f{n}")
    found = await lots(world)
    assert len(found) == 200
    assert found[-1] == ("f199", 31)
    assert (await world.prove()).conserved


async def refund(
    world: World, refund_id: str, of: str, amount: int, *, chargeback: bool = False
) -> int:
    taken = await world.ledger.funds.refund(
        world.tenant.tenant_id, refund_id, of, amount, "asked for", chargeback=chargeback
    )
    return taken.funding_refunded_micros


async def test_refunds_of_a_funding_never_pass_it(world: World) -> None:
    """Semantics 63: each once, and together no more than was paid."""
    await world.fund(100, "f1")
    assert await refund(world, "r1", "f1", 60) == 60
    assert await refund(world, "r1", "f1", 60) == 60
    assert await refund(world, "r2", "f1", 40, chargeback=True) == 100
    with pytest.raises(Conflict, match="more than is left") as caught:
        await refund(world, "r3", "f1", 1)
    assert (caught.value.reason, caught.value.facts) == (
        "REFUND_LIMIT",
        {"refundable_micros": "0"},
    )
    now = await balance(world)
    assert (now.money.settled_micros, now.refunded_micros, now.lots) == (0, 100, ())
    assert (await world.prove()).conserved


async def test_a_refund_comes_from_its_own_lot_first(world: World) -> None:
    await world.fund(100, "f1")
    await world.fund(100, "f2")
    await refund(world, "r1", "f2", 70)
    assert await lots(world) == [("f1", 100), ("f2", 30)]


async def test_a_chargeback_larger_than_what_is_left_is_taken_whole(world: World) -> None:
    """Semantics 62: holds are honoured, new calls are refused until the balance is back."""
    await world.play(
        """
        fund f1 1000                    -> 1000/0
        authorize a 600                 -> granted 600 s, holds 600; 1000/600
        """
    )
    await refund(world, "r1", "f1", 1000, chargeback=True)
    await world.play(
        """
        authorize b 60                  -> refused INSUFFICIENT_CREDITS; 0/600
        settle a 600                    -> charged 600; -600/0
        fund f2 700                     -> 100/0
        authorize c 60                  -> granted 60 s, holds 60; 100/60
        """
    )


@pytest.mark.parametrize("of", ["nobody", "r1"])
async def test_only_fundings_can_be_refunded(world: World, of: str) -> None:
    await world.fund(100, "f1")
    await refund(world, "r1", "f1", 10)
    with pytest.raises(NotFound) as caught:
        await refund(world, "r2", of, 1)
    assert caught.value.reason == "UNKNOWN_FUNDING"


async def adjust(world: World, amount: int, reason: str = "counted wrong") -> None:
    await world.ledger.funds.adjust(world.tenant.tenant_id, "a1", amount, reason, 365)


@pytest.mark.parametrize(("amount", "left"), [(30, 130), (-30, 70), (-150, -50)])
async def test_a_correction_counts_once_up_or_down(world: World, amount: int, left: int) -> None:
    """Semantics 13, 44."""
    await world.fund(100, "f1")
    await adjust(world, amount)
    await adjust(world, amount)
    now = await balance(world)
    assert (now.money.settled_micros, now.loaded_micros) == (left, left)
    assert (await world.prove()).conserved


@pytest.mark.parametrize(
    ("amount", "reason", "field"),
    [
        (31, "counted wrong", "amount_micros"),
        (30, "goodwill", "reason"),
        (-30, "counted wrong", "amount_micros"),
    ],
)
async def test_an_altered_correction_is_told_the_field(
    world: World, amount: int, reason: str, field: str
) -> None:
    await adjust(world, 30)
    with pytest.raises(Mismatch) as caught:
        await adjust(world, amount, reason)
    assert caught.value.facts["field"] == field


async def test_one_id_is_one_movement_whatever_its_kind(world: World) -> None:
    await world.fund(100, "a1")
    with pytest.raises(Mismatch) as caught:
        await adjust(world, 30)
    assert caught.value.facts["field"] == "kind"


async def test_the_lines_say_what_their_numbers_do_not(world: World) -> None:
    """The archive has nothing else to go by."""
    owner = world.tenant.tenant_id
    await world.ledger.funds.add(owner, "f1", 100, 30, "PO-7")
    await refund(world, "r1", "f1", 40)
    page, _ = await world.journal.page(owner, "", 100)
    said = {line.kind: msgpack.unpackb(line.details) for line in page if line.details}
    assert said[EntryKind.FUND] == said[EntryKind.FUND] | {
        "days": 30,
        "note": "PO-7",
        "settled": 100,
        "held": 0,
    }
    assert said[EntryKind.REFUND] == said[EntryKind.REFUND] | {
        "funding": "f1",
        "note": "asked for",
        "total": 40,
    }
    assert "f1|60|" in said[EntryKind.REFUND]["lots"]


async def test_money_of_before_there_were_lots_is_one(world: World) -> None:
    """Semantics 91: an older store knows one end for all credits."""
    await world.fund(100, "f1", days=30)
    await world.store.command("HDEL", world.key, "lots")
    assert await lots(world) == [("before", 100)]
    await world.advance(30 * DAY_S + 1)
    assert (await balance(world)).expired_micros == 100


async def test_a_trigger_is_claimed_once_by_the_write_that_goes_below_it(world: World) -> None:
    """Semantics 47, 48: strictly below, and on what is available."""
    await world.fund(200, "f1")
    await world.change_account(trigger_micros=140)
    await world.authorize("a", 60)
    assert ("RECHARGE", "") not in await world.told()
    await world.authorize("b", 60)
    await world.authorize("c", 60)
    assert (await world.told()).count(("RECHARGE", "")) == 1
    assert (await world.account()).trigger_micros == -1
    assert await world.store.command("HGET", world.key, "re") == b"1"


async def test_a_trigger_on_the_settled_balance_waits_for_the_charge(world: World) -> None:
    await world.fund(100, "f1")
    await world.change_account(trigger_micros=60, on_settled=1)
    await world.authorize("a", 60)
    assert ("RECHARGE", "") not in await world.told()
    await world.settle("a", 60)
    assert (await world.told())[-1] == ("RECHARGE", "")
