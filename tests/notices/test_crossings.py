"""Stories of money and minutes: movements in, notices out. Money is in units of the currency, pools in minutes."""

from dataclasses import dataclass

import pytest

from notices.journal import Books, count_of
from notices.settings_kit import admin, put
from talktime_server.archive.database import Database
from talktime_server.ledger.entries import Entry
from talktime_server.ledger.profiles import Payer, Tenant
from talktime_server.notices.tables import deliveries, latches, notices
from talktime_server.words import EntryKind


@dataclass(frozen=True, slots=True)
class Move:
    """A movement: its words, what it does to the settled and the held money, and what is told of it."""

    does: str
    settled: float
    held: float
    told: str = ""


# Low levels are 50 and 10. Each story is one tenant's.
STORIES = {
    "zero is told once, at zero, of the settled balance": [
        Move("fund", 100, 0),
        Move("hold", 0, 100, "BALANCE_LOW"),
        Move("settle", -99.5, -100),
        Move("hold", 0, 0.5),
        Move("settle", -0.5, -0.5, "BALANCE_ZERO"),
        Move("settle", -5, 0),
        Move("adjust", 5.9, 0),
        Move("settle", -0.9, 0),
    ],
    "zero tells again above a unit": [
        Move("fund", 1, 0),
        Move("settle", -1, 0, "BALANCE_ZERO"),
        Move("fund", 1, 0),
        Move("settle", -1, 0),
        Move("fund", 1.000002, 0),
        Move("settle", -1.000002, 0, "BALANCE_ZERO"),
    ],
    "a level is told when what is available falls below it": [
        Move("fund", 50, 0),
        Move("hold", 0, 0.000001, "BALANCE_LOW"),
        Move("release", 0, -0.000001),
        Move("hold", 0, 1),
    ],
    "at the level nothing is told": [Move("fund", 80, 0), Move("settle", -30, 0)],
    "flapping around a level tells once": [
        Move("fund", 60, 0),
        Move("hold", 0, 11, "BALANCE_LOW"),
        Move("release", 0, -11),
        Move("hold", 0, 11, "BALANCE_LOW"),
        Move("release", 0, -3.5),
        Move("hold", 0, 3.5),
    ],
    "above the level and five percent it tells again": [
        Move("fund", 52.500001, 0),
        Move("settle", -3, 0, "BALANCE_LOW"),
        Move("fund", 3, 0),
        Move("settle", -3, 0, "BALANCE_LOW"),
        Move("fund", 2.999999, 0),
        Move("settle", -2.999999, 0),
    ],
    "several levels at once are one notice, of the lowest": [
        Move("fund", 100, 0),
        Move("settle", -95, 0, "BALANCE_LOW"),
        Move("settle", -1, 0),
    ],
    "credits that are lost count like those that are spent": [
        Move("fund", 9, 0),
        Move("lapse", -9, 0, "BALANCE_ZERO"),
    ],
    "nothing is told of a beginning": [Move("fund", 5, 0), Move("hold", 0, 2)],
}
KINDS = {
    "fund": EntryKind.FUND,
    "hold": EntryKind.HOLD,
    "settle": EntryKind.SETTLE,
    "release": EntryKind.RELEASE,
    "adjust": EntryKind.ADJUST,
    "lapse": EntryKind.LAPSE,
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("rows_first", [True, False], ids=["rows first", "followers first"])
async def test_stories_line_by_line(file: Database, story: str, rows_first: bool) -> None:
    books = Books(file, rows_first=rows_first)
    await put(file, levels=(50, 10))
    expected: list[str] = []
    for move in STORIES[story]:
        await books.archive(books.line(KINDS[move.does], move.settled, move.held))
        expected += move.told.split()
        assert await books.words() == expected, move


async def test_all_stories_at_once(database: Database) -> None:
    """However lines are cut into batches, and whoever else is in them, the notices are the same."""
    followers = Books(database).followers
    tenants = {story: Books(database, f"tenant{n}") for n, story in enumerate(STORIES)}
    lines = []
    for story, books in tenants.items():
        await put(database, levels=(50, 10), tenant_id=books.tenant_id)
        lines += [books.line(KINDS[m.does], m.settled, m.held) for m in STORIES[story]]
    async with database.begin() as connection:
        await followers.follow(connection, lines)
    for story, books in tenants.items():
        assert await books.words() == [word for m in STORIES[story] for word in m.told.split()]


async def test_what_is_rolled_back_comes_again_once(database: Database) -> None:
    books = Books(database)
    await put(database, admin("ann"), levels=(50,))
    lines = [books.line(EntryKind.FUND, 60), books.line(EntryKind.SETTLE, -60)]

    async def broken() -> None:
        async with database.begin() as connection:
            await books.followers.follow(connection, lines)
            raise RuntimeError

    for _ in range(3):
        with pytest.raises(RuntimeError):
            await broken()
    assert await count_of(database, notices) + await count_of(database, latches) == 0
    await books.archive(*lines)
    assert sorted(await books.words()) == ["BALANCE_LOW", "BALANCE_ZERO"]
    assert await count_of(database, deliveries) == 2


async def test_lines_that_were_told_tell_nothing_when_they_come_again(database: Database) -> None:
    books = Books(database)
    await put(database, admin("ann"), levels=(50,))
    lines = [books.line(EntryKind.FUND, 60), books.line(EntryKind.SETTLE, -60)]
    await books.archive(*lines)
    async with database.begin() as connection:
        await books.followers.follow(connection, lines)
    assert await count_of(database, notices) == await count_of(database, deliveries) == 2


async def test_each_tenant_has_latches_of_its_own(file: Database) -> None:
    mine, others = Books(file), Books(file, tenant_id="fabrikam")
    for books in (mine, others):
        await books.archive(books.line(EntryKind.FUND, 5), books.line(EntryKind.SETTLE, -5))
    assert await mine.words() == await others.words() == ["BALANCE_ZERO"]


async def test_a_level_that_comes_back_tells_again(file: Database) -> None:
    books = Books(file)
    await put(file, levels=(50,))
    await books.archive(books.line(EntryKind.FUND, 51), books.line(EntryKind.SETTLE, -2))
    await put(file, levels=(10,))
    await books.archive(books.line(EntryKind.FUND, 2))
    await put(file, levels=(50,))
    await books.archive(books.line(EntryKind.SETTLE, -2))
    assert await books.words() == ["BALANCE_LOW", "BALANCE_LOW"]


TENANT = Tenant("contoso", "USD", "US", display_name="Contoso")


def staff(books: Books, count: int, first: int = 0) -> list[Entry]:
    return [
        books.profile(Payer(f"user{n}", "US", licenses=("MCOPSTN1",)), "MCOPSTN1:US")
        for n in range(first, first + count)
    ]


async def prepared(database: Database, licences: int) -> Books:
    """A tenant with so many licences of a plan of 3,000 minutes in the United States."""
    books = Books(database)
    await put(database, admin("ann"))
    lines = [books.profile(TENANT), *staff(books, licences)]
    await books.archive(*lines)
    return books


def use(books: Books, minutes: int) -> Entry:
    return books.line(EntryKind.SETTLE, minutes=minutes)


async def test_a_pool_tells_at_80_and_at_100_percent(database: Database) -> None:
    books = await prepared(database, licences=1)
    for minutes, told in ((2399, 0), (1, 1), (599, 1), (1, 2), (50, 2)):
        await books.archive(use(books, minutes))
        assert len(await books.words()) == told
    assert await books.words() == ["POOL_80", "POOL_100"]
    summary = (await books.told())[1].summary
    assert summary == "The pool US/MCOPSTN1 is used up: 3,000 of 3,000 minutes."


async def test_a_pool_that_jumps_is_one_notice(file: Database) -> None:
    books = await prepared(file, licences=1)
    await books.archive(use(books, 3000))
    assert await books.words() == ["POOL_100"]


async def test_more_licences_arm_a_pool_again(file: Database) -> None:
    books = await prepared(file, licences=1)
    await books.archive(use(books, 2400))
    await books.archive(*staff(books, 1, first=1))
    await books.archive(use(books, 1))
    assert await books.words() == ["POOL_80"]
    await books.archive(use(books, 2399))
    assert await books.words() == ["POOL_80", "POOL_80"]


async def test_a_pool_nobody_knows_the_size_of_tells_nothing(file: Database) -> None:
    books = Books(file)
    await books.archive(books.line(EntryKind.SETTLE, minutes=10**6))
    assert await books.words() == []


async def test_a_batch_of_many_tenants_costs_few_statements(file: Database) -> None:
    """What nothing is told of must not slow the archiver: statements do not grow with the tenants."""
    followers = Books(file).followers
    lines = [
        Books(file, tenant_id=f"tenant{n}").line(EntryKind.SETTLE, -1, minutes=1)
        for n in range(300)
    ]
    async with file.begin() as connection:
        await followers.follow(connection, lines)
    assert await count_of(file, notices) == 0
