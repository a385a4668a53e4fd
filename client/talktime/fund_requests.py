"""What can be asked of AccountService about a tenant's money: each function builds one request."""

from talktime.ask import Ask, Defaults, Flow, ask, flow, reading
from talktime.funds import Adjustment, BalanceReading, Funding, Refund, TenantBalance
from talktime.v1 import account_service_pb2 as pb


def add_funds(
    defaults: Defaults,
    funding_id: str,
    amount_micros: int,
    *,
    expire_days: int = 0,
    purchase_order: str = "",
    tenant_id: str | None = None,
) -> Ask[Funding]:
    """Adds credits, 1 to 10^12 micros, once per `funding_id`: an invoice or transfer number.

    What is unused is lost after `expire_days`, 1 to 3650; 0 is 365. `purchase_order` is the customer's own
    reference, up to 64 characters. IdempotencyMismatch for a known id with another body; Conflict with the reason
    BALANCE_LIMIT when the balance would pass 9 * 10^15. For operators.
    """
    request = pb.AddFundsRequest(
        tenant_id=defaults.tenant(tenant_id),
        funding_id=funding_id,
        amount_micros=amount_micros,
        expire_days=expire_days,
        purchase_order=purchase_order,
    )
    return ask(request, reading(Funding))


def adjust_funds(
    defaults: Defaults,
    adjustment_id: str,
    amount_micros: int,
    reason: str,
    *,
    expire_days: int = 0,
    tenant_id: str | None = None,
) -> Ask[Adjustment]:
    """Corrects credits by -10^12 to 10^12 micros, not 0, once per `adjustment_id`, and writes down why, in 1 to 256
    characters. What is added is a lot of its own. For operators; errors are those of `add_funds`."""
    request = pb.AdjustFundsRequest(
        tenant_id=defaults.tenant(tenant_id),
        adjustment_id=adjustment_id,
        amount_micros=amount_micros,
        reason=reason,
        expire_days=expire_days,
    )
    return ask(request, reading(Adjustment))


def refund_funds(
    defaults: Defaults,
    refund_id: str,
    funding_id: str,
    amount_micros: int,
    reason: str,
    *,
    chargeback: bool = False,
    tenant_id: str | None = None,
) -> Ask[Refund]:
    """Takes back a funding or a part of it, once per `refund_id`; `chargeback` says that the customer's bank did.

    It is taken in full, below the floor too; holds are honoured (semantics 62). All refunds of a funding never pass
    its amount: Conflict with the reason REFUND_LIMIT. For operators.
    """
    request = pb.RefundFundsRequest(
        tenant_id=defaults.tenant(tenant_id),
        refund_id=refund_id,
        funding_id=funding_id,
        amount_micros=amount_micros,
        reason=reason,
        chargeback=chargeback,
    )
    return ask(request, reading(Refund))


def get_balance(
    defaults: Defaults, tenant_id: str | None = None, *, payer_id: str = ""
) -> Ask[TenantBalance]:
    """Shows a tenant's money, its lots oldest first, and the pools of this month, with a payer's own when one is
    named; what expired holds set aside counts as free.
    """
    request = pb.GetBalanceRequest(tenant_id=defaults.tenant(tenant_id), payer_id=payer_id)
    return ask(request, reading(TenantBalance))


def watch_balance(defaults: Defaults, tenant_id: str | None = None) -> Flow[BalanceReading]:
    """A tenant's money now and whenever it changes."""
    request = pb.WatchBalanceRequest(tenant_id=defaults.tenant(tenant_id))
    return flow(request, reading(BalanceReading))
