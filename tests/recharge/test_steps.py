"""Every step of a recharge as a table: from where, by what, to where, and when it is looked at again."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from recharge.stage import UNIT, rule
from talktime_server.failure import Conflict
from talktime_server.ledger.recharge_rows import Recharge, Step, View
from talktime_server.ledger.records import Money
from talktime_server.payments.gateway import Outcome, Result
from talktime_server.payments.sandbox import Token
from talktime_server.words import RechargeState
from talktime_server.work import caps, orders, steps
from talktime_server.work.orders import Decision

NOW_MS = int(datetime(2026, 11, 30, 22, 0, tzinfo=UTC).timestamp()) * 1000
MINUTE, HOUR = 60_000, 3_600_000
S = RechargeState
ME = steps.Claimant("me", MINUTE)
NEVER = 0
MINE = "rc-n-1-1"


def at(state: RechargeState, *, now_ms: int = NOW_MS, claims: int = 1, **row: Any) -> View:
    """A recharge whose first claim was charged from the first of two payment methods, an hour ago."""
    charge = Recharge(
        rule=rule(Token.DECLINED, Token.APPROVED, version=1),
        nonce="n",
        state=state,
        epoch=1,
        attempt=1,
        charge_id=MINE,
        amount_micros=200 * UNIT,
        currency="USD",
        gateway="billing",
        begun_ms=NOW_MS - HOUR,
        counted_ms=NOW_MS - HOUR,
        asked_version=1,
        rounds=1,
        owner="me",
        next_ms=NOW_MS,
        day=caps.rolled(Recharge(), NOW_MS).day,
        day_count=1,
        day_micros=200 * UNIT,
        month=202611,
        month_count=1,
        month_micros=200 * UNIT,
        steps=5,
    )
    return View("t", now_ms, Money(90 * UNIT, 0), claims, replace(charge, **row))


SUCCEEDED = Result(Outcome.SUCCEEDED, "p1")
DECLINED = Result(Outcome.DECLINED, "p1", "expired_card")
AWAY = Result(Outcome.NOT_CHARGED, code="PROVIDER_UNREACHABLE")
REFUSED = Result(Outcome.NOT_CHARGED, code="BAD_CREDENTIALS")
ACTION = Result(Outcome.ACTION_REQUIRED, "p1", action_url="https://bank.example.com/1")
PENDING = Result(Outcome.PENDING, "p1")
UNKNOWN = Result(Outcome.UNKNOWN, code="PROVIDER_SILENT")
OLD: dict[str, Any] = {"begun_ms": NOW_MS - 24 * HOUR}
LAST: dict[str, Any] = {"method": 1}
# State, what the row has, answer, where it goes, when it is looked at (ms from now; NEVER: not by itself), counted still.
ANSWERS: tuple[tuple[RechargeState, dict[str, Any], Result, RechargeState, int, bool], ...] = (
    (S.CHARGING, {}, SUCCEEDED, S.COOLING, 1, True),
    (S.UNKNOWN, {}, SUCCEEDED, S.COOLING, 1, True),
    (S.NEEDS_REVIEW, {}, SUCCEEDED, S.COOLING, 1, True),
    (S.ACTION_REQUIRED, {}, SUCCEEDED, S.COOLING, 1, True),
    (S.CHARGING, {}, DECLINED, S.DECLINED, 1, False),
    (S.CHARGING, LAST, DECLINED, S.DECLINED, HOUR, False),
    (S.CHARGING, LAST | {"declines": 1}, DECLINED, S.DECLINED, 6 * HOUR, False),
    (S.CHARGING, LAST | {"declines": 2}, DECLINED, S.STOPPED, NEVER, False),
    (S.UNKNOWN, LAST, DECLINED, S.DECLINED, HOUR, False),
    (S.ACTION_REQUIRED, LAST, DECLINED, S.DECLINED, HOUR, False),
    (S.NEEDS_REVIEW, LAST, DECLINED, S.DECLINED, HOUR, False),
    (S.CHARGING, LAST | {"asked_version": 0}, DECLINED, S.DECLINED, 1, False),
    (S.CHARGING, {}, AWAY, S.CLAIMED, 1, False),
    (S.CHARGING, LAST, AWAY, S.CLAIMED, MINUTE, False),
    (S.CHARGING, LAST | {"waits": 3}, AWAY, S.CLAIMED, 27 * MINUTE, False),
    (S.CHARGING, LAST | {"waits": 6}, AWAY, S.CLAIMED, 2 * HOUR, False),
    (S.CHARGING, LAST | {"waits": 7}, AWAY, S.DECLINED, HOUR, False),
    (S.CHARGING, LAST | {"declined_now": 1}, AWAY, S.DECLINED, HOUR, False),
    (S.CHARGING, LAST, REFUSED, S.DECLINED, HOUR, False),
    (S.CHARGING, {}, ACTION, S.ACTION_REQUIRED, 15 * MINUTE, True),
    (S.UNKNOWN, {}, ACTION, S.ACTION_REQUIRED, 15 * MINUTE, True),
    (S.ACTION_REQUIRED, OLD, ACTION, S.ACTION_REQUIRED, NEVER, True),
    (S.ACTION_REQUIRED, {"again": 1}, ACTION, S.ARMED, NEVER, False),
    (S.ACTION_REQUIRED, {"again": 1}, UNKNOWN, S.ACTION_REQUIRED, MINUTE, True),
    (S.ACTION_REQUIRED, {}, UNKNOWN, S.ACTION_REQUIRED, 15 * MINUTE, True),
    (S.ACTION_REQUIRED, {}, PENDING, S.CHARGING, 5 * MINUTE, True),
    (S.CHARGING, {}, PENDING, S.CHARGING, 5 * MINUTE, True),
    (S.CHARGING, {}, UNKNOWN, S.UNKNOWN, 5 * MINUTE, True),
    (S.UNKNOWN, {}, UNKNOWN, S.UNKNOWN, 5 * MINUTE, True),
    (S.UNKNOWN, {"begun_ms": NOW_MS - 24 * HOUR + 1}, UNKNOWN, S.UNKNOWN, 1, True),
    (S.UNKNOWN, OLD, UNKNOWN, S.NEEDS_REVIEW, NEVER, True),
    (S.CHARGING, OLD, PENDING, S.NEEDS_REVIEW, NEVER, True),
)


@pytest.mark.parametrize(
    ("state", "row", "result", "goes", "wait_ms", "counted"), ANSWERS, ids=lambda each: str(each)
)
def test_an_answer_moves_it(
    state: RechargeState,
    row: dict[str, Any],
    result: Result,
    goes: RechargeState,
    wait_ms: int,
    counted: bool,
) -> None:
    view = at(state, **row)
    step = steps.answered(view, MINE, result, 5 * MINUTE)
    assert step
    after = step.recharge
    next_ms = NOW_MS + (wait_ms if wait_ms > 1 else 0) if wait_ms else 0
    if row.get("begun_ms") == NOW_MS - 24 * HOUR + 1:
        next_ms = NOW_MS + 1
    assert (after.state, after.next_ms, after.owner) == (goes, next_ms, "")
    assert (after.day_count, after.month_count) == (int(counted),) * 2
    assert after.day_micros == 200 * UNIT * counted
    assert after.charge_id == MINE
    told = step.line is not None
    assert told == (goes is not state or goes is S.STOPPED or (row == OLD and result is ACTION))


@pytest.mark.parametrize(
    "state", [S.OFF, S.ARMED, S.COOLING, S.DECLINED, S.CAPPED, S.STOPPED, S.CLAIMED]
)
@pytest.mark.parametrize("result", [SUCCEEDED, DECLINED, ACTION, PENDING, UNKNOWN])
def test_an_answer_about_nothing_open_moves_nothing(state: RechargeState, result: Result) -> None:
    assert steps.answered(at(state), MINE, result, MINUTE) is None
    assert steps.answered(at(S.CHARGING), "rc-n-0-1", result, MINUTE) is None


@pytest.mark.parametrize("result", [PENDING, UNKNOWN])
def test_what_waits_for_a_person_is_not_taken_from_them(result: Result) -> None:
    assert steps.answered(at(S.NEEDS_REVIEW), MINE, result, MINUTE) is None


def test_asked_often_enough_it_is_looked_up_at_the_end_of_the_day() -> None:
    silent = steps.answered(at(S.UNKNOWN), MINE, UNKNOWN, None)
    known = steps.answered(at(S.CHARGING), MINE, PENDING, None)
    assert silent
    assert known
    assert silent.recharge.next_ms == NOW_MS + 23 * HOUR
    assert known.recharge.next_ms == NOW_MS + 2 * HOUR


# State, what the row has, and which of the worker's three questions is yes.
TURNS: tuple[tuple[RechargeState, dict[str, Any], str], ...] = (
    (S.ARMED, {"epoch": 1}, ""),
    (S.ARMED, {"epoch": 0}, "begin"),
    (S.CHARGING, {}, "ask"),
    (S.CHARGING, {"next_ms": NOW_MS + 1}, ""),
    (S.UNKNOWN, {}, "ask"),
    (S.ACTION_REQUIRED, {}, "ask"),
    (S.ACTION_REQUIRED, {"next_ms": 0}, ""),
    (S.NEEDS_REVIEW, {}, ""),
    (S.COOLING, {}, "arm"),
    (S.COOLING, {"next_ms": NOW_MS + 1}, ""),
    (S.CAPPED, {}, "arm"),
    (S.DECLINED, {}, "arm"),
    (S.DECLINED, {"method": 1}, "begin"),
    (S.DECLINED, {"method": 1, "rule": rule(enabled=False)}, "arm"),
    (S.CLAIMED, {"method": 1}, "begin"),
    (S.CLAIMED, {}, "arm"),
    (S.STOPPED, {}, ""),
    (S.OFF, {}, ""),
)


@pytest.mark.parametrize(("state", "row", "turn"), TURNS, ids=lambda each: str(each)[:60])
def test_what_the_worker_does(state: RechargeState, row: dict[str, Any], turn: str) -> None:
    view = at(state, **row)
    asked = {"begin": steps.to_begin, "ask": steps.to_ask, "arm": steps.to_arm}
    assert [name for name, question in asked.items() if question(view)] == [turn] * bool(turn)


ON: dict[str, Any] = {}
OFF: dict[str, Any] = {"enabled": False}
ANOTHER: dict[str, Any] = {"methods": rule(Token.PENDING).methods}
# State, what the row has, the change of the rule, where it goes.
RULES: tuple[tuple[RechargeState, dict[str, Any], dict[str, Any], RechargeState], ...] = (
    (S.OFF, {}, ON, S.ARMED),
    (S.ARMED, {}, ON, S.ARMED),
    (S.ARMED, {}, OFF, S.OFF),
    (S.ARMED, {"epoch": 0}, OFF, S.OFF),
    (S.CLAIMED, {}, ON, S.ARMED),
    (S.CHARGING, {}, OFF, S.CHARGING),
    (S.CHARGING, {}, ANOTHER, S.CHARGING),
    (S.UNKNOWN, {}, OFF, S.UNKNOWN),
    (S.NEEDS_REVIEW, {}, OFF, S.NEEDS_REVIEW),
    (S.ACTION_REQUIRED, {}, ON, S.ACTION_REQUIRED),
    (S.ACTION_REQUIRED, {}, ANOTHER, S.ACTION_REQUIRED),
    (S.ACTION_REQUIRED, {}, OFF, S.OFF),
    (S.COOLING, {}, ON, S.COOLING),
    (S.COOLING, {}, OFF, S.OFF),
    (S.DECLINED, {}, ON, S.DECLINED),
    (S.DECLINED, {}, ANOTHER, S.ARMED),
    (S.STOPPED, {}, ON, S.STOPPED),
    (S.STOPPED, {}, ANOTHER, S.ARMED),
    (S.STOPPED, {}, OFF, S.OFF),
    (S.CAPPED, {}, ON, S.ARMED),
)


@pytest.mark.parametrize(("state", "row", "change", "goes"), RULES, ids=lambda each: str(each)[:40])
def test_another_rule_moves_it(
    state: RechargeState, row: dict[str, Any], change: dict[str, Any], goes: RechargeState
) -> None:
    view = at(state, **row)
    new = replace(view.rule, trigger_micros=120 * UNIT, version=1, **change)
    step = orders.set_rule(view, new)
    assert step
    assert step.recharge.state == goes
    assert step.recharge.rule == replace(new, version=2)
    assert step.line
    assert step.line.charge_id == ""
    again = replace(view, recharge=step.recharge)
    assert orders.set_rule(again, new) is None
    with pytest.raises(Conflict) as caught:
        orders.set_rule(again, replace(new, amount_micros=300 * UNIT))
    assert caught.value.reason == "VERSION_CHANGED"


def test_a_claim_that_waits_is_not_taken_twice_by_another_rule() -> None:
    view = at(S.ARMED, epoch=0)
    step = orders.set_rule(view, replace(view.rule, trigger_micros=300 * UNIT))
    assert step
    assert replace(view, recharge=step.recharge).claimed


RESUMED = (
    (S.ARMED, None),
    (S.CHARGING, None),
    (S.UNKNOWN, None),
    (S.COOLING, None),
    (S.CLAIMED, S.ARMED),
    (S.DECLINED, S.ARMED),
    (S.STOPPED, S.ARMED),
    (S.CAPPED, S.ARMED),
    (S.ACTION_REQUIRED, S.ACTION_REQUIRED),
)


@pytest.mark.parametrize(("state", "goes"), RESUMED)
def test_going_on_by_hand(state: RechargeState, goes: RechargeState | None) -> None:
    step = orders.resume(at(state, declines=3))
    assert (step.recharge.state if step else None) == goes


@pytest.mark.parametrize(
    ("state", "reason"), [(S.OFF, "RECHARGE_OFF"), (S.NEEDS_REVIEW, "OUTCOME_REQUIRED")]
)
def test_what_cannot_go_on_by_hand(state: RechargeState, reason: str) -> None:
    with pytest.raises(Conflict) as caught:
        orders.resume(at(state))
    assert caught.value.reason == reason


@pytest.mark.parametrize("state", [S.NEEDS_REVIEW, S.ACTION_REQUIRED])
def test_an_operator_who_says_that_nothing_was_charged_says_it_once(state: RechargeState) -> None:
    view = at(state)
    step = orders.not_charged(view, MINE)
    assert step
    assert (step.recharge.state, step.recharge.day_count) == (S.ARMED, 0)
    after = replace(view, recharge=step.recharge)
    assert orders.not_charged(after, MINE) is None
    with pytest.raises(Conflict):
        orders.check_decision(after, MINE, Decision.CHARGED)


@pytest.mark.parametrize("state", sorted(set(S) - {S.NEEDS_REVIEW, S.ACTION_REQUIRED}))
def test_nobody_decides_what_is_not_open(state: RechargeState) -> None:
    with pytest.raises(Conflict) as caught:
        orders.not_charged(at(state), MINE)
    assert caught.value.reason == "NOT_UNDER_REVIEW"


def begun(view: View) -> Step:
    return steps.begin(view, "USD", ME)


def test_a_charge_is_counted_and_frozen_before_anybody_is_asked() -> None:
    row = begun(at(S.ARMED, epoch=0, claims=2)).recharge
    assert (row.state, row.charge_id, row.owner) == (S.CHARGING, "rc-n-2-1", "me")
    assert (row.epoch, row.attempt, row.method, row.next_ms) == (2, 1, 0, NOW_MS + MINUTE)
    assert (row.token, row.amount_micros, row.currency) == (Token.DECLINED, 200 * UNIT, "USD")
    assert (row.day_count, row.month_micros) == (2, 400 * UNIT)


def test_the_next_payment_method_has_the_next_attempt_of_the_same_claim() -> None:
    row = begun(at(S.DECLINED, method=1)).recharge
    assert (row.charge_id, row.token) == ("rc-n-1-2", Token.APPROVED)


# The rule's caps, and until when none is left: hours from now, the last two of a November day.
CAPS: tuple[tuple[dict[str, int], int, str], ...] = (
    ({"max_per_day": 1}, 2, "DAY_CAP"),
    ({"max_per_month": 1}, 2, "MONTH_CAP"),
    ({"max_amount_per_day_micros": 399 * UNIT}, 2, "DAY_CAP"),
    ({"max_amount_per_month_micros": 399 * UNIT}, 2, "MONTH_CAP"),
    ({"max_amount_per_day_micros": 400 * UNIT}, 0, ""),
    ({"max_per_day": 2, "max_per_month": 2}, 0, ""),
)


@pytest.mark.parametrize(("limits", "hours", "why"), CAPS, ids=lambda each: str(each))
def test_what_is_charged_stays_within_the_caps(
    limits: dict[str, int], hours: int, why: str
) -> None:
    view = at(S.ARMED, epoch=0, claims=2, rule=rule(**limits))
    allowed = caps.allowance(view)
    assert (allowed.amount_micros > 0, allowed.why) == (not why, why)
    assert allowed.until_ms == (NOW_MS + hours * HOUR if why else 0)
    row = begun(view).recharge
    assert (row.state, row.epoch) == (S.CAPPED if why else S.CHARGING, 2)
    later = replace(view, now_ms=NOW_MS + hours * HOUR)
    assert caps.allowance(later).amount_micros == 200 * UNIT


def test_what_was_not_charged_is_only_taken_off_its_own_day_and_month() -> None:
    midnight_ms = NOW_MS + 2 * HOUR
    row = caps.counted(at(S.CHARGING).recharge, 70 * UNIT, midnight_ms)
    after = caps.uncounted(row, midnight_ms)
    assert (after.day_count, after.month_count, after.month_micros) == (1, 1, 70 * UNIT)
    assert caps.uncounted(after, midnight_ms) == after


def test_the_month_after_december_is_january() -> None:
    december_ms = int(datetime(2026, 12, 31, 23, tzinfo=UTC).timestamp()) * 1000
    view = at(S.ARMED, now_ms=december_ms, rule=rule(max_amount_per_month_micros=UNIT))
    assert caps.allowance(view).until_ms == december_ms + HOUR


@pytest.mark.parametrize(
    ("settled", "amount", "bought"),
    [(90, 200, 200), (-190, 200, 400), (-350, 50, 450), (100, 200, 200), (-2_000_000, 200, 10**6)],
)
def test_the_gap_is_filled_in_multiples(settled: int, amount: int, bought: int) -> None:
    view = at(S.ARMED, rule=rule(amount_micros=amount * UNIT, fill_gap=True))
    view = replace(view, money=Money(settled * UNIT, 0))
    assert caps.allowance(view).amount_micros == bought * UNIT


def test_a_row_is_read_as_it_was_written() -> None:
    row = at(S.DECLINED, code="expired_card", decided="x CHARGED").recharge
    flat = row.names_and_values()
    read = dict(zip(flat[::2], flat[1::2], strict=True)) | {"steps": "5", "of_tomorrow": "1"}
    assert Recharge.read(read) == row
