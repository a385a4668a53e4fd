"""Both clients ask about money, recharges, notices and usage alike: what they send, and what they give back."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from client.lying_server import Answer, LyingServer, failing, sent
from talktime import (
    Admin,
    CallFilter,
    ChargeOutcome,
    Conflict,
    NoticeKind,
    NoticeSettings,
    PaymentMethod,
    RechargeRule,
    RechargeState,
    Unavailable,
    Webhook,
)
from talktime.v1 import account_service_pb2 as pb
from talktime.v1.authorization_service_pb2 import CALL_TYPE_USER_OUT

Make = Callable[..., Any]
SOME_TIME = datetime(2026, 11, 21, tzinfo=UTC)
RULE = RechargeRule(
    enabled=True,
    trigger_micros=100_000_000,
    amount_micros=200_000_000,
    payment_methods=(PaymentMethod("stripe", "customer", "method"),),
)

# The method, its arguments, and the request that leaves.
ASKED: list[tuple[str, tuple[Any, ...], dict[str, Any], Message]] = [
    (
        "add_funds",
        ("INV-1", 5),
        {"purchase_order": "PO-7"},
        pb.AddFundsRequest(
            tenant_id="acme", funding_id="INV-1", amount_micros=5, purchase_order="PO-7"
        ),
    ),
    (
        "adjust_funds",
        ("A-1", -5, "too much"),
        {},
        pb.AdjustFundsRequest(
            tenant_id="acme", adjustment_id="A-1", amount_micros=-5, reason="too much"
        ),
    ),
    (
        "refund_funds",
        ("R-1", "INV-1", 5, "bank"),
        {"chargeback": True, "tenant_id": "other"},
        pb.RefundFundsRequest(
            tenant_id="other",
            refund_id="R-1",
            funding_id="INV-1",
            amount_micros=5,
            reason="bank",
            chargeback=True,
        ),
    ),
    ("get_recharge_rule", (), {}, pb.GetRechargeRuleRequest(tenant_id="acme")),
    (
        "set_recharge_rule",
        (RULE,),
        {},
        pb.SetRechargeRuleRequest(
            tenant_id="acme",
            rule=pb.RechargeRule(
                enabled=True,
                trigger_micros=100_000_000,
                amount_micros=200_000_000,
                payment_methods=[
                    pb.PaymentMethod(gateway="stripe", customer="customer", token="method")
                ],
            ),
        ),
    ),
    (
        "resume_recharge",
        (),
        {"charge_id": "c-1", "outcome": ChargeOutcome.NOT_CHARGED},
        pb.ResumeRechargeRequest(
            tenant_id="acme", charge_id="c-1", outcome=pb.CHARGE_OUTCOME_NOT_CHARGED
        ),
    ),
    ("resume_recharge", (), {}, pb.ResumeRechargeRequest(tenant_id="acme")),
    ("test_recharge", ("other",), {}, pb.TestRechargeRequest(tenant_id="other")),
    (
        "put_notice_settings",
        (NoticeSettings((Admin("a@example.com", ("Billing Administrator",)),), (7,), 3),),
        {},
        pb.PutNoticeSettingsRequest(
            tenant_id="acme",
            settings=pb.NoticeSettings(
                admins=[pb.Admin(email="a@example.com", roles=["Billing Administrator"])],
                low_balance_micros=[7],
                expiry_notice_days=3,
            ),
        ),
    ),
    ("get_notice_settings", (), {}, pb.GetNoticeSettingsRequest(tenant_id="acme")),
    (
        "put_webhook",
        (Webhook("hook", "https://example.com", ("POOL_80", NoticeKind.TEST)),),
        {},
        pb.PutWebhookRequest(
            tenant_id="acme",
            webhook=pb.Webhook(
                webhook_id="hook",
                url="https://example.com",
                kinds=[pb.NOTICE_KIND_POOL_80, pb.NOTICE_KIND_TEST],
            ),
        ),
    ),
    (
        "rotate_webhook_secret",
        ("hook",),
        {},
        pb.RotateWebhookSecretRequest(tenant_id="acme", webhook_id="hook"),
    ),
    ("delete_webhook", ("hook",), {}, pb.DeleteWebhookRequest(tenant_id="acme", webhook_id="hook")),
    ("replay_notices", ("n-1",), {}, pb.ReplayNoticesRequest(tenant_id="acme", notice_id="n-1")),
    ("test_notice", (), {}, pb.TestNoticeRequest(tenant_id="acme")),
    (
        "get_usage_report",
        ("PAYER", CallFilter(SOME_TIME, payer_id="alice", call_type="USER_OUT")),
        {},
        pb.GetUsageReportRequest(
            tenant_id="acme",
            group=pb.USAGE_GROUP_PAYER,
            filter=pb.CallFilter(
                start_time=Timestamp(seconds=int(SOME_TIME.timestamp())),
                payer_id="alice",
                call_type=CALL_TYPE_USER_OUT,
            ),
        ),
    ),
    ("get_funding_advice", (), {}, pb.GetFundingAdviceRequest(tenant_id="acme")),
    ("get_archive_status", (), {}, pb.GetArchiveStatusRequest()),
]


@pytest.mark.parametrize(("method", "given", "named", "request_"), ASKED, ids=lambda e: str(e)[:20])
def test_what_is_asked_leaves_as_the_contract_has_it(
    make: Make,
    server: LyingServer,
    method: str,
    given: tuple[Any, ...],
    named: dict[str, Any],
    request_: Message,
) -> None:
    server.script = [b""]
    getattr(make(tenant_id="acme"), method)(*given, **named)
    path = server.seen[0].path.rpartition("/")[2]
    assert (path + "Request", sent(server, type(request_))) == (
        type(request_).DESCRIPTOR.name,
        request_,
    )


def test_a_balance_reads_with_its_lots_and_its_recharge(make: Make, server: LyingServer) -> None:
    lot = pb.Lot(funding_id="INV-1", left_micros=3, amount_micros=5)
    lot.expire_time.FromDatetime(SOME_TIME)
    server.script = [
        pb.GetBalanceResponse(
            lots=[lot], recharge=pb.Recharge(state=pb.RECHARGE_STATE_ARMED), days_left=4
        ),
        b"",
    ]
    face = make()
    told, empty = face.get_balance(), face.get_balance()
    assert (told.lots[0].funding_id, told.lots[0].expire_time) == ("INV-1", SOME_TIME)
    assert (told.recharge.state, told.days_left) == (RechargeState.ARMED, 4)
    assert (empty.lots, empty.recharge, empty.days_left) == ((), None, None)


def test_a_stored_rule_may_be_sent_back_as_it_is(make: Make, server: LyingServer) -> None:
    server.script = lambda path, body: _stored(body)
    face = make()
    stored = face.set_recharge_rule(RULE)
    assert (stored.rule, stored.recharge) == (RULE, None)
    assert face.set_recharge_rule(stored.rule).rule == RULE


def _stored(body: bytes) -> Answer:
    return pb.SetRechargeRuleResponse(rule=pb.SetRechargeRuleRequest.FromString(body).rule)


def test_lists_go_through_all_pages(make: Make, server: LyingServer) -> None:
    server.script = [
        pb.ListRechargesResponse(steps=[pb.RechargeStep(charge_id="b")], next_page_token="2"),
        pb.ListRechargesResponse(steps=[pb.RechargeStep(charge_id="a")]),
        pb.ListNoticesResponse(notices=[pb.Notice(deliveries=[pb.Delivery(attempts=3)])]),
        pb.ListCallsResponse(rows=[pb.UsageRow(usage_id="u", call_id="c")]),
    ]
    face = make(tenant_id="acme")
    assert [step.charge_id for step in face.list_recharges(page_size=1)] == ["b", "a"]
    assert sent(server, pb.ListRechargesRequest, 1).page_token == "2"
    (notice,) = face.list_notices(dead=True)
    assert (notice.kind, notice.deliveries[0].attempts) == (NoticeKind.UNRECOGNIZED, 3)
    assert sent(server, pb.ListNoticesRequest).dead
    (row,) = face.list_calls(CallFilter(country="GB"))
    assert (row.usage_id, sent(server, pb.ListCallsRequest).filter.country) == ("u", "GB")


def test_secrets_and_counts_come_back_bare(make: Make, server: LyingServer) -> None:
    server.script = [
        pb.RotateWebhookSecretResponse(secret="whsec_new"),
        pb.ReplayNoticesResponse(deliveries=3),
        pb.DeleteWebhookResponse(),
    ]
    face = make()
    assert face.rotate_webhook_secret("hook") == "whsec_new"
    assert face.replay_notices() == 3
    assert face.delete_webhook("hook") is None


def test_what_went_wrong_is_told_by_its_reason(make: Make, server: LyingServer) -> None:
    server.script = [
        failing(grpc.StatusCode.FAILED_PRECONDITION, "REFUND_LIMIT", outcome="NOT_APPLIED"),
        failing(grpc.StatusCode.UNAVAILABLE, "ARCHIVE_AWAY", outcome="NOT_APPLIED"),
    ]
    face = make()
    with pytest.raises(Conflict, match="REFUND_LIMIT"):
        face.refund_funds("R-1", "INV-1", 5, "why")
    with pytest.raises(Unavailable, match="ARCHIVE_AWAY"):
        face.list_recharges()


def test_a_time_of_nowhere_is_refused(make: Make, server: LyingServer) -> None:
    nobody_knows_where = datetime(2026, 12, 1)  # noqa: DTZ001  # the case under test
    with pytest.raises(ValueError, match="start_time"):
        make().list_calls(CallFilter(start_time=nobody_knows_where))
    assert server.seen == []
