"""What the plain ledger may give to a call: shares of its pools, then money within every limit."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ledger.plain_call import PlainCall, Wanted
from ledger.plain_meters import room, spread, too_many
from ledger.plain_price import MOST_AT_ONCE, Bill, Share, longest, price
from talktime_server.ledger.profiles import Tenant
from talktime_server.ledger.records import Sources
from talktime_server.words import Reason

if TYPE_CHECKING:
    from ledger.plain import PlainLedger


@dataclass(frozen=True, slots=True)
class Offer:
    """What a call may have; why it may not have more, and whose limit that is where somebody is told."""

    bill: Bill
    short: Reason | None = None
    whose: str = ""


def first_offer(ledger: "PlainLedger", call: PlainCall, wanted: Wanted) -> Offer:
    settings, free = ledger.settings, Bill((), wanted.asked)
    most, most_of_payer = settings.max_open_calls, settings.max_open_calls_per_payer
    if (most and len(ledger.open_calls()) >= most) or (
        call.payer and most_of_payer and len(ledger.open_calls(call.payer)) >= most_of_payer
    ):
        return Offer(free, Reason.CALL_LIMIT)
    why, whose = too_many(ledger.meters, settings, call.payer, ledger.now_ms, costly=wanted.costly)
    if why:
        return Offer(free, why, whose)
    if call.sources.free:
        return Offer(free)
    ledger.lapse()
    offer = offer_of(ledger, call, wanted.asked, call.sources, settings)
    granted = offer.bill.granted
    if granted == 0 or (granted < wanted.asked and granted < settings.min_grant_seconds):
        return offer
    return replace(offer, short=None)


def scarce(offer: Offer, asked: int, sources: Sources) -> bool:
    """Whether what expired calls hold would pay better: pools short of it, or credits."""
    bill = offer.bill
    if sources.free or bill.talk == asked:
        return False
    return bool(bill.granted < asked or sources.pools or bill.invoiced)


def offer_of(
    ledger: "PlainLedger", call: PlainCall, asked: int, sources: Sources, limits: Tenant
) -> Offer:
    """From the pools, then as much as the purse allows; what was charged before counts."""
    shares = shares_of(ledger, call, asked, sources)
    talk = sum(share.talk for share in shares)
    rest = asked - talk
    if rest == 0:
        return Offer(Bill(shares, 0))
    if not sources.money:
        return Offer(Bill(shares, 0), sources.short)
    credits, most, short, whose = purse(ledger, call, sources, limits)
    all_money = min(most + call.paid + call.invoiced, MOST_AT_ONCE)
    paid_for = longest(call.terms, rest, all_money, from_start=talk == 0)
    cost = price(call.terms, paid_for, from_start=talk == 0)
    by_credits = min(cost, max(0, credits) + call.paid)
    bill = Bill(shares, paid_for, by_credits, cost - by_credits)
    return Offer(bill) if paid_for == rest else Offer(bill, short, whose)


def shares_of(
    ledger: "PlainLedger", call: PlainCall, seconds: int, sources: Sources | None
) -> tuple[Share, ...]:
    """Those pools first that it drew on before; without sources, no more than it has of them."""
    rooms = {part.pool_id: part.held_seconds + part.used_seconds for part in call.parts}
    calls = list(ledger.calls.values())
    for pool in sources.pools if sources else ():
        more = room(ledger.meters, calls, pool, call.month)
        rooms[pool.pool_id] = rooms.get(pool.pool_id, 0) + more
    return spread(rooms, seconds)


def purse(
    ledger: "PlainLedger", call: PlainCall, sources: Sources, limits: Tenant
) -> tuple[int, int, Reason, str]:
    """Credits it may hold, money it may hold in all, and the word for too little."""
    others = [other for other in ledger.open_calls() if other is not call]
    own = [other for other in others if other.payer == call.payer]
    credits, short = 0, Reason.INSUFFICIENT_CREDITS
    if sources.credits:
        credits = ledger.settled - sum(other.hold for other in others) + call.line
    percent = limits.max_payer_hold_percent
    share = max(0, ledger.settled) * percent // 100
    share += call.line - sum(other.hold + other.owed for other in own)
    if percent and share < credits:
        credits, short = share, Reason.CALL_LIMIT
    most = MOST_AT_ONCE if sources.postpaid else credits
    left, whose = left_to_spend(ledger, call, limits, others, own)
    if left is not None and left < most:
        return credits, left, Reason.SPEND_LIMIT, whose
    return credits, most, short, ""


def left_to_spend(
    ledger: "PlainLedger",
    call: PlainCall,
    limits: Tenant,
    others: list[PlainCall],
    own: list[PlainCall],
) -> tuple[int | None, str]:
    """The least that limits on spend leave to a call, and whose limit it is."""
    found: list[tuple[int, int, str]] = []

    def bound(rank: int, whose: str, limit: int, spent: int, holders: list[PlainCall]) -> None:
        if limit:
            held = sum(holder.hold + holder.owed for holder in holders)
            found.append((limit - spent - held, rank, whose))

    for by_month, most, own_most in (
        (False, limits.max_spend_per_day_micros, limits.max_spend_per_day_per_payer_micros),
        (True, limits.max_spend_per_month_micros, limits.max_spend_per_month_per_payer_micros),
    ):
        spent = ledger.meters.spent
        bound(0, "tenant", most, spent(ledger.now_ms, by_month=by_month), others)
        by_payer = spent(ledger.now_ms, by_month=by_month, payer=call.payer)
        if call.payer:  # nobody in person makes a call to an unassigned number
            bound(1, "payer", own_most, by_payer, own)
    if call.conference:
        legs = [other for other in others if other.conference == call.conference]
        spent_of_it = spent(ledger.now_ms, by_month=False, conference=call.conference)
        bound(2, "", call.budget, spent_of_it, legs)
    least = min(found, default=None)
    return (least[0], least[2]) if least else (None, "")
