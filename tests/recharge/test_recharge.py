"""A recharge from the dip to the credits, against a real store and a provider that really counts."""

import pytest

from ledger.happenings import next_month_ms
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
from talktime_server.ledger.records import Terms
from talktime_server.payments.payments import Payments
from talktime_server.payments.sandbox import Token

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
    mid_month_ms = next_month_ms(await stage.world.now_ms()) + 10 * DAY_S * 1000
    await stage.world.stop_clock_at(mid_month_ms)
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
