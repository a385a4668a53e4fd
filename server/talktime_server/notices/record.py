"""The record of a tenant's notices: what was told, what became of it, and dead letters that are delivered again."""

from collections.abc import Sequence

from sqlalchemy import RowMapping, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.failure import NotFound
from talktime_server.notices import notice, sql
from talktime_server.notices.notice import Channel, Notice
from talktime_server.notices.recorded import Delivered, Recorded
from talktime_server.notices.tables import deliveries, notices
from talktime_server.notices.told import told_of
from talktime_server.words import DeliveryState, NoticeKind

MINUTE_MS = 60_000


async def page(
    connection: AsyncConnection, tenant_id: str, after: str, count: int, *, dead: bool
) -> list[Recorded]:
    """A tenant's notices, the newest first, or those after a position; `dead`: only those with a delivery
    that was given up.
    """
    asked = select(notices).where(notices.c.tenant_id == tenant_id)
    if dead:
        given_up = deliveries.c.state == DeliveryState.DEAD.value
        asked = asked.where(exists().where(deliveries.c.notice_id == notices.c.notice_id, given_up))
    if after:
        ms, notice_id = after.split(" ")
        older = notices.c.noticed_ms < int(ms)
        same = (notices.c.noticed_ms == int(ms)) & (notices.c.notice_id < notice_id)
        asked = asked.where(older | same)
    newest_first = asked.order_by(notices.c.noticed_ms.desc(), notices.c.notice_id.desc())
    rows = (await connection.execute(newest_first.limit(count))).mappings().all()
    return await _with_deliveries(connection, rows)


async def replay(connection: AsyncConnection, tenant_id: str, notice_id: str, now_ms: int) -> int:
    """Makes dead letters due again, one notice's or with "" all of a tenant; returns how many. Raises
    NotFound for a notice that the tenant does not have.
    """
    await sql.see_what_others_write(connection)
    mine = deliveries.c.tenant_id == tenant_id
    if notice_id:
        await _must_be(connection, tenant_id, notice_id)
        mine &= deliveries.c.notice_id == notice_id
    again = (
        update(deliveries)
        .where(mine, deliveries.c.state == DeliveryState.DEAD.value)
        .values(
            state=DeliveryState.PENDING.value,
            attempts=0,
            next_ms=now_ms,
            failure="",
            claimed_until_ms=0,
        )
    )
    return int((await connection.execute(again)).rowcount)


async def send_test(connection: AsyncConnection, tenant_id: str, now_ms: int) -> Recorded:
    """Tells everybody whom a tenant's settings name that somebody tests them: once in a minute, however
    often it is asked for.
    """
    await sql.see_what_others_write(connection)
    cause = str(now_ms // MINUTE_MS)
    told = Notice(tenant_id, NoticeKind.TEST, cause, now_ms, {})
    await notice.write(connection, [told])
    asked = select(notices).where(notices.c.notice_id == told.notice_id)
    rows = (await connection.execute(asked)).mappings().all()
    (recorded,) = await _with_deliveries(connection, rows)
    return recorded


async def _must_be(connection: AsyncConnection, tenant_id: str, notice_id: str) -> None:
    asked = select(notices.c.notice_id).where(
        notices.c.notice_id == notice_id, notices.c.tenant_id == tenant_id
    )
    if (await connection.execute(asked)).first() is None:
        raise NotFound("UNKNOWN_NOTICE", "there is no such notice")


async def _with_deliveries(
    connection: AsyncConnection, rows: Sequence[RowMapping]
) -> list[Recorded]:
    found: dict[str, list[Delivered]] = {row["notice_id"]: [] for row in rows}
    asked = select(deliveries).where(deliveries.c.notice_id.in_(list(found)))
    ordered = asked.order_by(deliveries.c.channel, deliveries.c.recipient)
    for row in (await connection.execute(ordered)).mappings():
        found[row["notice_id"]].append(_delivered(row))
    return [_recorded(row, found[row["notice_id"]]) for row in rows]


def _recorded(row: RowMapping, each: Sequence[Delivered]) -> Recorded:
    # Here and not above: serving processes seldom show notices, and start without a template engine.
    from talktime_server.notices.rendering import summary_of

    kind, told = told_of(row)
    return Recorded(told.notice_id, kind, summary_of(kind, told), told.noticed_ms, tuple(each))


def _delivered(row: RowMapping) -> Delivered:
    state = DeliveryState(row["state"])
    return Delivered(
        row["recipient"],
        row["channel"] == Channel.MAIL.value,
        state,
        row["attempts"],
        row["failure"],
        row["next_ms"] if state is DeliveryState.PENDING else 0,
    )
