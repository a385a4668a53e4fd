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
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Row,
    Select,
    and_,
    case,
    cast,
    distinct,
    func,
    select,
    tuple_,
)

from talktime_server.archive import masking
from talktime_server.archive.database import Database
from talktime_server.archive.days import DAY_MS, day_text
from talktime_server.archive.schema import entries, profiles, usage_rows
from talktime_server.failure import Conflict
from talktime_server.words import CallType

READ_AT_ONCE = 1_000  # rows of an export
PART = 250  # rows told at a time: some milliseconds of work
MOST_LINES = 5_000
NAMES_AT_ONCE = 500
_ROWS = usage_rows.c
# Rows of a call follow each other in the order in which its stretches did.
_ORDER = (_ROWS.ended_ms, _ROWS.call_id, _ROWS.started_ms, _ROWS.stopped_ms, _ROWS.usage_id)


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


_KEYS: dict[Group, ColumnElement[Any]] = {
    # Not a division, which each database rounds in its own way.
    Group.DAY: _ROWS.ended_ms - _ROWS.ended_ms % DAY_MS,
    Group.PAYER: _ROWS.payer_id,
    Group.DESTINATION: _ROWS.destination,
    Group.COUNTRY: _ROWS.country,
    Group.CAPABILITY: _ROWS.capability,
    Group.CALL_TYPE: _ROWS.call_type,
    Group.ORGANIZER: _ROWS.payer_id,
    Group.TENANT: _ROWS.tenant_id,
}


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


_NAMES = [field.name for field in fields(UsageRow)]
_COLUMNS: tuple[Column[Any], ...] = tuple(_ROWS[name] for name in _NAMES)
_CALLER, _CALLEE, _PAYER = map(_NAMES.index, ("caller_number", "callee_number", "payer_id"))


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
        ask = _rows((tenant_id,), picked).order_by(*(each.desc() for each in _ORDER))
        if after:
            place = _place(after)
            ask = ask.where(_ROWS.ended_ms <= place[0], tuple_(*_ORDER) < place)
        digits = masking.masked_digits(country)
        found = [_usage_row(row, digits) for row in await self._read(ask.limit(count))]
        return found, _position(found[-1]) if len(found) == count else ""

    async def export(
        self, tenant_id: str, country: str, picked: Picked
    ) -> AsyncGenerator[Part, None]:
        """All rows, the oldest first, in parts; at least one part. Raises Conflict at the end when
        calls were charged again meanwhile, so that rows are missing.
        """
        row_count, version = await self._extent(tenant_id, picked)
        whole = _rows((tenant_id,), picked).where(_ROWS.version <= version).order_by(*_ORDER)
        ask, told, first = whole.limit(READ_AT_ONCE), 0, row_count
        digits = masking.masked_digits(country)
        while True:
            found = await self._read(ask)
            for start in range(0, max(len(found), 1), PART):
                part = tuple(_usage_row(row, digits) for row in found[start : start + PART])
                if part or not told:
                    yield Part(part, first)
                told, first = told + len(part), 0
                await asyncio.sleep(0)  # what is made of a million rows holds nobody up
            if len(found) < READ_AT_ONCE:
                break
            place = tuple(found[-1]._mapping[column] for column in _ORDER)
            ask = whole.where(_ROWS.ended_ms >= place[0], tuple_(*_ORDER) > place)
            ask = ask.limit(READ_AT_ONCE)
        if told != row_count:
            raise _overtaken()

    async def sums(self, tenants: Collection[str] | None, picked: Picked, group: Group) -> Sums:
        """Sums of the rows of some tenants, None for all: days in order, all else the dearest first."""
        lines, totals = _line_sums(tenants, picked, group), _totals(tenants, picked, group)
        async with self._database.connect() as connection:
            found = list((await connection.execute(lines)).all())
            over_all = list((await connection.execute(totals)).all())
        shown = found[:MOST_LINES]
        names = await self._names(tenants, group, [row.key for row in shown])
        return Sums(
            tuple(_line(row, _key_text(group, row.key), names) for row in shown),
            tuple(_line(row, "", {}) for row in over_all),
            len(found) > MOST_LINES,
        )

    async def _read(self, ask: Select[Any]) -> Sequence[Row[Any]]:
        async with self._database.connect() as connection:
            found: Sequence[Row[Any]] = (await connection.execute(ask)).all()
        return found

    async def _extent(self, tenant_id: str, picked: Picked) -> tuple[int, int]:
        """How many rows an export has, and the last line that any of them can be of."""
        last = select(func.max(entries.c.version)).where(entries.c.tenant_id == tenant_id)
        counted = select(func.count()).select_from(usage_rows)
        async with self._database.connect() as connection:
            row_count = (
                await connection.execute(counted.where(_meant((tenant_id,), picked)))
            ).scalar()
            version = (await connection.execute(last)).scalar()
        return row_count or 0, version or 0

    async def _names(
        self, tenants: Collection[str] | None, group: Group, keys: Sequence[str]
    ) -> dict[str, str]:
        """What payers and tenants are called now, by their ids; of other groups nothing is known here."""
        by_tenant = group is Group.TENANT
        if not by_tenant and (group not in (Group.PAYER, Group.ORGANIZER) or not tenants):
            return {}
        column = profiles.c.tenant_id if by_tenant else profiles.c.payer_id
        among = profiles.c.payer_id == "" if by_tenant else profiles.c.tenant_id.in_(tenants or ())
        names: dict[str, str] = {}
        for start in range(0, len(keys), NAMES_AT_ONCE):
            some = keys[start : start + NAMES_AT_ONCE]
            ask = select(column, profiles.c.body).where(column.in_(some), among)
            async with self._database.connect() as connection:
                found = (await connection.execute(ask)).all()
            names |= {key: json.loads(body).get("display_name", "") for key, body in found}
            await asyncio.sleep(0)
        return names


def _rows(tenants: Collection[str], picked: Picked) -> Select[Any]:
    return select(*_COLUMNS).where(_meant(tenants, picked))


def _meant(tenants: Collection[str] | None, picked: Picked) -> ColumnElement[bool]:
    """Whether a row is one of those picked."""
    rules = [_ROWS.ended_ms >= picked.start_ms, _ROWS.ended_ms < picked.end_ms]
    if tenants is not None:
        rules.append(_ROWS.tenant_id.in_(tenants))
    chosen = {
        _ROWS.payer_id: picked.payer_id,
        _ROWS.call_type: picked.call_type,
        _ROWS.country: picked.country,
        _ROWS.capability: picked.capability,
    }
    return and_(*rules, *(column == value for column, value in chosen.items() if value))


def _usage_row(row: Row[Any], digits: int) -> UsageRow:
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


def _place(position: str) -> tuple[int, str, int, int, str]:
    ended, call_id, started, stopped, usage_id = position.split(" ")
    return int(ended), call_id, int(started), int(stopped), usage_id


def _overtaken() -> Conflict:
    text = "calls were charged again while their rows were read; export again"
    return Conflict("EXPORT_OVERTAKEN", text)


def _micros() -> ColumnElement[int]:
    return _ROWS.connection_fee_micros + _ROWS.charge_micros


def _sum_columns() -> list[ColumnElement[Any]]:
    def whole(name: str, amount: ColumnElement[Any]) -> ColumnElement[int]:
        # PostgreSQL adds whole numbers up to a number of another kind.
        return cast(func.sum(amount), BigInteger).label(name)

    return [
        whole("duration_seconds", _ROWS.duration_seconds),
        whole("pool_seconds", _ROWS.pool_seconds),
        whole("connection_fee_micros", _ROWS.connection_fee_micros),
        whole("charge_micros", _ROWS.charge_micros),
        whole("postpaid_micros", case((_ROWS.postpaid, _micros()), else_=0)),
    ]


def _meant_by(tenants: Collection[str] | None, picked: Picked, group: Group) -> ColumnElement[bool]:
    meant = _meant(tenants, picked)
    if group is Group.ORGANIZER:
        return and_(meant, _ROWS.call_type == CallType.CONF_OUT.value)
    return meant


def _line_sums(tenants: Collection[str] | None, picked: Picked, group: Group) -> Select[Any]:
    key = _KEYS[group]
    calls = func.count(distinct(_ROWS.call_id)).label("calls")
    ask = select(key.label("key"), _ROWS.currency, calls, *_sum_columns())
    dearest = func.sum(_micros()).desc()
    order = (key,) if group is Group.DAY else (dearest, key)
    return (
        ask.where(_meant_by(tenants, picked, group))
        .group_by(key, _ROWS.currency)
        .order_by(*order, _ROWS.currency)
        .limit(MOST_LINES + 1)
    )


def _totals(tenants: Collection[str] | None, picked: Picked, group: Group) -> Select[Any]:
    """By currency; an id of a call is one call's within its tenant, so each is counted by itself."""
    calls = func.count(distinct(_ROWS.call_id)).label("calls")
    each = (
        select(_ROWS.currency, calls, *_sum_columns())
        .where(_meant_by(tenants, picked, group))
        .group_by(_ROWS.tenant_id, _ROWS.currency)
        .subquery()
    )
    sums = [
        cast(func.sum(column), BigInteger).label(column.name)
        for column in each.c
        if column.name != "currency"
    ]
    return select(each.c.currency, *sums).group_by(each.c.currency).order_by(each.c.currency)


def _key_text(group: Group, key: Any) -> str:
    return day_text(key) if group is Group.DAY else str(key)


def _line(row: Row[Any], key: str, names: dict[str, str]) -> Line:
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
