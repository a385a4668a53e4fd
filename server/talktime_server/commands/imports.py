"""`talktime payer import`: many payers from a file, checked whole, then stored in parts.

What is stored already and is as the file says is not sent again, so that an import may be repeated, and one that was
interrupted goes on where it was.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from talktime_server.commands.exits import Exit, Fault, Stop, stop_for
from talktime_server.commands.output import Progress, console, counted, line, progress, table
from talktime_server.commands.session import Session, asks

if TYPE_CHECKING:
    from tenacity import Retrying

    from talktime import Client, Payer, TalktimeError
    from talktime_server.commands.payer_file import PayerFile, PayerRow

# A part is one request: the service takes 1,000 payers and a mebibyte, and answers within two seconds, on a busy
# machine, too.
PART_PAYERS = 250
PART_BYTES = 512 * 1024
# While the service writes one part, the next ones are made and read.
IN_FLIGHT = 3
PART_ATTEMPTS = 6
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 3.0
PAGE = 500
# A file that is wrong throughout need not be printed throughout.
FAULTS_SHOWN = 50
FAULTS_TOLD = 1_000
_PLACE = re.compile(r"payers\[([0-9]{1,4})\]\.?(.*)")


@dataclass(slots=True)
class Came:
    """What came of an import so far."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    faults: list[Fault] = field(default_factory=list)

    @property
    def stored(self) -> int:
        """Payers that are as the file says."""
        return self.created + self.changed + self.unchanged


@dataclass(frozen=True, slots=True)
class Part:
    """Payers that are sent in one request, with the rows they come from."""

    rows: tuple["PayerRow", ...]
    payers: tuple["Payer", ...]

    def without(self, lines: set[int]) -> "Part":
        """The part without the rows that begin on some lines."""
        kept = [at for at, row in enumerate(self.rows) if row.line not in lines]
        return Part(tuple(self.rows[at] for at in kept), tuple(self.payers[at] for at in kept))


def import_(
    session: Session,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV with a header that names its columns.")
    ],
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Store the good rows, and only report the bad ones.")
    ] = False,
) -> None:
    """Makes or changes the payers of a file; with one bad row, each is named and nothing is stored.

    Columns, in any order: payer_id and country; and, as wanted, display_name, user_principal_name, phone_number, licenses
    (separated by spaces or semicolons) and dial_out_policy. What a file has no column for stays as it is; an empty cell
    empties it.

    It may be repeated: payers that are so already are left alone.

    Example: talktime payer import users.csv --tenant contoso
    """
    found = _read(file)
    refused = found.unusable or (found.faults and not skip_bad)
    # Whether a doubtful row is bad, too, only the payers as they are can say; else the answer is there at once.
    if refused and not any(map(_doubtful, found.rows)):
        _refuse(session, found.faults, f"{file}: %s; nothing was stored.", "BAD_FILE")
    came = Came(faults=found.faults)
    with session.client() as client:
        with progress(session.output, "Looking at those stored") as on_progress:
            stored = _stored(client, found.rows, on_progress)
        parts = list(_parts(_wanted(found, stored, came)))
        if came.faults and not skip_bad:
            _refuse(session, came.faults, f"{file}: %s; nothing was stored.", "BAD_FILE")
        with progress(session.output, "Storing") as on_progress:
            _send(session, client, parts, came, skip_bad=skip_bad, on_progress=on_progress)
    _finish(session, came)


def add_to(group: typer.Typer) -> None:
    """Hangs the import below `talktime payer`."""
    asks(group, "import")(import_)


def put_part(client: "Client", part: Part, *, skip_bad: bool) -> Came:
    """Stores one part; without its bad rows, if that is wanted, as often as the service names some."""
    from talktime import Conflict, InvalidRequest

    came = Came()
    while part.rows:
        try:
            changes = _patiently()(client.put_payers, part.payers)
        except (InvalidRequest, Conflict) as error:
            faults = _faults(error, part)
            if not (skip_bad and faults):
                raise
            came.faults += faults
            part = part.without({fault.line for fault in faults})
        else:
            came.created, came.changed = changes.created, changes.changed
            came.unchanged = changes.unchanged
            break
    return came


def _patiently() -> "Retrying":
    """Asks again for a service that is busy or restarts; a part that was written already is only found so."""
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

    return Retrying(
        stop=stop_after_attempt(PART_ATTEMPTS),
        wait=wait_random_exponential(FIRST_WAIT_S, max=LONGEST_WAIT_S),
        retry=retry_if_exception(_passing),
        reraise=True,
    )


def _passing(error: BaseException) -> bool:
    """Whether the same part may do better in a moment; writing payers twice does no harm."""
    from talktime import DeadlineExceeded, TooMuch, Unavailable

    # Nobody is there at all: whoever waits wants to know at once.
    absent = isinstance(error, Unavailable) and error.reason == "NOT_CONNECTED"
    return isinstance(error, DeadlineExceeded | Unavailable | TooMuch) and not absent


def _read(file: Path) -> "PayerFile":
    from talktime_server.commands import payer_file

    try:
        with file.open(encoding="utf-8", newline="") as lines:
            return payer_file.read(lines)
    except OSError as error:
        raise Stop(Exit.USAGE, f"{file}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError as error:
        text = f"{file}: is not UTF-8 at byte {error.start}; save it as UTF-8."
        raise Stop(Exit.FAILED, text, reason="BAD_FILE") from None


def _stored(
    client: "Client", rows: Sequence["PayerRow"], on_progress: Progress
) -> dict[str, "Payer"]:
    """The file's payers as they are now."""
    named = {row.payer_id for row in rows}
    found = {}
    for count, payer in enumerate(client.list_payers(page_size=PAGE), 1):
        if payer.payer_id in named:
            found[payer.payer_id] = payer
        if count % PAGE == 0:
            on_progress(len(found), len(named))
    return found


def _wanted(
    found: "PayerFile", stored: Mapping[str, "Payer"], came: Came
) -> Iterator[tuple["PayerRow", "Payer"]]:
    """The payers to send; those that are so already are counted, those that may not be so are named."""
    from talktime import Payer

    for row in found.rows:
        old = stored.get(row.payer_id)
        new = replace(old or Payer(row.payer_id, row.country), **row.settings())
        if old == new:
            came.unchanged += 1
        elif fault := _alone(old, new, row.line):
            came.faults.append(fault)
        else:
            yield row, new


def _doubtful(row: "PayerRow") -> bool:
    """Whether a row would be bad for a new payer by the one rule that looks at the payer as it was."""
    from talktime import Payer

    new = Payer(row.payer_id, row.country, row.licenses or ())
    return _alone(None, new, row.line) is not None


def _alone(old: "Payer | None", new: "Payer", on_line: int) -> Fault | None:
    """The rule that the credits licence is not given alone: who has it keeps it."""
    from talktime_server.decision import licensing
    from talktime_server.failure import Conflict
    from talktime_server.ledger import profiles

    if old is not None and old.licenses == new.licenses:
        return None
    before = profiles.Payer(old.payer_id, old.country, licenses=old.licenses) if old else None
    try:
        licensing.give(before, profiles.Payer(new.payer_id, new.country, licenses=new.licenses))
    except Conflict as conflict:
        return Fault("licenses", conflict.reason, conflict.message, on_line)
    return None


def _parts(wanted: Iterator[tuple["PayerRow", "Payer"]]) -> Iterator[Part]:
    rows: list[PayerRow] = []
    payers: list[Payer] = []
    size = 0
    for row, payer in wanted:
        weight = _most_bytes(payer)
        if rows and (len(rows) == PART_PAYERS or size + weight > PART_BYTES):
            yield Part(tuple(rows), tuple(payers))
            rows, payers, size = [], [], 0
        rows.append(row)
        payers.append(payer)
        size += weight
    if rows:
        yield Part(tuple(rows), tuple(payers))


def _most_bytes(payer: "Payer") -> int:
    """More than a payer takes in a request."""
    prefixes = len(payer.blocked_prefixes) + len(payer.allowed_prefixes)
    return 320 + 4 * len(payer.display_name) + 64 * len(payer.licenses) + 17 * prefixes


def _send(
    session: Session,
    client: "Client",
    parts: Sequence[Part],
    came: Came,
    *,
    skip_bad: bool,
    on_progress: Progress,
) -> None:
    """Stores the parts, a few at a time; stops at the first that fails, when those under way have ended."""
    from talktime import TalktimeError

    total, done = sum(len(part.rows) for part in parts), 0
    futures: dict[Future[Came], Part] = {}
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        try:
            for part in parts:
                futures[threads.submit(put_part, client, part, skip_bad=skip_bad)] = part
            for future in as_completed(futures):
                future.result()
                done += len(futures[future].rows)
                on_progress(done, total)
        except TalktimeError as error:
            threads.shutdown(cancel_futures=True)
            _add_up(futures, came)
            _stopped(session, error, futures, came)
        except KeyboardInterrupt:
            threads.shutdown(cancel_futures=True)
            _add_up(futures, came)
            raise Stop(
                Exit.INTERRUPTED, f"Interrupted: {_so_far(came)}", outcome="UNKNOWN"
            ) from None
    _add_up(futures, came)


def _faults(error: "TalktimeError", part: Part) -> list[Fault]:
    """The rows that the service blames: by their place in the part, or by the payer's id."""
    faults = []
    for violation in error.violations:
        place = _PLACE.fullmatch(violation.field)
        if place and int(place[1]) < len(part.rows):
            on_line = part.rows[int(place[1])].line
            faults.append(Fault(place[2], violation.rule, violation.text, on_line))
    if not faults and (payer_id := error.facts.get("payer_id")):
        on_lines = [row.line for row in part.rows if row.payer_id == payer_id]
        faults = [Fault("payer_id", error.reason, error.message, each) for each in on_lines]
    return faults


def _add_up(futures: Mapping["Future[Came]", Part], came: Came) -> None:
    for future in futures:
        if future.cancelled() or future.exception():
            continue
        part = future.result()
        came.created += part.created
        came.changed += part.changed
        came.unchanged += part.unchanged
        came.faults += part.faults


def _stopped(
    session: Session, error: "TalktimeError", futures: Mapping["Future[Came]", Part], came: Came
) -> NoReturn:
    """Ends an import that the service refused or could not finish, saying what is stored."""
    failed = next(part for future, part in futures.items() if _failed_with(future, error))
    if faults := _faults(error, failed):
        told = f"the service refuses %s. {_so_far(came)}"
        _refuse(session, faults, told, "BAD_FILE")
    stop = stop_for(error, session.target)
    raise Stop(
        stop.code, f"{stop.text} {_so_far(came)}", reason=stop.reason, outcome=stop.outcome
    ) from None


def _failed_with(future: "Future[Came]", error: "TalktimeError") -> bool:
    return not future.cancelled() and future.exception() is error


def _so_far(came: Came) -> str:
    return f"{counted(came.stored, 'payer is', 'payers are')} stored. Run it again: it goes on where it was."


def _refuse(session: Session, faults: Sequence[Fault], text: str, reason: str) -> NoReturn:
    count = "one fault" if len(faults) == 1 else f"{len(faults):,} faults"
    told = text % count
    faults = sorted(faults, key=lambda fault: fault.line)
    if session.output.as_json:
        raise Stop(Exit.FAILED, told, reason=reason, faults=tuple(faults[:FAULTS_TOLD]))
    _draw(faults)
    if len(faults) > FAULTS_SHOWN:
        told += f" The first {FAULTS_SHOWN} are shown; --json names {FAULTS_TOLD:,}."
    raise Stop(Exit.FAILED, told, reason=reason)


def _draw(faults: Sequence[Fault]) -> None:
    shown = [(each.line, each.field, each.rule, each.text) for each in faults[:FAULTS_SHOWN]]
    console(stderr=True).print(table("", (">Line", "Field", "Rule", "Why"), shown)())


def _finish(session: Session, came: Came) -> None:
    skipped = sorted(came.faults, key=lambda fault: fault.line)
    lines_skipped = len({fault.line for fault in skipped})
    if skipped and not session.output.as_json:
        _draw(skipped)
    text = (
        f"{counted(came.created, 'payer is', 'payers are')} new, {came.changed:,} changed,"
        f" {counted(came.unchanged, 'was', 'were')} so already"
    )
    document = {
        "created": came.created,
        "changed": came.changed,
        "unchanged": came.unchanged,
        "skipped_rows": lines_skipped,
        "faults": [fault.as_document() for fault in skipped[:FAULTS_TOLD]],
    }
    bad = counted(lines_skipped, "row was bad and is", "rows were bad and are")
    more = f"; {bad} not stored." if skipped else "."
    session.show(document, line(text + more))
