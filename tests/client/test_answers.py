"""Answers carry every field and every word of the contract."""

from dataclasses import fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest
from google.protobuf.message import Message

import talktime
from talktime import accounts as records
from talktime import (
    answers,
    conversion,
    decks,
    funds,
    notices,
    recharges,
    report_requests,
    reports,
    words,
)
from talktime.v1 import account_service_pb2 as accounts
from talktime.v1 import authorization_service_pb2 as calls

# (value, message, fields that the client adds)
PAIRS: list[tuple[type[Any], type[Message], set[str]]] = [
    (answers.Rate, calls.Rate, set()),
    (answers.Source, calls.Source, set()),
    (answers.Balance, calls.Balance, set()),
    (answers.CallFields, calls.AuthorizeRequest, set()),
    (answers.Authorization, calls.AuthorizeResponse, {"call_id"}),
    (answers.Extension, calls.ExtendResponse, {"call_id"}),
    (answers.Settlement, calls.SettleResponse, {"call_id"}),
    (answers.Release, calls.ReleaseResponse, {"call_id"}),
    (answers.Check, calls.Check, set()),
    (answers.Quote, calls.QuoteResponse, set()),
    (answers.Call, calls.GetCallResponse, {"call_id"}),
    (answers.Batch, calls.AuthorizeBatchResponse, set()),
    (records.Tenant, accounts.Tenant, set()),
    (records.BoughtLicense, accounts.BoughtLicense, set()),
    (records.Payer, accounts.Payer, set()),
    (records.PayerChanges, accounts.PutPayersResponse, set()),
    (records.Block, accounts.Block, set()),
    (records.Pool, accounts.Pool, set()),
    (funds.Funding, accounts.AddFundsResponse, set()),
    (funds.Adjustment, accounts.AdjustFundsResponse, set()),
    (funds.Refund, accounts.RefundFundsResponse, set()),
    (funds.Lot, accounts.Lot, set()),
    (funds.TenantBalance, accounts.GetBalanceResponse, set()),
    (funds.BalanceReading, accounts.WatchBalanceResponse, set()),
    (recharges.PaymentMethod, accounts.PaymentMethod, set()),
    (recharges.RechargeRule, accounts.RechargeRule, set()),
    (recharges.Recharge, accounts.Recharge, set()),
    (recharges.RuledRecharge, accounts.SetRechargeRuleResponse, set()),
    (recharges.RuledRecharge, accounts.GetRechargeRuleResponse, set()),
    (recharges.RechargeCheck, accounts.RechargeCheck, set()),
    (recharges.RechargeTrial, accounts.TestRechargeResponse, set()),
    (recharges.RechargeStep, accounts.RechargeStep, set()),
    (notices.Admin, accounts.Admin, set()),
    (notices.NoticeSettings, accounts.NoticeSettings, set()),
    (notices.Webhook, accounts.Webhook, set()),
    (notices.NoticeTargets, accounts.GetNoticeSettingsResponse, set()),
    (notices.StoredWebhook, accounts.PutWebhookResponse, set()),
    (notices.Delivery, accounts.Delivery, set()),
    (notices.Notice, accounts.Notice, set()),
    (reports.CallFilter, accounts.CallFilter, set()),
    (reports.UsageRow, accounts.UsageRow, set()),
    (reports.UsageLine, accounts.UsageLine, set()),
    (reports.UsageReport, accounts.GetUsageReportResponse, set()),
    (reports.FundingAdvice, accounts.GetFundingAdviceResponse, set()),
    (reports.ArchiveStatus, accounts.GetArchiveStatusResponse, set()),
    (report_requests.ExportPart, accounts.ExportCallsResponse, set()),
    (records.PoolMovement, accounts.PoolMovement, set()),
    (records.Entry, accounts.Entry, set()),
    (records.Conservation, accounts.CheckConservationResponse, set()),
    (decks.RateRow, accounts.RateRow, set()),
    (decks.DeckScope, accounts.DeckScope, set()),
    (decks.RateDeck, accounts.RateDeck, set()),
    (decks.RateDecks, accounts.GetRateDecksResponse, set()),
    (decks.ShadowLine, accounts.ShadowLine, set()),
    (decks.ShadowReport, accounts.GetShadowReportResponse, set()),
]
ENUMS: list[tuple[type[StrEnum], Any]] = [
    (words.CallType, calls.CallType),
    (words.Outcome, calls.Outcome),
    (words.Reason, calls.Reason),
    (words.SourceKind, calls.SourceKind),
    (words.NumberClass, calls.NumberClass),
    (words.CallState, calls.CallState),
    (words.TenantStatus, accounts.TenantStatus),
    (words.RunningCalls, accounts.RunningCalls),
    (words.OrphanCharge, accounts.OrphanCharge),
    (words.BillingMode, accounts.BillingMode),
    (words.EntryKind, accounts.EntryKind),
    (words.Direction, accounts.Direction),
    (words.RechargeState, accounts.RechargeState),
    (words.ChargeOutcome, accounts.ChargeOutcome),
    (words.NoticeKind, accounts.NoticeKind),
    (words.DeliveryState, accounts.DeliveryState),
    (words.UsageGroup, accounts.UsageGroup),
]


@pytest.mark.parametrize(("value", "message", "added"), PAIRS)
def test_a_value_has_the_fields_of_its_message(
    value: type[Any], message: type[Message], added: set[str]
) -> None:
    assert {f.name for f in fields(value)} == set(message.DESCRIPTOR.fields_by_name) | added


@pytest.mark.parametrize(("word", "contract"), ENUMS)
def test_the_words_are_the_contracts(word: type[StrEnum], contract: Any) -> None:
    zero, *others = contract.keys()
    prefix = zero.removesuffix("UNSPECIFIED")
    assert [w.value for w in word] == [n.removeprefix(prefix) for n in others] + ["UNRECOGNIZED"]


def test_a_leg_asks_what_authorize_asks() -> None:
    leg = {field.name for field in fields(answers.Leg)}
    assert leg == set(calls.AuthorizeRequest.DESCRIPTOR.fields_by_name) - {"tenant_id"}


def test_every_word_is_tried() -> None:
    tried = {word for word, _ in ENUMS}
    assert tried == set(StrEnum.__subclasses__()) & {
        w for w in vars(words).values() if isinstance(w, type) and w is not StrEnum
    }


def test_the_public_names_are_exactly_those() -> None:
    assert dir(talktime) == talktime.__all__
    assert all(getattr(talktime, name) for name in talktime.__all__)
    public = {
        name
        for name, value in vars(talktime).items()
        if not name.startswith("_") and not isinstance(value, type(talktime))
    }
    assert public == set(talktime.__all__)
    assert sorted(talktime.__all__) == talktime.__all__
    with pytest.raises(AttributeError, match="Autorization"):
        talktime.Autorization  # type: ignore[attr-defined]  # noqa: B018  looking is enough


def test_an_answer_reads_as_plain_values() -> None:
    message = calls.AuthorizeResponse(
        outcome=calls.OUTCOME_AUTHORIZED,
        granted_seconds=600,
        sources=[calls.Source(kind=calls.SOURCE_KIND_CREDITS, seconds=600, amount_micros=50_000)],
        balance=calls.Balance(settled_micros=10, held_micros=3, available_micros=7),
        number_class=calls.NUMBER_CLASS_ORDINARY,
    )
    message.decided_time.FromSeconds(1_700_000_000)
    answer = conversion.read(answers.Authorization, message, call_id="c-1")
    assert answer.authorized
    assert answer.reason is None
    assert answer.sources == (answers.Source(words.SourceKind.CREDITS, "", 600, 50_000),)
    assert answer.balance == answers.Balance(10, 3, 7, "")
    assert answer.rate is None
    assert answer.decided_time == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_words_of_a_newer_service_are_unrecognized_and_never_an_authorization() -> None:
    message = calls.AuthorizeResponse.FromString(b"\x08\x63\x10\x62")
    answer = conversion.read(answers.Authorization, message, call_id="c-1")
    assert answer.outcome is words.Outcome.UNRECOGNIZED
    assert answer.reason is words.Reason.UNRECOGNIZED
    assert not answer.authorized


def test_an_empty_answer_authorizes_nothing() -> None:
    answer = conversion.read(answers.Authorization, calls.AuthorizeResponse(), call_id="c-1")
    assert not answer.authorized


def test_a_record_survives_the_way_there_and_back() -> None:
    tenant = records.Tenant(
        "t",
        "USD",
        "US",
        floor_micros=-5,
        orphan_charge=words.OrphanCharge.PROVEN,
        billing_mode=words.BillingMode.POSTPAID,
        bought_licenses=(records.BoughtLicense("MCOMEETADV", 10), records.BoughtLicense("A", 1)),
        blocked_prefixes=("1900", "4490"),
    )
    payer = records.Payer("p", "GB", ("MCOPSTN2", "MCOPSTNC"), blocked=True)
    stored_tenant, stored_payer = accounts.Tenant(), accounts.Payer()
    conversion.write(tenant, stored_tenant)
    conversion.write(payer, stored_payer)
    assert conversion.read(records.Tenant, stored_tenant) == tenant
    assert conversion.read(records.Payer, stored_payer) == payer


def test_what_an_admin_set_survives_the_way_there_and_back() -> None:
    rule = recharges.RechargeRule(
        enabled=True,
        trigger_micros=100_000_000,
        amount_micros=200_000_000,
        payment_methods=(recharges.PaymentMethod("stripe", "customer", "method"),),
        fill_gap=True,
    )
    settings = notices.NoticeSettings(
        (notices.Admin("admin@example.com", ("Billing Administrator",), "An Admin", "ko"),),
        (10_000_000, 5_000_000),
        14,
    )
    webhook = notices.Webhook("hook", "https://example.com", (words.NoticeKind.POOL_80,))
    for value, message in (
        (rule, accounts.RechargeRule()),
        (settings, accounts.NoticeSettings()),
        (webhook, accounts.Webhook()),
    ):
        conversion.write(value, message)
        assert conversion.read(type(value), message) == value


@pytest.mark.parametrize("days", [None, 0, 12])
def test_no_forecast_is_something_else_than_none_left(days: int | None) -> None:
    message = accounts.GetBalanceResponse(days_left=days)
    assert conversion.read(funds.TenantBalance, message).days_left == days


@pytest.mark.parametrize("direction", ["IN", words.Direction.IN])
def test_a_word_may_be_given_as_text(direction: str) -> None:
    row = accounts.RateRow()
    conversion.write(decks.RateRow("44", "Great Britain", 1, direction=direction), row)
    assert row.direction == accounts.DIRECTION_IN


@pytest.mark.parametrize(
    "word", ["UNRECOGNIZED", "UNSPECIFIED", "", "user_out", "CALL_TYPE_USER_OUT"]
)
def test_only_words_of_the_contract_are_sent(word: str) -> None:
    with pytest.raises(ValueError, match="CallType"):
        conversion.number_of(word, calls.CallType.DESCRIPTOR)
