"""`talktime tenant`: the customer organisations and their settings."""

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.money import micros_of
from talktime_server.commands.output import table
from talktime_server.commands.session import Session, asks
from talktime_server.commands.tenant_page import show_page

if TYPE_CHECKING:
    from talktime import Client, Tenant

group = typer.Typer(no_args_is_help=True)
_COUNT = re.compile(r"[0-9]{1,8}")

TenantId = Annotated[
    str, typer.Argument(metavar="TENANT", envvar="TALKTIME_TENANT", help="The tenant.")
]
# None means "as it is": a setting that is not named is left alone.
Floor = Annotated[
    int | None,
    typer.Option(
        metavar="AMOUNT",
        parser=micros_of,
        help="How far below zero a call longer than granted may take the balance, as -5.",
    ),
]
InboundGrace = Annotated[
    int | None,
    typer.Option(
        metavar="AMOUNT",
        parser=micros_of,
        help="What toll-free calls that come in may owe when credits are used up.",
    ),
]
DefaultRate = Annotated[
    int | None,
    typer.Option(
        metavar="AMOUNT",
        parser=micros_of,
        help="Rate per minute where no deck has one; 0 refuses such calls.",
    ),
]
Currency = Annotated[
    str | None, typer.Option(metavar="CODE", help="ISO 4217; needed for a new one, then fixed.")
]
Country = Annotated[
    str | None,
    typer.Option(metavar="CODE", help="Of its billing address, ISO 3166-1; needed for a new one."),
]
Billing = Annotated[
    str | None,
    typer.Option(
        metavar="PREPAID|POSTPAID",
        help="What pays when credits are used up: nothing, or the invoice afterwards.",
    ),
]
Bought = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SKU=COUNT",
        help="Licences bought, as MCOMEETADV=100: they size the conferencing pool. Repeat for more; 0 takes it away.",
    ),
]
IndependentPools = Annotated[
    bool | None,
    typer.Option(
        "--pools-apart/--pools-joint",
        help="Whether the two pools of MCOPSTN2 are apart, or one used up closes the other.",
    ),
]
PlansAfter = Annotated[
    bool | None,
    typer.Option(
        "--plans-after/--no-plans-after",
        help="Whether conferences go on with the organizer's own plan after the conferencing pool.",
    ),
]
Grant = Annotated[
    int | None,
    typer.Option(metavar="SECONDS", help="Talk time granted when a router names none."),
]
LeastGrant = Annotated[
    int | None,
    typer.Option(metavar="SECONDS", help="Refuse a call that the money covers less of."),
]
Grace = Annotated[
    int | None,
    typer.Option(metavar="SECONDS", help="How much longer than its grant a hold lives."),
]
Orphans = Annotated[
    str | None, typer.Option(metavar="NONE|PROVEN", help="What an expired hold costs.")
]


@asks(group, "put", of_tenant=False)
def put(
    session: Session,
    tenant_id: TenantId,
    currency: Currency = None,
    country: Country = None,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    billing: Billing = None,
    bought: Bought = None,
    independent_plan_pools: IndependentPools = None,
    plans_after_conferencing: PlansAfter = None,
    default_grant: Grant = None,
    min_grant: LeastGrant = None,
    lease_grace: Grace = None,
    floor: Floor = None,
    inbound_grace: InboundGrace = None,
    default_rate: DefaultRate = None,
    orphan_charge: Orphans = None,
) -> None:
    """Makes a tenant, or changes its settings: what is not named stays as it is.

    Its limits: talktime limit. Where its users may call: talktime policy.

    Example: talktime tenant put contoso --currency USD --country US --name "Contoso Ltd"

    Example: talktime tenant put contoso --billing POSTPAID --bought MCOMEETADV=100
    """
    wanted = {
        "currency_code": currency,
        "country": country,
        "display_name": name,
        "billing_mode": _word("BillingMode", "--billing", billing),
        "independent_plan_pools": independent_plan_pools,
        "plans_after_conferencing": plans_after_conferencing,
        "default_grant_seconds": default_grant,
        "min_grant_seconds": min_grant,
        "lease_grace_seconds": lease_grace,
        "floor_micros": floor,
        "inbound_grace_micros": inbound_grace,
        "default_rate_per_minute_micros": default_rate,
        "orphan_charge": _word("OrphanCharge", "--orphan-charge", orphan_charge),
    }
    given = {field: value for field, value in wanted.items() if value is not None}
    counts = dict(map(_count_bought, bought or ()))
    with session.client() as client:
        stored = client.put_tenant(_buying(_changed(client, tenant_id, given), counts))
        show_page(session, client, stored)


@asks(group, "show", of_tenant=False)
def show(session: Session, tenant_id: TenantId) -> None:
    """Shows a tenant on one page: its money, pools, limits and policy, and what it is set to.

    Example: talktime tenant show contoso
    """
    with session.client() as client:
        show_page(session, client, client.get_tenant(tenant_id))


@asks(group, "list", of_tenant=False)
def list_(session: Session) -> None:
    """Lists the tenants that the token may see.

    Example: talktime tenant list --json
    """
    with session.client() as client:
        tenants = list(client.list_tenants())
    rows = [
        (t.tenant_id, t.display_name, t.country, t.currency_code, t.billing_mode or "", t.status)
        for t in tenants
    ]
    columns = ("Tenant", "Name", "Country", "Currency", "Billing", "Status")
    session.show({"tenants": tenants}, table("", columns, rows))


@asks(group, "suspend", of_tenant=False)
def suspend(
    session: Session,
    tenant_id: TenantId,
    cut: Annotated[
        bool, typer.Option("--cut", help="End running calls at their next extension.")
    ] = False,
) -> None:
    """Refuses a tenant's new calls from now on. Emergency calls still pass; running ones use up their grant.

    Example: talktime tenant suspend contoso --cut
    """
    with session.client() as client:
        tenant = client.suspend_tenant(tenant_id, running_calls="CUT" if cut else "DRAIN")
        show_page(session, client, tenant)


@asks(group, "resume", of_tenant=False)
def resume(session: Session, tenant_id: TenantId) -> None:
    """Ends a tenant's suspension.

    Example: talktime tenant resume contoso
    """
    with session.client() as client:
        tenant = client.resume_tenant(tenant_id)
        show_page(session, client, tenant)


def _changed(client: "Client", tenant_id: str, given: dict[str, Any]) -> "Tenant":
    from talktime import NotFound, Tenant

    try:
        return replace(client.get_tenant(tenant_id), **given)
    except NotFound:
        if missing := [each for each in ("currency", "country") if not _named(given, each)]:
            options = " and ".join(f"--{each}" for each in missing)
            raise Stop(
                Exit.USAGE, f"There is no tenant {tenant_id}; a new one needs {options}."
            ) from None
        return Tenant(tenant_id, **given)


def _named(given: dict[str, Any], option: str) -> bool:
    return option in given or f"{option}_code" in given


def _buying(tenant: "Tenant", counts: dict[str, int]) -> "Tenant":
    """The tenant with other counts of bought licences; those not named stay."""
    from talktime import BoughtLicense

    bought = {each.sku: each.count for each in tenant.bought_licenses} | counts
    kept = tuple(BoughtLicense(sku, count) for sku, count in sorted(bought.items()) if count)
    return replace(tenant, bought_licenses=kept)


def _count_bought(text: str) -> tuple[str, int]:
    sku, _, count = text.partition("=")
    if not (sku and _COUNT.fullmatch(count)):
        raise Stop(
            Exit.USAGE, f"--bought: {text!r} is not a licence and a count, as MCOMEETADV=100."
        )
    return sku, int(count)


def _word(kind: str, option: str, text: str | None) -> Any:
    """A word of the contract as typed, in any case."""
    import talktime

    if text is None:
        return None
    words = [word for word in getattr(talktime, kind) if word != "UNRECOGNIZED"]
    if text.upper() not in words:
        raise Stop(Exit.USAGE, f"{option} is {text!r}; allowed: {', '.join(words)}.")
    return text.upper()
