"""`talktime usage`: which calls there were, and what they add up to. Files of them: `talktime export`."""

from typing import TYPE_CHECKING, Annotated

import typer

from talktime_server.commands import blocks, picking
from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.money import decimal_of
from talktime_server.commands.output import instant, line, minutes, share, table, talk_time
from talktime_server.commands.session import Session, asks

if TYPE_CHECKING:
    from talktime import UsageGroup, UsageLine, UsageReport, UsageRow

group = typer.Typer(no_args_is_help=True)

# What people say, and the contract's word for it.
GROUPS = {
    "day": "DAY",
    "payer": "PAYER",
    "destination": "DESTINATION",
    "country": "COUNTRY",
    "licence": "CAPABILITY",
    "license": "CAPABILITY",
    "type": "CALL_TYPE",
    "organizer": "ORGANIZER",
    "tenant": "TENANT",
}
_KEYS = {
    "DAY": "Day (UTC)",
    "PAYER": "Payer",
    "DESTINATION": "Destination",
    "COUNTRY": "Country",
    "CAPABILITY": "Paid by",
    "CALL_TYPE": "Type",
    "ORGANIZER": "Organizer",
    "TENANT": "Tenant",
}
_SUMS = (">Calls", ">Minutes", ">From pools", ">Fees", ">Charges", ">Total", ">On the invoice", "")
_CALLS = (
    "Ended",
    "Call",
    "Payer",
    "Type",
    "From",
    "To",
    "Destination",
    ">Talk time",
    ">Fee",
    ">Charge",
    "Paid by",
)
_NONE = "No calls."


@asks(group, "calls")
def calls(
    session: Session,
    first: picking.From = None,
    last_day: picking.To = None,
    payer: picking.OfPayer = "",
    call_type: picking.OfType = "",
    country: picking.OfCountry = "",
    licence: picking.OfLicence = "",
    last: Annotated[int, typer.Option(min=0, help="Only so many, the newest; 0 shows all.")] = 50,
) -> None:
    """Lists ended calls, newest first; one that two sources paid has two lines. A call shows within seconds of its end.

    The outside number's last digits are masked where the law of the tenant's country asks for it.

    Example: talktime usage calls --payer alice --from 2026-11-01 --tenant contoso
    """
    span = picking.span_of(first, last_day) if first or last_day else None
    picked = picking.picked(
        span, payer=payer, call_type=call_type, country=country, licence=licence
    )
    with session.client() as client:
        found = []
        for row in client.list_calls(picked, page_size=min(last, 500) or 500):
            found.append(row)
            if len(found) == last:
                break
    session.show({"rows": found}, table("", _CALLS, map(_call, found)) if found else line(_NONE))


@asks(group, "report")
def report(
    session: Session,
    by: Annotated[
        str,
        typer.Option(
            metavar="day|payer|destination|country|licence|type|organizer|tenant",
            help="What the lines are sums of; tenant is for operators, without --tenant.",
        ),
    ] = "day",
    first: picking.From = None,
    last: picking.To = None,
    payer: picking.OfPayer = "",
    call_type: picking.OfType = "",
    country: picking.OfCountry = "",
    licence: picking.OfLicence = "",
) -> None:
    """Sums usage up: the last 30 days, unless others are named; days in order, all else the dearest first.

    Example: talktime usage report --by destination --from 2026-11-01 --to 2026-11-30 --tenant contoso

    Example: talktime usage report --by tenant
    """
    named = GROUPS.get(by.lower())
    if named is None:
        raise Stop(Exit.USAGE, f"--by is {by!r}; allowed: {', '.join(GROUPS)}.")
    picked = picking.picked(
        picking.span_of(first, last),
        payer=payer,
        call_type=call_type,
        country=country,
        licence=licence,
    )
    with session.client() as client:
        _show(session, client.get_usage_report(named, picked), named)


@asks(group, "conferences")
def conferences(session: Session, first: picking.From = None, last: picking.To = None) -> None:
    """Sums up what conferences dialled out, by organizer: the last 30 days, unless others are named.

    Example: talktime usage conferences --tenant contoso
    """
    picked = picking.picked(picking.span_of(first, last))
    with session.client() as client:
        _show(session, client.get_usage_report("ORGANIZER", picked), "ORGANIZER")


@asks(group, "pools")
def pools(session: Session) -> None:
    """Reports the minutes of this month as they are now: brought, used and left. Credits are not among them.

    What sizes a pool: talktime pool list.

    Example: talktime usage pools --tenant contoso
    """
    from talktime_server.decision import catalog

    with session.client() as client:
        found = client.get_balance().pools
    known = catalog.licenses()
    reported = [
        {
            "pool_id": pool.pool_id,
            "country": scope if len(scope := pool.pool_id.split("/")[0]) == 2 else "",
            "description": known[pool.sku].name if pool.sku in known else pool.sku,
            "total_minutes": pool.size_seconds // 60,
            "used_minutes": pool.used_seconds // 60,
            "held_minutes": pool.held_seconds // 60,
            "available_minutes": pool.available_seconds // 60,
            "capability": (known[pool.sku].usage_capability if pool.sku in known else "")
            or pool.sku,
        }
        for pool in found
    ]
    rows = [
        (
            pool.pool_id,
            told["description"],
            minutes(pool.size_seconds),
            minutes(pool.used_seconds),
            minutes(pool.held_seconds),
            minutes(pool.available_seconds),
            share(pool.available_seconds, pool.size_seconds),
            told["capability"],
        )
        for pool, told in zip(found, reported, strict=True)
    ]
    columns = ("Pool", "Licence", ">Total", ">Used", ">Held", ">Left", ">", "In reports")
    session.show({"pools": reported}, table("", columns, rows))


asks(group, "blocked")(blocks.list_)


def _show(session: Session, told: "UsageReport", named: "UsageGroup | str") -> None:
    columns = (_KEYS[named], "Name", *_SUMS)
    rows = [_sums(each) for each in told.lines]
    rows += [("", "", *[""] * len(_SUMS))] if told.lines else []
    rows += [_sums(each, "Everything") for each in told.totals]
    more = "There are more lines: name days, or a payer, to see them all."
    session.show(
        told,
        table("", columns, rows) if told.totals or told.lines else line(_NONE),
        *([line(more, "dim")] if told.truncated else []),
    )


def _sums(each: "UsageLine", key: str = "") -> tuple[object, ...]:
    fee, charge = each.connection_fee_micros, each.charge_micros
    return (
        key or each.key or "(none)",
        each.display_name,
        f"{each.calls:,}",
        minutes(each.duration_seconds),
        minutes(each.pool_seconds),
        decimal_of(fee),
        decimal_of(charge),
        decimal_of(fee + charge),
        decimal_of(each.postpaid_micros) if each.postpaid_micros else "",
        each.currency_code,
    )


def _call(row: "UsageRow") -> tuple[object, ...]:
    return (
        instant(row.end_time),
        row.call_id,
        row.payer_id,
        row.call_type.lower(),
        row.caller_id,
        row.destination_number,
        row.destination,
        talk_time(row.duration_seconds),
        decimal_of(row.connection_fee_micros),
        decimal_of(row.charge_micros),
        f"{row.capability}{' (invoice)' if row.postpaid else ''}",
    )
