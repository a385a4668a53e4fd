"""Whom a tenant's notices go to, and when they are due: settings and webhooks, read and written.

Every function works inside the caller's transaction. Settings are written whole. A webhook's secret
leaves here once, when it is made or changed.
"""

import base64
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import RowMapping, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.failure import NotFound, TooMuch
from talktime_server.notices import sql
from talktime_server.notices.latches import low_name
from talktime_server.notices.tables import latches, notice_settings, webhooks
from talktime_server.notices.targets import (
    DEFAULT_EXPIRY_NOTICE_DAYS,
    Admin,
    NoticeSettings,
    Targets,
    Webhook,
)
from talktime_server.words import NoticeKind

MOST_WEBHOOKS = 10
SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"
OLD_SECRET_MS = 24 * 3600 * 1000
# A reply that was lost is asked for again, and admins may hurry: what signs now and what signed just before must go on signing.
MOST_SECRETS = 4


async def read(connection: AsyncConnection, tenant_ids: Collection[str]) -> dict[str, Targets]:
    """What the notices of some tenants go by; a tenant that never set anything is not in it."""
    table = notice_settings
    found = await connection.execute(select(table).where(table.c.tenant_id.in_(tenant_ids)))
    rows = {row["tenant_id"]: row for row in found.mappings()}
    posts: dict[str, list[Webhook]] = {tenant_id: [] for tenant_id in rows}
    asked = select(webhooks).where(webhooks.c.tenant_id.in_(list(rows)))
    for row in (await connection.execute(asked.order_by(webhooks.c.webhook_id))).mappings():
        posts[row["tenant_id"]].append(_webhook(row))
    return {
        tenant_id: Targets(row["currency_code"], _settings(row), tuple(posts[tenant_id]))
        for tenant_id, row in rows.items()
    }


async def levels(
    connection: AsyncConnection, tenant_ids: Collection[str]
) -> dict[str, tuple[int, ...]]:
    """The levels, in micros, at which tenants are told of a low balance."""
    table = notice_settings
    asked = select(table.c.tenant_id, table.c.low_balance_micros)
    found = await connection.execute(asked.where(table.c.tenant_id.in_(tenant_ids)))
    return {tenant_id: tuple(json.loads(text)) for tenant_id, text in found}


async def put_settings(
    connection: AsyncConnection, tenant_id: str, currency: str, settings: NoticeSettings
) -> None:
    """Replaces a tenant's settings. What was told at a level that is not among them is forgotten, so
    that the level tells again if it comes back.
    """
    await sql.see_what_others_write(connection)
    row = {
        "tenant_id": tenant_id,
        "currency_code": currency,
        "admins": json.dumps([asdict(admin) for admin in settings.admins]),
        "low_balance_micros": json.dumps(settings.low_balance_micros),
        "expiry_notice_days": settings.expiry_notice_days,
    }
    await sql.put(connection, notice_settings, row)
    kept = [low_name(level) for level in settings.low_balance_micros]
    named = latches.c.name.startswith(low_name(""), autoescape=True)
    gone = (latches.c.tenant_id == tenant_id) & named & latches.c.name.not_in(kept)
    await connection.execute(delete(latches).where(gone))


async def put_webhook(
    connection: AsyncConnection, tenant_id: str, currency: str, webhook: Webhook, now_ms: int
) -> str:
    """Makes a webhook, and returns its secret; or replaces it, enabled again and with the secret it
    has, and returns "". Raises TooMuch for one too many.
    """
    await _lock(connection, tenant_id, currency)
    values = {
        "url": webhook.url,
        "kinds": " ".join(webhook.kinds),
        "reached_ms": now_ms,
        "disabled": False,
    }
    changed = await connection.execute(
        update(webhooks).where(_one(tenant_id, webhook.webhook_id)).values(**values)
    )
    if changed.rowcount:
        return ""
    asked = select(func.count()).where(webhooks.c.tenant_id == tenant_id)
    if int((await connection.execute(asked)).scalar_one()) >= MOST_WEBHOOKS:
        raise TooMuch("WEBHOOK_LIMIT", f"a tenant has at most {MOST_WEBHOOKS} webhooks")
    secret = new_secret()
    key = {"tenant_id": tenant_id, "webhook_id": webhook.webhook_id}
    row = key | values | {"secrets": json.dumps([[secret, 0]])}
    await connection.execute(webhooks.insert(), row)
    return secret


async def rotate_secret(
    connection: AsyncConnection, tenant_id: str, webhook_id: str, now_ms: int
) -> str:
    """Gives a webhook a new secret and returns it; those before sign beside it for a day from when each
    was replaced. Raises NotFound.
    """
    await sql.see_what_others_write(connection)
    asked = select(webhooks.c.secrets).where(_one(tenant_id, webhook_id)).with_for_update()
    stored = (await connection.execute(asked)).scalar_one_or_none()
    if stored is None:
        raise unknown_webhook()
    secret, until_ms = new_secret(), now_ms + OLD_SECRET_MS
    alive = [[old, end or until_ms] for old, end in json.loads(stored) if end == 0 or end > now_ms]
    kept = [*alive[1 - MOST_SECRETS :], [secret, 0]]
    change = update(webhooks).where(_one(tenant_id, webhook_id))
    await connection.execute(change.values(secrets=json.dumps(kept)))
    return secret


async def delete_webhook(connection: AsyncConnection, tenant_id: str, webhook_id: str) -> None:
    """Removes a webhook; one that is not there is gone already."""
    await sql.see_what_others_write(connection)
    await connection.execute(delete(webhooks).where(_one(tenant_id, webhook_id)))


@dataclass(frozen=True, slots=True)
class Post:
    """A webhook as who posts to it needs it; `secrets` sign now, the newest first."""

    url: str
    disabled: bool
    secrets: tuple[str, ...]


async def post(
    connection: AsyncConnection, tenant_id: str, webhook_id: str, now_ms: int
) -> Post | None:
    """A webhook with its secrets; None when there is none by that id."""
    found = await connection.execute(select(webhooks).where(_one(tenant_id, webhook_id)))
    row = found.mappings().one_or_none()
    if row is None:
        return None
    stored = reversed(json.loads(row["secrets"]))
    signing = tuple(secret for secret, end in stored if end == 0 or end > now_ms)
    return Post(row["url"], row["disabled"], signing)


async def reached(
    connection: AsyncConnection, tenant_id: str, webhook_id: str, now_ms: int
) -> None:
    """Notes that a webhook took a notice."""
    change = update(webhooks).where(_one(tenant_id, webhook_id))
    await connection.execute(change.values(reached_ms=now_ms))


async def disable(
    connection: AsyncConnection, tenant_id: str, webhook_id: str, unreached_since_ms: int
) -> None:
    """Turns a webhook off, unless it took a notice, or was put again, later than that."""
    silent = webhooks.c.reached_ms <= unreached_since_ms
    change = update(webhooks).where(_one(tenant_id, webhook_id), silent)
    await connection.execute(change.values(disabled=True))


def new_secret() -> str:
    """A secret as the specification writes it: "whsec_" and 32 random bytes in base 64."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def unknown_webhook() -> NotFound:
    """Another tenant's and nobody's look the same."""
    return NotFound("UNKNOWN_WEBHOOK", "there is no such webhook")


async def _lock(connection: AsyncConnection, tenant_id: str, currency: str) -> None:
    """Holds the tenant's row, made where there is none, so that webhooks are counted by one at a time."""
    await sql.see_what_others_write(connection)
    row = {
        "tenant_id": tenant_id,
        "currency_code": currency,
        "admins": "[]",
        "low_balance_micros": "[]",
        "expiry_notice_days": DEFAULT_EXPIRY_NOTICE_DAYS,
    }
    await sql.add_missing(connection, notice_settings, [row])
    table = notice_settings
    asked = select(table.c.tenant_id).where(table.c.tenant_id == tenant_id)
    await connection.execute(asked.with_for_update())


def _one(tenant_id: str, webhook_id: str) -> Any:
    return (webhooks.c.tenant_id == tenant_id) & (webhooks.c.webhook_id == webhook_id)


def _settings(row: RowMapping) -> NoticeSettings:
    return NoticeSettings(
        tuple(_admin(each) for each in json.loads(row["admins"])),
        tuple(json.loads(row["low_balance_micros"])),
        row["expiry_notice_days"],
    )


def _admin(stored: Mapping[str, Any]) -> Admin:
    names = ("email", "display_name", "language")
    return Admin(**{name: stored[name] for name in names}, roles=tuple(stored["roles"]))


def _webhook(row: RowMapping) -> Webhook:
    kinds = tuple(NoticeKind(word) for word in row["kinds"].split())
    return Webhook(row["webhook_id"], row["url"], kinds, row["disabled"])
