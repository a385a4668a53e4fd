"""`talktime call batch`: several legs of one payer in one atomic step, as a conference bridge asks for them."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talktime_server.commands.calls import (
    Budget,
    Conference,
    From,
    Kind,
    PayerId,
    Seconds,
    end,
    money_left,
    paid_by,
)
from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.explaining import Drawing, ask_why, explainable
from talktime_server.commands.output import facts, line, table, talk_time
from talktime_server.commands.session import Region, Session, asks
from talktime_server.words import CallType

if TYPE_CHECKING:
    from talktime import Authorization, Batch, Leg

# The most that the service takes at once.
MOST_LEGS = 100
_COLUMNS = ("", "Leg", "To", "Verdict", ">Granted", "Paid by")


def batch(
    session: Session,
    payer_id: PayerId,
    to_numbers: Annotated[
        list[str],
        typer.Argument(metavar="TO...", help="The called numbers, as +442079460018; at most 100."),
    ],
    call_type: Kind = CallType.CONF_OUT,
    all_or_none: Annotated[
        bool, typer.Option("--all-or-none", help="Grant every leg, or none of them.")
    ] = False,
    legs_id: Annotated[
        str,
        typer.Option(
            "--id", help="The legs are ID-1, ID-2, …, to be able to repeat; made up when left out."
        ),
    ] = "",
    from_number: From = "",
    conference_id: Conference = "",
    budget: Budget = None,
    seconds: Seconds = 0,
    region: Region = "",
) -> None:
    """Decides several legs at once, in their order, and holds what pays for each. Legs extend, settle and release singly.

    Exits 3 unless every leg is granted. An emergency number, which nothing may refuse, is asked for with talktime call authorize.

    Example: talktime call batch olga +442079460018 +493023125123 --conference weekly --tenant contoso

    Example: talktime call batch olga +442079460018 +12025550147 --all-or-none --conference weekly --budget 5 --tenant contoso
    """
    if len(to_numbers) > MOST_LEGS:
        raise Stop(
            Exit.USAGE, f"{len(to_numbers)} legs are too many: a batch has at most {MOST_LEGS}."
        )
    from talktime import CallType as Word
    from talktime import Leg

    common: dict[str, Any] = {
        "from_number": from_number,
        "conference_id": conference_id,
        "requested_seconds": seconds,
        "conference_budget_micros": budget or 0,
    }
    legs = [Leg(payer_id, Word(call_type), number, **common) for number in to_numbers]
    if legs_id:
        legs = [_named(leg, f"{legs_id}-{place}") for place, leg in enumerate(legs, 1)]
    with session.client(region) as client:
        answer = client.authorize_batch(legs, all_or_none=all_or_none)
    why = _why(session, legs, answer, region)
    _show(session, legs, answer, why)
    end(answer.authorized_legs == len(legs))


def add_to(group: typer.Typer) -> None:
    """Hangs the batch below `talktime call`."""
    asks(group, "batch")(batch)


def _named(leg: "Leg", call_id: str) -> "Leg":
    return replace(leg, call_id=call_id)


def _why(session: Session, legs: "list[Leg]", answer: "Batch", region: str) -> Drawing | None:
    """Where to ask about the first leg that was refused for a reason of its own."""
    for leg, verdict in zip(legs, answer.verdicts, strict=True):
        if explainable(verdict.reason):
            return ask_why(session, leg, region)
    return None


def _show(session: Session, legs: "list[Leg]", answer: "Batch", why: Drawing | None) -> None:
    rows = [_row(leg.to_number, each) for leg, each in zip(legs, answer.verdicts, strict=True)]
    granted, asked = answer.authorized_legs, len(legs)
    last = answer.verdicts[-1].balance
    session.show(
        {"authorized_legs": granted, "legs": asked, "verdicts": answer.verdicts},
        table("", _COLUMNS, rows),
        line(f"{granted} of {asked} legs are granted.", "green" if granted == asked else "yellow"),
        facts("", money_left(last)),
        *([why] if why else []),
    )


def _row(to_number: str, verdict: "Authorization") -> tuple[object, ...]:
    again = ", as before" if verdict.replayed else ""
    said = f"refused: {verdict.reason}" if verdict.reason else "granted"
    return (
        "✓" if verdict.authorized else "✗",
        verdict.call_id,
        to_number,
        said + again,
        talk_time(verdict.granted_seconds) if verdict.authorized else "",
        paid_by(verdict),
    )
