"""What can be asked of AccountService about automatic recharges: each function builds one request, or those of a
list."""

from talktime import conversion
from talktime.ask import Ask, Defaults, Page, Pages, ask, reading, reading_page
from talktime.recharges import Recharge, RechargeRule, RechargeStep, RechargeTrial, RuledRecharge
from talktime.v1 import account_service_pb2 as pb
from talktime.words import ChargeOutcome


def set_recharge_rule(
    defaults: Defaults, rule: RechargeRule, *, tenant_id: str | None = None
) -> Ask[RuledRecharge]:
    """Sets the automatic recharge of a tenant, whole; shows it as stored.

    A rule enabled below its trigger recharges at once (semantics 50); one changed or turned off while a charge is
    under way lets it finish (61). Conflict with the reason CREDITS_NOT_SOLD where the tenant's country has none, or
    VERSION_CHANGED when another change came between.
    """
    request = pb.SetRechargeRuleRequest(tenant_id=defaults.tenant(tenant_id))
    conversion.write(rule, request.rule)
    return ask(request, reading(RuledRecharge))


def get_recharge_rule(defaults: Defaults, tenant_id: str | None = None) -> Ask[RuledRecharge]:
    """Shows the rule and where the recharge is; NotFound when the tenant never had a rule."""
    request = pb.GetRechargeRuleRequest(tenant_id=defaults.tenant(tenant_id))
    return ask(request, reading(RuledRecharge))


def resume_recharge(
    defaults: Defaults,
    *,
    charge_id: str = "",
    outcome: ChargeOutcome | str | None = None,
    tenant_id: str | None = None,
) -> Ask[Recharge]:
    """Arms a recharge again that stopped: after declines, an action that was required, or a cap.

    With `charge_id` and `outcome` an operator decides a charge whose result nobody could find out (semantics 53).
    It may be repeated.
    """
    request = pb.ResumeRechargeRequest(tenant_id=defaults.tenant(tenant_id), charge_id=charge_id)
    if outcome is not None:
        number = conversion.number_of(outcome, pb.ChargeOutcome.DESCRIPTOR)
        request.outcome = pb.ChargeOutcome.ValueType(number)
    return ask(request, reading(Recharge, "recharge"))


def test_recharge(
    defaults: Defaults,
    tenant_id: str | None = None,  # noqa: PT028  # a dry run of the service, no test
) -> Ask[RechargeTrial]:
    """Goes through a recharge without charging: each check in order, its verdict and why."""
    request = pb.TestRechargeRequest(tenant_id=defaults.tenant(tenant_id))
    return ask(request, reading(RechargeTrial))


def list_recharges(
    defaults: Defaults, *, page_size: int = 0, tenant_id: str | None = None
) -> Pages[RechargeStep]:
    """Lists the steps of a tenant's recharges, newest first; Unavailable with the reason ARCHIVE_AWAY when the archive
    cannot be asked."""

    def page(token: str) -> Ask[Page[RechargeStep]]:
        request = pb.ListRechargesRequest(
            tenant_id=defaults.tenant(tenant_id), page_size=page_size, page_token=token
        )
        return ask(request, reading_page(RechargeStep, "steps"))

    return page
