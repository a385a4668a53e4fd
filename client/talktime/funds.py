"""A tenant's money, as plain Python values: what came in, what is left of it, and what is free now.

Amounts are whole micros, millionths of the tenant's currency; instants are UTC.
"""

from dataclasses import dataclass
from datetime import datetime

from talktime.accounts import Pool
from talktime.answers import Balance
from talktime.recharges import Recharge


@dataclass(frozen=True, slots=True)
class Lot:
    """What is left of a funding; lots are spent oldest first, and what is free of one is lost at `expire_time`
    (domain.md 5). In the past, it means that held money still finishes its call."""

    funding_id: str
    left_micros: int
    expire_time: datetime | None
    fund_time: datetime | None
    amount_micros: int


@dataclass(frozen=True, slots=True)
class Funding:
    """The receipt of added funds."""

    balance: Balance | None
    expire_time: datetime | None
    replayed: bool


@dataclass(frozen=True, slots=True)
class Adjustment:
    """The receipt of a correction."""

    balance: Balance | None
    replayed: bool


@dataclass(frozen=True, slots=True)
class Refund:
    """The receipt of what was taken back; `funding_refunded_micros` counts all refunds of that funding so far."""

    balance: Balance | None
    funding_refunded_micros: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class TenantBalance:
    """A tenant's money and pools now, and what became of all that was ever loaded.

    `recharge` is None without a rule; `days_left` tells how long what is available lasts at the pace of the last 30
    days, None without use or without the archive.
    """

    balance: Balance | None
    loaded_micros: int
    spent_micros: int
    expired_micros: int
    refunded_micros: int
    uncollected_micros: int
    open_calls: int
    abandoned_calls: int
    expire_time: datetime | None
    pools: tuple[Pool, ...]
    postpaid_micros: int
    postpaid_held_micros: int
    spent_today_micros: int
    spent_this_month_micros: int
    lots: tuple[Lot, ...]
    recharge: Recharge | None
    days_left: int | None


@dataclass(frozen=True, slots=True)
class BalanceReading:
    """A tenant's money at `read_time`; `version` counts its journal lines."""

    balance: Balance | None
    open_calls: int
    recharge: Recharge | None
    version: int
    read_time: datetime | None
