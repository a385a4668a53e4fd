"""A recharge gone through without charging: each check in order, its verdict and why."""

import asyncio
from dataclasses import dataclass

from talktime_server.failure import Failure
from talktime_server.ledger.profiles import Tenant
from talktime_server.ledger.recharge_rows import View
from talktime_server.payments.payments import Payments
from talktime_server.words import RechargeState
from talktime_server.work.caps import allowance

CHECK_TIMEOUT_S = 5.0  # of one provider
_STATES = {
    RechargeState.OFF: "the rule is turned off",
    RechargeState.ARMED: "the balance is watched, and nothing is under way",
    RechargeState.CLAIMED: "a charge is about to be made",
    RechargeState.CHARGING: "a charge is under way",
    RechargeState.UNKNOWN: "what became of the last charge is being found out",
    RechargeState.NEEDS_REVIEW: "an operator must say what became of the last charge",
    RechargeState.COOLING: "it pauses after a success",
    RechargeState.DECLINED: "it was declined, and is tried again after a pause",
    RechargeState.STOPPED: "it was declined too often: set another payment method, or resume it",
    RechargeState.ACTION_REQUIRED: "the customer must confirm the last charge",
    RechargeState.CAPPED: "a cap of the day or the month is reached",
}
_CAPS = {
    "": "the caps of the day and the month leave room",
    "DAY_CAP": "the cap of this UTC day is reached",
    "MONTH_CAP": "the cap of this UTC month is reached",
}


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, whether it lets a recharge happen, and why."""

    name: str
    passed: bool
    explanation: str


@dataclass(frozen=True, slots=True)
class Trial:
    """All checks, and what would be charged now; 0 when nothing would."""

    checks: tuple[Check, ...]
    charge_micros: int


async def try_out(view: View, tenant: Tenant, payments: Payments) -> Trial:
    """Goes through everything that a recharge depends on. `view` has the balance that the trigger is compared with."""
    checks = _own_checks(view, tenant)
    names = dict.fromkeys(method.gateway for method in view.rule.methods)
    checks += await asyncio.gather(*(_provider(payments, name) for name in names))
    passed = all(check.passed for check in checks)
    return Trial(tuple(checks), allowance(view).amount_micros if passed else 0)


def _own_checks(view: View, tenant: Tenant) -> list[Check]:
    rule, gap_micros = view.rule, view.gap_micros
    may = view.state in (RechargeState.ARMED, RechargeState.CLAIMED)
    below = "is" if gap_micros > 0 else "is not"
    basis = "settled" if rule.on_settled else "available"
    cap = allowance(view).why if rule.amount_micros else ""
    return [
        Check("rule", rule.enabled, f"the rule is turned {'on' if rule.enabled else 'off'}"),
        Check(
            "billing mode",
            not tenant.postpaid,
            "the tenant pays later, so nothing is recharged"
            if tenant.postpaid
            else "the tenant pays ahead",
        ),
        Check("state", may, _STATES[view.state]),
        Check("trigger", gap_micros > 0, f"the {basis} balance {below} below the trigger"),
        Check("caps", not cap, _CAPS[cap]),
    ]


async def _provider(payments: Payments, name: str) -> Check:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await payments.check(name)
    except Failure as failure:
        return Check(name, False, failure.message)
    except TimeoutError:
        return Check(name, False, "the payment provider did not answer")
    return Check(name, True, "the payment provider answers and knows us")
