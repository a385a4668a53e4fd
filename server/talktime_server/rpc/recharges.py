"""The recharges of AccountService: the rule, going on after a stop, a dry run, and what happened."""

from google.protobuf.message import Message

from talktime.v1 import account_service_pb2 as pb
from talktime_server.archive.history import History
from talktime_server.decision import catalog
from talktime_server.failure import Conflict, Forbidden, NotFound
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.profiles import Tenant
from talktime_server.ledger.recharge_rows import Rule, View
from talktime_server.ledger.recharges import Recharges as Rows
from talktime_server.rpc import pages
from talktime_server.rpc.account_methods import READERS, WRITERS, account_method
from talktime_server.rpc.decoding import Checks, known_numbers
from talktime_server.rpc.recharge_checks import RuleBounds, check_rule
from talktime_server.rpc.recharge_messages import (
    recharge_message,
    rule_message,
    step_message,
    trial_response,
)
from talktime_server.rpc.shapes import Identity, Method, Role
from talktime_server.work import orders
from talktime_server.work.charging import Charging
from talktime_server.work.orders import Decision
from talktime_server.work.trial import CHECK_TIMEOUT_S, try_out

_LISTING = "ListRecharges"
_OUTCOMES = known_numbers(pb.ChargeOutcome)
_DECISIONS = {
    pb.CHARGE_OUTCOME_CHARGED: Decision.CHARGED,
    pb.CHARGE_OUTCOME_NOT_CHARGED: Decision.NOT_CHARGED,
}


class Recharges:
    """The handlers."""

    def __init__(
        self,
        rows: Rows,
        *,
        charging: Charging,
        directory: Directory,
        history: History,
        bounds: RuleBounds,
    ) -> None:
        self._rows = rows
        self._history = history
        self._charging = charging
        self._directory = directory
        self._bounds = bounds

    def methods(self) -> list[Method]:
        """The rows for the edge's table."""
        return [
            account_method("SetRechargeRule", pb.SetRechargeRuleRequest, WRITERS, self._set_rule),
            account_method("GetRechargeRule", pb.GetRechargeRuleRequest, READERS, self._get_rule),
            account_method("ResumeRecharge", pb.ResumeRechargeRequest, WRITERS, self._resume),
            account_method(
                "TestRecharge",
                pb.TestRechargeRequest,
                WRITERS,
                self._test,
                timeout_s=2 * CHECK_TIMEOUT_S,
            ),
            account_method("ListRecharges", pb.ListRechargesRequest, READERS, self._list),
        ]

    async def _set_rule(self, request: pb.SetRechargeRuleRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.present("rule", request.HasField("rule"))
        checks.done()
        tenant = await self._directory.fresh_tenant(tenant_id)
        rule = check_rule(checks, request.rule, tenant.currency, self._bounds)
        checks.done()
        _refuse_unsold(tenant, rule)
        await self._rows.change(tenant_id, lambda view: orders.set_rule(view, rule))
        view = await self._rows.view(tenant_id)
        return pb.SetRechargeRuleResponse(
            rule=rule_message(view.rule), recharge=recharge_message(view)
        )

    async def _get_rule(self, request: pb.GetRechargeRuleRequest, identity: Identity) -> Message:
        view = await self._ruled(_tenant_id(request, identity))
        return pb.GetRechargeRuleResponse(
            rule=rule_message(view.rule), recharge=recharge_message(view)
        )

    async def _resume(self, request: pb.ResumeRechargeRequest, identity: Identity) -> Message:
        tenant_id, decision = _decision_of(request, identity)
        await self._ruled(tenant_id)
        if decision is None:
            await self._rows.change(tenant_id, orders.resume)
        else:
            await self._charging.decide(tenant_id, request.charge_id, decision)
        view = await self._rows.view(tenant_id)
        return pb.ResumeRechargeResponse(recharge=recharge_message(view))

    async def _test(self, request: pb.TestRechargeRequest, identity: Identity) -> Message:
        tenant_id = _tenant_id(request, identity)
        view = await self._ruled(tenant_id)
        tenant = await self._directory.fresh_tenant(tenant_id)
        return trial_response(await try_out(view, tenant, self._charging.payments))

    async def _list(self, request: pb.ListRechargesRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        count = checks.page_size("page_size", request.page_size)
        checks.done()
        await self._directory.fresh_tenant(tenant_id)
        key, token = await self._directory.page_key(), request.page_token
        before = int(pages.read(key, tenant_id, _LISTING, token)) if token else 0
        found = await self._history.recharge_steps(tenant_id, before, count)
        more = str(found[-1].version) if len(found) == count else ""
        return pb.ListRechargesResponse(
            steps=[step_message(step) for step in found],
            next_page_token=pages.make(key, tenant_id, _LISTING, more) if more else "",
        )

    async def _ruled(self, tenant_id: str) -> View:
        view = await self._rows.view(tenant_id)
        if not view.ruled:
            raise NotFound("NO_RECHARGE_RULE", "the tenant never had a recharge rule")
        return view


def _tenant_id(
    request: pb.GetRechargeRuleRequest | pb.TestRechargeRequest, identity: Identity
) -> str:
    checks = Checks()
    tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
    checks.done()
    return tenant_id


def _decision_of(
    request: pb.ResumeRechargeRequest, identity: Identity
) -> tuple[str, Decision | None]:
    """The tenant, and what an operator says of a charge; None when it is only to go on."""
    checks = Checks()
    tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
    checks.enum("outcome", request.outcome, _OUTCOMES, required=request.charge_id != "")
    checks.id("charge_id", request.charge_id, required=request.outcome != 0)
    checks.done()
    decision = _DECISIONS.get(request.outcome)
    if decision and identity.role is not Role.OPERATOR:
        raise Forbidden("ROLE_FORBIDDEN", "only operators decide what became of a charge")
    return tenant_id, decision


def _refuse_unsold(tenant: Tenant, rule: Rule) -> None:
    """Credits are not sold everywhere, nor to who pays later; turning a rule off is always fine (domain.md 5)."""
    if not rule.enabled:
        return
    if tenant.postpaid:
        text = "a tenant who pays later is not recharged, or the switch to postpaid never happens"
        raise Conflict("RECHARGE_ON_POSTPAID", text)
    sold = catalog.availability().get(tenant.country)
    if sold and not sold.credits:
        raise Conflict("CREDITS_NOT_SOLD", "there are no credits in the tenant's country")
