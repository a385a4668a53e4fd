"""What is asked and answered about calls, as plain Python values; accounts.py and decks.py have the rest.

Field names are the contract's; units are in the names: micros are millionths of the tenant's currency, instants
are UTC.
"""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from talktime.words import CallState, CallType, NumberClass, Outcome, Reason, SourceKind


def new_call_id() -> str:
    """An id that no other call has."""
    return uuid4().hex


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of a destination, as frozen on a call."""

    destination: str
    prefix: str
    rate_per_minute_micros: int
    connection_fee_micros: int
    initial_seconds: int
    increment_seconds: int
    deck_version: str
    origin: str


@dataclass(frozen=True, slots=True)
class Source:
    """One stretch of a call and what pays for it."""

    kind: SourceKind
    pool_id: str
    seconds: int
    amount_micros: int


@dataclass(frozen=True, slots=True)
class Balance:
    """A tenant's money right after an operation."""

    settled_micros: int
    held_micros: int
    available_micros: int
    currency_code: str


@dataclass(frozen=True, slots=True)
class CallFields:
    """A call's own fields, as in `authorize`: given with a settle for a call that may never have been authorized."""

    payer_id: str
    call_type: CallType
    to_number: str
    from_number: str = ""
    conference_id: str = ""
    requested_seconds: int = 0
    routing_number: str = ""
    tenant_id: str = ""
    call_id: str = ""
    conference_budget_micros: int = 0


@dataclass(frozen=True, slots=True)
class Leg:
    """One call of a batch, as in `authorize`. Its `call_id` is made here unless given, so that it is known before
    anything is sent.
    """

    payer_id: str
    call_type: CallType | str
    to_number: str
    from_number: str = ""
    conference_id: str = ""
    requested_seconds: int = 0
    routing_number: str = ""
    conference_budget_micros: int = 0
    call_id: str = field(default_factory=new_call_id)


@dataclass(frozen=True, slots=True)
class Authorization:
    """Whether a call may start, and for how long."""

    call_id: str
    outcome: Outcome
    reason: Reason | None
    granted_seconds: int
    lease_seconds: int
    final_grant: bool
    sources: tuple[Source, ...]
    rate: Rate | None
    number_class: NumberClass | None
    country: str
    balance: Balance | None
    replayed: bool
    decided_time: datetime | None

    @property
    def authorized(self) -> bool:
        """Whether the call may start; only the very word AUTHORIZED counts."""
        return self.outcome is Outcome.AUTHORIZED


@dataclass(frozen=True, slots=True)
class Batch:
    """A verdict for each leg, in the order asked."""

    verdicts: tuple[Authorization, ...]
    authorized_legs: int


@dataclass(frozen=True, slots=True)
class Extension:
    """The new total of talk time, or why none was added."""

    call_id: str
    outcome: Outcome
    reason: Reason | None
    granted_seconds: int
    lease_seconds: int
    final_grant: bool
    sources: tuple[Source, ...]
    rate: Rate | None
    number_class: NumberClass | None
    country: str
    balance: Balance | None
    replayed: bool
    decided_time: datetime | None
    reacquired: bool

    @property
    def authorized(self) -> bool:
        """Whether talk time was added."""
        return self.outcome is Outcome.AUTHORIZED


@dataclass(frozen=True, slots=True)
class Settlement:
    """The receipt of a settle: what was charged, and to which source."""

    call_id: str
    outcome: Outcome
    charges: tuple[Source, ...]
    charged_micros: int
    late: bool
    overrun: bool
    unreserved: bool
    balance: Balance | None
    replayed: bool
    uncollected_micros: int
    duration_seconds: int
    billed_seconds: int
    rate: Rate | None
    settled_time: datetime | None
    uncovered_seconds: int


@dataclass(frozen=True, slots=True)
class Release:
    """The receipt of a release: what was given back."""

    call_id: str
    state: CallState
    released_micros: int
    balance: Balance | None
    replayed: bool
    released_time: datetime | None


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a decision, and the fact it used."""

    name: str
    passed: bool
    explanation: str
    rule: str


@dataclass(frozen=True, slots=True)
class Quote:
    """What `authorize` would answer now, and why."""

    outcome: Outcome
    reason: Reason | None
    granted_seconds: int
    lease_seconds: int
    final_grant: bool
    sources: tuple[Source, ...]
    rate: Rate | None
    number_class: NumberClass | None
    country: str
    balance: Balance | None
    explain: tuple[Check, ...]

    @property
    def authorized(self) -> bool:
        """Whether the call might start now."""
        return self.outcome is Outcome.AUTHORIZED


@dataclass(frozen=True, slots=True)
class Call:
    """A call as stored."""

    call_id: str
    state: CallState
    call: CallFields | None
    authorization: Authorization | None
    settlement: Settlement | None
    granted_seconds: int
    held_micros: int
    lease_expire_time: datetime | None
    extend_sequence: int
