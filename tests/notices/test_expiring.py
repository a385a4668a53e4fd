"""Credits that are lost soon are told once for each lot, however often and by however many it is looked at."""

import asyncio

import pytest

from notices.journal import UNIT, Books, count_of
from notices.settings_kit import admin, put
from talktime_server.archive.database import Database
from talktime_server.archive.days import DAY_MS
from talktime_server.notices.expiring import Lot, lots_of, tell_expiring
from talktime_server.notices.tables import deliveries, latches
from talktime_server.words import EntryKind

NOW_MS = 1_795_283_639_000


def lot(name: str, units: int, days: float) -> str:
    return f"{name}|{units * UNIT}|{NOW_MS + int(days * DAY_MS)}|{units * UNIT}|{NOW_MS}"


async def funded(database: Database, units: int, *lots: str, days: int = 30) -> Books:
    """A tenant with a balance and lots, and somebody who hears of them."""
    books = Books(database)
    await put(database, admin("ann"), days=days)
    await books.archive(books.line(EntryKind.FUND, units, lots="0 0;" + ";".join(lots)))
    return books


async def summaries(books: Books) -> list[str]:
    return [notice.summary for notice in await books.told()]


async def test_a_lot_is_told_when_its_day_comes_near(database: Database) -> None:
    books = await funded(database, 150, lot("f1", 100, 31), lot("f2", 50, 60))
    assert await tell_expiring(database, NOW_MS) == 0
    assert await tell_expiring(database, NOW_MS + 2 * DAY_MS) == 1
    assert await tell_expiring(database, NOW_MS + 3 * DAY_MS) == 0
    assert await summaries(books) == ["$100.00 of credits expire on December 22, 2026."]
    assert await tell_expiring(database, NOW_MS + 31 * DAY_MS) == 1
    assert (await summaries(books))[1] == "$50.00 of credits expire on January 20, 2027."


async def test_two_who_look_at_once_tell_once(database: Database) -> None:
    books = await funded(database, 100, lot("f1", 60, 5), lot("f2", 40, 6))
    await asyncio.gather(*(tell_expiring(database, NOW_MS) for _ in range(4)))
    assert await summaries(books) == ["$100.00 of credits expire on November 26, 2026."]
    assert await count_of(database, deliveries) == 1


async def test_what_is_lost_already_is_not_told(file: Database) -> None:
    books = await funded(file, 100, lot("f1", 100, -1))
    assert await tell_expiring(file, NOW_MS) == 0
    assert await summaries(books) == []


async def test_lots_that_are_gone_leave_no_latch(file: Database) -> None:
    books = await funded(file, 100, lot("f1", 100, 5))
    await tell_expiring(file, NOW_MS)
    await books.archive(books.line(EntryKind.SETTLE, -100))
    await books.archive(books.line(EntryKind.FUND, 70, lots="0 0;" + lot("f2", 70, 6)))
    await tell_expiring(file, NOW_MS)
    names = {notice.summary for notice in await books.told()}
    assert "$70.00 of credits expire on November 27, 2026." in names
    assert (
        await count_of(file, latches) == 1
    )  # of the second lot alone: the new money armed zero again


@pytest.mark.parametrize("days", [1, 7, 365])
async def test_the_days_are_the_tenants(file: Database, days: int) -> None:
    await funded(file, 100, lot("f1", 100, days + 0.5), days=days)
    assert await tell_expiring(file, NOW_MS) == 0
    assert await tell_expiring(file, NOW_MS + DAY_MS) == 1


LOTS = [
    ("all is left", 150, [("f1", 100), ("f2", 50)]),
    ("the oldest was spent from", 120, [("f1", 70), ("f2", 50)]),
    ("the oldest is used up", 50, [("f2", 50)]),
    ("the last one too", 20, [("f2", 20)]),
    ("nothing is left", 0, []),
    ("less than nothing", -5, []),
    ("money that no lot is known of", 500, [("f1", 100), ("f2", 50)]),
]


@pytest.mark.parametrize(("settled", "left"), [row[1:] for row in LOTS], ids=[r[0] for r in LOTS])
def test_what_is_left_of_lots(settled: int, left: list[tuple[str, int]]) -> None:
    """Spending takes the oldest first (domain.md 5)."""
    text = f"0 0;{lot('f1', 100, 10)};{lot('f2', 50, 20)}"
    found = lots_of(text, settled * UNIT)
    assert [(each.lot_id, each.left_micros // UNIT) for each in found] == left
    assert all(isinstance(each, Lot) for each in found)


def test_a_text_without_lots_gives_none() -> None:
    assert lots_of("0 0;", 5) == lots_of("", 5) == []
