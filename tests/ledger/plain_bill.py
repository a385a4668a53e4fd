"""What an ended call of the plain ledger is charged, and from where."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.plain_call import PlainCall
from ledger.plain_offer import shares_of
from ledger.plain_price import MOST_AT_ONCE, Bill, price

if TYPE_CHECKING:
    from ledger.plain import PlainLedger


@dataclass(frozen=True, slots=True)
class Due:
    """What is charged for an ended call, and what nobody pays; `missing` when free credits fell short."""

    bill: Bill
    uncollected: int = 0
    uncovered: int = 0
    missing: bool = False

    @property
    def priced(self) -> bool:
        """Whether pools left something over."""
        return self.bill.rest + self.uncovered > 0


def due_bill(ledger: "PlainLedger", call: PlainCall, duration: int) -> Due:
    """What a talk time comes to: what is held pays first, then free credits, then the invoice or nobody."""
    free, sources = call.sources.free, call.sources
    shares = shares_of(ledger, call, 0 if free else duration, sources)
    rest = duration - sum(share.talk for share in shares)
    if free:
        return Due(Bill(shares, rest))
    kept = call.paid + call.hold + call.invoiced + call.owed
    if not sources.money and not kept:
        return Due(Bill(shares, 0), uncovered=rest)
    cost = price(call.terms, rest, from_start=rest == duration)
    by_credits = min(cost, call.paid + call.hold)
    by_invoice = min(cost - by_credits, call.invoiced + call.owed)
    beyond = cost - by_credits - by_invoice
    if beyond:
        ledger.lapse()
    by_free = min(beyond, _free_credits(ledger, call), MOST_AT_ONCE - call.hold)
    short = beyond - by_free
    if sources.postpaid:
        bill = Bill(shares, rest, by_credits + by_free, by_invoice + short)
        return Due(bill, missing=short > 0)
    bill = Bill(shares, rest, by_credits + by_free, by_invoice)
    return Due(bill, uncollected=short, missing=short > 0)


def _free_credits(ledger: "PlainLedger", call: PlainCall) -> int:
    if not call.sources.credits:
        return 0
    floor = 0 if call.sources.postpaid else ledger.settings.floor_micros
    return max(0, ledger.money.available_micros - floor)
