"""`talktime policy`: where a tenant's users and conferences may call, by one of twelve named policies."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.limits import PayerOrTenant, prefix_facts
from talktime_server.commands.output import Output, facts, line, table
from talktime_server.commands.session import Json, Session, asks, ending

if TYPE_CHECKING:
    from talktime import Payer, Tenant
    from talktime_server.decision.catalog import DialOutPolicy

group = typer.Typer(no_args_is_help=True)

DEFAULT = "default"
_CONFERENCES = {
    "ANY": "anywhere",
    "ORGANIZER_COUNTRY": "the organizer's country",
    "ZONE_A": "the countries of Zone A",
    "NONE": "nowhere",
}
_USERS = {
    "INTERNATIONAL": "at home and abroad",
    "DOMESTIC": "the user's country",
    "NONE": "nowhere",
}


@group.command("list")
def list_(as_json: Json = False) -> None:
    """Lists the twelve policies, and what each lets conferences and users call. Asks no service.

    Example: talktime policy list
    """
    output = Output(as_json=as_json)
    with ending(output):
        from talktime_server.decision import catalog

        known = list(catalog.dial_out_policies().values())
        rows = [(p.name, *_told(p)) for p in known]
        columns = ("Policy", "Conferences may dial", "Users may call")
        note = (
            "Emergency numbers may always be called. The first is what applies where none is set."
            " For a policy the US and Canada are two countries, and Puerto Rico is the US."
        )
        output.show({"policies": known}, table("", columns, rows), line(note, "dim"))


@asks(group, "set")
def set_(
    session: Session,
    policy: Annotated[
        str,
        typer.Argument(
            metavar="POLICY",
            help="Its name, as `talktime policy list` shows; `default` leaves it to the tenant's.",
        ),
    ],
    payer_id: PayerOrTenant = "",
) -> None:
    """Sets the policy of a tenant, for every payer without its own, or of one payer. It counts from the next call.

    In a conference the organizer's policy counts, whoever dials.

    Example: talktime policy set DialoutCPCandPSTNDomestic --tenant contoso

    Example: talktime policy set default alice --tenant contoso
    """
    name = _name(policy)
    with session.client() as client:
        if payer_id:
            payer = client.put_payer(replace(client.get_payer(payer_id), dial_out_policy=name))
            _show(session, client.get_tenant(), payer)
            return
        _show(session, client.put_tenant(replace(client.get_tenant(), dial_out_policy=name)))


@asks(group, "show")
def show(session: Session, payer_id: PayerOrTenant = "") -> None:
    """Shows where a tenant's payers may call, or one payer.

    Example: talktime policy show alice --tenant contoso
    """
    with session.client() as client:
        tenant = client.get_tenant()
        payer = client.get_payer(payer_id) if payer_id else None
    _show(session, tenant, payer)


def policy_told(name: str) -> str:
    """A policy's name and what it says; an empty one is the default."""
    from talktime_server.decision import catalog, policy

    known = catalog.dial_out_policies()
    if name and name not in known:
        # A newer service may know more of them than this command.
        return name
    chosen = policy.named(name)
    conferences, users = _told(chosen)
    return f"{chosen.name}: conferences may dial {conferences}, users may call {users}"


def _show(session: Session, tenant: "Tenant", payer: "Payer | None" = None) -> None:
    own = payer.dial_out_policy if payer else ""
    whose = "its own" if own else "the tenant's" if tenant.dial_out_policy else "the default"
    pairs = [
        ("Payer", payer.payer_id if payer else ""),
        ("Tenant", tenant.tenant_id),
        ("Policy", policy_told(own or tenant.dial_out_policy)),
        ("Whose", whose if payer else "" if tenant.dial_out_policy else "the default"),
        ("Toll-free dial-in", "off" if payer and payer.toll_free_dial_in_off else ""),
        *(prefix_facts(payer) if payer else ()),
        *((f"Tenant: {name.lower()}", text) for name, text in prefix_facts(tenant) if text),
    ]
    document = {
        "tenant_id": tenant.tenant_id,
        "tenant_policy": tenant.dial_out_policy,
        **({"payer_id": payer.payer_id, "payer_policy": own} if payer else {}),
        "policy_in_force": _in_force(own or tenant.dial_out_policy),
    }
    session.show(document, facts("", pairs))


def _in_force(name: str) -> str:
    from talktime_server.decision import policy

    return name or policy.DEFAULT


def _name(typed: str) -> str:
    from talktime_server.decision import catalog

    if typed.lower() == DEFAULT:
        return ""
    for name in catalog.dial_out_policies():
        if name.lower() == typed.lower():
            return name
    raise Stop(
        Exit.USAGE,
        f"There is no policy {typed!r}. `talktime policy list` shows the twelve there are.",
    )


def _told(policy: "DialOutPolicy") -> tuple[str, str]:
    return _CONFERENCES[policy.conferencing], _USERS[policy.user_calls]
