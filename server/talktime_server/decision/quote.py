"""Why a quote came out as it did: each check in order, in words an admin understands.

A check is passed when the call goes on after it, so the one that is not is the one that refused. The
steps from policy to licences are the entitlement's own; here are those before and after it.
"""

from collections.abc import Iterator

from talktime_server.decision.calls import Quote
from talktime_server.decision.explanation import Step, tell
from talktime_server.decision.pools import PoolState
from talktime_server.decision.rating import Rate
from talktime_server.ledger.profiles import Payer, Tenant, limits_of
from talktime_server.ledger.records import Grant, Pool, Sources, Stretch
from talktime_server.words import Reason, SourceKind

MICROS = 1_000_000


def explain(quote: Quote) -> list[Step]:
    """The checks that were made, up to the one that refused."""
    steps = []
    for step in _checks(quote, {pool.pool_id: pool for pool in quote.pools}):
        steps.append(step)
        if not step.passed:
            break
    return steps


def _checks(quote: Quote, pools: dict[str, PoolState]) -> Iterator[Step]:
    decision, first = quote.decision, quote.answer.call.first
    yield _tenant(quote.answer.tenant)
    yield _payer(quote.payer, decision.refusal)
    if decision.entitlement is None:
        return
    yield from tell(decision.entitlement)
    if decision.priced:
        yield from _price(quote)
    if first is None or decision.sources is None:
        return
    yield from _limits(quote, first)
    if decision.sources.free is None:
        yield from _funding(quote, decision.sources, first, pools)


def _tenant(tenant: Tenant) -> Step:
    state = "suspended" if tenant.suspended else "active"
    return Step("tenant", not tenant.suspended, f"tenant {tenant.tenant_id} is {state}")


def _payer(payer: Payer | None, refusal: Reason | None) -> Step:
    if payer is None and refusal is Reason.PAYER_UNKNOWN:
        return Step("payer", False, "the tenant has no payer with this id")
    if payer is None:
        return Step("payer", True, "nobody is assigned to the number, so the tenant itself pays")
    if payer.blocked:
        return Step("payer", False, f"payer {payer.payer_id} is blocked: {payer.block_reason}")
    return Step("payer", True, f"payer {payer.payer_id} is known, licensed in {payer.country}")


def _price(quote: Quote) -> Iterator[Step]:
    decision, tenant = quote.decision, quote.answer.tenant
    goes_on = decision.refusal is None
    alone = ", so only pools may pay" if goes_on else ""
    if decision.rate is None:
        yield Step("rate", goes_on, f"no deck in force prices it in {tenant.currency}{alone}")
        return
    source = f"deck.{decision.rate.deck_version}" if decision.rate.deck_version else "default_rate"
    yield Step("rate", True, _rate_told(decision.rate, tenant.currency), source)
    own = quote.payer.max_rate_per_minute_micros if quote.payer else 0
    ceiling = own or tenant.max_rate_per_minute_micros
    if not ceiling:
        return
    dearest = f"the dearest rate {'the payer' if own else 'the tenant'} allows, {_amount(ceiling)}"
    if decision.rate.rate_per_minute_micros <= ceiling:
        yield Step("ceiling", True, f"that is not above {dearest}")
        return
    yield Step("ceiling", goes_on, f"that is above {dearest}{alone}")


def _rate_told(rate: Rate, currency: str) -> str:
    fee = rate.connection_fee_micros
    connected = f" and {_amount(fee)} to be connected" if fee else ""
    price = f"{_amount(rate.rate_per_minute_micros)} {currency} a minute{connected}"
    under = f" (+{rate.prefix})" if rate.prefix else ""
    return f"{rate.destination}{under}: {price}"


def _limits(quote: Quote, first: Grant) -> Iterator[Step]:
    if first.refusal in (Reason.CALL_LIMIT, Reason.SPEND_LIMIT):
        rule = f"limit.{first.limit.replace(' ', '.')}"
        yield Step("limits", False, _limit_told(quote, first.limit), rule)
    elif limits_of(quote.answer.tenant, quote.payer):
        yield Step("limits", True, "no limit of the tenant or the payer is reached")


# What a limit says when it refuses: `{0}` is whose it is, `{1}` the limit itself.
_LIMIT_WORDS = {
    "open": "{0} may have no more calls open: the limit is {1}",
    "rate": "{0} may start no more calls just now: the limit is {1}",
    "day": "{0} may spend {1} a day (UTC), open calls included, and too little of it is left",
    "month": "{0} may spend {1} a month (UTC), open calls included, and too little of it is left",
    "costly": "{0} may start no more costly calls today (UTC): the limit is {1}",
    "share": "{0} may hold {1} % of the balance for open calls, and too little of it is left",
    "budget": "{0} has a budget of {1}, and too little of it is left",
}
_LIMIT_PLACES = ("open", "rate", "day", "month", "costly")


def _limit_told(quote: Quote, limit: str) -> str:
    """A limit in words. `limit` is whose and which, as "payer day" (authorize.lua)."""
    whose, which = limit.split()
    tenant = quote.answer.tenant
    if which == "budget":
        amount = int(quote.answer.call.facts.conference_budget_micros)
    elif which == "share":
        amount = tenant.max_payer_hold_percent
    else:
        place = _LIMIT_PLACES.index(which) + (len(_LIMIT_PLACES) if whose == "payer" else 0)
        amount = int(limits_of(tenant, quote.payer).split()[place])
    money = which in ("day", "month", "budget")
    value = f"{_amount(amount)} {tenant.currency}" if money else f"{amount:,}"
    return _LIMIT_WORDS[which].format(f"the {whose}", value)


def _funding(
    quote: Quote, sources: Sources, first: Grant, pools: dict[str, PoolState]
) -> Iterator[Step]:
    """Each source in the order of use, with what it would give."""
    taken = {stretch.pool_id or stretch.kind: stretch for stretch in first.stretches}
    last = sources.pools[-1].pool_id if sources.pools and not sources.money else ""
    for pool in sources.pools:
        passed = first.refusal is None or pool.pool_id != last
        told = _pool_told(pool, pools.get(pool.pool_id), taken.get(pool.pool_id), first)
        yield Step("pool", passed, told, f"pool.{pool.pool_id}")
    if sources.credits:
        passed = first.refusal is None or sources.postpaid
        told = _credits_told(quote, first, taken.get(SourceKind.CREDITS))
        yield Step("credits", passed, told)
    if sources.postpaid:
        told = _invoice_told(quote, taken.get(SourceKind.POSTPAID))
        yield Step("postpaid", first.refusal is None, told)


def _pool_told(pool: Pool, state: PoolState | None, taken: Stretch | None, first: Grant) -> str:
    size = f"{pool.seconds_per_license // 60:,} minutes a month for each licence"
    if state:
        left = f"{state.available_seconds // 60:,} of {state.size_seconds // 60:,} minutes left"
        licences = "1 licence" if state.licenses == 1 else f"{state.licenses:,} licences"
        size = f"{left} this month ({licences})"
    if taken:
        return f"pool {pool.pool_id}, {size}: {taken.seconds:,} s would come from it"
    if first.refusal is None and _covered(first):
        return f"pool {pool.pool_id}, {size}: not needed, what comes before it covers the call"
    other = f", or closed because {pool.closed_with} is" if pool.closed_with else ""
    return f"pool {pool.pool_id}, {size}: it is used up{other}, or what is left is too little"


def _covered(first: Grant) -> bool:
    """Whether pools alone paid: one that then gave nothing was not reached."""
    kinds = {stretch.kind for stretch in first.stretches}
    return kinds == {SourceKind.POOL} and not first.final


def _credits_told(quote: Quote, first: Grant, taken: Stretch | None) -> str:
    currency = quote.answer.tenant.currency
    told = f"{_amount(first.money.available_micros)} {currency} are available"
    if line := quote.decision.credit_line_micros:
        told += f", and {_amount(line)} more may be owed by calls that come in"
    if taken:
        return f"{told}; {_amount(taken.amount_micros)} would be held for {taken.seconds:,} s"
    if first.refusal is None:
        return f"{told}; {'not needed' if _covered(first) else 'too little for this call'}"
    return f"{told}, which is too little"


def _invoice_told(quote: Quote, taken: Stretch | None) -> str:
    if taken is None:
        return "the tenant is billed afterwards for what credits do not cover; not needed"
    amount = f"{_amount(taken.amount_micros)} {quote.answer.tenant.currency}"
    return f"the tenant is billed afterwards: {amount} for {taken.seconds:,} s"


def _amount(micros: int) -> str:
    """Micros as a decimal, for reading: at least two places, more where they say something."""
    sign = "-" if micros < 0 else ""
    whole, part = divmod(abs(micros), MICROS)
    places = f"{part:06}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{places}"
