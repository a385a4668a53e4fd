"""`talktime tenant`: the customer organisations and their settings."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.money import micros_of, money
from talktime_server.commands.output import facts, table
from talktime_server.commands.session import Session, asks

if TYPE_CHECKING:
    from talktime import Client, Tenant

group = typer.Typer(no_args_is_help=True)

TenantId = Annotated[
    str, typer.Argument(metavar="TENANT", envvar="TALKTIME_TENANT", help="The tenant.")
]
# None means "as it is": a setting that is not named is left alone.
Seconds = Annotated[int | None, typer.Option(metavar="SECONDS", min=0)]
Count = Annotated[int | None, typer.Option(metavar="COUNT", min=0)]
Amount = Annotated[int | None, typer.Option(metavar="AMOUNT", parser=micros_of)]


@asks(group, "put", of_tenant=False)
def put(
    session: Session,
    tenant_id: TenantId,
    currency: Annotated[
        str | None, typer.Option(metavar="CODE", help="ISO 4217; needed for a new one, then fixed.")
    ] = None,
    country: Annotated[
        str | None,
        typer.Option(
            metavar="CODE", help="Of its billing address, ISO 3166-1; needed for a new one."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    default_grant: Seconds = None,
    min_grant: Seconds = None,
    lease_grace: Seconds = None,
    floor: Amount = None,
    inbound_grace: Amount = None,
    max_rate: Amount = None,
    default_rate: Amount = None,
    max_open_calls: Count = None,
    max_open_calls_per_payer: Count = None,
    max_payer_hold_percent: Count = None,
    orphan_charge: Annotated[
        str | None, typer.Option(metavar="NONE|PROVEN", help="What an expired hold costs.")
    ] = None,
) -> None:
    """Makes a tenant, or changes its settings: what is not named stays as it is.

    Example: talktime tenant put contoso --currency USD --country US --name "Contoso Ltd"

    Example: talktime tenant put contoso --max-rate 1.50 --max-open-calls 200
    """
    wanted = {
        "currency_code": currency,
        "country": country,
        "display_name": name,
        "default_grant_seconds": default_grant,
        "min_grant_seconds": min_grant,
        "lease_grace_seconds": lease_grace,
        "floor_micros": floor,
        "inbound_grace_micros": inbound_grace,
        "max_rate_per_minute_micros": max_rate,
        "default_rate_per_minute_micros": default_rate,
        "max_open_calls": max_open_calls,
        "max_open_calls_per_payer": max_open_calls_per_payer,
        "max_payer_hold_percent": max_payer_hold_percent,
        "orphan_charge": _orphan_charge(orphan_charge),
    }
    given = {field: value for field, value in wanted.items() if value is not None}
    with session.client() as client:
        stored = client.put_tenant(_changed(client, tenant_id, given))
    _show(session, stored)


@asks(group, "show", of_tenant=False)
def show(session: Session, tenant_id: TenantId) -> None:
    """Shows a tenant and its settings.

    Example: talktime tenant show contoso
    """
    with session.client() as client:
        tenant = client.get_tenant(tenant_id)
    _show(session, tenant)


@asks(group, "list", of_tenant=False)
def list_(session: Session) -> None:
    """Lists the tenants that the token may see.

    Example: talktime tenant list --json
    """
    with session.client() as client:
        tenants = list(client.list_tenants())
    rows = [(t.tenant_id, t.display_name, t.country, t.currency_code, t.status) for t in tenants]
    columns = ("Tenant", "Name", "Country", "Currency", "Status")
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
    _show(session, tenant)


@asks(group, "resume", of_tenant=False)
def resume(session: Session, tenant_id: TenantId) -> None:
    """Ends a tenant's suspension.

    Example: talktime tenant resume contoso
    """
    with session.client() as client:
        tenant = client.resume_tenant(tenant_id)
    _show(session, tenant)


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


def _orphan_charge(word: str | None) -> Any:
    from talktime import OrphanCharge

    return None if word is None else OrphanCharge(word.upper())


def _show(session: Session, tenant: "Tenant") -> None:
    def amount(micros: int, none: str) -> str:
        return money(micros, tenant.currency_code) if micros else none

    pairs = [
        ("Tenant", tenant.tenant_id),
        ("Name", tenant.display_name),
        ("Status", tenant.status),
        ("Country", tenant.country),
        ("Currency", tenant.currency_code),
        (
            "Grant",
            f"{tenant.default_grant_seconds} s, and a lease {tenant.lease_grace_seconds} s longer",
        ),
        ("Smallest grant", f"{tenant.min_grant_seconds} s" if tenant.min_grant_seconds else ""),
        ("Floor", money(tenant.floor_micros, tenant.currency_code)),
        ("Inbound grace", amount(tenant.inbound_grace_micros, "")),
        ("Dearest rate", amount(tenant.max_rate_per_minute_micros, "no ceiling")),
        ("Rate without a deck's", amount(tenant.default_rate_per_minute_micros, "none: refused")),
        ("Open calls", tenant.max_open_calls or "no limit"),
        ("Open calls of one payer", tenant.max_open_calls_per_payer or "no limit"),
        ("Share of one payer", f"{tenant.max_payer_hold_percent or 100} % of the balance"),
        ("Expired holds cost", tenant.orphan_charge),
    ]
    session.show(tenant, facts("", pairs))
