"""`talktime licence`: which licences there are, what they bring, and who holds them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.output import Output, line, minutes, table
from talktime_server.commands.payers import PayerId, show_payer
from talktime_server.commands.session import Json, Session, asks, ending

if TYPE_CHECKING:
    from talktime_server.decision.catalog import License

group = typer.Typer(no_args_is_help=True)

Sku = Annotated[str, typer.Argument(metavar="SKU", help="The licence, as MCOPSTN2.")]
Skus = Annotated[
    list[str], typer.Argument(metavar="SKU...", help="The licences, as MCOPSTN2 MCOPSTNC.")
]

_USES = {
    "CALLING_PLAN": "a user's calls, from minutes of the plan and then from credits",
    "PAY_AS_YOU_GO": "a user's calls, from credits or the invoice from the first second",
    "CREDITS": "may draw on the tenant's credits; costs nothing, needs a plan or conferencing beside it",
    "CONFERENCING": "an organizer's conferences: dialling in, and out from minutes",
    "CONFERENCING_PER_MINUTE": "an organizer's conferences, from credits in every direction",
    "CONFERENCING_ADD_ON": "an organizer's dial-out to the US and Canada, unlimited, beside conferencing",
    "PHONE": "a phone system; for a resource account, its calls",
    "COMMON_AREA_PHONE": "a phone that nobody owns",
    "RESOURCE_ACCOUNT": "calls of an auto attendant or a call queue",
}


@group.command("list")
def list_(
    country: Annotated[
        str,
        typer.Option(
            metavar="CODE", help="Show the minutes that each brings to who is licensed there."
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Lists the licences there are: what each is for, and what usage reports call it. Asks no service.

    Example: talktime licence list

    Example: talktime licence list --country GB
    """
    output = Output(as_json=as_json)
    with ending(output):
        from talktime_server.decision import catalog

        known = list(catalog.licenses().values())
        brought = _minutes(country)
        columns = ["SKU", "Name", "For", "In reports"] + (["Minutes a month"] if country else [])
        rows = [_row(each, brought if country else None) for each in known]
        document = {"licences": [_document(each, brought) for each in known]}
        output.show(document, table("", columns, rows), line(_note(country), "dim"))


@asks(group, "assign")
def assign(session: Session, payer_id: PayerId, skus: Skus) -> None:
    """Gives a payer licences beside those it has; those it has already stay.

    Example: talktime licence assign alice MCOPSTN1 MCOPSTNC --tenant contoso
    """
    _change(session, payer_id, add=skus)


@asks(group, "remove")
def remove(session: Session, payer_id: PayerId, skus: Skus) -> None:
    """Takes licences away from a payer: its very next call is refused or paid otherwise. Open calls keep what they have.

    Example: talktime licence remove alice MCOPSTNC --tenant contoso
    """
    _change(session, payer_id, remove=skus)


@asks(group, "swap")
def swap(
    session: Session,
    payer_id: PayerId,
    old: Annotated[str, typer.Argument(metavar="OLD", help="The licence it has.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The licence it gets in its place.")],
) -> None:
    """Swaps one licence for another in one step, so that no moment is without any.

    Example: talktime licence swap alice MCOPSTN1 MCOPSTN2 --tenant contoso
    """
    with session.client() as client:
        held = client.get_payer(payer_id).licenses
        # Whoever repeats a swap that was done has nothing left to do.
        if old not in held and new not in held:
            text = f"{payer_id} does not hold {old}, so there is nothing to swap; nothing was done."
            raise Stop(Exit.CONFLICT, text, reason="LICENSE_NOT_HELD")
        payer = client.assign_licenses(payer_id, add=[new], remove=[old])
    show_payer(session, payer)


def _change(
    session: Session,
    payer_id: str,
    *,
    add: list[str] | None = None,
    remove: list[str] | None = None,
) -> None:
    with session.client() as client:
        payer = client.assign_licenses(payer_id, add=add or (), remove=remove or ())
    show_payer(session, payer)


def _minutes(country: str) -> Mapping[str, str]:
    """The minutes that a licence brings, by its SKU; empty when no country is named."""
    from talktime_server.decision import catalog

    if not country:
        return {}
    if country not in catalog.countries():
        text = f"--country: {country!r} is not a country of ISO 3166-1, such as GB."
        raise Stop(Exit.USAGE, text)
    found = {}
    for sku, plan in catalog.allowances(country).items():
        parts = [f"{minutes(plan.domestic_seconds)} domestic"]
        if plan.international_seconds:
            parts.append(f"{minutes(plan.international_seconds)} international")
        shared = "shared by its users there" if plan.pooled else "each user's own"
        found[sku] = f"{', '.join(parts)}; {shared}" if plan.domestic_seconds else "none"
    for each in catalog.conferencing_allowances():
        counted = "bought" if each.bought_count else "assigned"
        found[each.sku] = (
            f"{minutes(each.seconds)} dial-out to {each.zone}, per licence {counted}; the whole tenant's"
        )
    return found


def _row(each: "License", brought: Mapping[str, str] | None) -> tuple[object, ...]:
    row = (each.sku, each.name, _USES[each.kind], each.usage_capability or "not there")
    return row if brought is None else (*row, brought.get(each.sku, "none"))


def _document(each: "License", brought: Mapping[str, str]) -> dict[str, object]:
    told = {"minutes": brought.get(each.sku, "none")} if brought else {}
    return {
        "sku": each.sku,
        "name": each.name,
        "kind": each.kind,
        "use": _USES[each.kind],
        "usage_capability": each.usage_capability,
        "sku_published": each.published,
        **told,
    }


def _note(country: str) -> str:
    hint = "" if country else " `--country CODE` shows the minutes of each."
    return "A licence bought under one name can be reported under another." + hint
