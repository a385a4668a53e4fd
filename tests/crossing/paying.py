"""How much pays for a call, as the second reading counts it (domain.md 3 and 4): minutes, then credits, then the invoice."""

from crossing.cases import Case, Price, Source
from crossing.funding import Funding


def pay(case: Case, funding: Funding) -> tuple[str, tuple[Source, ...]]:
    """The refusal, or the sources of the grant. Minutes have no price, so a number without one, or too dear a one, can still
    be paid by a pool; money cannot pay for it.
    """
    if funding.included:
        return "", (Source("INCLUDED", case.asked_s),)
    minutes = from_pools(case, funding.pools)
    rest_s = case.asked_s - sum(source.seconds for source in minutes)
    reason, money = from_money(case, funding, rest_s) if rest_s else ("", [])
    return ("", (*minutes, *money)) if minutes or money else (reason, ())


def from_money(case: Case, funding: Funding, rest_s: int) -> tuple[str, list[Source]]:
    """What credits and the invoice pay of the rest, or why they do not."""
    if not (funding.credits or funding.postpaid):
        return "POOL_EXHAUSTED", []
    price = price_of(case)
    if price is None:
        return "NO_RATE", []
    if 0 < ceiling(case) < price.rate_micros:
        return "RATE_CEILING", []
    paid = charge(case, funding, price, rest_s)
    return ("" if paid else "INSUFFICIENT_CREDITS"), paid


def grace(case: Case) -> int:
    """What a toll-free number may go on with when the balance is used up (semantics 74)."""
    toll_free = case.number.kind == "toll_free" and not case.outbound
    return case.tenant.grace_micros if toll_free else 0


def price_of(case: Case) -> Price | None:
    """By destination; calls that come in by where their caller is, where the deck knows it (domain.md 4)."""
    arriving = {} if case.outbound else dict(case.number.arriving)
    price = arriving.get(case.caller_country) or arriving.get("") or case.number.price
    if price is None and case.tenant.default_rate_micros:
        return Price(case.tenant.default_rate_micros)
    return price


def ceiling(case: Case) -> int:
    """The payer's own, else the tenant's; 0 is none."""
    own = case.payer.ceiling_micros if case.payer and case.call_type != "UNASSIGNED_IN" else 0
    return own or case.tenant.ceiling_micros


def from_pools(case: Case, pools: list[str]) -> list[Source]:
    """Minutes of the pools in order, a started one whole."""
    sources: list[Source] = []
    needed_s = case.asked_s
    for pool in pools:
        given_s = min(needed_s, open_s(case, pool))
        if given_s > 0:
            sources.append(Source("POOL", given_s, pool=pool))
            needed_s -= given_s
    return sources


def open_s(case: Case, pool: str) -> int:
    """What a pool can give: nothing when the plan's other pool is used up, unless they are independent (domain.md 3)."""
    other = {"domestic": "international", "international": "domestic"}
    plan, _, bucket = pool.rpartition("/")
    closing = bucket in other and not case.tenant.independent_pools
    if closing and case.left_s[f"{plan}/{other[bucket]}"] == 0:
        return 0
    return case.left_s[pool]


def cost(price: Price, seconds: int, *, fee: bool) -> int:
    """Micros for a talk time: a started step whole, rounded up once."""
    billed_s = price.initial_s
    while billed_s < seconds:
        billed_s += price.increment_s
    return (price.fee_micros if fee else 0) - (-price.rate_micros * billed_s // 60)


def charge(case: Case, funding: Funding, price: Price, rest_s: int) -> list[Source]:
    """Credits to their last micro, then the invoice; without an invoice as many whole steps as the credits pay. The fee falls
    due at the start of the call, so not after a pool.
    """
    fee = rest_s == case.asked_s
    whole = cost(price, rest_s, fee=fee)
    purse = case.credits_micros + grace(case) if funding.credits else 0
    if whole <= purse:
        return [Source("CREDITS", rest_s, whole)]
    if funding.postpaid:
        by_credits_s = rest_s * purse // whole
        invoice = Source("POSTPAID", rest_s - by_credits_s, whole - purse)
        return [Source("CREDITS", by_credits_s, purse), invoice] if purse else [invoice]
    paid_s = 0
    step_s = price.initial_s
    while step_s < rest_s and cost(price, step_s, fee=fee) <= purse:
        paid_s, step_s = step_s, step_s + price.increment_s
    return [Source("CREDITS", paid_s, cost(price, paid_s, fee=fee))] if paid_s else []
