"""Calls by page, exports and sums, from SQLite and PostgreSQL alike."""

from collections import Counter
from typing import Any

import pytest

from reports.kit import put_line, put_rows, usage
from talktime_server.archive.database import Database
from talktime_server.archive.days import DAY_MS
from talktime_server.archive.reports import (
    PART,
    Group,
    Part,
    Picked,
    Sums,
    UsageReports,
    UsageRow,
)
from talktime_server.archive.schema import profiles, usage_rows
from talktime_server.failure import Conflict

FIRST_MS = 20_000 * DAY_MS
EVER = Picked(0, 2**53)


def many(count: int) -> list[dict[str, Any]]:
    """Rows of calls of several days, payers and kinds; every fifth call has two."""
    made: list[dict[str, Any]] = []
    for number in range(count):
        ended_ms = FIRST_MS + number // 7 * 11_111_111
        row = usage(
            2 * number, ended_ms, payer_id=f"p{number % 3}", call_id=f"c{number % 1000:03d}"
        )
        if number % 5 == 0:
            pool = {"capability": "MCOPSTN1", "pool_id": "US/MCOPSTN1", "pool_seconds": 60}
            earlier = {"started_ms": ended_ms - 120_000, "stopped_ms": ended_ms - 60_000}
            free = {"charge_micros": 0, "connection_fee_micros": 0}
            made.append(
                {**row, **pool, **earlier, **free, "usage_id": usage(2 * number + 1, 0)["usage_id"]}
            )
        made.append(row)
    return made


async def pages(
    reports: UsageReports, picked: Picked, count: int, country: str = "US"
) -> list[UsageRow]:
    found, after = [], ""
    while True:
        page, after = await reports.page("acme", country, picked, after=after, count=count)
        found += page
        assert len(page) <= count
        if not after:
            return found


async def export(reports: UsageReports, picked: Picked = EVER) -> list[Part]:
    return [part async for part in reports.export("acme", "US", picked)]


@pytest.mark.parametrize("count", [1, 7, 500])
async def test_pages_tell_every_row_once_the_newest_first(either: Database, count: int) -> None:
    made = many(60)
    await put_rows(either, [*made, usage(9_999, FIRST_MS, tenant_id="other")])
    found = await pages(UsageReports(either), EVER, count)
    assert Counter(row.usage_id for row in found) == Counter(row["usage_id"] for row in made)
    ended = [row.ended_ms for row in found]
    assert ended == sorted(ended, reverse=True)


async def test_an_export_tells_every_row_once_the_oldest_first(either: Database) -> None:
    made = many(1_200)
    await put_rows(either, made)
    await put_line(either, 1)
    parts = await export(UsageReports(either))
    assert [part.row_count for part in parts] == [len(made), *[0] * (len(parts) - 1)]
    assert all(0 < len(part.rows) <= PART for part in parts)
    found = [row for part in parts for row in part.rows]
    assert Counter(row.usage_id for row in found) == Counter(row["usage_id"] for row in made)
    places = [(row.ended_ms, row.call_id, row.started_ms) for row in found]
    assert places == sorted(places), "the rows of a call follow each other"


async def test_an_export_of_nothing_says_so(either: Database) -> None:
    assert await export(UsageReports(either)) == [Part((), 0)]


async def test_an_export_is_what_there_was_when_it_began(either: Database) -> None:
    await put_rows(either, many(1_200))
    await put_line(either, 1)
    reports, told = UsageReports(either), 0
    async for part in reports.export("acme", "US", EVER):
        if part.row_count:
            late = usage(7_777, FIRST_MS + 10**9, version=2)
            await put_rows(either, [late])
            expected = part.row_count
        told += len(part.rows)
    assert told == expected == 1_440


async def test_an_export_that_lost_rows_says_so(either: Database) -> None:
    """A call that is charged again meanwhile is neither told as it was nor as it is: then the export is not whole."""
    await put_rows(either, many(1_200))
    await put_line(either, 1)
    answers = UsageReports(either).export("acme", "US", EVER)
    await anext(answers)
    async with either.begin() as connection:
        await connection.execute(usage_rows.delete().where(usage_rows.c.call_id == "c199"))
    with pytest.raises(Conflict) as raised:
        async for _ in answers:
            pass
    assert raised.value.reason == "EXPORT_OVERTAKEN"


FILTERS = [
    ({"payer_id": "p1"}, lambda row: row["payer_id"] == "p1"),
    ({"capability": "MCOPSTN1"}, lambda row: row["capability"] == "MCOPSTN1"),
    ({"call_type": "CONF_OUT"}, lambda row: False),
    ({"country": "GB", "payer_id": "p2"}, lambda row: row["payer_id"] == "p2"),
]


@pytest.mark.parametrize(("chosen", "keeps"), FILTERS, ids=[str(each[0]) for each in FILTERS])
async def test_filters_pick_the_same_rows_everywhere(
    either: Database, chosen: dict[str, str], keeps: Any
) -> None:
    made = many(60)
    await put_rows(either, made)
    await put_line(either, 1)
    end_ms = FIRST_MS + 5 * 11_111_111
    picked = Picked(FIRST_MS + 1, end_ms, **chosen)
    wanted = {row["usage_id"] for row in made if keeps(row) and FIRST_MS < row["ended_ms"] < end_ms}
    reports = UsageReports(either)
    assert {row.usage_id for row in await pages(reports, picked, 500)} == wanted
    assert {row.usage_id for part in await export(reports, picked) for row in part.rows} == wanted
    sums = await reports.sums(["acme"], picked, Group.PAYER)
    assert sum(line.duration_seconds for line in sums.totals) == 60 * len(wanted)


async def test_numbers_are_masked_when_they_are_read(either: Database) -> None:
    await put_rows(
        either,
        [
            usage(1, FIRST_MS),
            usage(2, FIRST_MS + 1, call_type="USER_IN"),
            usage(3, FIRST_MS + 2, call_type="UCAP_OUT", user_display_name=""),
        ],
    )
    found = await pages(UsageReports(either), EVER, 100, country="FR")
    numbers = [(row.caller_number, row.callee_number) for row in found]
    assert numbers == [
        ("+12025550100", "+44207183****"),
        ("+1202555****", "+442071838750"),
        ("+12025550100", "+44207183****"),
    ]
    assert [row.payer_id for row in found] == ["", "ann", "ann"], "rows of bots name nobody"
    assert found[1].user_display_name == "=Ann+1"


async def test_sums_agree_with_the_rows_in_every_group(either: Database) -> None:
    made = [*many(100), usage(901, FIRST_MS, postpaid=True), usage(902, FIRST_MS, country="FR")]
    await put_rows(either, [*made, usage(900, FIRST_MS, tenant_id="other", currency="EUR")])
    reports = UsageReports(either)
    for group in Group:
        if group in (Group.ORGANIZER, Group.TENANT):
            continue
        sums = await reports.sums(["acme"], EVER, group)
        [total] = sums.totals
        assert not sums.truncated
        for name in ("duration_seconds", "pool_seconds", "connection_fee_micros", "charge_micros"):
            expected = sum(row[name] for row in made)
            assert (
                getattr(total, name) == sum(getattr(line, name) for line in sums.lines) == expected
            )
        assert total.postpaid_micros == 25_000
        assert total.calls == 102, "a call with two rows is one call"
    assert _dearest_first(await reports.sums(["acme"], EVER, Group.PAYER))


def _dearest_first(sums: Sums) -> bool:
    costs = [line.connection_fee_micros + line.charge_micros for line in sums.lines]
    return costs == sorted(costs, reverse=True)


async def test_days_come_in_order_and_tenants_by_currency(either: Database) -> None:
    made = [
        usage(1, FIRST_MS + DAY_MS),
        usage(2, FIRST_MS + DAY_MS - 1),
        usage(3, FIRST_MS),
        usage(4, FIRST_MS, tenant_id="other", currency="EUR", call_id="call-3"),
        usage(5, FIRST_MS, tenant_id="third", call_id="call-3", charge_micros=10**12),
    ]
    await put_rows(either, made)
    reports = UsageReports(either)
    days = (await reports.sums(["acme"], EVER, Group.DAY)).lines
    assert [(line.key, line.calls) for line in days] == [("2024-10-04", 2), ("2024-10-05", 1)]
    sums = await reports.sums(None, EVER, Group.TENANT)
    lines = [(line.key, line.calls, line.currency) for line in sums.lines]
    assert lines == [("third", 1, "USD"), ("acme", 3, "USD"), ("other", 1, "EUR")]
    assert [(line.calls, line.currency) for line in sums.totals] == [(1, "EUR"), (4, "USD")]
    some = await reports.sums(["acme", "other"], EVER, Group.TENANT)
    assert {line.key for line in some.lines} == {"acme", "other"}


async def test_organizers_are_summed_over_their_dial_out_alone(either: Database) -> None:
    made = [
        usage(1, FIRST_MS, call_type="CONF_OUT", duration_seconds=120),
        usage(2, FIRST_MS, call_type="CONF_IN"),
        usage(3, FIRST_MS),
    ]
    await put_rows(either, made)
    profile = {"profile_version": 1, "body": '{"display_name":"Ann"}', "counts": "", "epoch": 1}
    async with either.begin() as connection:
        row = {"tenant_id": "acme", "payer_id": "ann", **profile}
        await connection.execute(profiles.insert(), [row])
    sums = await UsageReports(either).sums(["acme"], EVER, Group.ORGANIZER)
    [line] = sums.lines
    assert (line.key, line.display_name) == ("ann", "Ann")
    assert (line.calls, line.duration_seconds, sums.totals[0].duration_seconds) == (1, 120, 120)


async def test_more_lines_than_anybody_reads_are_cut_and_counted(either: Database) -> None:
    made = (usage(n, FIRST_MS, payer_id=f"p{n}", charge_micros=n) for n in range(5_001))
    await put_rows(either, made)
    sums = await UsageReports(either).sums(["acme"], EVER, Group.PAYER)
    assert (len(sums.lines), sums.truncated, sums.totals[0].calls) == (5_000, True, 5_001)
    assert sums.lines[0].key == "p5000"
