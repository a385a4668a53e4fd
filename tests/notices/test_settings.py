"""Settings and webhooks as they are kept: replaced whole, counted one at a time, and secrets that overlap for a day."""

import asyncio
import base64

import pytest

from notices.settings_kit import BILLING, TENANT, admin, hook, put, put_hook
from talktime_server.archive.database import Database
from talktime_server.failure import NotFound, TooMuch
from talktime_server.notices import settings
from talktime_server.notices.settings import MOST_SECRETS, MOST_WEBHOOKS, OLD_SECRET_MS
from talktime_server.notices.targets import Admin
from talktime_server.words import NoticeKind

URL = "https://hooks.example.com/"


async def secrets_at(database: Database, now_ms: int) -> tuple[str, ...]:
    """What signs at a time, the newest first."""
    async with database.connect() as connection:
        found = await settings.post(connection, TENANT, "h", now_ms)
    assert found is not None
    return found.secrets


async def rotate(database: Database, now_ms: int) -> str:
    async with database.begin() as connection:
        return await settings.rotate_secret(connection, TENANT, "h", now_ms)


async def test_settings_are_replaced_whole(database: Database) -> None:
    await put(database, admin("ann"), Admin("bo@example.com", "Bo", BILLING, "ko"), levels=(50,))
    await put_hook(database, "h", URL, NoticeKind.TEST)
    await put(database, admin("cy"), days=7)
    async with database.connect() as connection:
        found = await settings.read(connection, [TENANT, "fabrikam"])
    assert list(found) == [TENANT]
    targets = found[TENANT]
    assert [each.email for each in targets.settings.admins] == ["cy@example.com"]
    assert targets.settings.low_balance_micros == ()
    assert targets.settings.expiry_notice_days == 7
    assert (targets.currency, targets.webhooks[0].kinds) == ("USD", (NoticeKind.TEST,))


async def test_a_secret_is_shown_once_and_stays(database: Database) -> None:
    secret = await put_hook(database, "h", URL)
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert await put_hook(database, "h", URL + "new", NoticeKind.POOL_80) == ""
    assert (await hook(database, "h")).url == URL + "new"
    assert await secrets_at(database, 0) == (secret,)


async def test_an_old_secret_signs_for_a_day(database: Database) -> None:
    first = await put_hook(database, "h", URL)
    second = await rotate(database, 1000)
    assert await secrets_at(database, 1000 + OLD_SECRET_MS - 1) == (second, first)
    assert await secrets_at(database, 1000 + OLD_SECRET_MS) == (second,)


async def test_a_rotation_whose_answer_was_lost_may_be_asked_for_again(file: Database) -> None:
    """Whichever of the secrets the receiver has, what is signed verifies there."""
    first = await put_hook(file, "h", URL)
    lost = await rotate(file, 1000)
    known = await rotate(file, 2000)
    assert await secrets_at(file, 3000) == (known, lost, first)
    assert await secrets_at(file, 1000 + OLD_SECRET_MS) == (known, lost)
    for _ in range(5):
        known = await rotate(file, 3000)
    assert len(await secrets_at(file, 3000)) == MOST_SECRETS
    assert (await secrets_at(file, 3000))[0] == known


async def test_rotations_at_once_are_all_kept(database: Database) -> None:
    await put_hook(database, "h", URL)
    made = await asyncio.gather(*(rotate(database, 1000) for _ in range(3)))
    assert set(made) <= set(await secrets_at(database, 2000))


async def test_ten_webhooks_and_no_more(database: Database) -> None:
    async def make(number: int) -> bool:
        try:
            return bool(await put_hook(database, f"h{number}", URL))
        except TooMuch:
            return False

    made = await asyncio.gather(*(make(number) for number in range(MOST_WEBHOOKS + 4)))
    assert sum(made) == MOST_WEBHOOKS
    there = made.index(True)
    assert await put_hook(database, f"h{there}", URL + "again") == ""


async def test_what_is_deleted_is_gone(database: Database) -> None:
    await put_hook(database, "h", URL)
    for _ in range(2):
        async with database.begin() as connection:
            await settings.delete_webhook(connection, TENANT, "h")
    with pytest.raises(NotFound):
        await rotate(database, 0)
