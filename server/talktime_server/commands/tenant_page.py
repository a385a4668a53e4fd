"""One page about a tenant, for its admin: what is there, what is left, what is limited, and how it is set."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from talktime_server.commands.accounts import invoice_facts
from talktime_server.commands.funds import outlook
from talktime_server.commands.limits import prefix_facts, tenant_limits
from talktime_server.commands.money import money
from talktime_server.commands.output import facts, line, plain, table
from talktime_server.commands.policies import policy_told
from talktime_server.commands.pools import COLUMNS, NO_POOLS, pool_rows
from talktime_server.commands.session import Session

if TYPE_CHECKING:
    from rich.console import RenderableType

    from talktime import Client, Tenant, TenantBalance

Drawing = Callable[[], "RenderableType"]


def show_page(session: Session, client: "Client", tenant: "Tenant") -> None:
    """Shows a tenant with its money and pools; programs get every field of both."""
    now = client.get_balance(tenant.tenant_id)
    document = {**plain(tenant), "money": now, "recharge": now.recharge}
    session.show(document, *_drawings(tenant, now))


def _drawings(tenant: "Tenant", now: "TenantBalance") -> list[Drawing]:
    pools = table("Pools of this month, in minutes", COLUMNS, pool_rows(now.pools))
    limits = table(
        f"Limits, money in {tenant.currency_code}",
        ("Limit", ">Tenant", ">Each payer"),
        tenant_limits(tenant) or [("none is set", "", "")],
    )
    return [
        facts("", _tenant(tenant)),
        line(""),
        facts("", _money(tenant, now)),
        line(""),
        pools if now.pools else line(NO_POOLS),
        line(""),
        limits,
        line(""),
        facts("", _settings(tenant)),
    ]


def _tenant(tenant: "Tenant") -> list[tuple[str, object]]:
    cut = tenant.running_calls == "CUT"
    running = "running calls end at their next extension" if cut else "running calls may end"
    suspended = tenant.status == "SUSPENDED"
    return [
        ("Tenant", tenant.tenant_id),
        ("Name", tenant.display_name),
        (
            "Status",
            f"{tenant.status}: new calls are refused, {running}" if suspended else tenant.status,
        ),
        ("Country", tenant.country),
        ("Billing", _BILLING.get(tenant.billing_mode or "", tenant.billing_mode)),
    ]


def _money(tenant: "Tenant", now: "TenantBalance") -> list[tuple[str, object]]:
    def amount(micros: int) -> str:
        return money(micros, tenant.currency_code)

    balance = now.balance
    return [
        ("Balance", amount(balance.settled_micros) if balance else ""),
        ("Set aside for calls", amount(balance.held_micros) if balance else ""),
        ("Free", amount(balance.available_micros) if balance else ""),
        ("Spent today, invoice included", amount(now.spent_today_micros)),
        ("Spent this month, invoice included", amount(now.spent_this_month_micros)),
        *invoice_facts(now, tenant.currency_code, always=tenant.billing_mode == "POSTPAID"),
        *outlook(now),
        ("Open calls", now.open_calls),
    ]


def _settings(tenant: "Tenant") -> list[tuple[str, object]]:
    def amount(micros: int, none: str) -> str:
        return money(micros, tenant.currency_code) if micros else none

    bought = "; ".join(f"{each.count:,} {each.sku}" for each in tenant.bought_licenses)
    apart, after = tenant.independent_plan_pools, tenant.plans_after_conferencing
    return [
        ("Policy", policy_told(tenant.dial_out_policy)),
        *prefix_facts(tenant),
        ("Licences bought", bought),
        ("Pools of MCOPSTN2", "independent" if apart else "one used up closes both"),
        ("Conferences", "go on with the organizer's own plan after the pool" if after else ""),
        ("Grant", _grant(tenant)),
        ("Floor", money(tenant.floor_micros, tenant.currency_code)),
        ("Inbound grace", amount(tenant.inbound_grace_micros, "")),
        ("Rate without a deck's", amount(tenant.default_rate_per_minute_micros, "none: refused")),
        ("Expired holds cost", _ORPHANS.get(tenant.orphan_charge or "", tenant.orphan_charge)),
    ]


def _grant(tenant: "Tenant") -> str:
    least = f", never less than {tenant.min_grant_seconds} s" if tenant.min_grant_seconds else ""
    return f"{tenant.default_grant_seconds} s, and a lease {tenant.lease_grace_seconds} s longer{least}"


_BILLING = {
    "PREPAID": "PREPAID: when credits are used up, what they would pay is refused",
    "POSTPAID": "POSTPAID: when credits are used up, the invoice pays",
}
_ORPHANS = {"NONE": "nothing", "PROVEN": "the talk time that the last extension proved"}
