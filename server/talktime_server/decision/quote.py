"""Why a quote came out as it did: each check in order, in words an admin understands."""

from talktime_server.decision.calls import Decision, Quote
from talktime_server.decision.entitlement import Step
from talktime_server.ledger.profiles import Payer, Tenant
from talktime_server.words import Reason, SourceKind

MICROS = 1_000_000


def explain(quote: Quote) -> list[Step]:
    """The checks that were made, up to the one that refused."""
    tenant, decision = quote.answer.tenant, quote.decision
    steps = [_tenant(tenant)]
    if tenant.suspended:
        return steps
    steps.append(_payer(quote.payer))
    if decision.entitlement is None:
        return steps
    steps += decision.entitlement.steps
    if decision.source is SourceKind.CREDITS and not decision.entitlement.refusal:
        steps += _money(quote, decision)
    return steps


def _tenant(tenant: Tenant) -> Step:
    state = "suspended" if tenant.suspended else "active"
    return Step("tenant", not tenant.suspended, f"tenant {tenant.tenant_id} is {state}")


def _payer(payer: Payer | None) -> Step:
    if payer is None:
        return Step("payer", False, "the tenant has no payer with this id")
    if payer.blocked:
        return Step("payer", False, f"payer {payer.payer_id} is blocked: {payer.block_reason}")
    return Step("payer", True, f"payer {payer.payer_id} is known, licensed in {payer.country}")


def _money(quote: Quote, decision: Decision) -> list[Step]:
    if decision.rate is None:
        text = f"no deck in force prices the number in {quote.answer.tenant.currency}"
        return [Step("rate", False, text)]
    currency = quote.answer.tenant.currency
    price = f"{_amount(decision.rate.rate_per_minute_micros)} {currency} a minute"
    steps = [Step("rate", True, f"{decision.rate.destination}: {price}")]
    if decision.refusal is Reason.RATE_CEILING:
        return [*steps, Step("ceiling", False, f"{price} is above the dearest rate allowed")]
    return [*steps, _grant(quote, currency)]


def _grant(quote: Quote, currency: str) -> Step:
    first = quote.answer.call.first
    assert first is not None
    available = f"{_amount(first.money.available_micros)} {currency} are available"
    if first.refusal is Reason.CALL_LIMIT:
        return Step("limit", False, "too much is held already for this payer or tenant")
    if first.refusal:
        return Step("credits", False, f"{available}, which is too little")
    held = f"{_amount(first.held_micros)} would be held for {first.granted_seconds} s"
    return Step("credits", True, f"{available}; {held}")


def _amount(micros: int) -> str:
    """Micros as a decimal, for reading: at least two places, more where they say something."""
    sign = "-" if micros < 0 else ""
    whole, part = divmod(abs(micros), MICROS)
    places = f"{part:06}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{places}"
