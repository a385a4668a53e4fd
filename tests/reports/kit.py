"""What the reports' tests share: the catalogue of rows, the way from a store's journal into the archive, and made-up rows."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgpack
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.world import World
from talktime_server.archive.database import Database
from talktime_server.archive.schema import entries, profiles, usage_rows
from talktime_server.archive.stretches import Catalogue, Licence
from talktime_server.archive.usage import UsageFollower
from talktime_server.decision import catalog
from talktime_server.decision.geography import domestic_for_minutes
from talktime_server.ledger import keys
from talktime_server.ledger.entries import Entry, entry_of, tenant_of, text_of
from talktime_server.words import EntryKind, NumberClass

UNIT = 1_000_000


def catalogue() -> Catalogue:
    """The built-in facts as the rows take them."""
    plan = catalog.number_plan()
    return Catalogue(
        tuple(
            Licence(each.sku, each.kind.value, each.usage_capability)
            for each in catalog.licenses().values()
        ),
        catalog.countries(),
        domestic_for_minutes,
        lambda number: plan.classify(number).number_class is NumberClass.TOLL_FREE,
    )


async def lines_of(world: World) -> list[Entry]:
    """The tenant's journal, as it stands in the store."""
    tenant_id = world.tenant.tenant_id
    stream = keys.journal(keys.shard_of(tenant_id))
    rows = await world.store.command("XRANGE", stream, "-", "+")
    return [
        entry_of(place.decode(), fields) for place, fields in rows if tenant_of(fields) == tenant_id
    ]


class Archive:
    """Adds lines and what the follower makes of them, one transaction for each batch, as the archiver does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._follower = UsageFollower(catalogue())

    async def keep(self, lines: Sequence[Entry]) -> None:
        async with self._database.begin() as connection:
            await self.keep_on(connection, lines)

    async def keep_on(self, connection: AsyncConnection, lines: Sequence[Entry]) -> None:
        if lines:
            await connection.execute(insert(entries), [_entry(line) for line in lines])
        for line in lines:
            if line.kind is EntryKind.PROFILE:
                await _keep_profile(connection, line)
        await self._follower.follow(connection, lines)

    async def follow_again(self, lines: Sequence[Entry]) -> None:
        async with self._database.begin() as connection:
            await self._follower.follow(connection, lines)


async def rows(database: Database, **wanted: Any) -> list[dict[str, Any]]:
    """The usage rows as they are kept, the oldest call first, and each call's in order."""
    ask = select(usage_rows).filter_by(**wanted)
    order = (usage_rows.c.ended_ms, usage_rows.c.call_id, usage_rows.c.started_ms)
    async with database.connect() as connection:
        found = await connection.execute(ask.order_by(*order, usage_rows.c.stopped_ms))
        return [dict(row._mapping) for row in found]


async def put_rows(database: Database, made: Iterable[dict[str, Any]], batch: int = 5_000) -> None:
    """Adds made-up rows."""
    waiting: list[dict[str, Any]] = []
    async with database.begin() as connection:
        for row in made:
            waiting.append(row)
            if len(waiting) == batch:
                await connection.execute(insert(usage_rows), waiting)
                waiting = []
        if waiting:
            await connection.execute(insert(usage_rows), waiting)


def usage(number: int, ended_ms: int, **changes: Any) -> dict[str, Any]:
    """A made-up row: a minute to London that credits paid. Names that look like formulas are names."""
    row = {
        "tenant_id": "acme",
        "usage_id": str(UUID(int=number)),
        "version": 1,
        "call_id": f"call-{number}",
        "conference_id": "",
        "payer_id": "ann",
        "user_location": "US",
        "user_principal_name": "ann@example.com",
        "user_display_name": "=Ann+1",
        "caller_number": "+12025550100",
        "callee_number": "+442071838750",
        "call_type": "USER_OUT",
        "number_type": "Subscriber",
        "domestic": "International",
        "country": "GB",
        "destination": "United Kingdom",
        "started_ms": ended_ms - 60_000,
        "stopped_ms": ended_ms,
        "ended_ms": ended_ms,
        "duration_seconds": 60,
        "connection_fee_micros": 5_000,
        "charge_micros": 20_000,
        "currency": "USD",
        "capability": "MCOPSTNPP",
        "postpaid": False,
        "pool_id": "",
        "pool_seconds": 0,
    }
    return row | changes


async def put_line(database: Database, version: int, tenant_id: str = "acme") -> None:
    """Says that the archive has a tenant's lines up to this one."""
    made = Entry(tenant_id, "", version, EntryKind.RECORD, "", 0, 0, 0, 0)
    async with database.begin() as connection:
        await connection.execute(insert(entries), [_entry(made)])


def _entry(line: Entry) -> dict[str, Any]:
    return {
        "tenant_id": line.tenant_id,
        "version": line.version,
        "kind": line.kind.value,
        "reference_id": line.reference,
        "payer_id": "",
        "settled_delta_micros": line.settled_delta_micros,
        "held_delta_micros": line.held_delta_micros,
        "postpaid_delta_micros": line.postpaid_delta_micros,
        "postpaid_held_delta_micros": line.postpaid_held_delta_micros,
        "seconds": line.seconds,
        "entered_ms": line.entered_ms,
        "pools": text_of(line.pools),
        "call": line.call or None,
        "details": line.details or None,
        "hash": bytes(32),
    }


async def _keep_profile(connection: AsyncConnection, line: Entry) -> None:
    details = msgpack.unpackb(line.details)
    where = profiles.c.tenant_id == line.tenant_id, profiles.c.payer_id == line.reference
    await connection.execute(delete(profiles).where(*where))
    row = {
        "tenant_id": line.tenant_id,
        "payer_id": line.reference,
        "profile_version": details["version"],
        "body": details["body"],
        "counts": details["counts"],
        "epoch": details["epoch"],
    }
    await connection.execute(insert(profiles), [row])
