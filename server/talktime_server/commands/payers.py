"""`talktime payer`: the users, organizers and resource accounts that calls are charged for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.output import facts, table
from talktime_server.commands.session import Session, asks

if TYPE_CHECKING:
    from talktime import Client, Payer

group = typer.Typer(no_args_is_help=True)

PayerId = Annotated[str, typer.Argument(metavar="PAYER", help="The payer's id.")]


@asks(group, "put")
def put(
    session: Session,
    payer_id: PayerId,
    country: Annotated[
        str | None,
        typer.Option(
            metavar="CODE", help="Where it is licensed, ISO 3166-1; needed for a new one."
        ),
    ] = None,
    license_: Annotated[
        list[str] | None,
        typer.Option(
            "--license", metavar="SKU", help="A licence; repeat for more. Replaces those there are."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    phone_number: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Its own number, E.164, for reports.")
    ] = None,
    user_principal_name: Annotated[
        str | None, typer.Option(metavar="UPN", help="Its sign-in name, for reports.")
    ] = None,
    toll_free: Annotated[
        bool | None,
        typer.Option(
            "--toll-free/--no-toll-free",
            help="Whether its conferences can be dialled toll-free, at the tenant's cost.",
        ),
    ] = None,
) -> None:
    """Makes a payer, or changes it: what is not named stays as it is.

    Licences of one that is there: talktime licence. Its limits: talktime limit. Where it may call: talktime policy.

    Example: talktime payer put alice --tenant contoso --country US --license MCOPSTN2 --license MCOPSTNC
    """
    wanted = {
        "country": country,
        "licenses": tuple(license_) if license_ else None,
        "display_name": name,
        "phone_number": phone_number,
        "user_principal_name": user_principal_name,
        "toll_free_dial_in_off": None if toll_free is None else not toll_free,
    }
    given = {field: value for field, value in wanted.items() if value is not None}
    with session.client() as client:
        stored = client.put_payer(_changed(client, payer_id, given))
    show_payer(session, stored)


@asks(group, "show")
def show(session: Session, payer_id: PayerId) -> None:
    """Shows a payer: its licences, where it may call, and its own limits.

    Example: talktime payer show alice --tenant contoso
    """
    with session.client() as client:
        payer = client.get_payer(payer_id)
    show_payer(session, payer)


@asks(group, "list")
def list_(session: Session) -> None:
    """Lists a tenant's payers.

    Example: talktime payer list --tenant contoso
    """
    with session.client() as client:
        payers = list(client.list_payers(page_size=500))
    rows = [
        (
            p.payer_id,
            p.display_name,
            p.country,
            p.phone_number,
            " ".join(p.licenses),
            p.dial_out_policy,
            p.blocked,
        )
        for p in payers
    ]
    columns = ("Payer", "Name", "Country", "Number", "Licences", "Policy", "Blocked")
    session.show({"payers": payers}, table("", columns, rows))


def show_payer(session: Session, payer: "Payer") -> None:
    """Shows a payer as stored; other commands that change one answer so, too."""
    from talktime_server.commands.limits import payer_limits

    pairs = [
        ("Payer", payer.payer_id),
        ("Name", payer.display_name),
        ("Sign-in name", payer.user_principal_name),
        ("Country", payer.country),
        ("Number", payer.phone_number),
        ("Licences", _licenses(payer.licenses)),
        ("Blocked", f"yes: {payer.block_reason}" if payer.blocked else "no"),
        ("Policy", payer.dial_out_policy or "the tenant's"),
        ("Toll-free dial-in", "off" if payer.toll_free_dial_in_off else ""),
        *payer_limits(payer),
    ]
    session.show(payer, facts("", pairs))


def _changed(client: "Client", payer_id: str, given: dict[str, Any]) -> "Payer":
    from talktime import NotFound, Payer

    try:
        return replace(client.get_payer(payer_id), **given)
    except NotFound as missing:
        if "country" not in given and "TENANT" not in missing.reason:
            raise Stop(
                Exit.USAGE, f"There is no payer {payer_id}; a new one needs --country."
            ) from None
        return Payer(payer_id, **{"country": "", **given})


def _licenses(skus: Sequence[str]) -> str:
    from talktime_server.decision import catalog

    known = catalog.licenses()
    return (
        "; ".join(f"{sku} ({known[sku].name})" if sku in known else sku for sku in skus) or "none"
    )
