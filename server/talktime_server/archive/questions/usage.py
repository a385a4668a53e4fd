"""Usage: rows of calls by page, counted, and summed. Each is a short statement of its own."""

from collections.abc import Collection, Sequence
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
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive.days import DAY_MS
from talktime_server.archive.reports import MOST_LINES, NAMES, Group, Picked
from talktime_server.archive.schema import entries, profiles, usage_rows
from talktime_server.words import CallType

# Where a row is among its tenant's.
Place = tuple[int, str, int, int, str]
_ROWS = usage_rows.c
# Rows of a call follow each other in the order in which its stretches did.
_ORDER = (_ROWS.ended_ms, _ROWS.call_id, _ROWS.started_ms, _ROWS.stopped_ms, _ROWS.usage_id)
_COLUMNS: tuple[Column[Any], ...] = tuple(_ROWS[name] for name in NAMES)
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


async def newest(
    connection: AsyncConnection, tenant_id: str, picked: Picked, before: Place | None, count: int
) -> Sequence[Row[Any]]:
    """Up to `count` rows, the newest first, those before a place when one is given."""
    ask = _rows((tenant_id,), picked).order_by(*(each.desc() for each in _ORDER))
    if before:
        ask = ask.where(_ROWS.ended_ms <= before[0], tuple_(*_ORDER) < before)
    found: Sequence[Row[Any]] = (await connection.execute(ask.limit(count))).all()
    return found


async def extent(connection: AsyncConnection, tenant_id: str, picked: Picked) -> tuple[int, int]:
    """How many rows there are, and the last line that any of them can be of."""
    last = select(func.max(entries.c.version)).where(entries.c.tenant_id == tenant_id)
    counted = select(func.count()).select_from(usage_rows).where(_meant((tenant_id,), picked))
    row_count = (await connection.execute(counted)).scalar()
    version = (await connection.execute(last)).scalar()
    return row_count or 0, version or 0


async def oldest(
    connection: AsyncConnection,
    tenant_id: str,
    picked: Picked,
    *,
    version: int,
    after: Place | None,
    count: int,
) -> Sequence[Row[Any]]:
    """Up to `count` rows of lines up to a version, the oldest first, those after a place when one is given."""
    ask = _rows((tenant_id,), picked).where(_ROWS.version <= version).order_by(*_ORDER)
    if after:
        ask = ask.where(_ROWS.ended_ms >= after[0], tuple_(*_ORDER) > after)
    found: Sequence[Row[Any]] = (await connection.execute(ask.limit(count))).all()
    return found


async def sums(
    connection: AsyncConnection, tenants: Collection[str] | None, picked: Picked, group: Group
) -> tuple[Sequence[Row[Any]], Sequence[Row[Any]]]:
    """The lines of a report, one more than it may have at most, and its totals; of all tenants for None."""
    lines = (await connection.execute(_line_sums(tenants, picked, group))).all()
    return lines, (await connection.execute(_totals(tenants, picked, group))).all()


async def profiles_of(
    connection: AsyncConnection, tenants: Collection[str], group: Group, keys: Sequence[str]
) -> dict[str, str]:
    """The stored profiles of tenants, or of some tenants' payers, as JSON, by the keys of their lines."""
    by_tenant = group is Group.TENANT
    column = profiles.c.tenant_id if by_tenant else profiles.c.payer_id
    among = profiles.c.payer_id == "" if by_tenant else profiles.c.tenant_id.in_(tenants)
    asked = select(column, profiles.c.body).where(column.in_(keys), among)
    return {row[0]: row[1] for row in await connection.execute(asked)}


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
