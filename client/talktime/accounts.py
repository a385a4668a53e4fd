"""Tenants, payers, their minutes and their journal, as plain Python values; funds.py has their money."""

from dataclasses import dataclass
from datetime import datetime

from talktime.words import BillingMode, EntryKind, OrphanCharge, RunningCalls, TenantStatus


@dataclass(frozen=True, slots=True)
class BoughtLicense:
    """How many licences of a kind a tenant bought."""

    sku: str
    count: int


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
    billing_mode: BillingMode | None = None
    dial_out_policy: str = ""
    bought_licenses: tuple[BoughtLicense, ...] = ()
    independent_plan_pools: bool = False
    plans_after_conferencing: bool = False
    blocked_prefixes: tuple[str, ...] = ()
    allowed_prefixes: tuple[str, ...] = ()
    max_calls_per_second: int = 0
    max_calls_per_second_per_payer: int = 0
    max_spend_per_day_micros: int = 0
    max_spend_per_month_micros: int = 0
    max_spend_per_day_per_payer_micros: int = 0
    max_spend_per_month_per_payer_micros: int = 0
    costly_rate_per_minute_micros: int = 0
    max_costly_calls_per_day: int = 0
    max_costly_calls_per_day_per_payer: int = 0
    max_unassigned_calls_per_minute: int = 0


@dataclass(frozen=True, slots=True)
class Payer:
    """Who calls are charged for: a user, an organizer, or a resource account; 0 and empty leave it to the tenant's.

    `blocked` and `block_reason` are read only: `block_payer` and `unblock_payer` set them.
    """

    payer_id: str
    country: str
    licenses: tuple[str, ...] = ()
    display_name: str = ""
    blocked: bool = False
    block_reason: str = ""
    max_rate_per_minute_micros: int = 0
    profile_version: int = 0
    phone_number: str = ""
    dial_out_policy: str = ""
    toll_free_dial_in_off: bool = False
    blocked_prefixes: tuple[str, ...] = ()
    allowed_prefixes: tuple[str, ...] = ()
    max_open_calls: int = 0
    max_calls_per_second: int = 0
    max_spend_per_day_micros: int = 0
    max_spend_per_month_micros: int = 0
    max_costly_calls_per_day: int = 0
    user_principal_name: str = ""


@dataclass(frozen=True, slots=True)
class PayerChanges:
    """What `put_payers` did: how many payers are new, how many are others than before, and how many were so already."""

    created: int
    changed: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class Block:
    """One line of the record of blocks; name and number are those of that time."""

    payer_id: str
    display_name: str
    phone_number: str
    reason: str
    blocked: bool
    block_time: datetime | None


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool of minutes for one calendar month (UTC)."""

    pool_id: str
    licenses: int
    size_seconds: int
    used_seconds: int
    held_seconds: int
    available_seconds: int
    sku: str
    closed: bool


@dataclass(frozen=True, slots=True)
class PoolMovement:
    """How a line of the journal moved the minutes of a pool; `month` as 202611."""

    pool_id: str
    month: int
    used_delta_seconds: int
    held_delta_seconds: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal; `payer_id` says whose call it was, `reason` why money was corrected or given back."""

    version: int
    kind: EntryKind
    reference_id: str
    settled_delta_micros: int
    held_delta_micros: int
    seconds: int
    entry_time: datetime | None
    pools: tuple[PoolMovement, ...]
    postpaid_delta_micros: int
    postpaid_held_delta_micros: int
    payer_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Conservation:
    """The proof that a tenant's money and minutes are conserved: every difference is zero."""

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
    pool_difference_seconds: int
    postpaid_difference_micros: int
