"""`talktime export`: the usage rows of some days in a file, for spreadsheets and for other programs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talktime_server.commands import picking
from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.money import money
from talktime_server.commands.output import facts, plain, progress
from talktime_server.commands.session import Session, asks
from talktime_server.commands.usage_totals import Totals

if TYPE_CHECKING:
    from talktime import CallFilter, UsageRow


class Format(StrEnum):
    """What kind of file."""

    CSV = "csv"
    XLSX = "xlsx"
    ZIP = "zip"


Out = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Where to; without it PSTN.calls.FROM--TO.csv, or the like, is made."
    ),
]
Kind = Annotated[
    Format | None,
    typer.Option("--format", help="Without it, what the file's name ends in, else csv."),
]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is exported: whose calls, of which days, and which of them."""

    tenant_id: str
    span: picking.Span
    filter: "CallFilter"

    @property
    def name(self) -> str:
        """The name that the report's export gives its file, without its ending."""
        return f"PSTN.calls.{self.span.first}--{self.span.last}"

    def told(self) -> Iterator[tuple[str, str]]:
        """The same for people."""
        picks = self.filter
        named = (
            ("Tenant", self.tenant_id),
            ("Days", f"{self.span.first} to {self.span.last} (UTC)"),
            ("Payer", picks.payer_id),
            ("Type of call", picks.call_type or ""),
            ("Country", picks.country),
            ("Paid by", picks.capability),
        )
        return ((name, str(value)) for name, value in named if value)

    def parameters(self, totals: Totals) -> dict[str, object]:
        """The same for programs, with how much came of it."""
        picks = self.filter
        return {
            "tenantId": self.tenant_id,
            "startDateTime": plain(self.span.start_time),
            "endDateTime": plain(self.span.end_time),
            "payerId": picks.payer_id or None,
            "callType": picks.call_type.lower() if picks.call_type else None,
            "country": picks.country or None,
            "capabilities": [picks.capability] if picks.capability else None,
            "rows": totals.rows,
        }


def export(
    session: Session,
    out: Out = None,
    kind: Kind = None,
    first: picking.From = None,
    last: picking.To = None,
    payer: picking.OfPayer = "",
    call_type: picking.OfType = "",
    country: picking.OfCountry = "",
    licence: picking.OfLicence = "",
) -> None:
    """Writes the usage rows of some days to a file: the last 30 days, unless others are named.

    A CSV has the columns of the usage report, times in UTC, and money exact.
    Text in it that begins like a formula gets an apostrophe in front; telephone numbers stay as they are.
    A zip holds that CSV, and what was asked for.
    A workbook has a sheet that sums it up, too: by day, type, licence and destination, with charts.

    The file appears when it is whole; an export that breaks leaves nothing, and may be run again.

    Example: talktime export --tenant contoso --from 2026-11-01 --to 2026-11-30 --format xlsx

    Example: talktime export --tenant contoso --type CONF_OUT --out conferences.csv
    """
    span = picking.span_of(first, last)
    picked = picking.picked(
        span, payer=payer, call_type=call_type, country=country, licence=licence
    )
    kind = kind or _kind_of(out)
    with session.client() as client, progress(session.output, "Exporting") as on_progress:
        # Whoever's token is for one tenant only need not name it; the file does.
        asked = Asked(client.get_tenant().tenant_id, span, picked)
        path = out or Path(f"{asked.name}.{kind}")
        rows = client.export_calls(picked, on_progress=on_progress)
        try:
            totals = write(path, kind, rows, asked)
        except KeyboardInterrupt:
            raise Stop(Exit.INTERRUPTED, "Interrupted: nothing was left. Run it again.") from None
    _show(session, path, kind, totals)


def write(path: Path, kind: Format, rows: "Iterable[UsageRow]", asked: Asked) -> Totals:
    """Writes rows as they come; the file is there whole, or not at all."""
    from talktime_server.commands.usage_files import write_csv, write_zip
    from talktime_server.commands.usage_workbook import write_workbook
    from talktime_server.commands.whole_file import whole_file

    totals = Totals()
    with whole_file(path) as part:
        passing = totals.passing(rows)
        if kind is Format.XLSX:
            write_workbook(part, passing, totals, asked.told())
        elif kind is Format.ZIP:
            write_zip(part, passing, f"{asked.name}.csv", partial(asked.parameters, totals))
        else:
            write_csv(part, passing)
    return totals


def add_to(root: typer.Typer) -> None:
    """Hangs the command below `talktime` itself."""
    asks(root, "export")(export)


def _kind_of(out: Path | None) -> Format:
    ending = out.suffix.removeprefix(".").lower() if out else ""
    return Format(ending) if ending in list(Format) else Format.CSV


def _show(session: Session, path: Path, kind: Format, totals: Totals) -> None:
    sums = [
        {
            "currency_code": currency,
            "rows": total.rows,
            "duration_seconds": total.seconds,
            "connection_fee_micros": total.fee_micros,
            "charge_micros": total.charge_micros,
            "postpaid_micros": total.postpaid_micros,
        }
        for currency, total in totals.whole.items()
    ]
    size = path.stat().st_size
    spent = [money(total.spend_micros, code) for code, total in totals.whole.items()]
    pairs = [
        ("File", path),
        ("Rows", f"{totals.rows:,}"),
        ("Size", f"{size / 1024:,.0f} KiB"),
        ("Fees and charges", " + ".join(spent)),
    ]
    document = {"file": str(path), "format": kind, "rows": totals.rows, "bytes": size}
    session.show({**document, "sums": sums}, facts("", pairs))
