"""Delivers what the notices' writers left: each delivery at least once, under an id that is always the same.

A deliverer claims what is due in SQL, for a time: should it die, somebody else has the delivery when
that time is over. Mails and webhooks have their own lanes, and a recipient has one delivery at a time,
so that nobody who is slow holds up anybody else. What was tried for three days in vain is a dead
letter, which stays to be read and to be delivered again.
"""

import asyncio
from dataclasses import dataclass

import structlog
from sqlalchemy import RowMapping, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive.clock import Clock, wall_clock_ms
from talktime_server.archive.database import Database
from talktime_server.failure import ArchiveAway
from talktime_server.notices import settings, sql
from talktime_server.notices.mail import AT_ONCE as MAILS_AT_ONCE
from talktime_server.notices.mail import DELIVERY_S, Envelope, Mailer
from talktime_server.notices.notice import Channel
from talktime_server.notices.outcome import MOST_FAILURE_CHARS, MOST_TRIES, Outcome, wait_ms
from talktime_server.notices.settings import Post
from talktime_server.notices.tables import deliveries, notices
from talktime_server.notices.told import Told, told_of
from talktime_server.notices.webhooks import Message, Poster, body_of
from talktime_server.words import DeliveryState, NoticeKind

PERIOD_S = 1.0
POSTS_AT_ONCE = 16
# Longer than a try may take with all around it, so that nobody else has a delivery while it is being made.
CLAIM_MS = int((DELIVERY_S + 30) * 1000)
# Mails that nobody could deliver in all that time, as where there was no mail server yet, would only puzzle: they become dead
# letters. Programs want to hear of everything, however late.
STALE_MS = 4 * 24 * 3600 * 1000
_LANES = {Channel.MAIL: MAILS_AT_ONCE, Channel.WEBHOOK: POSTS_AT_ONCE}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that is ours until a time; `tries` counts this one."""

    delivery_id: str
    notice_id: str
    tenant_id: str
    channel: Channel
    recipient: str
    display_name: str
    language: str
    tries: int
    due_ms: int
    until_ms: int

    @property
    def since_ms(self) -> int:
        """When it was claimed."""
        return self.until_ms - CLAIM_MS

    @property
    def whose(self) -> tuple[str, str]:
        """The recipient, who has one delivery at a time."""
        return self.tenant_id, self.recipient


class Outbox:
    """Delivers notices. Without a `mailer` mails wait; `clock` gives milliseconds of UTC."""

    def __init__(
        self,
        database: Database,
        *,
        mailer: Mailer | None,
        poster: Poster,
        clock: Clock = wall_clock_ms,
    ) -> None:
        self._database = database
        self._mailer = mailer
        self._poster = poster
        self._clock = clock

    async def run(self) -> None:
        """Delivers until cancelled; what it was at then is delivered again when its claim is over."""
        async with asyncio.TaskGroup() as lanes:
            for channel, at_once in _LANES.items():
                if channel is Channel.WEBHOOK or self._mailer:
                    lanes.create_task(self._lane(channel, at_once))

    async def step(self) -> int:
        """Delivers what is due now, once; returns how many tries that was."""
        claims: list[Claim] = []
        for channel, at_once in _LANES.items():
            if channel is Channel.WEBHOOK or self._mailer:
                claims += await self._claim(channel, at_once, frozenset())
        await asyncio.gather(*(self._deliver(claim) for claim in claims))
        return len(claims)

    async def _lane(self, channel: Channel, at_once: int) -> None:
        """Keeps up to so many deliveries of a channel going."""
        going: dict[asyncio.Task[None], Claim] = {}
        try:
            while True:
                busy = frozenset(claim.whose for claim in going.values())
                claims = await self._try_claim(channel, at_once - len(going), busy)
                going |= {asyncio.create_task(self._try_deliver(each)): each for each in claims}
                await _rest(going)
                for done in [task for task in going if task.done()]:
                    del going[done]
                    done.result()
        finally:
            for task in going:
                task.cancel()
            await asyncio.gather(*going, return_exceptions=True)

    async def _try_claim(
        self, channel: Channel, most: int, busy: frozenset[tuple[str, str]]
    ) -> list[Claim]:
        if most <= 0:
            return []
        try:
            return await self._claim(channel, most, busy)
        except ArchiveAway:
            return []

    async def _try_deliver(self, claim: Claim) -> None:
        try:
            await self._deliver(claim)
        except ArchiveAway:
            log.warning("delivery_unrecorded", delivery_id=claim.delivery_id)

    async def _claim(
        self, channel: Channel, most: int, busy: frozenset[tuple[str, str]]
    ) -> list[Claim]:
        async with self._database.begin() as connection:
            await sql.see_what_others_write(connection)
            return await claim_due(connection, channel, most, busy=busy, now_ms=self._clock())

    async def _deliver(self, claim: Claim) -> None:
        try:
            outcome = await self._try(claim)
        except ArchiveAway:
            raise
        except Exception:
            # A notice that trips over a mistake of ours must not keep the others from leaving.
            log.exception("notice_broken", delivery_id=claim.delivery_id)
            outcome = Outcome("the notice could not be written", final=True)
        async with self._database.begin() as connection:
            await sql.see_what_others_write(connection)
            await record(connection, claim, outcome, self._clock())
        log.info(
            "notice_delivered" if outcome.taken else "notice_not_delivered",
            delivery_id=claim.delivery_id,
            tenant_id=claim.tenant_id,
            channel=claim.channel.value,
            tries=claim.tries,
            failure=outcome.failure,
        )

    async def _try(self, claim: Claim) -> Outcome:
        async with self._database.connect() as connection:
            found = await _told(connection, claim.notice_id)
            hook = await _post(connection, claim, self._clock())
        if found is None:
            return Outcome("the notice is gone", final=True)
        if claim.channel is Channel.MAIL and claim.since_ms - claim.due_ms > STALE_MS:
            return Outcome("it waited too long for a mail server", final=True)
        if claim.channel is Channel.MAIL:
            return await self._mail(claim, *found)
        return await self._webhook(claim, *found, hook)

    async def _mail(self, claim: Claim, kind: NoticeKind, told: Told) -> Outcome:
        assert self._mailer is not None
        # Here and below, because many never have a notice to write.
        from talktime_server.notices.rendering import mail_of

        mail = mail_of(kind, told, claim.display_name, claim.language)
        envelope = Envelope(claim.delivery_id, claim.recipient, claim.display_name, mail)
        return await self._mailer.send(envelope)

    async def _webhook(
        self, claim: Claim, kind: NoticeKind, told: Told, hook: Post | None
    ) -> Outcome:
        if hook is None:
            return Outcome("the webhook is deleted", final=True)
        if hook.disabled:
            return Outcome("the webhook is disabled", final=True)
        from talktime_server.notices.rendering import summary_of

        body = body_of(kind, told, summary_of(kind, told))
        return await self._poster.post(Message(claim.delivery_id, body), hook, self._clock())


async def claim_due(
    connection: AsyncConnection,
    channel: Channel,
    most: int,
    *,
    busy: frozenset[tuple[str, str]],
    now_ms: int,
) -> list[Claim]:
    """Takes deliveries that are due and nobody's, the longest due first, one for each recipient that is
    not busy. Whoever else claims at the same moment gets others.
    """
    table = deliveries
    free = (
        (table.c.state == DeliveryState.PENDING.value)
        & (table.c.channel == channel.value)
        & (table.c.next_ms <= now_ms)
        & (table.c.claimed_until_ms <= now_ms)
    )
    place = func.row_number().over(
        partition_by=(table.c.tenant_id, table.c.recipient),
        order_by=(table.c.next_ms, table.c.delivery_id),
    )
    firsts = select(table.c.delivery_id, table.c.next_ms, place.label("place")).where(free)
    for tenant_id, recipient in sorted(busy):
        firsts = firsts.where((table.c.tenant_id != tenant_id) | (table.c.recipient != recipient))
    due = firsts.subquery()
    ids = select(due.c.delivery_id).where(due.c.place == 1).order_by(due.c.next_ms).limit(most)
    until_ms = now_ms + CLAIM_MS
    taken = (
        update(table)
        .where(table.c.delivery_id.in_(ids), free)
        .values(claimed_until_ms=until_ms, attempts=table.c.attempts + 1)
        .returning(table)
    )
    rows = (await connection.execute(taken)).mappings().all()
    return [_claim_of(row, until_ms) for row in rows]


async def record(connection: AsyncConnection, claim: Claim, outcome: Outcome, now_ms: int) -> None:
    """Writes down what became of a claim: it was taken, is tried again later, or is a dead letter."""
    table = deliveries
    one = table.c.delivery_id == claim.delivery_id
    if outcome.taken:
        taken = {"state": DeliveryState.DELIVERED.value, "failure": "", "claimed_until_ms": 0}
        await connection.execute(update(table).where(one).values(**taken))
        if claim.channel is Channel.WEBHOOK:
            await settings.reached(connection, claim.tenant_id, claim.recipient, now_ms)
        return
    dead = outcome.final or claim.tries >= MOST_TRIES
    values = {
        "state": (DeliveryState.DEAD if dead else DeliveryState.PENDING).value,
        "next_ms": now_ms + wait_ms(claim.tries),
        "failure": outcome.failure[:MOST_FAILURE_CHARS],
        "claimed_until_ms": 0,
    }
    # A claim that is over may be somebody else's by now, whose word it is then.
    mine = one & (table.c.claimed_until_ms == claim.until_ms)
    changed = await connection.execute(update(table).where(mine).values(**values))
    if changed.rowcount and claim.channel is Channel.WEBHOOK:
        await _turn_off(connection, claim, outcome)


async def _turn_off(connection: AsyncConnection, claim: Claim, outcome: Outcome) -> None:
    """Turns off a webhook that is gone, or that took nothing in all the time of ten tries."""
    if outcome.gone:
        await settings.disable(connection, claim.tenant_id, claim.recipient, claim.since_ms)
    elif not outcome.final and claim.tries >= MOST_TRIES:
        asked = select(notices.c.noticed_ms).where(notices.c.notice_id == claim.notice_id)
        since_ms = (await connection.execute(asked)).scalar_one()
        await settings.disable(connection, claim.tenant_id, claim.recipient, since_ms)


async def _told(connection: AsyncConnection, notice_id: str) -> tuple[NoticeKind, Told] | None:
    found = await connection.execute(select(notices).where(notices.c.notice_id == notice_id))
    row = found.mappings().one_or_none()
    return told_of(row) if row else None


async def _post(connection: AsyncConnection, claim: Claim, now_ms: int) -> Post | None:
    if claim.channel is Channel.MAIL:
        return None
    return await settings.post(connection, claim.tenant_id, claim.recipient, now_ms)


async def _rest(going: dict[asyncio.Task[None], Claim]) -> None:
    """Waits until a delivery is done, or it is time to look again."""
    if going:
        await asyncio.wait(going, timeout=PERIOD_S, return_when=asyncio.FIRST_COMPLETED)
    else:
        await asyncio.sleep(PERIOD_S)


def _claim_of(row: RowMapping, until_ms: int) -> Claim:
    return Claim(
        row["delivery_id"],
        row["notice_id"],
        row["tenant_id"],
        Channel(row["channel"]),
        row["recipient"],
        row["display_name"],
        row["language"],
        row["attempts"],
        row["next_ms"],
        until_ms,
    )
