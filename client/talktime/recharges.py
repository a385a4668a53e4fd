"""The automatic recharge of a tenant's credits, as plain Python values.

Amounts are whole micros, millionths of the tenant's currency; instants are UTC.
"""

from dataclasses import dataclass
from datetime import datetime

from talktime.words import RechargeState


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """What may pay, by the provider's own references, 1 to 128 characters each; `gateway` is "stripe" or "billing".

    Card numbers are neither accepted nor stored.
    """

    gateway: str
    customer: str
    token: str


@dataclass(frozen=True, slots=True)
class RechargeRule:
    """When credits are recharged, and by how much (domain.md 5).

    The charge is made when what is available, or with `on_settled` the settled balance, falls strictly below
    `trigger_micros`: whole units of the currency, at least 50 unless the operator set another. Methods are tried in
    their order. 0 asks for the service's default: 5 recharges a day, 50 a month, no cap of money, no pause,
    365 days until what is unused is lost. A `rule_version` other than 0 must be the stored one.
    """

    enabled: bool
    trigger_micros: int
    amount_micros: int
    payment_methods: tuple[PaymentMethod, ...] = ()
    on_settled: bool = False
    fill_gap: bool = False
    max_per_day: int = 0
    max_per_month: int = 0
    max_amount_per_day_micros: int = 0
    max_amount_per_month_micros: int = 0
    cooling_seconds: int = 0
    expire_days: int = 0
    rule_version: int = 0


@dataclass(frozen=True, slots=True)
class Recharge:
    """Where a tenant's recharge is.

    `next_time` is None while it waits for somebody, or for the balance; `decline_code` is the provider's word;
    `action_url` is where the customer confirms the payment, empty unless that is required.
    """

    state: RechargeState
    charge_id: str
    charge_micros: int
    state_time: datetime | None
    next_time: datetime | None
    declines: int
    decline_code: str
    action_url: str
    count_today: int
    count_this_month: int
    amount_today_micros: int
    amount_this_month_micros: int


@dataclass(frozen=True, slots=True)
class RuledRecharge:
    """A rule as stored, and where its recharge is."""

    rule: RechargeRule | None
    recharge: Recharge | None


@dataclass(frozen=True, slots=True)
class RechargeCheck:
    """One check of a dry run: what was looked at, whether it lets a recharge happen, and why."""

    check: str
    passed: bool
    explanation: str


@dataclass(frozen=True, slots=True)
class RechargeTrial:
    """A dry run: its checks in order, and what a recharge would charge now; 0 when it would not."""

    checks: tuple[RechargeCheck, ...]
    charge_micros: int


@dataclass(frozen=True, slots=True)
class RechargeStep:
    """One step of a recharge: where its charge came to, and when."""

    charge_id: str
    state: RechargeState
    amount_micros: int
    gateway: str
    provider_id: str
    decline_code: str
    step_time: datetime | None
