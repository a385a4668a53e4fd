"""Both clients over a real service: what the commands do not ask in these words."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest

from cli.command import Shell, until
from cli.conftest import LONDON, running
from client.conftest import Face
from talktime import (
    Admin,
    AsyncClient,
    CallFilter,
    Client,
    Conflict,
    DeliveryState,
    IdempotencyMismatch,
    NotFound,
    NoticeKind,
    NoticeSettings,
    Payer,
    RechargeRule,
    RechargeState,
    Tenant,
    Webhook,
)

RECORDED_WITHIN_S = 30.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with running(tmp_path_factory.mktemp("served")) as shell:
        yield shell


@pytest.fixture(params=[Client, AsyncClient], ids=["blocking", "asynchronous"])
def face(request: pytest.FixtureRequest, served: Shell) -> Iterator[Any]:
    """A client of the kind under test, for a tenant of the test's own."""
    token = (served.state / "operator.token").read_text().strip()
    tenant_id = f"tenant-{uuid4().hex[:12]}"
    made = Face(
        request.param, served.variables["TALKTIME_TARGET"], token, tenant_id=tenant_id, timeout_s=2
    )
    try:
        made.put_tenant(Tenant(tenant_id, "USD", "US"))
        yield made
    finally:
        made.end()


def test_money_comes_in_and_goes_back(face: Any) -> None:
    face.add_funds("INV-1", 100_000_000, purchase_order="PO-1")
    assert face.add_funds("INV-1", 100_000_000, purchase_order="PO-1").replayed
    with pytest.raises(IdempotencyMismatch):
        face.add_funds("INV-1", 100_000_000, purchase_order="PO-2")
    face.adjust_funds("ADJ-1", -1_000_000, "billed twice")
    refund = face.refund_funds("RF-1", "INV-1", 20_000_000, "cancelled")
    assert (refund.funding_refunded_micros, refund.balance.settled_micros) == (
        20_000_000,
        79_000_000,
    )
    with pytest.raises(Conflict, match="REFUND_LIMIT"):
        face.refund_funds("RF-2", "INV-1", 90_000_000, "cancelled")
    now = face.get_balance()
    (lot,) = now.lots
    assert (lot.funding_id, lot.left_micros, lot.amount_micros) == (
        "INV-1",
        79_000_000,
        100_000_000,
    )
    assert (now.recharge, now.days_left) == (None, None)
    reasons = {entry.kind: entry.reason for entry in face.list_entries() if entry.reason}
    assert reasons == {"ADJUST": "billed twice", "REFUND": "cancelled"}
    assert face.check_conservation().conserved


def test_a_rule_without_a_recharge(face: Any) -> None:
    with pytest.raises(NotFound):
        face.get_recharge_rule()
    stored = face.set_recharge_rule(RechargeRule(False, 100_000_000, 200_000_000))
    assert (stored.rule.trigger_micros, stored.recharge.state) == (100_000_000, RechargeState.OFF)
    changed = replace(stored.rule, amount_micros=300_000_000)
    assert face.set_recharge_rule(changed).rule.rule_version > stored.rule.rule_version
    with pytest.raises(Conflict, match="VERSION_CHANGED"):
        face.set_recharge_rule(replace(changed, amount_micros=400_000_000))
    trial = face.test_recharge()
    assert (trial.charge_micros, all(check.passed for check in trial.checks)) == (0, False)
    # Steps of the rule itself come as the archive takes them; none is of a charge.
    assert not any(step.charge_id for step in face.list_recharges())


def test_notices_and_their_webhooks(face: Any) -> None:
    settings = NoticeSettings(
        (Admin("kim@example.com", ("Billing Administrator",), "Kim", "ko"),), (5_000_000,), 14
    )
    assert face.put_notice_settings(settings) == settings
    hook = Webhook("hook", "https://hooks.example.com/", (NoticeKind.BALANCE_ZERO,))
    made = face.put_webhook(hook)
    assert (made.webhook, made.secret.startswith("whsec_")) == (hook, True)
    assert face.put_webhook(hook).secret == ""
    assert face.rotate_webhook_secret("hook") != made.secret
    targets = face.get_notice_settings()
    assert (targets.settings, targets.webhooks) == (settings, (hook,))
    face.delete_webhook("hook")
    notice = face.test_notice()
    assert (notice.kind, [each.recipient for each in notice.deliveries]) == (
        NoticeKind.TEST,
        ["kim@example.com"],
    )
    assert notice.deliveries[0].state is DeliveryState.PENDING
    assert [each.notice_id for each in face.list_notices()] == [notice.notice_id]
    assert face.list_notices(dead=True) == []
    assert face.replay_notices() == 0


def test_calls_are_told_once_they_ended(face: Any) -> None:
    face.add_funds("INV-1", 100_000_000)
    face.put_payer(Payer("alice", "US", ("MCOPSTN1", "MCOPSTNC"), user_principal_name="a@example"))
    for call_id, seconds in (("first", 61), ("second", 0), ("third", 600)):
        face.authorize("alice", "USER_OUT", LONDON, call_id=call_id)
        face.settle(call_id, seconds)
    until(lambda: len(face.list_calls()) == 2, RECORDED_WITHIN_S)
    # The one that was never answered used nothing.
    rows = face.export_calls()
    assert [row.call_id for row in rows] == ["first", "third"]
    assert [row.call_id for row in face.list_calls(page_size=1)] == ["third", "first"]
    assert {row.user_principal_name for row in rows} == {"a@example"}
    spent_micros = face.get_balance().spent_micros
    assert sum(row.connection_fee_micros + row.charge_micros for row in rows) == spent_micros
    (line,) = face.get_usage_report("PAYER").lines
    assert (line.key, line.calls, line.charge_micros) == ("alice", 2, spent_micros)
    assert face.export_calls(CallFilter(country="FR")) == []
    assert face.get_funding_advice().reasoning
    status = face.get_archive_status()
    assert (status.alarms, status.entries > 0) == ((), True)


def test_a_watch_tells_of_money_that_comes_in(served: Shell) -> None:
    token = (served.state / "operator.token").read_text().strip()
    target = served.variables["TALKTIME_TARGET"]

    async def watched(add: Callable[[AsyncClient, int], Any]) -> list[int]:
        told = []
        async with AsyncClient(target, token, tenant_id="contoso", timeout_s=2) as client:
            async for reading in client.watch_balance():
                assert reading.balance is not None
                told.append(reading.balance.settled_micros)
                if len(told) == 3:
                    break
                await add(client, len(told))
        return told

    told = asyncio.run(
        watched(lambda client, number: client.add_funds(f"watched-{number}", 1_000_000))
    )
    assert [later - before for before, later in pairwise(told)] == [
        1_000_000,
        1_000_000,
    ]
