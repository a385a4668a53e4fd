"""From what is kept of recharges to what AccountService answers."""

from talktime.v1 import account_service_pb2 as pb
from talktime_server.archive.history import RechargeStep
from talktime_server.ledger.packed import Fields
from talktime_server.ledger.recharge_rows import Rule, View
from talktime_server.rpc.messages import instant
from talktime_server.words import RechargeState
from talktime_server.work.caps import DEFAULT_PER_DAY, DEFAULT_PER_MONTH, rolled
from talktime_server.work.steps import DEFAULT_EXPIRE_DAYS
from talktime_server.work.trial import Trial

STATES = {state: pb.RechargeState.Value(f"RECHARGE_STATE_{state.value}") for state in RechargeState}
# Fields that are spelled and mean the same here and in the contract.
RULE_FIELDS = (
    "enabled",
    "trigger_micros",
    "amount_micros",
    "on_settled",
    "fill_gap",
    "max_per_day",
    "max_per_month",
    "max_amount_per_day_micros",
    "max_amount_per_month_micros",
    "cooling_seconds",
    "expire_days",
)


def rule_message(rule: Rule) -> pb.RechargeRule:
    """A rule as stored."""
    return pb.RechargeRule(
        **{name: getattr(rule, name) for name in RULE_FIELDS},
        payment_methods=[
            pb.PaymentMethod(gateway=each.gateway, customer=each.customer, token=each.token)
            for each in rule.methods
        ],
        rule_version=rule.version,
    )


def with_defaults(rule: pb.RechargeRule) -> dict[str, int]:
    """What a rule's zeros ask for."""
    return {
        "max_per_day": rule.max_per_day or DEFAULT_PER_DAY,
        "max_per_month": rule.max_per_month or DEFAULT_PER_MONTH,
        "expire_days": rule.expire_days or DEFAULT_EXPIRE_DAYS,
    }


def recharge_message(view: View) -> pb.Recharge | None:
    """Where a recharge is; None for a tenant who never had a rule."""
    if not view.ruled:
        return None
    row = rolled(view.recharge, view.now_ms)
    waits = view.claimed or not row.next_ms
    return pb.Recharge(
        state=STATES[view.state],
        charge_id=row.charge_id,
        charge_micros=row.amount_micros,
        state_time=instant(row.since_ms),
        next_time=None if waits else instant(row.next_ms),
        declines=row.declines,
        decline_code=row.code,
        action_url=row.url,
        count_today=row.day_count,
        count_this_month=row.month_count,
        amount_today_micros=row.day_micros,
        amount_this_month_micros=row.month_micros,
    )


def step_message(step: RechargeStep) -> pb.RechargeStep:
    """A step of a recharge as the archive has it."""
    said = step.details
    return pb.RechargeStep(
        charge_id=step.charge_id,
        state=STATES[RechargeState(step.state)],
        amount_micros=said.get(b"amount", 0),
        gateway=_text(said, b"gateway"),
        provider_id=_text(said, b"provider"),
        decline_code=_text(said, b"code"),
        step_time=instant(step.entered_ms),
    )


def _text(said: Fields, name: bytes) -> str:
    return bytes(said.get(name, b"")).decode()


def trial_response(trial: Trial) -> pb.TestRechargeResponse:
    """A dry run."""
    return pb.TestRechargeResponse(
        checks=[
            pb.RechargeCheck(check=check.name, passed=check.passed, explanation=check.explanation)
            for check in trial.checks
        ],
        charge_micros=trial.charge_micros,
    )
