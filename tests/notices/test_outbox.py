"""Deliveries: on time, one at a time for each recipient, tried again for three days, and dead letters that come back."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from notices.certificates import Certificate
from notices.receivers import PASSWORD, USER, Receiver, receiving, taking_mails, until
from notices.settings_kit import (
    TENANT,
    admin,
    delivery_rows,
    hook,
    put,
    put_hook,
    set_deliveries,
)
from talktime_server.archive.database import Database
from talktime_server.failure import NotFound
from talktime_server.notices import notice, record, settings
from talktime_server.notices.mail import Mailer, MailServer
from talktime_server.notices.notice import Notice
from talktime_server.notices.outbox import CLAIM_MS, STALE_MS, Outbox
from talktime_server.notices.outcome import JITTER, MOST_TRIES, WAITS_S, wait_ms
from talktime_server.notices.webhooks import Poster
from talktime_server.words import NoticeKind

DAY_MS = 24 * 3600 * 1000


@dataclass(slots=True)
class Clock:
    """A clock that the test turns."""

    ms: int

    def __call__(self) -> int:
        return self.ms


@dataclass(slots=True)
class Office:
    """A deliverer of webhooks and a receiver."""

    database: Database
    receiver: Receiver
    clock: Clock
    outbox: Outbox

    async def tell(self, *causes: str, tenant_id: str = TENANT) -> None:
        """Writes a notice for each cause."""
        told = [
            Notice(tenant_id, NoticeKind.BALANCE_ZERO, cause, self.clock.ms, {"balance_micros": 0})
            for cause in causes
        ]
        async with self.database.begin() as connection:
            await notice.write(connection, told)

    async def row(self) -> tuple[str, int, str]:
        """State, attempts and failure of the only delivery."""
        (row,) = await delivery_rows(self.database)
        return row["state"], row["attempts"], row["failure"]

    def outbox_of_another(self) -> Outbox:
        """A second deliverer on the same database."""
        return Outbox(self.database, mailer=None, poster=self.outbox._poster, clock=self.clock)


async def offices(database: Database) -> AsyncIterator[Office]:
    clock, poster = Clock(time.time_ns() // 1_000_000), Poster(private=True, timeout_s=5)
    async with receiving() as receiver:
        outbox = Outbox(database, mailer=None, poster=poster, clock=clock)
        yield Office(database, receiver, clock, outbox)
    await poster.close()


@pytest_asyncio.fixture
async def office(file: Database) -> AsyncIterator[Office]:
    async for each in offices(file):
        yield each


@pytest_asyncio.fixture
async def either_office(database: Database) -> AsyncIterator[Office]:
    """On both kinds of database in turn."""
    async for each in offices(database):
        yield each


async def test_a_webhook_gets_what_it_asked_for(either_office: Office) -> None:
    office = either_office
    secret = await put_hook(office.database, "all", office.receiver.url())
    await put_hook(office.database, "pools", office.receiver.url("/pools"), NoticeKind.POOL_80)
    await office.tell("1")
    assert await office.outbox.step() == 1
    assert await office.outbox.step() == 0
    (taken,) = office.receiver.taken
    said = taken.verified(secret)
    assert (said["type"], said["data"]["balance_micros"]) == ("BALANCE_ZERO", 0)
    assert await office.row() == ("DELIVERED", 1, "")


async def test_two_deliverers_share_the_work(either_office: Office) -> None:
    office = either_office
    for number in range(10):
        await put_hook(office.database, f"h{number}", office.receiver.url(f"/{number}"))
    await office.tell("1", "2")
    others = [office.outbox, office.outbox_of_another(), office.outbox_of_another()]

    async def work(outbox: Outbox) -> None:
        while await outbox.step():
            pass

    await asyncio.gather(*map(work, others))
    ids = [taken.message_id for taken in office.receiver.taken]
    assert len(ids) == len(set(ids)) == 20
    assert {row["state"] for row in await delivery_rows(office.database)} == {"DELIVERED"}


async def test_a_claim_of_somebody_dead_is_taken_over_under_the_same_id(office: Office) -> None:
    await put_hook(office.database, "h", office.receiver.url())
    await office.tell("1")
    office.receiver.status = 500
    await office.outbox.step()
    await set_deliveries(
        office.database, claimed_until_ms=office.clock.ms + CLAIM_MS, next_ms=office.clock.ms
    )
    office.receiver.status = 204
    assert await office.outbox.step() == 0
    office.clock.ms += CLAIM_MS
    assert await office.outbox.step() == 1
    first, second = office.receiver.taken
    assert first.message_id == second.message_id
    assert await office.row() == ("DELIVERED", 2, "")


async def test_three_days_of_tries_and_then_a_dead_letter(office: Office) -> None:
    start_ms = office.clock.ms
    await put_hook(office.database, "h", office.receiver.url(), now_ms=start_ms)
    await office.tell("1")
    office.receiver.status = 500
    waits = []
    for tries in range(1, MOST_TRIES):
        assert await office.outbox.step() == 1
        assert await office.row() == ("PENDING", tries, "HTTP 500")
        (row,) = await delivery_rows(office.database)
        waits.append(row["next_ms"] - office.clock.ms)
        office.clock.ms = row["next_ms"] - 1
        assert await office.outbox.step() == 0
        office.clock.ms += 1
    assert await office.outbox.step() == 1
    assert await office.row() == ("DEAD", MOST_TRIES, "HTTP 500")
    spread = [wait / 1000 / wanted for wait, wanted in zip(waits, WAITS_S, strict=True)]
    assert all(1 - JITTER <= each <= 1 + JITTER for each in spread)
    assert 2.7 < (office.clock.ms - start_ms) / DAY_MS < 3.6
    assert (await hook(office.database, "h")).disabled
    assert len({taken.message_id for taken in office.receiver.taken}) == 1


def test_the_schedule_is_ten_tries_over_three_days() -> None:
    assert MOST_TRIES == 10
    assert 3 * 86_400 <= sum(WAITS_S) <= 3.5 * 86_400
    assert wait_ms(MOST_TRIES) == 0
    assert len({wait_ms(1) for _ in range(100)}) > 10


async def test_a_dead_letter_is_read_and_delivered_again(either_office: Office) -> None:
    office = either_office
    await put_hook(office.database, "h", office.receiver.url())
    await office.tell("1", "2")
    office.receiver.status = 410
    await office.outbox.step()
    async with office.database.connect() as connection:
        (dead,) = await record.page(connection, TENANT, "", 10, dead=True)
    assert [each.failure for each in dead.deliveries] == ["HTTP 410"]
    await put_hook(office.database, "h", office.receiver.url())
    office.receiver.status = 204
    async with office.database.begin() as connection:
        assert await record.replay(connection, TENANT, dead.notice_id, office.clock.ms) == 1
        assert await record.replay(connection, TENANT, "", office.clock.ms) == 0
    for _ in range(2):
        await office.outbox.step()
    async with office.database.connect() as connection:
        assert await record.page(connection, TENANT, "", 10, dead=True) == []
    ids = [taken.message_id for taken in office.receiver.taken]
    assert len(ids) == 3
    assert len(set(ids)) == 2


async def test_nobody_replays_another_tenants_letters(file: Database) -> None:
    async with file.begin() as connection:
        with pytest.raises(NotFound):
            await record.replay(connection, "fabrikam", "ab" * 16, 0)


async def test_gone_is_gone_until_it_is_put_again(office: Office) -> None:
    await put_hook(office.database, "h", office.receiver.url(), now_ms=office.clock.ms - 1)
    await office.tell("1")
    await office.tell("2")
    office.receiver.status = 410
    await office.outbox.step()
    assert (await hook(office.database, "h")).disabled
    await office.outbox.step()
    rows = await delivery_rows(office.database)
    failures = sorted(row["failure"] for row in rows)
    assert failures == ["HTTP 410", "the webhook is disabled"]
    assert len(office.receiver.taken) == 1
    await office.tell("3")
    assert len(await delivery_rows(office.database)) == 2
    await put_hook(office.database, "h", office.receiver.url(), now_ms=office.clock.ms)
    assert not (await hook(office.database, "h")).disabled


async def test_a_webhook_that_took_something_meanwhile_stays_on(office: Office) -> None:
    await put_hook(office.database, "h", office.receiver.url(), now_ms=office.clock.ms)
    await office.tell("1")
    await set_deliveries(office.database, attempts=MOST_TRIES - 1)
    async with office.database.begin() as connection:
        await settings.reached(connection, TENANT, "h", office.clock.ms + 1)
    office.receiver.status = 503
    await office.outbox.step()
    assert await office.row() == ("DEAD", MOST_TRIES, "HTTP 503")
    assert not (await hook(office.database, "h")).disabled


async def test_a_deleted_webhook_gets_nothing(office: Office) -> None:
    await put_hook(office.database, "h", office.receiver.url())
    await office.tell("1")
    async with office.database.begin() as connection:
        await settings.delete_webhook(connection, TENANT, "h")
    await office.outbox.step()
    assert await office.row() == ("DEAD", 1, "the webhook is deleted")
    assert office.receiver.taken == []


async def test_who_is_slow_holds_up_nobody_else(office: Office) -> None:
    office.receiver.slow_paths.add("/slow")
    await put_hook(office.database, "quick", office.receiver.url("/quick"))
    await put_hook(office.database, "slow", office.receiver.url("/slow"))
    await office.tell(*map(str, range(40)))
    running = asyncio.create_task(office.outbox.run())

    def paths(path: str) -> int:
        return sum(taken.path == path for taken in office.receiver.taken)

    try:
        await until(lambda: paths("/quick") == 40, within_s=30)
        assert paths("/slow") == 1
        office.receiver.slow_paths.clear()
        office.receiver.let_go.set()
        await until(lambda: paths("/slow") == 40, within_s=30)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert len({taken.message_id for taken in office.receiver.taken}) == 80


async def test_a_notice_that_cannot_be_written_is_given_up_alone(office: Office) -> None:
    await put_hook(office.database, "h", office.receiver.url())
    broken = Notice(TENANT, NoticeKind.POOL_80, "1", office.clock.ms, {"month": 202699})
    async with office.database.begin() as connection:
        await notice.write(connection, [broken])
    await office.tell("2")
    while await office.outbox.step():
        pass
    states = sorted(row["state"] for row in await delivery_rows(office.database))
    assert states == ["DEAD", "DELIVERED"]


async def test_logs_name_neither_addresses_nor_secrets(office: Office) -> None:
    await put(office.database, admin("ann"))
    secret = await put_hook(office.database, "h", office.receiver.url("/with-a-token"))
    mailer = Mailer(MailServer("localhost", 1, False, True, USER, PASSWORD), "a@example.com")
    outbox = Outbox(
        office.database, mailer=mailer, poster=office.outbox._poster, clock=office.clock
    )
    await office.tell("1")
    with capture_logs() as logged:
        assert await outbox.step() == 2
    mailer.close()
    assert sorted(line["event"] for line in logged) == ["notice_delivered", "notice_not_delivered"]
    for word in ("example.com", "with-a-token", "127.0.0.1", PASSWORD, secret):
        assert word not in str(logged)


async def test_mails_wait_while_there_is_no_mail_server(office: Office) -> None:
    await put(office.database, admin("ann"))
    await office.tell("1")
    assert await office.outbox.step() == 0
    assert await office.row() == ("PENDING", 0, "")


async def test_a_mail_that_waited_for_days_is_a_dead_letter_until_it_is_replayed(
    file: Database, certificate: Certificate
) -> None:
    await put(file, admin("ann"))
    clock, poster = Clock(time.time_ns() // 1_000_000), Poster()
    async with file.begin() as connection:
        await record.send_test(connection, TENANT, clock.ms)
    clock.ms += STALE_MS + 1
    async with taking_mails(certificate) as post:
        server = MailServer("localhost", post.port, False, True, USER, PASSWORD)
        mailer = Mailer(server, "phones@example.com", authority=str(certificate.path))
        outbox = Outbox(file, mailer=mailer, poster=poster, clock=clock)
        await outbox.step()
        (row,) = await delivery_rows(file)
        assert (row["state"], post.mails) == ("DEAD", [])
        async with file.begin() as connection:
            assert await record.replay(connection, TENANT, "", clock.ms) == 1
        await outbox.step()
        mailer.close()
    await poster.close()
    assert len(post.mails) == 1


async def test_mails_go_to_each_in_their_language(file: Database, certificate: Certificate) -> None:
    people = {"ann": "en", "hana": "ko", "yuki": "ja", "budi": "id", "fang": "zh"}
    await put(file, *(admin(name, language=language) for name, language in people.items()))
    clock, poster = Clock(time.time_ns() // 1_000_000), Poster()
    async with taking_mails(certificate) as post:
        server = MailServer("localhost", post.port, False, True, USER, PASSWORD)
        mailer = Mailer(server, "phones@example.com", authority=str(certificate.path))
        outbox = Outbox(file, mailer=mailer, poster=poster, clock=clock)
        async with file.begin() as connection:
            await record.send_test(connection, TENANT, clock.ms)
        for _ in range(3):
            await outbox.step()
        mailer.close()
    await poster.close()
    subjects = {mail["To"].addresses[0].username: mail["Subject"] for mail in post.mails}
    assert subjects == {
        "ann": "Test notice",
        "hana": "테스트 알림",
        "yuki": "テスト通知",
        "budi": "Pemberitahuan uji coba",
        "fang": "测试通知",
    }
    assert {row["state"] for row in await delivery_rows(file)} == {"DELIVERED"}
