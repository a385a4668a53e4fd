"""Lines of the journal as the archiver hands them to a follower, with the rows it keeps beside them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive.database import Database
from talktime_server.archive.schema import balances, pool_rows, profiles, recharge_steps
from talktime_server.decision.pools import pools_of
from talktime_server.ledger.entries import Entry, PoolMovement
from talktime_server.ledger.profiles import Payer, Tenant, to_json
from talktime_server.notices import record, sql
from talktime_server.notices.crossings import Crossings
from talktime_server.notices.pool_sizes import PoolSizes
from talktime_server.notices.recorded import Recorded
from talktime_server.words import EntryKind

UNIT = 1_000_000
AT_MS = 1_795_283_639_000
PLAN = "US/MCOPSTN1"
MONTH = 202611


@dataclass(slots=True)
class Books:
    """One tenant's journal, archived batch by batch as the archiver does: rows first, or followers first."""

    database: Database
    tenant_id: str = "contoso"
    rows_first: bool = True
    version: int = 0
    settled: int = 0
    held: int = 0
    used: dict[tuple[str, int], int] = field(default_factory=dict)
    followers: Crossings = field(default_factory=lambda: Crossings(PoolSizes(pools_of)))
    made: list[Entry] = field(default_factory=list)

    def line(
        self,
        kind: EntryKind,
        units: float = 0,
        held: float = 0,
        *,
        reference: str = "",
        minutes: int = 0,
        pool: str = PLAN,
        **details: Any,
    ) -> Entry:
        """The tenant's next line; money in units of the currency."""
        self.version += 1
        line = Entry(
            self.tenant_id,
            f"{self.version}-0",
            self.version,
            kind,
            reference,
            int(units * UNIT),
            int(held * UNIT),
            0,
            AT_MS + self.version,
            (PoolMovement(pool, MONTH, minutes * 60, 0),) if minutes else (),
            details=msgpack.packb(details) if details else b"",
        )
        self.made.append(line)
        return line

    def profile(self, record: Tenant | Payer, counts: str = "") -> Entry:
        """A line about a profile, as the scripts write it."""
        payer_id = record.payer_id if isinstance(record, Payer) else ""
        return self.line(
            EntryKind.PROFILE,
            reference=payer_id,
            version=1,
            body=to_json(record),
            counts=counts,
            epoch=1,
            block="",
        )

    async def archive(self, *lines: Entry) -> None:
        """Adds lines in one transaction."""
        async with self.database.begin() as connection:
            await self.follow(connection, lines)

    async def follow(self, connection: AsyncConnection, lines: Sequence[Entry]) -> None:
        """What happens within that transaction."""
        if self.rows_first:
            await self._keep(connection, lines)
        await self.followers.follow(connection, lines)
        if not self.rows_first:
            await self._keep(connection, lines)

    async def told(self) -> list[Recorded]:
        """Every notice, the oldest first."""
        async with self.database.connect() as connection:
            return (await record.page(connection, self.tenant_id, "", 500, dead=False))[::-1]

    async def words(self) -> list[str]:
        """What was told, by its kind."""
        return [str(notice.kind) for notice in await self.told()]

    async def _keep(self, connection: AsyncConnection, lines: Sequence[Entry]) -> None:
        for line in lines:
            self.settled += line.settled_delta_micros
            self.held += line.held_delta_micros
            for moved in line.pools:
                pool = (moved.pool_id, moved.month)
                self.used[pool] = self.used.get(pool, 0) + moved.used_delta_seconds
                await sql.put(connection, pool_rows, self._pool_row(pool, line))
            if line.kind is EntryKind.PROFILE:
                await sql.put(connection, profiles, _profile_row(line))
            if line.kind is EntryKind.RECHARGE:
                await sql.put(connection, recharge_steps, _step_row(line))
        await sql.put(connection, balances, self._balance_row(lines[-1]))

    def _pool_row(self, pool: tuple[str, int], line: Entry) -> dict[str, Any]:
        seconds = {"used_seconds": self.used[pool], "held_seconds": 0}
        key = {"tenant_id": self.tenant_id, "pool_id": pool[0], "month": pool[1]}
        return key | seconds | {"entered_ms": line.entered_ms}

    def _balance_row(self, line: Entry) -> dict[str, Any]:
        said = msgpack.unpackb(line.details) if line.details else {}
        row = {column.name: 0 for column in balances.columns} | {
            "tenant_id": self.tenant_id,
            "version": line.version,
            "hash": bytes(32),
            "settled_micros": self.settled,
            "held_micros": self.held,
        }
        return row | {"lots": said.get("lots", "")}


def _profile_row(line: Entry) -> dict[str, Any]:
    said = msgpack.unpackb(line.details)
    key = {"tenant_id": line.tenant_id, "payer_id": line.reference}
    kept = {name: said[name] for name in ("body", "counts", "epoch")}
    return key | kept | {"profile_version": said["version"]}


def _step_row(line: Entry) -> dict[str, Any]:
    said = msgpack.unpackb(line.details)
    return {
        "tenant_id": line.tenant_id,
        "version": line.version,
        "charge_id": line.reference,
        "state": said["state"],
        "details": line.details,
        "entered_ms": line.entered_ms,
    }


async def count_of(database: Database, table: Any) -> int:
    """How many rows a table has."""
    async with database.connect() as connection:
        found = await connection.execute(select(func.count()).select_from(table))
        return int(found.scalar_one())
