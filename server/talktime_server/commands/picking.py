"""Which calls a command is about: the options that usage and exports have in common."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talktime_server.commands.exits import Exit, Stop

if TYPE_CHECKING:
    from talktime import CallFilter

# Sums and exports that name no days are of these.
DEFAULT_DAYS = 30
_DAY = timedelta(days=1)


def day_of(text: str) -> date:
    """A day as "2026-11-21"."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day such as 2026-11-21") from None


From = Annotated[
    date | None,
    typer.Option(
        "--from", metavar="DAY", parser=day_of, help="First day (UTC) that calls were settled on."
    ),
]
To = Annotated[
    date | None,
    typer.Option("--to", metavar="DAY", parser=day_of, help="Last day (UTC), itself included."),
]
OfPayer = Annotated[str, typer.Option("--payer", metavar="PAYER", help="Only calls of this payer.")]
OfType = Annotated[
    str, typer.Option("--type", metavar="TYPE", help="Only calls of this type, as USER_OUT.")
]
OfCountry = Annotated[
    str,
    typer.Option("--country", metavar="CODE", help="Only calls to this country, ISO 3166-1."),
]
OfLicence = Annotated[
    str,
    typer.Option(
        "--licence",
        metavar="CODE",
        help="Only what this paid: a code of usage reports, as MCOPSTN1 or MCOPSTNPP.",
    ),
]


@dataclass(frozen=True, slots=True)
class Span:
    """Days of UTC, both included."""

    first: date
    last: date

    @property
    def start_time(self) -> datetime:
        """Its first moment."""
        return _midnight(self.first)

    @property
    def end_time(self) -> datetime:
        """The first moment after it."""
        return _midnight(self.last + _DAY)


def span_of(first: date | None, last: date | None) -> Span:
    """The days asked for; the last 30, today included, where none are."""
    last = last or (max(first, _today()) if first else _today())
    found = Span(first or last - (DEFAULT_DAYS - 1) * _DAY, last)
    if found.first > found.last:
        raise Stop(Exit.USAGE, f"--from {found.first} is after --to {found.last}.")
    return found


def picked(
    span: Span | None, *, payer: str = "", call_type: str = "", country: str = "", licence: str = ""
) -> "CallFilter":
    """The calls of some days that all of this is true of; without days, of all time."""
    from talktime import CallFilter

    return CallFilter(
        span.start_time if span else None,
        span.end_time if span else None,
        payer,
        word("CallType", "--type", call_type),
        country.upper(),
        licence.upper(),
    )


def word(kind: str, option: str, text: str) -> Any:
    """A word of the contract as typed, in any case and with any dashes; None for none."""
    import talktime

    if not text:
        return None
    words = [each for each in getattr(talktime, kind) if each != "UNRECOGNIZED"]
    found = text.upper().replace("-", "_")
    if found not in words:
        raise Stop(Exit.USAGE, f"{option} is {text!r}; allowed: {', '.join(words)}.")
    return found


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _today() -> date:
    return datetime.now(UTC).date()
