"""A notice: something that admins are told, written once with a delivery for each recipient.

Its id follows from what it is about and a delivery's from its recipient, so that whoever sees the
same crossing again writes nothing new.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive.schema import profiles
from talktime_server.ledger.profiles import tenant_of
from talktime_server.notices import settings, sql
from talktime_server.notices.roles import hears
from talktime_server.notices.tables import deliveries, notices
from talktime_server.notices.targets import NOBODY, Admin, Targets
from talktime_server.words import DeliveryState, NoticeKind

Parameters = Mapping[str, str | int | bool]
_ID_CHARS = 32


class Channel(StrEnum):
    """How a notice reaches somebody."""

    MAIL = "mail"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell. `cause` tells it apart from the tenant's others of its kind: the line or the
    charge that it follows from. Parameters end in their unit: _micros, _seconds, _ms.
    """

    tenant_id: str
    kind: NoticeKind
    cause: str
    noticed_ms: int
    parameters: Parameters
    version: str = ""

    @property
    def notice_id(self) -> str:
        """The same whoever sees the crossing, and however often."""
        return _id(self.tenant_id, self.kind, self.cause)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who is told: a mail's address with a name and a language, or a webhook's id."""

    channel: Channel
    address: str
    display_name: str = ""
    language: str = ""

    @property
    def identity(self) -> str:
        """What tells it apart; a mail's address is the same however its letters are written."""
        return self.address.lower() if self.channel is Channel.MAIL else self.address


async def write(connection: AsyncConnection, told: Sequence[Notice]) -> None:
    """Writes notices that are not there yet, each with its deliveries, inside the caller's transaction."""
    if not told:
        return
    tenant_ids = sorted({notice.tenant_id for notice in told})
    targets = await settings.read(connection, tenant_ids)
    named = await _tenants(connection, tenant_ids)
    rows = []
    for notice in told:
        name, currency = named.get(notice.tenant_id, ("", ""))
        currency = currency or targets.get(notice.tenant_id, NOBODY).currency
        common = {"tenant_name": name, "currency": currency}
        rows.append(_notice_row(notice, common | dict(notice.parameters)))
    await sql.add_missing(connection, notices, rows)
    due = [
        _delivery_row(notice, recipient)
        for notice in told
        for recipient in recipients(targets.get(notice.tenant_id, NOBODY), notice.kind)
    ]
    await sql.add_missing(connection, deliveries, due)


def recipients(targets: Targets, kind: NoticeKind) -> list[Recipient]:
    """Who is told of a kind of notice: holders of its roles once each, and webhooks (domain.md 6)."""
    mails = [
        Recipient(Channel.MAIL, admin.email, admin.display_name, admin.language)
        for admin in _once(targets.settings.admins)
        if hears(admin.roles, kind)
    ]
    posts = [
        Recipient(Channel.WEBHOOK, webhook.webhook_id)
        for webhook in targets.webhooks
        if webhook.hears(kind)
    ]
    return [*mails, *posts]


def _once(admins: Sequence[Admin]) -> Iterator[Admin]:
    seen: set[str] = set()
    for admin in admins:
        if admin.email.lower() not in seen:
            seen.add(admin.email.lower())
            yield admin


async def _tenants(
    connection: AsyncConnection, tenant_ids: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """The name and the currency of each tenant that the archive knows."""
    asked = select(profiles.c.tenant_id, profiles.c.body).where(
        profiles.c.tenant_id.in_(tenant_ids), profiles.c.payer_id == ""
    )
    found = {}
    for tenant_id, body in await connection.execute(asked):
        tenant = tenant_of(body, 0)
        found[tenant_id] = (tenant.display_name, tenant.currency)
    return found


def _notice_row(notice: Notice, parameters: Parameters) -> sql.Row:
    return {
        "notice_id": notice.notice_id,
        "tenant_id": notice.tenant_id,
        "kind": notice.kind.value,
        "version": notice.version,
        "parameters": json.dumps(dict(parameters), ensure_ascii=False, sort_keys=True),
        "noticed_ms": notice.noticed_ms,
    }


def _delivery_row(notice: Notice, recipient: Recipient) -> sql.Row:
    return {
        "delivery_id": _id(notice.notice_id, recipient.channel, recipient.identity),
        "notice_id": notice.notice_id,
        "tenant_id": notice.tenant_id,
        "channel": recipient.channel.value,
        "recipient": recipient.address,
        "display_name": recipient.display_name,
        "language": recipient.language,
        "state": DeliveryState.PENDING.value,
        "attempts": 0,
        "next_ms": notice.noticed_ms,
        "failure": "",
        "claimed_until_ms": 0,
    }


def _id(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:_ID_CHARS]
