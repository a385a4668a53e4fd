"""The five RPCs of recharges: what they refuse, what they show, and what they never repeat."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from payments.stage import dead_url, gateway_at
from recharge.stage import (
    AT_ONCE,
    CUSTOMER,
    PATIENCE,
    SETTINGS,
    UNIT,
    Stage,
    charging_of,
    open_stage,
)
from stores import StoreProcess
from talktime.v1 import account_service_pb2 as pb
from talktime_server.archive.archiver import Archiver
from talktime_server.archive.database import Database
from talktime_server.archive.history import History
from talktime_server.failure import Conflict, Forbidden, Invalid, NotFound
from talktime_server.payments.payments import Payments
from talktime_server.payments.sandbox import Sandbox, Token
from talktime_server.rpc.recharge_checks import RuleBounds
from talktime_server.rpc.recharge_messages import recharge_message
from talktime_server.rpc.recharges import Recharges
from talktime_server.rpc.shapes import Identity, Role

BOUNDS = RuleBounds(50 * UNIT, 50 * UNIT, ("billing", "stripe"))
OPERATOR = Identity("ops", Role.OPERATOR, all_tenants=True)


@dataclass(slots=True)
class Desk:
    """The handlers over a stage, asked as the edge asks them."""

    stage: Stage
    recharges: Recharges
    database: Database

    async def ask(self, name: str, request: Any, identity: Identity = OPERATOR) -> Any:
        """The answer of an RPC about the stage's tenant."""
        (method,) = [each for each in self.recharges.methods() if each.path.endswith(f"/{name}")]
        assert isinstance(request, method.request)
        request.tenant_id = self.stage.owner  # type: ignore[attr-defined]  # every one of these has it
        return await method.answer(request, identity, 1.0)

    async def set_rule(self, **fields: Any) -> pb.SetRechargeRuleResponse:
        asked = pb.SetRechargeRuleRequest(rule=rule(**fields))
        answer = await self.ask("SetRechargeRule", asked)
        assert isinstance(answer, pb.SetRechargeRuleResponse)
        return answer


def method(token: str = Token.APPROVED, **fields: str) -> pb.PaymentMethod:
    return pb.PaymentMethod(**{"gateway": "billing", "customer": CUSTOMER, "token": token} | fields)


def rule(**fields: Any) -> pb.RechargeRule:
    usual: dict[str, Any] = {
        "enabled": True,
        "trigger_micros": 100 * UNIT,
        "amount_micros": 200 * UNIT,
        "payment_methods": [method()],
    }
    return pb.RechargeRule(**usual | fields)


@pytest_asyncio.fixture
async def own_store() -> AsyncIterator[StoreProcess]:
    """A store of the test's own: its journal belongs to one archive."""
    process = StoreProcess()
    try:
        await process.start()
        yield process
    finally:
        process.stop()


@pytest_asyncio.fixture
async def desk(stage: Stage, tmp_path: Path) -> AsyncIterator[Desk]:
    database = Database(f"sqlite:///{tmp_path / 'archive.db'}")
    await database.open()
    yield desk_of(stage, database)
    await database.close()


def desk_of(stage: Stage, database: Database, payments: Payments | None = None) -> Desk:
    recharges = Recharges(
        stage.recharges,
        charging=charging_of(stage.world, stage.recharges, payments or stage.payments),
        directory=stage.world.directory,
        history=History(database),
        bounds=BOUNDS,
    )
    return Desk(stage, recharges, database)


async def test_a_rule_is_shown_as_stored_defaults_filled_in(desk: Desk) -> None:
    answer = await desk.set_rule()
    wanted = rule(max_per_day=5, max_per_month=50, expire_days=365, rule_version=1)
    assert answer.rule == wanted
    assert answer.recharge.state == pb.RECHARGE_STATE_ARMED
    shown = await desk.ask("GetRechargeRule", pb.GetRechargeRuleRequest())
    assert (shown.rule, shown.recharge) == (answer.rule, answer.recharge)
    assert (await desk.set_rule()).rule.rule_version == 1
    assert (await desk.set_rule(fill_gap=True, rule_version=1)).rule.rule_version == 2
    with pytest.raises(Conflict, match="version 2"):
        await desk.set_rule(cooling_seconds=5, rule_version=1)


async def test_a_recharge_is_shown_on_its_way(desk: Desk) -> None:
    assert recharge_message(await desk.stage.recharges.view(desk.stage.owner)) is None
    await desk.stage.spend(51)
    claimed = (await desk.set_rule(payment_methods=[method(Token.EXPIRED_CARD)])).recharge
    assert claimed.state == pb.RECHARGE_STATE_CLAIMED
    await desk.stage.serve()
    shown = (await desk.ask("GetRechargeRule", pb.GetRechargeRuleRequest())).recharge
    assert (shown.state, shown.decline_code) == (pb.RECHARGE_STATE_DECLINED, "expired_card")
    assert (shown.declines, shown.charge_micros, shown.count_today) == (1, 200 * UNIT, 0)
    assert shown.next_time.seconds - shown.state_time.seconds == 3600
    assert shown.charge_id.endswith("-1-1")


FIELDS: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"trigger_micros": 100 * UNIT + 1}, "rule.trigger_micros", "NOT_WHOLE"),
    ({"trigger_micros": 49 * UNIT}, "rule.trigger_micros", "OUT_OF_RANGE"),
    ({"trigger_micros": 0}, "rule.trigger_micros", "OUT_OF_RANGE"),
    ({"trigger_micros": 10**12 + UNIT}, "rule.trigger_micros", "OUT_OF_RANGE"),
    ({"amount_micros": 50 * UNIT + 1}, "rule.amount_micros", "NOT_WHOLE"),
    ({"amount_micros": 49 * UNIT}, "rule.amount_micros", "OUT_OF_RANGE"),
    ({"amount_micros": -200 * UNIT}, "rule.amount_micros", "OUT_OF_RANGE"),
    ({"max_per_day": 101}, "rule.max_per_day", "OUT_OF_RANGE"),
    ({"max_per_month": -1}, "rule.max_per_month", "OUT_OF_RANGE"),
    ({"max_amount_per_day_micros": 10**15 + 1}, "rule.max_amount_per_day_micros", "OUT_OF_RANGE"),
    ({"cooling_seconds": 86_401}, "rule.cooling_seconds", "OUT_OF_RANGE"),
    ({"expire_days": 3651}, "rule.expire_days", "OUT_OF_RANGE"),
    ({"payment_methods": []}, "rule.payment_methods", "MISSING_FIELD"),
    (
        {"payment_methods": [method(f"t{n}") for n in range(6)]},
        "rule.payment_methods",
        "TOO_MANY_ITEMS",
    ),
    ({"payment_methods": [method()] * 2}, "rule.payment_methods[1]", "DUPLICATE"),
    (
        {"payment_methods": [method(gateway="bank")]},
        "rule.payment_methods[0].gateway",
        "UNKNOWN_GATEWAY",
    ),
    ({"payment_methods": [method("")]}, "rule.payment_methods[0].token", "MISSING_FIELD"),
    ({"payment_methods": [method("a b")]}, "rule.payment_methods[0].token", "BAD_CHARSET"),
    (
        {"payment_methods": [method("4242424242424242")]},
        "rule.payment_methods[0].token",
        "CARD_DATA_REFUSED",
    ),
    (
        {"payment_methods": [method(customer="4242-4242-4242-4242")]},
        "rule.payment_methods[0].customer",
        "CARD_DATA_REFUSED",
    ),
)


@pytest.mark.parametrize(("fields", "field", "reason"), FIELDS, ids=lambda each: str(each)[:50])
async def test_a_rule_that_breaks_a_rule_is_refused_by_field_and_not_repeated(
    desk: Desk, fields: dict[str, Any], field: str, reason: str
) -> None:
    """Whole units, smallest sums, known providers, and never a card number (domain.md 5, B82)."""
    with pytest.raises(Invalid) as caught:
        await desk.set_rule(**fields)
    assert (caught.value.violations[0].field, caught.value.reason) == (field, reason)
    assert "4242" not in str(caught.value)
    assert not (await desk.stage.recharges.view(desk.stage.owner)).ruled


async def test_a_rule_that_is_turned_off_may_leave_out_the_rest(desk: Desk) -> None:
    asked = pb.SetRechargeRuleRequest(rule=pb.RechargeRule())
    answer = await desk.ask("SetRechargeRule", asked)
    assert answer.recharge.state == pb.RECHARGE_STATE_OFF
    with pytest.raises(Conflict) as caught:
        await desk.ask("ResumeRecharge", pb.ResumeRechargeRequest())
    assert caught.value.reason == "RECHARGE_OFF"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"country": "KR"}, "CREDITS_NOT_SOLD"), ({"postpaid": True}, "RECHARGE_ON_POSTPAID")],
)
async def test_who_cannot_have_credits_cannot_recharge_them(
    desk: Desk, settings: dict[str, Any], reason: str
) -> None:
    """Domain.md 5; turning off is always possible."""
    await desk.set_rule()
    await desk.stage.world.set(**settings)
    with pytest.raises(Conflict) as caught:
        await desk.set_rule(fill_gap=True)
    assert caught.value.reason == reason
    answer = await desk.set_rule(enabled=False)
    assert answer.recharge.state == pb.RECHARGE_STATE_OFF


@pytest.mark.parametrize(
    ("name", "request_of"),
    [
        ("GetRechargeRule", pb.GetRechargeRuleRequest),
        ("ResumeRecharge", pb.ResumeRechargeRequest),
        ("TestRecharge", pb.TestRechargeRequest),
    ],
)
async def test_without_a_rule_there_is_nothing_to_show(
    desk: Desk, name: str, request_of: Any
) -> None:
    with pytest.raises(NotFound) as caught:
        await desk.ask(name, request_of())
    assert caught.value.reason == "NO_RECHARGE_RULE"


@pytest.mark.parametrize("paid", [True, False])
async def test_an_operator_decides_what_nobody_found_out(desk: Desk, paid: bool) -> None:
    """Semantics 53; saying it again changes nothing, and saying the opposite is refused."""
    stage = desk.stage
    await desk.set_rule(payment_methods=[method(Token.PENDING)])
    await stage.spend(51)
    await stage.serve()
    await stage.wait(25 * 3600)
    with pytest.raises(Conflict) as caught:
        await desk.ask("ResumeRecharge", pb.ResumeRechargeRequest())
    assert caught.value.reason == "OUTCOME_REQUIRED"
    charge_id = (await stage.row()).charge_id
    said = pb.CHARGE_OUTCOME_CHARGED if paid else pb.CHARGE_OUTCOME_NOT_CHARGED
    admin = Identity("admin", Role.ADMIN, frozenset({stage.owner}))
    word = pb.ResumeRechargeRequest(charge_id=charge_id, outcome=said)
    with pytest.raises(Forbidden):
        await desk.ask("ResumeRecharge", word, admin)
    for _ in range(2):
        await desk.ask("ResumeRecharge", word)
    assert await stage.settled() == (299 if paid else 99)
    opposite = pb.CHARGE_OUTCOME_NOT_CHARGED if paid else pb.CHARGE_OUTCOME_CHARGED
    other = pb.ResumeRechargeRequest(charge_id=charge_id, outcome=opposite)
    with pytest.raises(Conflict) as caught:
        await desk.ask("ResumeRecharge", other)
    assert caught.value.reason == "NOT_UNDER_REVIEW"
    assert (await stage.world.prove()).conserved


@pytest.mark.parametrize("fields", [{"charge_id": "rc-1"}, {"outcome": 1}, {"outcome": 9}])
async def test_an_outcome_and_its_charge_come_together(desk: Desk, fields: dict[str, Any]) -> None:
    await desk.set_rule()
    with pytest.raises(Invalid):
        await desk.ask("ResumeRecharge", pb.ResumeRechargeRequest(**fields))


async def test_a_dry_run_says_what_stands_in_the_way_and_charges_nothing(desk: Desk) -> None:
    stage = desk.stage
    await desk.set_rule(payment_methods=[method(), method(gateway="stripe")])
    trial = await desk.ask("TestRecharge", pb.TestRechargeRequest())
    names = ["rule", "billing mode", "state", "trigger", "caps", "billing", "stripe"]
    assert [each.check for each in trial.checks] == names
    assert [each.check for each in trial.checks if not each.passed] == ["trigger"]
    assert trial.charge_micros == 0
    await stage.spend(51)
    trial = await desk.ask("TestRecharge", pb.TestRechargeRequest())
    assert (all(each.passed for each in trial.checks), trial.charge_micros) == (True, 200 * UNIT)
    assert stage.charges() == []
    await stage.serve()
    await desk.set_rule(enabled=False, max_per_day=1)
    trial = await desk.ask("TestRecharge", pb.TestRechargeRequest())
    failing = [each.check for each in trial.checks if not each.passed]
    assert failing == ["rule", "state", "trigger", "caps"]


async def test_a_dry_run_names_the_provider_that_is_away(desk: Desk) -> None:
    gateways = {"billing": gateway_at("billing", await dead_url())}
    payments = Payments(gateways, patience=PATIENCE, spacing=AT_ONCE)
    other = desk_of(desk.stage, desk.database, payments)
    await other.set_rule(payment_methods=[method(), method(gateway="stripe")])
    trial = await other.ask("TestRecharge", pb.TestRechargeRequest())
    told = {each.check: each.explanation for each in trial.checks if not each.passed}
    assert told["billing"] == "the payment provider cannot be reached"
    assert told["stripe"] == "this payment gateway is not set up here"
    await payments.close()


async def test_what_happened_is_listed_newest_first(
    own_store: StoreProcess, tmp_path: Path
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'archive.db'}")
    await database.open()
    async with Sandbox(SETTINGS) as sandbox, open_stage(own_store.url, "acme", sandbox) as stage:
        desk = desk_of(stage, database)
        await stage.world.fund(150 * UNIT)
        await desk.set_rule(payment_methods=[method(Token.EXPIRED_CARD), method()])
        await stage.spend(51)
        await stage.serve()
        archiver = Archiver(stage.world.store, database)
        while await archiver.step():
            pass
        steps, token = [], ""
        while True:
            asked = pb.ListRechargesRequest(page_size=2, page_token=token)
            page = await desk.ask("ListRecharges", asked)
            steps += page.steps
            token = page.next_page_token
            if not token:
                break
        told = [pb.RechargeState.Name(each.state)[15:] for each in reversed(steps)]
        assert told == ["ARMED", "CLAIMED", "CHARGING", "DECLINED", "CHARGING", "COOLING", "ARMED"]
        declined = steps[3]
        assert (declined.decline_code, declined.gateway) == ("expired_card", "billing")
        assert declined.provider_id.startswith("bill_")
        assert declined.amount_micros == 200 * UNIT
    await database.close()


def test_who_may_ask() -> None:
    """Auditors look; routers have no business here."""
    methods = Recharges.methods(Recharges.__new__(Recharges))
    asked = {each.path.rpartition("/")[2]: each for each in methods}
    assert {name for name, each in asked.items() if Role.AUDITOR in each.roles} == {
        "GetRechargeRule",
        "ListRecharges",
    }
    assert not any(Role.ROUTER in each.roles for each in methods)
