"""The follower that sees balances and pools cross their levels, and writes what admins are told of it.

It reads the journal line by line, with the money and the minutes as they stood after each, inside the
transaction that adds the lines: a crossing is told with the lines it follows from, or not at all yet.
The rules are those of domain.md 5 and 6 and of semantics 48 and 65. A line that crosses several levels
at once tells of the last of them.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive.schema import balances, pool_rows, recharge_steps
from talktime_server.ledger.entries import Entry, PoolMovement
from talktime_server.notices import notice, settings, sql
from talktime_server.notices.latches import (
    ZERO,
    ZERO_LEVEL_MICROS,
    Fill,
    Latches,
    low_name,
    pool_name,
)
from talktime_server.notices.line_rules import charge_of, told_by
from talktime_server.notices.notice import Notice, Parameters
from talktime_server.notices.pool_sizes import PoolSizes
from talktime_server.notices.tables import latches
from talktime_server.words import EntryKind, NoticeKind

_PERCENTS = ((100, NoticeKind.POOL_100), (80, NoticeKind.POOL_80))
_Pool = tuple[str, int]  # its id, and the month


@dataclass(slots=True)
class _Standing:
    """Where a tenant stands between two lines: money in micros, pools in seconds used."""

    settled: int
    held: int
    used: dict[_Pool, int]
    latches: Latches
    levels: tuple[int, ...]
    charges: set[str]

    @property
    def available(self) -> int:
        return self.settled - self.held


class Crossings:
    """Writes the notices that follow from lines of the journal."""

    def __init__(self, sizes: PoolSizes) -> None:
        self._sizes = sizes

    async def follow(self, connection: AsyncConnection, lines: Sequence[Entry]) -> None:
        """Reads lines in the order of the journal, inside the transaction that adds them; safe to do
        again after that was rolled back.
        """
        of_tenant: defaultdict[str, list[Entry]] = defaultdict(list)
        for line in lines:
            of_tenant[line.tenant_id].append(line)
        standing = await _standing(connection, of_tenant)
        told: list[Notice] = []
        for tenant_id, mine in of_tenant.items():
            self._sizes.see(tenant_id, mine)
            for line in mine:
                told += _move(standing[tenant_id], line)
                told += await self._fill(connection, standing[tenant_id], line, mine)
        await _write_latches(connection, standing)
        await notice.write(connection, told)

    async def _fill(
        self, connection: AsyncConnection, standing: _Standing, line: Entry, mine: Sequence[Entry]
    ) -> list[Notice]:
        """What a line does to the minutes of pools."""
        told = []
        for moved in line.pools:
            if not moved.used_delta_seconds:
                continue
            pool = (moved.pool_id, moved.month)
            standing.used[pool] += moved.used_delta_seconds
            size = await self._sizes.size_seconds(connection, line.tenant_id, moved.pool_id, mine)
            told += _filled(standing, line, moved, Fill(standing.used[pool], size))
        return told


def _move(standing: _Standing, line: Entry) -> list[Notice]:
    """What a line does to the money, and what it tells by itself."""
    settled, available = standing.settled, standing.available
    standing.settled += line.settled_delta_micros
    standing.held += line.held_delta_micros
    told = told_by(line, standing.charges, standing.settled)
    if charge := charge_of(line):
        standing.charges.add(charge)
    if standing.latches.fell(ZERO, ZERO_LEVEL_MICROS, settled, standing.settled):
        used_up: Parameters = {"balance_micros": standing.settled}
        told.append(_notice(line, NoticeKind.BALANCE_ZERO, ZERO, used_up))
    crossed = [
        level
        for level in standing.levels
        if standing.latches.fell(low_name(level), level, available, standing.available)
    ]
    if crossed:
        lowest = min(crossed)
        low: Parameters = {"available_micros": standing.available, "level_micros": lowest}
        told.append(_notice(line, NoticeKind.BALANCE_LOW, low_name(lowest), low))
    return told


def _filled(standing: _Standing, line: Entry, moved: PoolMovement, fill: Fill) -> list[Notice]:
    names = {percent: pool_name(percent, moved.pool_id, moved.month) for percent, _ in _PERCENTS}
    # Every latch is asked, so that each is closed or opened, and the highest that is new is told.
    new = [p for p, _ in _PERCENTS if standing.latches.filled(names[p], p, fill)]
    parameters: Parameters = {
        "pool_id": moved.pool_id,
        "month": moved.month,
        "used_seconds": fill.used_seconds,
        "size_seconds": fill.size_seconds,
    }
    return [
        _notice(line, kind, names[percent], parameters)
        for percent, kind in _PERCENTS
        if percent == max(new, default=0)
    ]


def _notice(line: Entry, kind: NoticeKind, name: str, parameters: Parameters) -> Notice:
    version = str(line.version)
    cause = f"{version} {name}"
    return Notice(line.tenant_id, kind, cause, line.entered_ms, parameters, version)


async def _standing(
    connection: AsyncConnection, of_tenant: Mapping[str, Sequence[Entry]]
) -> dict[str, _Standing]:
    """Where tenants stand before the lines."""
    levels = await settings.levels(connection, list(of_tenant))
    money = await _money(connection, of_tenant)
    used = await _used(connection, of_tenant, money)
    charges = await _charges(connection, of_tenant)
    wanted = {
        tenant_id: [
            ZERO,
            *(low_name(level) for level in levels.get(tenant_id, ())),
            *(pool_name(percent, *pool) for pool in used[tenant_id] for percent, _ in _PERCENTS),
        ]
        for tenant_id in of_tenant
    }
    told = await _read_latches(connection, wanted)
    return {
        tenant_id: _Standing(
            money[tenant_id].settled,
            money[tenant_id].held,
            used[tenant_id],
            Latches(told[tenant_id]),
            levels.get(tenant_id, ()),
            charges[tenant_id],
        )
        for tenant_id in of_tenant
    }


@dataclass(frozen=True, slots=True)
class _Money:
    settled: int
    held: int
    version: int  # of the last line that the archive's rows have in them


async def _money(
    connection: AsyncConnection, of_tenant: Mapping[str, Sequence[Entry]]
) -> dict[str, _Money]:
    """The money before the lines. The archive's row may have them already, or some of them: its version
    says which, and they are taken off again.
    """
    table = balances
    asked = select(
        table.c.tenant_id, table.c.settled_micros, table.c.held_micros, table.c.version
    ).where(table.c.tenant_id.in_(list(of_tenant)))
    stored = {row[0]: _Money(*row[1:]) for row in (await connection.execute(asked))}
    found = {}
    for tenant_id, lines in of_tenant.items():
        row = stored.get(tenant_id, _Money(0, 0, 0))
        within = [line for line in lines if line.version <= row.version]
        found[tenant_id] = _Money(
            row.settled - sum(line.settled_delta_micros for line in within),
            row.held - sum(line.held_delta_micros for line in within),
            row.version,
        )
    return found


async def _used(
    connection: AsyncConnection,
    of_tenant: Mapping[str, Sequence[Entry]],
    money: Mapping[str, _Money],
) -> dict[str, dict[_Pool, int]]:
    """The seconds used, before the lines, of each pool that they use; as with the money."""
    used: dict[str, dict[_Pool, int]] = {tenant_id: {} for tenant_id in of_tenant}
    for tenant_id, lines in of_tenant.items():
        for line in lines:
            for moved in line.pools:
                within = line.version <= money[tenant_id].version
                pool = (moved.pool_id, moved.month)
                if moved.used_delta_seconds:
                    taken_off = moved.used_delta_seconds if within else 0
                    used[tenant_id][pool] = used[tenant_id].get(pool, 0) - taken_off
    touched = [tenant_id for tenant_id, pools in used.items() if pools]
    if not touched:
        return used
    table = pool_rows
    asked = select(table.c.tenant_id, table.c.pool_id, table.c.month, table.c.used_seconds).where(
        table.c.tenant_id.in_(touched),
        table.c.month.in_(sorted({month for pools in used.values() for _, month in pools})),
    )
    for tenant_id, pool_id, month, seconds in await connection.execute(asked):
        if (pool_id, month) in used[tenant_id]:
            used[tenant_id][pool_id, month] += seconds
    return used


async def _charges(
    connection: AsyncConnection, of_tenant: Mapping[str, Sequence[Entry]]
) -> dict[str, set[str]]:
    """Those of the fundings in the lines that a recharge charged for."""
    found: dict[str, set[str]] = {tenant_id: set() for tenant_id in of_tenant}
    funded = {
        line.reference
        for lines in of_tenant.values()
        for line in lines
        if line.kind is EntryKind.FUND
    }
    if funded:
        table = recharge_steps
        asked = select(table.c.tenant_id, table.c.charge_id).where(
            table.c.tenant_id.in_(list(of_tenant)), table.c.charge_id.in_(funded)
        )
        for tenant_id, charge_id in await connection.execute(asked):
            found[tenant_id].add(charge_id)
    return found


async def _read_latches(
    connection: AsyncConnection, wanted: Mapping[str, Collection[str]]
) -> dict[str, dict[str, int]]:
    told: dict[str, dict[str, int]] = {tenant_id: {} for tenant_id in wanted}
    names = {name for mine in wanted.values() for name in mine}
    asked = select(latches).where(latches.c.tenant_id.in_(list(wanted)), latches.c.name.in_(names))
    for tenant_id, name, value in await connection.execute(asked):
        told[tenant_id][name] = value
    return told


async def _write_latches(connection: AsyncConnection, standing: Mapping[str, _Standing]) -> None:
    for tenant_id, stands in standing.items():
        if opened := stands.latches.opened:
            gone = (latches.c.tenant_id == tenant_id) & latches.c.name.in_(opened)
            await connection.execute(delete(latches).where(gone))
        for name, value in stands.latches.closed.items():
            row = {"tenant_id": tenant_id, "name": name, "value": value}
            await sql.put(connection, latches, row)
