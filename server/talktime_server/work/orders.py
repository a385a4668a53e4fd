"""What people order a recharge to do: another rule, and going on after it stopped."""

from dataclasses import replace
from enum import StrEnum

from talktime_server.failure import Conflict
from talktime_server.ledger.recharge_rows import Line, Recharge, Rule, Step, View
from talktime_server.words import RechargeState
from talktime_server.work.caps import uncounted
from talktime_server.work.steps import armed

# What a charge that runs decides by itself, whatever the rule says meanwhile (semantics 61).
_RUNNING = frozenset({RechargeState.CHARGING, RechargeState.UNKNOWN, RechargeState.NEEDS_REVIEW})
_PAUSED = frozenset(
    {
        RechargeState.CLAIMED,
        RechargeState.DECLINED,
        RechargeState.STOPPED,
        RechargeState.CAPPED,
    }
)
_DECIDABLE = frozenset({RechargeState.NEEDS_REVIEW, RechargeState.ACTION_REQUIRED})


class Decision(StrEnum):
    """What an operator read at the provider of a charge."""

    CHARGED = "CHARGED"
    NOT_CHARGED = "NOT_CHARGED"


def set_rule(view: View, rule: Rule) -> Step | None:
    """Replaces the rule; None when it is stored already. A rule's version is 0, or the stored one: else VERSION_CHANGED.

    The balance is compared with the new trigger in the same write (semantics 50); a claim that waits stays one.
    """
    stored = view.rule.version
    if view.ruled and replace(rule, version=stored) == view.rule:
        return None
    if rule.version not in (0, stored):
        text = f"the rule has version {stored} by now: read it again, and change that"
        raise Conflict("VERSION_CHANGED", text, facts={"rule_version": str(stored)})
    row = view.recharge if view.ruled else Recharge.first()
    another = bool(set(rule.methods) - set(row.rule.methods))
    row = replace(row, rule=replace(rule, version=stored + 1))
    row = _under_rule(replace(view, recharge=row), claimed=view.claimed, another=another)
    return Step(row, Line(row.state))


def _under_rule(view: View, *, claimed: bool, another: bool) -> Recharge:
    """Where a recharge goes when its rule changes; `another`: there is a payment method that was not there before."""
    row = view.recharge
    if row.state in _RUNNING:
        return row
    if not row.rule.enabled:
        return armed(replace(view, recharge=_given_up(view)))
    if row.state is RechargeState.ACTION_REQUIRED:
        return replace(row, again=1, next_ms=view.now_ms) if another else row
    if row.state in (RechargeState.STOPPED, RechargeState.DECLINED):
        return replace(armed(view), declines=0, waits=0, code="") if another else row
    if row.state is RechargeState.COOLING or claimed:
        return row
    return armed(view)


def _given_up(view: View) -> Recharge:
    """The row without a charge that waits for the customer: confirmed later, it is credited all the same."""
    row = view.recharge
    waits = row.state is RechargeState.ACTION_REQUIRED
    return uncounted(row, view.now_ms) if waits else row


def turn_off(view: View, code: str) -> Step:
    """Ends a claim whose tenant must not recharge, by turning its rule off; `code` says why."""
    rule = replace(view.rule, enabled=False, version=view.rule.version + 1)
    row = armed(replace(view, recharge=replace(view.recharge, rule=rule)))
    return Step(replace(row, code=code), Line(row.state, code=code))


def resume(view: View) -> Step | None:
    """Arms again what stopped; None when nothing did.

    A charge that waits for the customer is looked up first; unless it was confirmed meanwhile, another one is made.
    """
    row = view.recharge
    if row.state is RechargeState.OFF:
        raise Conflict("RECHARGE_OFF", "the recharge rule is turned off")
    if row.state is RechargeState.NEEDS_REVIEW:
        text = "nobody knows what became of the charge: an operator must say it"
        raise Conflict("OUTCOME_REQUIRED", text)
    if row.state is RechargeState.ACTION_REQUIRED:
        return None if row.again else Step(replace(row, again=1, next_ms=view.now_ms))
    if row.state in _PAUSED:
        row = replace(armed(view), declines=0, waits=0, code="")
        return Step(row, Line(row.state))
    return None


def check_decision(view: View, charge_id: str, decision: Decision) -> bool:
    """Whether an operator's word is still to be carried out; False when it was. Raises Conflict for what is not open."""
    row = view.recharge
    if row.decided == f"{charge_id} {decision}":
        return False
    if row.charge_id == charge_id and row.state in _DECIDABLE:
        return True
    raise Conflict("NOT_UNDER_REVIEW", "this charge does not wait for somebody to decide")


def decided(row: Recharge, charge_id: str, decision: Decision) -> Recharge:
    """The row that remembers an operator's word, so that saying it twice is harmless."""
    return replace(row, decided=f"{charge_id} {decision}")


def not_charged(view: View, charge_id: str) -> Step | None:
    """An operator says that no money was taken: the balance is watched again. None when that was done."""
    if not check_decision(view, charge_id, Decision.NOT_CHARGED):
        return None
    row = decided(uncounted(view.recharge, view.now_ms), charge_id, Decision.NOT_CHARGED)
    row = replace(armed(replace(view, recharge=row)), declines=0, waits=0, code="")
    return Step(row, Line(row.state))
