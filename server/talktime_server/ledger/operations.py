"""What is asked of the ledger, and what it answers, as plain records."""

from dataclasses import dataclass
from typing import NamedTuple

from talktime_server.ledger.records import NO_PRICE, NOTHING, Call, Facts, Money, Sources, Terms
from talktime_server.words import Reason


class Stale(Exception):
    """The profiles a decision was made by have changed: read them again and decide anew."""


class Absent(Exception):
    """The store knows no such call. The archive may: its receipt's life may be over (semantics 8)."""


class Asking(NamedTuple):
    """A decision, ready to be held: who, what it was made by, and what pays. `limits` is as
    `profiles.limits_of` gives it; a dry one holds and keeps nothing.
    """

    call_id: str
    facts: Facts
    payer_version: int
    asked_seconds: int
    sources: Sources = NOTHING
    refusal: Reason | None = None
    terms: Terms = NO_PRICE
    credit_line_micros: int = 0
    limits: str = ""
    costly: bool = False
    dry: bool = False


class Extension(NamedTuple):
    """A wish for more talk time. `epoch` is that of the profiles the call was judged by again, None
    when it was not; `sources` is what may pay from then on.
    """

    call_id: str
    sequence: int
    added_seconds: int
    epoch: int | None = None
    refusal: Reason | None = None
    sources: Sources = NOTHING
    limits: str = ""


@dataclass(frozen=True, slots=True)
class Judge:
    """The ledger's word that a profile changed since the call was decided: judge it again, by
    profiles of this epoch.
    """

    epoch: int
    call: Call


class Unreserved(NamedTuple):
    """What to charge a call by that was never authorized, and the payer's profile that says so."""

    facts: Facts
    payer_version: int
    sources: Sources
    terms: Terms


class Outcome(NamedTuple):
    """A call after an operation; `replayed` when the operation had been done before."""

    call: Call
    replayed: bool


@dataclass(frozen=True, slots=True)
class Funding:
    """A tenant's money after a funding, and when what is unused of it is lost."""

    money: Money
    expires_ms: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class Taking:
    """A tenant's money after credits were taken back, and all that was of their funding."""

    money: Money
    funding_refunded_micros: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class Lot:
    """What is left of a funding, in micros, what others hold of it included. What is free of it is
    lost at `expires_ms`; held money of a lot whose time is over finishes its call.
    """

    funding_id: str
    left_micros: int
    expires_ms: int
    amount_micros: int
    funded_ms: int


@dataclass(frozen=True, slots=True)
class Balance:
    """A tenant's money in full, in micros, and its open calls. What went to the invoice, or is held
    for it, is postpaid; days and months are UTC.
    """

    money: Money
    loaded_micros: int
    spent_micros: int
    expired_micros: int
    refunded_micros: int
    uncollected_micros: int
    abandoned_calls: int
    version: int
    expires_ms: int
    open_calls: int
    postpaid_micros: int
    postpaid_held_micros: int
    spent_today_micros: int
    spent_this_month_micros: int
    read_ms: int
    lots: tuple[Lot, ...] = ()


@dataclass(frozen=True, slots=True)
class Meters:
    """The licences assigned, by what they size, and for each pool of this month what is used and
    held, in seconds.
    """

    month: int
    counts: dict[str, int]
    uses: dict[str, tuple[int, int]]
