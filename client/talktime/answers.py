"""What the service answers, and the records it keeps, as plain Python values.

Field names are the contract's; units are in the names: micros are millionths of the tenant's currency, instants
are UTC.
"""

from dataclasses import dataclass
from datetime import datetime

from talktime.words import (
    CallState,
    CallType,
    EntryKind,
    NumberClass,
    OrphanCharge,
    Outcome,
    Reason,
    RunningCalls,
    SourceKind,
    TenantStatus,
)


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


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer organisation and its settings; 0 and None ask for the service's defaults."""

    tenant_id: str
    currency_code: str
    country: str
    display_name: str = ""
    default_grant_seconds: int = 0
    min_grant_seconds: int = 0
    lease_grace_seconds: int = 0
    floor_micros: int = 0
    inbound_grace_micros: int = 0
    max_rate_per_minute_micros: int = 0
    default_rate_per_minute_micros: int = 0
    max_open_calls: int = 0
    max_open_calls_per_payer: int = 0
    max_payer_hold_percent: int = 0
    orphan_charge: OrphanCharge | None = None
    status: TenantStatus | None = None
    running_calls: RunningCalls | None = None
    profile_version: int = 0


@dataclass(frozen=True, slots=True)
class Payer:
    """Who calls are charged for: a user, an organizer, or a resource account."""

    payer_id: str
    country: str
    licenses: tuple[str, ...] = ()
    display_name: str = ""
    blocked: bool = False
    block_reason: str = ""
    max_rate_per_minute_micros: int = 0
    profile_version: int = 0


@dataclass(frozen=True, slots=True)
class Funding:
    """The receipt of added funds."""

    balance: Balance | None
    expire_time: datetime | None
    replayed: bool


@dataclass(frozen=True, slots=True)
class TenantBalance:
    """A tenant's money now, and what became of all that was ever loaded."""

    balance: Balance | None
    loaded_micros: int
    spent_micros: int
    expired_micros: int
    refunded_micros: int
    uncollected_micros: int
    open_calls: int
    abandoned_calls: int
    expire_time: datetime | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal."""

    version: int
    kind: EntryKind
    reference_id: str
    settled_delta_micros: int
    held_delta_micros: int
    seconds: int
    entry_time: datetime | None


@dataclass(frozen=True, slots=True)
class RateRow:
    """One line of a deck."""

    prefix: str
    destination: str
    rate_per_minute_micros: int
    connection_fee_micros: int = 0
    initial_seconds: int = 60
    increment_seconds: int = 60


@dataclass(frozen=True, slots=True)
class RateDeck:
    """A stored deck."""

    deck_version: str
    currency_code: str
    row_count: int
    active: bool
    active_time: datetime | None


@dataclass(frozen=True, slots=True)
class RateDecks:
    """Every stored deck and, when a number was asked about, the rows that price it."""

    decks: tuple[RateDeck, ...]
    rates: tuple[Rate, ...]


@dataclass(frozen=True, slots=True)
class Conservation:
    """The proof that a tenant's money is conserved: every difference is zero."""

    conserved: bool
    loaded_micros: int
    spent_micros: int
    held_micros: int
    available_micros: int
    expired_micros: int
    refunded_micros: int
    difference_micros: int
    held_difference_micros: int
    journal_difference_micros: int
    open_calls: int
    entries: int
    version_gaps: int
