"""What providers call back, over real webhooks: twice, early, late and in any order, one charge is credited once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import permutations

import pytest
from starlette.applications import Starlette

from recharge.stage import UNIT, Stage, method, rule, until
from talktime_server.payments.gateway import Event, EventKind, Outcome
from talktime_server.payments.incoming import Incoming
from talktime_server.payments.listening import listening
from talktime_server.payments.sandbox import Token
from talktime_server.work.events import refund_id


@asynccontextmanager
async def webhooks(stage: Stage) -> AsyncIterator[None]:
    """The sandbox calls back here until the block ends."""
    gateways = stage.sandbox.gateways()
    incoming = Incoming(gateways, stage.events.take)
    async with listening(Starlette(routes=incoming.routes())) as port:
        stage.sandbox.webhook_url = f"http://127.0.0.1:{port}"
        yield
        await stage.sandbox.webhooks_arrived()
        stage.sandbox.webhook_url = ""
    for each in gateways.values():
        await each.close()


def event(stage: Stage, outcome: Outcome, number: int = 0) -> Event:
    """What the provider would call back of a charge."""
    charge = stage.charges()[number]
    return Event(
        event_id="e1",
        kind=EventKind.CHARGE,
        charge_id=charge.order.charge_id,
        tenant_id=stage.owner,
        outcome=outcome,
        provider_id=charge.provider_id,
        amount_micros=charge.amount_micros,
        currency=charge.currency,
    )


@pytest.mark.parametrize("gateway", ["billing", "stripe"])
@pytest.mark.parametrize(
    "token", [Token.APPROVED, Token.DUPLICATE_WEBHOOK, Token.WEBHOOK_BEFORE_REPLY]
)
async def test_a_webhook_beside_the_reply_credits_once(
    stage: Stage, token: Token, gateway: str
) -> None:
    """Semantics 57, 58; F45."""
    await stage.set_rule(rule(methods=(method(token, gateway),)))
    async with webhooks(stage):
        await stage.spend(51)
        await stage.serve()
    await stage.serve()
    assert (await stage.state(), await stage.settled()) == ("ARMED", 299)
    assert (await stage.row()).day_count == 1
    assert {each.status for each in stage.sandbox.deliveries} == {200}
    assert (await stage.story()).count("COOLING") == 1
    await stage.check()


async def test_a_webhook_ends_what_the_reply_left_open(stage: Stage) -> None:
    await stage.set_rule(rule(Token.PENDING))
    async with webhooks(stage):
        await stage.spend(51)
        await stage.serve()
        await stage.sandbox.webhooks_arrived()
        assert await stage.state() == "CHARGING"
        stage.sandbox.act((await stage.row()).charge_id)
    assert (await stage.state(), await stage.settled()) == ("COOLING", 299)
    await stage.serve()
    assert await stage.state() == "ARMED"
    await stage.check()


async def test_a_confirmed_action_is_credited_at_once(stage: Stage) -> None:
    await stage.set_rule(rule(Token.ACTION_REQUIRED))
    async with webhooks(stage):
        await stage.spend(51)
        await stage.serve()
        stage.sandbox.act((await stage.row()).charge_id)
    await stage.serve()
    assert (await stage.state(), await stage.settled()) == ("ARMED", 299)
    await stage.check()


async def test_a_success_is_credited_though_the_recharge_went_on(stage: Stage) -> None:
    """Semantics 58: the customer confirmed a charge that was given up."""
    await stage.set_rule(rule(Token.ACTION_REQUIRED))
    await stage.spend(51)
    await stage.serve()
    await stage.set_rule(rule(Token.APPROVED))
    await stage.serve()
    assert (await stage.settled(), len(stage.charges())) == (299, 2)
    async with webhooks(stage):
        stage.sandbox.act(stage.charges()[0].order.charge_id)
    row = await stage.row()
    assert (row.state, await stage.settled(), row.day_count) == ("ARMED", 499, 2)
    assert (await stage.story()).count("COOLING") == 2
    await stage.events.take(event(stage, Outcome.SUCCEEDED))
    await stage.events.take(event(stage, Outcome.SUCCEEDED, 1))
    assert await stage.row() == row
    await stage.check()


async def test_a_waiting_charge_that_is_turned_off_and_confirmed_later_is_credited(
    stage: Stage,
) -> None:
    await stage.set_rule(rule(Token.ACTION_REQUIRED))
    await stage.spend(51)
    await stage.serve()
    await stage.set_rule(rule(enabled=False))
    assert (await stage.state(), (await stage.row()).day_count) == ("OFF", 0)
    async with webhooks(stage):
        stage.sandbox.act(stage.charges()[0].order.charge_id)
    row = await stage.row()
    assert (row.state, await stage.settled(), row.day_count) == ("OFF", 299, 1)
    await stage.check()


async def test_late_lower_news_change_nothing(stage: Stage) -> None:
    await stage.set_rule(rule())
    await stage.spend(51)
    await stage.serve()
    row = await stage.row()
    for outcome in (Outcome.DECLINED, Outcome.ACTION_REQUIRED, Outcome.PENDING):
        await stage.events.take(event(stage, outcome))
    assert (await stage.row(), await stage.settled()) == (row, 299)
    await stage.check()


async def test_lower_news_while_the_provider_is_asked_leave_the_answer_to_the_worker(
    stage: Stage,
) -> None:
    await stage.set_rule(rule(Token.SLOW, Token.APPROVED))
    await stage.spend(51)
    serving = asyncio.create_task(stage.serve())
    await until(lambda: bool(stage.sandbox.keys))
    row = await stage.row()
    early = Event(
        "e1",
        EventKind.CHARGE,
        row.charge_id,
        stage.owner,
        Outcome.DECLINED,
        "bill_1",
        row.amount_micros,
        row.currency,
    )
    await stage.events.take(early)
    assert await stage.state() == "CHARGING"
    await serving
    assert (await stage.settled(), len(stage.charges())) == (299, 1)
    await stage.check()


@pytest.mark.parametrize("field", ["amount_micros", "currency", "charge_id", "tenant_id"])
async def test_news_of_other_money_are_not_believed(stage: Stage, field: str) -> None:
    await stage.set_rule(rule(Token.PENDING))
    await stage.spend(51)
    await stage.serve()
    told = event(stage, Outcome.SUCCEEDED)
    others = {
        "amount_micros": 1,
        "currency": "EUR",
        "charge_id": "rc-other-1-1",
        "tenant_id": "nobody",
    }
    await stage.events.take(replace(told, **{field: others[field]}))  # type: ignore[arg-type]  # one field of its own type
    assert (await stage.state(), await stage.settled()) == ("CHARGING", 99)


async def test_a_refund_and_a_dispute_are_taken_back_once(stage: Stage) -> None:
    """Semantics 62, 63: never more than the charge, and all of it when the bank takes all back."""
    await stage.set_rule(rule())
    await stage.spend(51)
    await stage.serve()
    charge_id = stage.charges()[0].order.charge_id
    async with webhooks(stage):
        stage.sandbox.refund(charge_id, 30 * UNIT)
        stage.sandbox.dispute(charge_id, 160 * UNIT)
        await stage.sandbox.webhooks_arrived()
        assert await stage.settled() == 109
        stage.sandbox.dispute(charge_id, 200 * UNIT)
    assert await stage.settled() == 99
    balance = await stage.world.ledger.balance(stage.world.tenant)
    assert balance.refunded_micros == 200 * UNIT
    assert (await stage.world.prove()).conserved


@pytest.mark.parametrize("order", [*permutations(range(3))])
async def test_news_in_any_order_come_to_the_same(stage: Stage, order: tuple[int, ...]) -> None:
    """Success, refund and a success again: a refund that is early says that the charge was paid."""
    await stage.set_rule(rule(Token.PENDING))
    await stage.spend(51)
    await stage.serve()
    charge = stage.charges()[0]
    charge.pay()
    paid = event(stage, Outcome.SUCCEEDED)
    given_back = replace(
        paid, kind=EventKind.REFUND, reference="re_1", amount_micros=50 * UNIT, event_id="e2"
    )
    news = [paid, given_back, paid]
    for number in order:
        await stage.events.take(news[number])
    await stage.serve()
    assert await stage.settled() == 249
    await stage.check()


async def test_an_answer_comes_to_a_charge_that_waits_for_a_person(stage: Stage) -> None:
    await stage.set_rule(rule(Token.PENDING))
    await stage.spend(51)
    await stage.serve()
    await stage.wait(25 * 3600)
    assert await stage.state() == "NEEDS_REVIEW"
    stage.charges()[0].pay()
    await stage.events.take(event(stage, Outcome.SUCCEEDED))
    await stage.serve()
    assert (await stage.state(), await stage.settled()) == ("ARMED", 299)
    await stage.check()


def test_a_reference_that_can_be_an_id_is_one() -> None:
    assert refund_id("re_123") == "re_123"
    odd = refund_id("re:{s00} 1")
    assert odd.startswith("rv-")
    assert len(odd) <= 64
    assert odd != refund_id("re:{s00} 2")
