"""`talktime payer`: the users, organizers and resource accounts that calls are charged for, and their licences."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.money import decimal_of, micros_of
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
    max_rate: Annotated[
        int | None,
        typer.Option(
            metavar="AMOUNT",
            parser=micros_of,
            help="Dearest rate per minute; 0 leaves it to the tenant.",
        ),
    ] = None,
) -> None:
    """Makes a payer, or changes it: what is not named stays as it is.

    Example: talktime payer put alice --tenant contoso --country US --license MCOPSTN2 --license MCOPSTNC
    """
    wanted = {
        "country": country,
        "licenses": tuple(license_) if license_ else None,
        "display_name": name,
        "max_rate_per_minute_micros": max_rate,
    }
    given = {field: value for field, value in wanted.items() if value is not None}
    with session.client() as client:
        stored = client.put_payer(_changed(client, payer_id, given))
    _show(session, stored)


@asks(group, "show")
def show(session: Session, payer_id: PayerId) -> None:
    """Shows a payer and its licences.

    Example: talktime payer show alice --tenant contoso
    """
    with session.client() as client:
        payer = client.get_payer(payer_id)
    _show(session, payer)


@asks(group, "list")
def list_(session: Session) -> None:
    """Lists a tenant's payers.

    Example: talktime payer list --tenant contoso
    """
    with session.client() as client:
        payers = list(client.list_payers())
    rows = [
        (p.payer_id, p.display_name, p.country, " ".join(p.licenses), p.blocked) for p in payers
    ]
    columns = ("Payer", "Name", "Country", "Licences", "Blocked")
    session.show({"payers": payers}, table("", columns, rows))


@asks(group, "license")
def license_(
    session: Session,
    payer_id: PayerId,
    add: Annotated[
        list[str] | None, typer.Option(metavar="SKU", help="Assign this licence; repeat for more.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="SKU", help="Remove this licence; repeat for more.")
    ] = None,
) -> None:
    """Assigns and removes licences in one step, so that a swap leaves no moment without any.

    Example: talktime payer license alice --tenant contoso --add MCOPSTN2 --remove MCOPSTN1
    """
    if not (add or remove):
        raise Stop(Exit.USAGE, "Name a licence with --add or --remove.")
    with session.client() as client:
        payer = client.assign_licenses(payer_id, add=add or (), remove=remove or ())
    _show(session, payer)


@asks(group, "block")
def block(
    session: Session,
    payer_id: PayerId,
    reason: Annotated[str, typer.Option(help="Why, for whoever asks later.")] = "",
) -> None:
    """Refuses a payer's calls from now on. Emergency calls still pass.

    Example: talktime payer block alice --tenant contoso --reason "stolen phone"
    """
    _put_changed(session, payer_id, {"blocked": True, "block_reason": reason})


@asks(group, "unblock")
def unblock(session: Session, payer_id: PayerId) -> None:
    """Lets a payer call again.

    Example: talktime payer unblock alice --tenant contoso
    """
    _put_changed(session, payer_id, {"blocked": False, "block_reason": ""})


def _put_changed(session: Session, payer_id: str, given: dict[str, Any]) -> None:
    with session.client() as client:
        stored = client.put_payer(replace(client.get_payer(payer_id), **given))
    _show(session, stored)


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


def _show(session: Session, payer: "Payer") -> None:
    ceiling = payer.max_rate_per_minute_micros
    pairs = [
        ("Payer", payer.payer_id),
        ("Name", payer.display_name),
        ("Country", payer.country),
        ("Licences", _licenses(payer.licenses)),
        ("Blocked", f"yes: {payer.block_reason}" if payer.blocked else "no"),
        ("Dearest rate", f"{decimal_of(ceiling)} per minute" if ceiling else "the tenant's"),
    ]
    session.show(payer, facts("", pairs))


def _licenses(skus: Sequence[str]) -> str:
    from talktime_server.decision import catalog

    known = catalog.licenses()
    return (
        "; ".join(f"{sku} ({known[sku].name})" if sku in known else sku for sku in skus) or "none"
    )
