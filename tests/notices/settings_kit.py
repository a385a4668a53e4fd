"""Settings as the tests need them, and what was stored of deliveries."""

from typing import Any

from sqlalchemy import select, update

from talktime_server.archive.database import Database
from talktime_server.notices import settings
from talktime_server.notices.tables import deliveries
from talktime_server.notices.targets import Admin, NoticeSettings, Webhook
from talktime_server.words import NoticeKind

TENANT = "contoso"
BILLING = ("Billing Administrator",)


def admin(name: str, roles: tuple[str, ...] = BILLING, language: str = "en") -> Admin:
    """Somebody with an address at example.com."""
    return Admin(
        f"{name}@example.com" if name.islower() else f"{name}@EXAMPLE.com", name, roles, language
    )


async def put(
    database: Database,
    *admins: Admin,
    levels: tuple[int, ...] = (),
    days: int = 30,
    tenant_id: str = TENANT,
) -> None:
    """Replaces the tenant's settings; levels in units of the currency."""
    asked = NoticeSettings(admins, tuple(level * 1_000_000 for level in levels), days)
    async with database.begin() as connection:
        await settings.put_settings(connection, tenant_id, "USD", asked)


async def put_hook(
    database: Database,
    webhook_id: str,
    url: str,
    *kinds: NoticeKind,
    now_ms: int = 0,
) -> str:
    """Makes or replaces a webhook; returns its secret when it was made."""
    async with database.begin() as connection:
        return await settings.put_webhook(
            connection, TENANT, "USD", Webhook(webhook_id, url, kinds), now_ms
        )


async def hook(database: Database, webhook_id: str) -> Webhook:
    """A webhook as it is stored."""
    async with database.connect() as connection:
        found = (await settings.read(connection, [TENANT]))[TENANT]
    (one,) = [each for each in found.webhooks if each.webhook_id == webhook_id]
    return one


async def delivery_rows(database: Database) -> list[dict[str, Any]]:
    """Every delivery as it is stored, by recipient."""
    async with database.connect() as connection:
        found = await connection.execute(select(deliveries).order_by(deliveries.c.recipient))
        return [dict(row) for row in found.mappings()]


async def set_deliveries(database: Database, **values: Any) -> None:
    """Changes every delivery: time that passed, a claim that somebody holds."""
    async with database.begin() as connection:
        await connection.execute(update(deliveries).values(**values))
