"""Tenants and payers as the decision sees them: plain records, written whole, each with its
version.
"""

import json
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

from talktime_server.failure import NotFound


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer organisation and its settings; 0 is "no limit" where a limit may be absent."""

    tenant_id: str
    currency: str
    country: str
    display_name: str = ""
    default_grant_seconds: int = 600
    min_grant_seconds: int = 0
    lease_grace_seconds: int = 120
    floor_micros: int = 0
    inbound_grace_micros: int = 0
    max_rate_per_minute_micros: int = 0
    default_rate_per_minute_micros: int = 0
    max_open_calls: int = 0
    max_open_calls_per_payer: int = 0
    max_payer_hold_percent: int = 0
    max_calls_per_second: int = 0
    max_calls_per_second_per_payer: int = 0
    max_spend_per_day_micros: int = 0
    max_spend_per_month_micros: int = 0
    max_spend_per_day_per_payer_micros: int = 0
    max_spend_per_month_per_payer_micros: int = 0
    costly_rate_per_minute_micros: int = 0
    max_costly_calls_per_day: int = 0
    max_costly_calls_per_day_per_payer: int = 0
    max_unassigned_calls_per_minute: int = 60
    postpaid: bool = False
    dial_out_policy: str = ""
    bought_licenses: tuple[tuple[str, int], ...] = ()
    independent_plan_pools: bool = False
    plans_after_conferencing: bool = False
    blocked_prefixes: tuple[str, ...] = ()
    allowed_prefixes: tuple[str, ...] = ()
    charge_orphans: bool = False
    suspended: bool = False
    cut_running_calls: bool = False
    version: int = 0


@dataclass(frozen=True, slots=True)
class Payer:
    """Whose licences and policy count: a user, an organizer, or a resource account."""

    payer_id: str
    country: str
    display_name: str = ""
    licenses: tuple[str, ...] = ()
    blocked: bool = False
    block_reason: str = ""
    max_rate_per_minute_micros: int = 0
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
    version: int = 0


def impersonal(payer: Payer) -> Payer:
    """A payer as decisions are made about it, without who it is: many are alike then."""
    return replace(payer, payer_id="", display_name="", phone_number="", user_principal_name="")


def unknown_tenant() -> NotFound:
    """Another tenant's and nobody's look the same."""
    return NotFound("UNKNOWN_TENANT", "there is no such tenant")


def limits_of(tenant: Tenant, payer: Payer | None) -> str:
    """The limits that a call is held against, as the scripts take them; empty when there is none.

    Five of the tenant, five of the payer (its own, else those the tenant has for each), the share
    of the balance in percent, and the seconds in which the payer's calls are counted: a call that
    no payer asks for is counted by the minute (domain.md 8).
    """
    limits = (
        tenant.max_open_calls,
        tenant.max_calls_per_second,
        tenant.max_spend_per_day_micros,
        tenant.max_spend_per_month_micros,
        tenant.max_costly_calls_per_day,
        *_limits_of_payer(tenant, payer),
        tenant.max_payer_hold_percent,
    )
    window = 1 if payer else 60
    return " ".join(map(str, (*limits, window))) if any(limits) else ""


def _limits_of_payer(tenant: Tenant, payer: Payer | None) -> tuple[int, int, int, int, int]:
    if payer is None:
        return 0, tenant.max_unassigned_calls_per_minute, 0, 0, 0
    return (
        payer.max_open_calls or tenant.max_open_calls_per_payer,
        payer.max_calls_per_second or tenant.max_calls_per_second_per_payer,
        payer.max_spend_per_day_micros or tenant.max_spend_per_day_per_payer_micros,
        payer.max_spend_per_month_micros or tenant.max_spend_per_month_per_payer_micros,
        payer.max_costly_calls_per_day or tenant.max_costly_calls_per_day_per_payer,
    )


def to_json(record: Tenant | Payer) -> str:
    """The text that is stored; the version is the store's and stays out of it."""
    # Not asdict: it copies field by field, and took a third of the time of an import of payers.
    body = {field.name: getattr(record, field.name) for field in fields(record)}
    body.pop("version")
    return json.dumps(body, separators=(",", ":"), sort_keys=True)


def tenant_of(text: str | bytes, version: int) -> Tenant:
    """Reads a stored tenant."""
    body = _known(text, Tenant)
    bought = tuple((sku, count) for sku, count in body.pop("bought_licenses", ()))
    return Tenant(**body, bought_licenses=bought, version=version)


def payer_of(text: str | bytes, version: int) -> Payer:
    """Reads a stored payer."""
    return Payer(**_known(text, Payer), version=version)


def _known(text: str | bytes, kind: type[Tenant] | type[Payer]) -> dict[str, Any]:
    """Fields that a record's text does not name keep their default, and those it names too many are
    left: versions may mix.
    """
    names = {field.name for field in fields(kind)}
    return {name: _kept(value) for name, value in json.loads(text).items() if name in names}


def _kept(value: Any) -> Any:
    """A process keeps many profiles, and their countries and licences are few: equal ones are one."""
    if isinstance(value, list):
        return _shared(tuple(map(_kept, value)))
    return _shared(value) if isinstance(value, str) else value


# Not sys.intern: what is each payer's own must not stay behind in a table of all texts.
@lru_cache(1024)
def _shared(value: Any) -> Any:
    return value
