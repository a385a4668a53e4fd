"""What comes between a dip and its credits: another rule, another worker, a dead one, another way of paying."""

import asyncio
from typing import Any

import pytest

from recharge.mortal import Fate, Mortal, MortalRows
from recharge.stage import (
    UNHURRIED,
    UNIT,
    Stage,
    charging_of,
    rule,
)
from talktime_server.failure import StoreAway
from talktime_server.ledger import keys
from talktime_server.ledger.connection import silent
from talktime_server.payments.sandbox import Token
from talktime_server.work import steps


async def test_turned_off_in_flight_it_is_credited_and_no_other_follows(stage: Stage) -> None:
    """Semantics 61."""
    await stage.set_rule(rule(Token.SLOW))
    await stage.spend(140)
    serving = asyncio.create_task(stage.serve())
    while await stage.state() != "CHARGING":
        await asyncio.sleep(0.01)
    await stage.set_rule(rule(Token.SLOW, enabled=False))
    assert await stage.state() == "CHARGING"
    await serving
    assert (await stage.state(), await stage.settled()) == ("OFF", 210)
    await stage.spend(200)
    await stage.serve()
    assert len(stage.charges()) == 1
    await stage.check()


async def test_turned_off_before_the_provider_was_asked_nothing_is_charged(stage: Stage) -> None:
    await stage.set_rule(rule())
    await stage.spend(51)
    await stage.set_rule(rule(enabled=False))
    await stage.serve()
    assert (await stage.state(), stage.charges()) == ("OFF", [])
    await stage.set_rule(rule())
    await stage.serve()
    assert await stage.settled() == 299
    await stage.check()


async def test_another_rule_while_one_is_charged_takes_effect_afterwards(stage: Stage) -> None:
    await stage.set_rule(rule(Token.SLOW))
    await stage.spend(51)
    serving = asyncio.create_task(stage.serve())
    while await stage.state() != "CHARGING":
        await asyncio.sleep(0.01)
    await stage.set_rule(rule(amount_micros=50 * UNIT, trigger_micros=340 * UNIT))
    await serving
    assert [each.amount_micros // UNIT for each in stage.charges()] == [200, 50]
    assert await stage.settled() == 349
    await stage.check()


async def test_a_new_payment_method_is_used_when_the_old_one_is_declined(stage: Stage) -> None:
    """It was set while the old one was asked."""
    await stage.set_rule(rule(Token.DECLINED))
    view = await stage.recharges.view(stage.owner)
    await stage.spend(51)
    view = await stage.recharges.view(stage.owner)
    me = steps.Claimant("somebody", 1000)
    assert await stage.recharges.write(view, steps.begin(view, "USD", me))
    await stage.set_rule(rule(Token.APPROVED))
    await stage.wait(2)
    assert (await stage.state(), await stage.settled()) == ("ARMED", 299)
    await stage.check()


async def test_a_pause_after_a_success_is_kept(stage: Stage) -> None:
    await stage.set_rule(rule(cooling_seconds=600))
    await stage.spend(51)
    await stage.serve()
    await stage.spend(250)
    await stage.wait(300)
    assert (await stage.state(), len(stage.charges())) == ("COOLING", 1)
    await stage.wait(300)
    assert (await stage.state(), len(stage.charges())) == ("COOLING", 2)
    await stage.check()


@pytest.mark.parametrize("stage", [UNHURRIED], indirect=True, ids=["unhurried"])
async def test_two_workers_at_once_make_one_charge(stage: Stage) -> None:
    await stage.set_rule(rule())
    await stage.spend(51)
    others = [charging_of(stage.world, stage.recharges, stage.payments) for _ in range(10)]
    await asyncio.gather(*(each.serve(stage.owner) for each in others))
    assert len(stage.charges()) == len(stage.sandbox.keys) == 1
    assert len(next(iter(stage.sandbox.keys.values()))) == 1
    await stage.check()


async def test_a_dead_workers_charge_is_taken_over_with_the_same_id(stage: Stage) -> None:
    """Semantics 56: no earlier than its deadline, for the same sum and from the same payment method."""
    await stage.set_rule(rule())
    await stage.spend(51)
    view = await stage.recharges.view(stage.owner)
    dead = steps.Claimant("dead", 60_000)
    assert await stage.recharges.write(view, steps.begin(view, "USD", dead))
    await stage.set_rule(rule(Token.DECLINED, amount_micros=70 * UNIT))
    await stage.wait(50)
    assert stage.charges() == []
    await stage.wait(10)
    (charge,) = stage.charges()
    assert charge.order.charge_id == f"rc-{view.recharge.nonce}-1-1"
    assert (charge.amount_micros, charge.order.token) == (200 * UNIT, Token.APPROVED)
    await stage.check()


async def test_a_tenant_who_pays_later_is_not_recharged_any_more(stage: Stage) -> None:
    """Domain.md 5: or the balance refills for ever, and the switch to postpaid never happens."""
    await stage.set_rule(rule())
    await stage.world.set(postpaid=True)
    await stage.spend(51)
    await stage.serve()
    row = await stage.row()
    assert (row.state, row.code, row.rule.enabled) == ("OFF", "POSTPAID", False)
    assert stage.charges() == []


async def test_what_a_line_says_puts_the_recharge_back(stage: Stage) -> None:
    """Each line has the whole row, what is watched, and the claims: the archive can rebuild from the last one."""
    await stage.set_rule(rule(Token.EXPIRED_CARD, Token.APPROVED))
    await stage.spend(51)
    await stage.serve()
    entry, said = (await stage.lines())[-1]
    stored = await stage.world.store.command("HGETALL", keys.recharge(stage.owner))
    assert said["row"] == {name.decode(): value.decode() for name, value in stored.items()}
    claims = await stage.world.store.command("HGET", stage.world.key, "re")
    watched = (await stage.world.account()).trigger_micros
    assert [int(said["rt"]), said["re"]] == [watched, int(claims)] == [100_000_000, 1]
    charged = [(each.reference, s["state"]) for each, s in await stage.lines() if each.reference]
    nonce = (await stage.row()).nonce
    assert charged == [
        (f"rc-{nonce}-1-1", "CHARGING"),
        (f"rc-{nonce}-1-1", "DECLINED"),
        (f"rc-{nonce}-1-2", "CHARGING"),
        (f"rc-{nonce}-1-2", "COOLING"),
    ]
    assert entry.reference == ""


async def test_the_same_rule_again_is_the_same_rule(stage: Stage) -> None:
    await stage.set_rule(rule())
    before = await stage.row()
    await stage.set_rule(rule())
    await stage.set_rule(rule(version=7))
    assert await stage.row() == before


async def test_the_life_of_the_credits_is_the_rules(stage: Stage) -> None:
    await stage.set_rule(rule(expire_days=30))
    await stage.spend(51)
    await stage.serve()
    lots = (await stage.world.ledger.balance(stage.world.tenant)).lots
    assert [round((lot.expires_ms - lot.funded_ms) / 86_400_000) for lot in lots] == [365, 30]


def lose_it() -> None:
    """The store did it, or did not, and nobody hears of it."""
    raise silent()


@pytest.mark.parametrize("moment", range(1, 9))
async def test_an_answer_of_the_store_that_is_lost_costs_a_minute_and_no_money(
    stage: Stage, moment: int
) -> None:
    """Before and after each write and each credit: what was done stays done, and is gone through again."""
    await stage.set_rule(rule())
    await stage.spend(51)
    fate = Fate(moment, lose_it)
    rows = MortalRows(stage.world.store, fate)
    unlucky = charging_of(stage.world, rows, stage.payments)
    funds: Any = Mortal(stage.world.ledger.funds, fate, "add")
    unlucky._funds = funds
    with pytest.raises(StoreAway):
        await unlucky.serve(stage.owner)
    await stage.wait(60)
    assert (await stage.state(), await stage.settled()) == ("ARMED", 299)
    assert len(stage.charges()) == 1
    await stage.check()
