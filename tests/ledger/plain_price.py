"""What talk time costs, in exact fractions, and what pays which part of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from talktime_server.ledger.records import Sources, Stretch, Terms
from talktime_server.words import SourceKind

MOST_AT_ONCE = 10**12


def billed(terms: Terms, seconds: int) -> int:
    """The seconds charged for a talk time."""
    if seconds == 0:
        return 0
    beyond = max(0, seconds - terms.initial_seconds)
    return terms.initial_seconds + ceil(Fraction(beyond, terms.increment_seconds)) * (
        terms.increment_seconds
    )


def price(terms: Terms, seconds: int, *, from_start: bool = True) -> int:
    """The price of a talk time, rounded up once; the fee is due only where money pays from the start."""
    if seconds == 0:
        return 0
    exact = Fraction(terms.rate_per_minute_micros * billed(terms, seconds), 60)
    return ceil(exact) + (terms.connection_fee_micros if from_start else 0)


def longest(terms: Terms, asked: int, money: int, *, from_start: bool = True) -> int:
    """The longest talk time up to `asked` that the money pays, in whole steps where it is cut."""
    if money <= 0:
        return 0
    if price(terms, asked, from_start=from_start) <= money:
        return asked
    paid = 0
    step = terms.initial_seconds
    while price(terms, step, from_start=from_start) <= money:
        paid, step = step, step + terms.increment_seconds
    return paid


@dataclass(frozen=True, slots=True)
class Share:
    """What one pool gives to a call in all: whole minutes, and the talk time that they cover."""

    pool_id: str
    takes: int
    talk: int


@dataclass(frozen=True, slots=True)
class Bill:
    """What pays for a talk time: shares of pools, then credits, then the invoice; `rest` is what money pays for."""

    shares: tuple[Share, ...]
    rest: int
    credits: int = 0
    invoiced: int = 0

    @property
    def talk(self) -> int:
        return sum(share.talk for share in self.shares)

    @property
    def granted(self) -> int:
        return self.talk + self.rest


def stretches(sources: Sources, bill: Bill) -> tuple[Stretch, ...]:
    """What paid which part, in the order of use."""
    if sources.free:
        return (Stretch(sources.free, bill.rest),) if bill.rest else ()
    pools = [Stretch(SourceKind.POOL, s.talk, 0, s.pool_id) for s in bill.shares if s.talk]
    return tuple(pools + _money_stretches(sources, bill))


def _money_stretches(sources: Sources, bill: Bill) -> list[Stretch]:
    cost = bill.credits + bill.invoiced
    if cost == 0:
        kinds: Sequence[SourceKind] = [
            kind
            for kind, may_pay in (
                (SourceKind.CREDITS, sources.credits),
                (SourceKind.POSTPAID, sources.postpaid),
            )
            if may_pay
        ]
        return [Stretch(kind, bill.rest) for kind in kinds[:1] if bill.rest]
    seconds = int(Fraction(bill.rest * bill.credits, cost))
    both = (
        Stretch(SourceKind.CREDITS, seconds, bill.credits),
        Stretch(SourceKind.POSTPAID, bill.rest - seconds, bill.invoiced),
    )
    return [stretch for stretch in both if stretch.amount_micros]
