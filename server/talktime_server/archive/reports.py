"""Usage read back: calls by page, exports, and sums, over the rows that the follower keeps (usage.py).

No connection is held while somebody reads what was found: pages and parts of an export are each a
short statement of their own, however slowly they are taken. An export still is what there was when
it began, or fails: it leaves out what came later, and counts that nothing was taken away.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from talktime_server.archive import masking
from talktime_server.archive.database import Database
from talktime_server.archive.days import day_text
from talktime_server.failure import Conflict

if TYPE_CHECKING:
    from sqlalchemy import Row

    from talktime_server.archive.questions.usage import Place

READ_AT_ONCE = 1_000  # rows of an export
PART = 250  # rows told at a time: some milliseconds of work
MOST_LINES = 5_000
NAMES_AT_ONCE = 500


class Group(StrEnum):
    """What usage is summed by, spelled as in the contract."""

    DAY = "DAY"
    PAYER = "PAYER"
    DESTINATION = "DESTINATION"
    COUNTRY = "COUNTRY"
    CAPABILITY = "CAPABILITY"
    CALL_TYPE = "CALL_TYPE"
    ORGANIZER = "ORGANIZER"
    TENANT = "TENANT"


@dataclass(frozen=True, slots=True)
class Picked:
    """Which rows are meant: of calls that ended from `start_ms` on and before `end_ms`, both in
    milliseconds of UTC; "" picks any.
    """

    start_ms: int
    end_ms: int
    payer_id: str = ""
    call_type: str = ""
    country: str = ""
    capability: str = ""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """A row of the usage report, numbers masked. Instants are milliseconds of UTC, money is micros;
    the charge has no fee in it.
    """

    usage_id: str
    call_id: str
    conference_id: str
    payer_id: str
    user_location: str
    user_principal_name: str
    user_display_name: str
    caller_number: str
    callee_number: str
    call_type: str
    number_type: str
    domestic: str
    country: str
    destination: str
    started_ms: int
    stopped_ms: int
    ended_ms: int
    duration_seconds: int
    connection_fee_micros: int
    charge_micros: int
    currency: str
    capability: str
    postpaid: bool
    pool_id: str
    pool_seconds: int


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of an export; `row_count` is how many the whole has, 0 in all parts but the first."""

    rows: tuple[UsageRow, ...]
    row_count: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A sum of rows: micros and seconds; `postpaid_micros` is what of both went to the invoice."""

    key: str
    display_name: str
    calls: int
    duration_seconds: int
    pool_seconds: int
    connection_fee_micros: int
    charge_micros: int
    postpaid_micros: int
    currency: str


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums by group, and over everything; `truncated` when there are more lines than these."""

    lines: tuple[Line, ...]
    totals: tuple[Line, ...]
    truncated: bool


NAMES = tuple(field.name for field in fields(UsageRow))
_CALLER, _CALLEE, _PAYER = map(NAMES.index, ("caller_number", "callee_number", "payer_id"))


class UsageReports:
    """Asks the archive. Every method raises ArchiveAway when it cannot be asked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, tenant_id: str, country: str, picked: Picked, *, after: str, count: int
    ) -> tuple[list[UsageRow], str]:
        """Up to `count` rows, the newest first, after a position; and the position to go on from,
        empty at the end. `country` is the tenant's, which says how numbers are masked.
        """
        before = _place(after) if after else None
        async with self._database.connect() as connection:
            from talktime_server.archive.questions import usage

            rows = await usage.newest(connection, tenant_id, picked, before, count)
        digits = masking.masked_digits(country)
        found = [_usage_row(row, digits) for row in rows]
        return found, _position(found[-1]) if len(found) == count else ""

    async def export(
        self, tenant_id: str, country: str, picked: Picked
    ) -> AsyncGenerator[Part, None]:
        """All rows, the oldest first, in parts; at least one part. Raises Conflict at the end when
        calls were charged again meanwhile, so that rows are missing.
        """
        row_count, version = await self._extent(tenant_id, picked)
        place, told, first = None, 0, row_count
        digits = masking.masked_digits(country)
        while True:
            found = await self._oldest(tenant_id, picked, version, place)
            for start in range(0, max(len(found), 1), PART):
                part = tuple(_usage_row(row, digits) for row in found[start : start + PART])
                if part or not told:
                    yield Part(part, first)
                told, first = told + len(part), 0
                await asyncio.sleep(0)  # what is made of a million rows holds nobody up
            if len(found) < READ_AT_ONCE:
                break
            place = _place_of(found[-1])
        if told != row_count:
            raise _overtaken()

    async def sums(self, tenants: Collection[str] | None, picked: Picked, group: Group) -> Sums:
        """Sums of the rows of some tenants, None for all: days in order, all else the dearest first."""
        async with self._database.connect() as connection:
            from talktime_server.archive.questions import usage

            found, over_all = await usage.sums(connection, tenants, picked, group)
        shown = found[:MOST_LINES]
        names = await self._names(tenants, group, [row.key for row in shown])
        return Sums(
            tuple(_line(row, _key_text(group, row.key), names) for row in shown),
            tuple(_line(row, "", {}) for row in over_all),
            len(found) > MOST_LINES,
        )

    async def _extent(self, tenant_id: str, picked: Picked) -> tuple[int, int]:
        """How many rows an export has, and the last line that any of them can be of."""
        async with self._database.connect() as connection:
            from talktime_server.archive.questions import usage

            return await usage.extent(connection, tenant_id, picked)

    async def _oldest(
        self, tenant_id: str, picked: Picked, version: int, after: "Place | None"
    ) -> "Sequence[Row[Any]]":
        """The next rows of an export."""
        async with self._database.connect() as connection:
            from talktime_server.archive.questions import usage

            return await usage.oldest(
                connection, tenant_id, picked, version=version, after=after, count=READ_AT_ONCE
            )

    async def _names(
        self, tenants: Collection[str] | None, group: Group, keys: Sequence[str]
    ) -> dict[str, str]:
        """What payers and tenants are called now, by their ids; of other groups nothing is known here."""
        of_payers = group in (Group.PAYER, Group.ORGANIZER) and tenants
        if not (group is Group.TENANT or of_payers):
            return {}
        names: dict[str, str] = {}
        for start in range(0, len(keys), NAMES_AT_ONCE):
            some = keys[start : start + NAMES_AT_ONCE]
            async with self._database.connect() as connection:
                from talktime_server.archive.questions import usage

                found = await usage.profiles_of(connection, tenants or (), group, some)
            names |= {key: json.loads(body).get("display_name", "") for key, body in found.items()}
            await asyncio.sleep(0)
        return names


def _usage_row(row: "Row[Any]", digits: int) -> UsageRow:
    """A row as it is shown. It costs some microseconds: an export has a million of them."""
    values: list[Any] = list(row)
    if digits:
        values[_CALLER], values[_CALLEE] = masking.shown(
            row.caller_number, row.callee_number, row.call_type, digits
        )
    if row.call_type.startswith("UCAP"):
        values[_PAYER] = ""  # rows of bots name nobody (domain.md 7)
    return UsageRow(*values)


def _position(row: UsageRow) -> str:
    """A row's place in the order of rows; no part of it can have a space."""
    return " ".join(
        (str(row.ended_ms), row.call_id, str(row.started_ms), str(row.stopped_ms), row.usage_id)
    )


def _place_of(row: "Row[Any]") -> "Place":
    return row.ended_ms, row.call_id, row.started_ms, row.stopped_ms, row.usage_id


def _place(position: str) -> "Place":
    ended, call_id, started, stopped, usage_id = position.split(" ")
    return int(ended), call_id, int(started), int(stopped), usage_id


def _overtaken() -> Conflict:
    text = "calls were charged again while their rows were read; export again"
    return Conflict("EXPORT_OVERTAKEN", text)


def _key_text(group: Group, key: Any) -> str:
    return day_text(key) if group is Group.DAY else str(key)


def _line(row: "Row[Any]", key: str, names: dict[str, str]) -> Line:
    return Line(
        key,
        names.get(key, ""),
        row.calls,
        row.duration_seconds,
        row.pool_seconds,
        row.connection_fee_micros,
        row.charge_micros,
        row.postpaid_micros,
        row.currency,
    )
