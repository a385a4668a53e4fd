"""A recharge from the dip to the credits, against a real store and a provider that really counts."""

import asyncio

import pytest

from payments.stage import dead_url, gateway_at
from recharge.stage import (
    AT_ONCE,
    DAY_S,
    HOUR_S,
    PATIENCE,
    UNIT,
    Stage,
    charging_of,
    rule,
)
from talktime_server.ledger import keys
from talktime_server.ledger.records import Terms
from talktime_server.payments.payments import Payments
from talktime_server.payments.sandbox import Token
from talktime_server.work import steps

SIX_A_MINUTE = Terms(6 * UNIT, 0, 60, 60)
SUCCESS = ["ARMED", "CLAIMED", "CHARGING", "COOLING", "ARMED"]


async def test_a_dip_is_one_charge_and_one_credit(stage: Stage) -> None:
    await stage.set_rule(rule())
    await stage.spend(50)
    assert (await stage.state(), await stage.settled()) == ("ARMED", 100)
    await stage.spend(1)
    assert await stage.state() == "CLAIMED"
    await stage.serve()
    assert (await stage.state(), await stage.settled()) == ("ARMED", 299)
    assert await stage.story() == SUCCESS
    (charge,) = stage.charges()
    row = await stage.row()
    assert charge.order.charge_id == row.charge_id == f"rc-{row.nonce}-1-1"
    assert (row.day_count, row.month_count, row.day_micros) == (1, 1, 200 * UNIT)
    await stage.check()


async def test_exactly_at_the_trigger_nothing_happens(stage: Stage) -> None:
    """Domain.md 5: "falls below" is strict."""
    await stage.set_rule(rule())
    await stage.spend(50)
    await stage.serve()
    assert (await stage.story(), stage.charges()) == (["ARMED"], [])


async def test_a_rule_that_is_enabled_below_its_trigger_recharges_at_once(stage: Stage) -> None:
    """Semantics 50."""
    await stage.spend(60)
    await stage.set_rule(rule())
    await stage.serve()
    assert await stage.settled() == 290
    await stage.set_rule(rule(trigger_micros=300 * UNIT))
    await stage.serve()
    assert await stage.settled() == 490
    await stage.check()


async def test_holds_count_unless_the_settled_balance_is_meant(stage: Stage) -> None:
    """Semantics 48."""
    await stage.set_rule(rule(on_settled=True))
    await stage.world.authorize("a", 600, terms=SIX_A_MINUTE)
    assert await stage.state() == "ARMED"
    await stage.set_rule(rule())
    assert await stage.state() == "CLAIMED"
    await stage.serve()
    assert (await stage.state(), await stage.settled()) == ("ARMED", 350)
    await stage.world.settle("a", 600)
    await stage.check()


async def test_one_that_is_still_below_is_recharged_again_within_the_caps(stage: Stage) -> None:
    """Semantics 49: tested again after each success."""
    await stage.set_rule(rule(trigger_micros=1000 * UNIT, max_per_day=3))
    await stage.serve()
    assert (await stage.state(), await stage.settled()) == ("CAPPED", 150 + 3 * 200)
    assert len({each.order.charge_id for each in stage.charges()}) == 3
    await stage.check()


@pytest.mark.parametrize(
    ("amount", "settings", "bought"),
    [(200, {}, 1000), (300, {}, 900), (200, {"max_amount_per_day_micros": 500 * UNIT}, 400)],
)
async def test_the_whole_gap_may_be_bought_at_once(
    stage: Stage, amount: int, settings: dict[str, int], bought: int
) -> None:
    gap = rule(trigger_micros=1000 * UNIT, amount_micros=amount * UNIT, fill_gap=True, **settings)
    await stage.set_rule(gap)
    await stage.serve()
    assert (await stage.settled(), len(stage.charges())) == (150 + bought, 1)
    await stage.check()


async def test_a_cap_of_the_day_is_over_at_midnight(stage: Stage) -> None:
    """Semantics 60: counted before the charge, by the store's days."""
    await stage.set_rule(rule(max_per_day=1))
    await stage.spend(100)
    await stage.serve()
    await stage.spend(200)
    await stage.serve()
    row = await stage.row()
    assert (row.state, row.day_count, len(stage.charges())) == ("CAPPED", 1, 1)
    assert row.next_ms % 86_400_000 == 0
    assert (await stage.lines())[-1][1]["code"] == "DAY_CAP"
    await stage.wait(DAY_S)
    assert (await stage.state(), await stage.settled()) == ("ARMED", 250)
    await stage.check()


async def test_a_cap_of_the_month_is_over_with_the_month(stage: Stage) -> None:
    await stage.set_rule(rule(max_amount_per_month_micros=300 * UNIT))
    await stage.spend(100)
    await stage.serve()
    await stage.spend(200)
    await stage.wait(DAY_S)
    row = await stage.row()
    assert (row.state, len(stage.charges())) == ("CAPPED", 1)
    await stage.wait(31 * DAY_S)
    assert (await stage.state(), await stage.settled()) == ("ARMED", 250)
    await stage.check()


async def test_the_next_payment_method_is_tried_at_once(stage: Stage) -> None:
    await stage.set_rule(rule(Token.EXPIRED_CARD, Token.DECLINED, Token.APPROVED))
    await stage.spend(51)
    await stage.serve()
    assert await stage.settled() == 299
    ids = [each.order.charge_id.rpartition("-")[2] for each in stage.charges()]
    assert ids == ["1", "2", "3"]
    row = await stage.row()
    assert (row.day_count, row.declines, row.code) == (1, 0, "")
    await stage.check()


async def test_three_rounds_of_declines_end_it(stage: Stage) -> None:
    """Semantics 54: pauses that grow, then a hard stop; another payment method arms it again."""
    await stage.set_rule(rule(Token.EXPIRED_CARD))
    await stage.spend(51)
    await stage.serve()
    assert (await stage.state(), (await stage.row()).code) == ("DECLINED", "expired_card")
    await stage.wait(HOUR_S - 60)
    assert len(stage.charges()) == 1
    await stage.wait(60)
    await stage.wait(6 * HOUR_S - 60)
    assert len(stage.charges()) == 2
    await stage.wait(60)
    assert (await stage.state(), len(stage.charges())) == ("STOPPED", 3)
    await stage.wait(30 * DAY_S)
    await stage.set_rule(rule(Token.EXPIRED_CARD, amount_micros=300 * UNIT))
    await stage.serve()
    assert (await stage.state(), len(stage.charges())) == ("STOPPED", 3)
    await stage.set_rule(rule(Token.APPROVED))
    await stage.serve()
    assert (await stage.state(), await stage.settled()) == ("ARMED", 299)
    assert (await stage.row()).day_count == 1
    await stage.check()


async def test_a_stopped_recharge_goes_on_by_hand(stage: Stage) -> None:
    await stage.set_rule(rule(Token.DECLINED))
    await stage.spend(51)
    for _ in range(3):
        await stage.wait(7 * HOUR_S)
    assert await stage.state() == "STOPPED"
    await stage.resume()
    await stage.serve()
    assert (await stage.state(), (await stage.row()).declines) == ("DECLINED", 1)
    await stage.check()


async def test_funds_added_by_hand_during_a_pause_make_the_charge_needless(stage: Stage) -> None:
    await stage.set_rule(rule(Token.DECLINED))
    await stage.spend(51)
    await stage.serve()
    await stage.world.fund(500 * UNIT, "by-hand")
    await stage.wait(HOUR_S)
    assert (await stage.state(), len(stage.charges())) == ("ARMED", 1)
    await stage.check()


async def test_a_customer_who_must_confirm_is_waited_for(stage: Stage) -> None:
    """Semantics 55."""
    await stage.set_rule(rule(Token.ACTION_REQUIRED, Token.APPROVED))
    await stage.spend(51)
    await stage.serve()
    row = await stage.row()
    assert row.state == "ACTION_REQUIRED"
    assert row.url.startswith("https://bank.example.com/confirm/")
    stage.sandbox.act(row.charge_id)
    await stage.wait(HOUR_S)
    assert (await stage.state(), await stage.settled()) == ("ARMED", 299)
    assert len(stage.charges()) == 1
    await stage.check()


async def test_who_does_not_confirm_may_have_another_charge_by_hand(stage: Stage) -> None:
    await stage.set_rule(rule(Token.ACTION_REQUIRED))
    await stage.spend(51)
    await stage.serve()
    await stage.resume()
    await stage.serve()
    assert (await stage.state(), len(stage.charges())) == ("ACTION_REQUIRED", 2)
    await stage.set_rule(rule(Token.APPROVED))
    await stage.serve()
    assert (await stage.state(), len(stage.charges())) == ("ARMED", 3)
    row = await stage.row()
    assert (row.day_count, await stage.settled()) == (1, 299)
    await stage.check()


async def test_one_that_was_confirmed_before_it_was_resumed_is_not_charged_again(
    stage: Stage,
) -> None:
    await stage.set_rule(rule(Token.ACTION_REQUIRED))
    await stage.spend(51)
    await stage.serve()
    stage.sandbox.act((await stage.row()).charge_id)
    await stage.resume()
    await stage.serve()
    assert (await stage.state(), len(stage.charges())) == ("ARMED", 1)
    await stage.check()


async def test_a_provider_that_is_away_is_asked_again_and_nobody_else_is_charged(
    stage: Stage,
) -> None:
    """Semantics 52: it charged and did not say so, so the same key finds it out."""
    await stage.set_rule(rule(Token.TIMEOUT_AFTER_CHARGING, Token.APPROVED))
    await stage.spend(51)
    stage.sandbox.away = True
    await stage.serve()
    first = (await stage.row()).charge_id
    assert await stage.state() == "UNKNOWN"
    await stage.wait(HOUR_S)
    assert await stage.state() == "UNKNOWN"
    stage.sandbox.away = False
    await stage.wait(2 * HOUR_S)
    assert (await stage.state(), await stage.settled()) == ("ARMED", 299)
    assert [each.order.charge_id for each in stage.charges()] == [first]
    await stage.check()


async def test_what_nobody_finds_out_within_a_day_waits_for_a_person(stage: Stage) -> None:
    """Semantics 53, P24: eight tries at most, never a new key."""
    await stage.set_rule(rule(Token.WRONG_AMOUNT))
    await stage.spend(51)
    for _ in range(9):
        await stage.wait(3 * HOUR_S)
    row = await stage.row()
    assert (row.state, row.code, row.next_ms) == ("NEEDS_REVIEW", "WRONG_AMOUNT", 0)
    assert len(stage.sandbox.keys[row.charge_id]) <= 8
    await stage.wait(90 * DAY_S)
    assert (await stage.state(), len(stage.charges())) == ("NEEDS_REVIEW", 1)


async def test_a_provider_that_cannot_be_reached_is_no_decline(stage: Stage) -> None:
    """F44: six hours of outage stop nobody, and no charge is counted."""
    await stage.set_rule(rule(Token.APPROVED))
    await stage.spend(51)
    nobody = {"billing": gateway_at("billing", await dead_url())}
    away = Payments(nobody, patience=PATIENCE, spacing=AT_ONCE)
    unreachable = charging_of(stage.world, stage.recharges, away)
    for _ in range(12):
        await unreachable.serve(stage.owner)
        await stage.world.advance(HOUR_S / 2)
    row = await stage.row()
    assert (row.state, row.declines, row.code) == ("CLAIMED", 0, "PROVIDER_UNREACHABLE")
    assert row.month_count == 0
    await away.close()
    await stage.wait(2 * HOUR_S)
    assert (await stage.state(), await stage.settled()) == ("ARMED", 299)
    await stage.check()


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
    fields = await stage.world.store.command("HMGET", stage.world.key, "rt", "re")
    assert [said["rt"].encode(), str(said["re"]).encode()] == fields == [b"100000000", b"1"]
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
