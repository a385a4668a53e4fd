"""`talktime call`: what a router asks, by hand."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from talktime_server.commands.exits import Exit
from talktime_server.commands.explaining import ask_why, explainable, explained
from talktime_server.commands.money import micros_of, money
from talktime_server.commands.output import facts, instant, talk_time
from talktime_server.commands.session import Region, Session, asks
from talktime_server.words import CallType

if TYPE_CHECKING:
    from talktime import Authorization, Balance, CallFields, Extension, Quote, Rate, Source

group = typer.Typer(no_args_is_help=True)

CallId = Annotated[str, typer.Argument(metavar="CALL", help="The call's id.")]
PayerId = Annotated[
    str,
    typer.Argument(
        metavar="PAYER",
        help="Whose licence counts: user, organizer, resource account; '' for UNASSIGNED_IN.",
    ),
]
To = Annotated[str, typer.Argument(metavar="TO", help="The called number, as +442079460018.")]
_KINDS = ", ".join(CallType)
Kind = Annotated[
    CallType, typer.Option("--type", metavar="TYPE", help=f"What kind of call it is: {_KINDS}.")
]
From = Annotated[str, typer.Option("--from", metavar="NUMBER", help="The calling number.")]
Seconds = Annotated[
    int, typer.Option(min=0, help="Talk time wanted; 0 asks for the tenant's default.")
]
Conference = Annotated[
    str, typer.Option("--conference", metavar="ID", help="The conference it belongs to.")
]
Budget = Annotated[
    int | None,
    typer.Option(
        metavar="AMOUNT",
        parser=micros_of,
        help="Most that the conference's legs may hold and spend together.",
    ),
]
Routing = Annotated[
    str, typer.Option(metavar="NUMBER", help="The number to price by, when TO was ported.")
]


@asks(group, "quote")
def quote(
    session: Session,
    payer_id: PayerId,
    to_number: To,
    call_type: Kind = CallType.USER_OUT,
    from_number: From = "",
    conference_id: Conference = "",
    budget: Budget = None,
    seconds: Seconds = 0,
    routing_number: Routing = "",
    region: Region = "",
    explain: Annotated[bool, typer.Option(help="Tell each check in order, with its rule.")] = True,
) -> None:
    """Answers as authorize would, holds nothing, and explains each check. Exits 3 when it would be refused.

    Example: talktime call quote alice +442079460018 --tenant contoso

    Example: talktime call quote olga +493023125123 --type CONF_OUT --explain --tenant contoso
    """
    with session.client(region) as client:
        answer = client.quote(
            payer_id,
            call_type,
            to_number,
            from_number=from_number,
            conference_id=conference_id,
            conference_budget_micros=budget or 0,
            requested_seconds=seconds,
            routing_number=routing_number,
        )
    why = explained(answer, payer_id, session.tenant_id) if explain else ()
    session.show(answer, facts("", _verdict(answer)), *why)
    end(answer.authorized)


@asks(group, "authorize")
def authorize(
    session: Session,
    payer_id: PayerId,
    to_number: To,
    call_type: Kind = CallType.USER_OUT,
    call_id: Annotated[
        str,
        typer.Option("--id", help="The call's id, to be able to repeat; made up when left out."),
    ] = "",
    from_number: From = "",
    conference_id: Conference = "",
    budget: Budget = None,
    seconds: Seconds = 0,
    routing_number: Routing = "",
    region: Region = "",
) -> None:
    """Decides whether a call may start, and holds what pays for it. Exits 3 when it may not.

    Example: talktime call authorize alice +442079460018 --id site1-0001 --tenant contoso

    Example: talktime call authorize helpline +448081570192 --type UCAP_IN --tenant contoso
    """
    from talktime import CallType as Word
    from talktime import Leg

    with session.client(region) as client:
        answer = client.authorize(
            payer_id,
            call_type,
            to_number,
            call_id=call_id or None,
            from_number=from_number,
            conference_id=conference_id,
            conference_budget_micros=budget or 0,
            requested_seconds=seconds,
            routing_number=routing_number,
        )
    leg = Leg(payer_id, Word(call_type), to_number, from_number=from_number)
    why = (ask_why(session, leg, region),) if explainable(answer.reason) else ()
    session.show(answer, facts("", [("Call", answer.call_id), *_verdict(answer)]), *why)
    end(answer.authorized)


@asks(group, "extend")
def extend(
    session: Session,
    call_id: CallId,
    seconds: Annotated[int, typer.Argument(metavar="SECONDS", min=1, help="Talk time to add.")],
    sequence: Annotated[
        int,
        typer.Option(
            min=0, help="Counts a call's extensions, to be able to repeat; 0 takes the next one."
        ),
    ] = 0,
) -> None:
    """Adds talk time to a call that runs. Exits 3 when none was added.

    Example: talktime call extend site1-0001 600 --sequence 1 --tenant contoso
    """
    with session.client() as client:
        number = sequence or client.get_call(call_id).extend_sequence + 1
        answer = client.extend(call_id, number, seconds)
    pairs = [("Call", call_id), ("Extension", number), *_verdict(answer, "the last answer again")]
    session.show(answer, facts("", pairs))
    end(answer.authorized)


@asks(group, "settle")
def settle(
    session: Session,
    call_id: CallId,
    seconds: Annotated[
        int, typer.Argument(metavar="SECONDS", min=0, help="Talk time; 0 was never answered.")
    ],
    payer_id: Annotated[
        str, typer.Option("--payer", help="For a call that was never authorized: whose it was,")
    ] = "",
    to_number: Annotated[str, typer.Option("--to", metavar="NUMBER", help="where it went,")] = "",
    call_type: Annotated[
        CallType, typer.Option("--type", metavar="TYPE", help="and what it was, as USER_OUT.")
    ] = CallType.USER_OUT,
    from_number: From = "",
    region: Region = "",
) -> None:
    """Charges the talk time of an ended call, once, and gives the rest of its hold back.

    Example: talktime call settle site1-0001 754 --tenant contoso

    Example: talktime call settle site1-0002 60 --payer alice --to +442079460018 --tenant contoso
    """
    with session.client(region) as client:
        fields = _fields(payer_id, to_number, call_type, from_number)
        answer = client.settle(call_id, seconds, fields)
    currency = answer.balance.currency_code if answer.balance else ""
    remarks = {
        "late": "after its hold had ended",
        "overrun": "longer than granted",
        "unreserved": "never authorized",
        "replayed": "the first receipt again",
    }
    said = [text for name, text in remarks.items() if getattr(answer, name)]
    pairs = [
        ("Call", call_id),
        ("Charged", money(answer.charged_micros, currency)),
        ("Paid by", "; ".join(_source(source, currency) for source in answer.charges)),
        (
            "Talk time",
            f"{talk_time(answer.duration_seconds)}, billed {talk_time(answer.billed_seconds)}",
        ),
        ("Rate", _rate(answer.rate, currency)),
        (
            "Uncollected",
            money(answer.uncollected_micros, currency) if answer.uncollected_micros else "",
        ),
        (
            "Not covered",
            talk_time(answer.uncovered_seconds) if answer.uncovered_seconds else "",
        ),
        ("Remarks", "; ".join(said)),
        *money_left(answer.balance),
    ]
    session.show(answer, facts("", pairs))


@asks(group, "release")
def release(session: Session, call_id: CallId) -> None:
    """Gives a call's whole hold back: it was never answered, or never placed.

    Example: talktime call release site1-0001 --tenant contoso
    """
    with session.client() as client:
        answer = client.release(call_id)
    currency = answer.balance.currency_code if answer.balance else ""
    pairs = [
        ("Call", call_id),
        ("State", answer.state),
        ("Given back", money(answer.released_micros, currency)),
        ("Remarks", "the first receipt again" if answer.replayed else ""),
        *money_left(answer.balance),
    ]
    session.show(answer, facts("", pairs))


@asks(group, "show")
def show(session: Session, call_id: CallId) -> None:
    """Shows a call as it is stored.

    Example: talktime call show site1-0001 --tenant contoso
    """
    with session.client() as client:
        call = client.get_call(call_id)
    first, last, asked = call.authorization, call.settlement, call.call
    balance = (last and last.balance) or (first and first.balance)
    currency = balance.currency_code if balance else ""
    pairs = [
        ("Call", call_id),
        ("State", call.state),
        *_asked(asked),
        ("Refused", first.reason if first and first.reason else ""),
        ("Granted", talk_time(call.granted_seconds)),
        ("Extensions up to", call.extend_sequence or ""),
        ("Set aside", money(call.held_micros, currency)),
        ("Hold ends", instant(call.lease_expire_time)),
        ("Rate", _rate(first.rate if first else None, currency)),
        ("Talk time", talk_time(last.duration_seconds) if last else ""),
        ("Charged", money(last.charged_micros, currency) if last else ""),
    ]
    session.show(call, facts("", pairs))


def _fields(
    payer_id: str, to_number: str, call_type: CallType, from_number: str
) -> "CallFields | None":
    if not (payer_id or to_number):
        return None
    from talktime import CallFields
    from talktime import CallType as Word

    return CallFields(payer_id, Word(call_type), to_number, from_number)


def _verdict(
    answer: "Authorization | Extension | Quote", again: str = "the first answer again"
) -> Iterable[tuple[str, object]]:
    currency = answer.balance.currency_code if answer.balance else ""
    granted = talk_time(answer.granted_seconds) if answer.authorized else ""
    last = ", and the money covers no more" if answer.final_grant and granted else ""
    number = f"{answer.number_class or ''} {answer.country}".strip()
    return [
        ("Answer", f"{answer.outcome}: {answer.reason}" if answer.reason else answer.outcome),
        ("Remarks", again if getattr(answer, "replayed", False) else ""),
        ("Granted", granted + last),
        ("Hold lives", talk_time(answer.lease_seconds) if granted else ""),
        ("Paid by", paid_by(answer)),
        ("Rate", _rate(answer.rate, currency)),
        ("Number", number),
        *money_left(answer.balance),
    ]


def paid_by(answer: "Authorization | Extension | Quote") -> str:
    """What pays, in the order of use: "POOL US/MCOPSTN1 3 min; CREDITS 7 min, 0.21 USD"."""
    currency = answer.balance.currency_code if answer.balance else ""
    return "; ".join(_source(source, currency) for source in answer.sources)


def _source(source: "Source", currency: str) -> str:
    amount = f", {money(source.amount_micros, currency)}" if source.amount_micros else ""
    pool = f" {source.pool_id}" if source.pool_id else ""
    return f"{source.kind}{pool} {talk_time(source.seconds)}{amount}"


def _rate(rate: "Rate | None", currency: str) -> str:
    if rate is None:
        return ""
    fee = rate.connection_fee_micros
    return (
        f"{rate.destination}: {money(rate.rate_per_minute_micros, currency)} per minute"
        f"{f', {money(fee, currency)} to connect' if fee else ''}"
        f", billed {rate.initial_seconds}/{rate.increment_seconds} s (deck {rate.deck_version})"
    )


def money_left(balance: "Balance | None") -> list[tuple[str, object]]:
    """A tenant's money right after, as facts."""
    if balance is None:
        return []
    return [
        ("Set aside in all", money(balance.held_micros, balance.currency_code)),
        ("Free", money(balance.available_micros, balance.currency_code)),
    ]


def _asked(asked: "CallFields | None") -> list[tuple[str, object]]:
    if asked is None:
        return []
    return [
        ("Kind", asked.call_type),
        ("Payer", asked.payer_id),
        ("From", asked.from_number),
        ("To", asked.to_number),
        ("Conference", asked.conference_id),
    ]


def end(authorized: bool) -> None:
    """Ends a command about a call: its exit code says whether the call may start."""
    if not authorized:
        raise typer.Exit(int(Exit.REFUSED))
