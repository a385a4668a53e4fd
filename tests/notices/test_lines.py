"""Notices of one line alone: steps of a recharge, limits, money taken back; one for each thing that happened."""

from typing import Any

import pytest

from notices.journal import AT_MS, Books, count_of
from notices.settings_kit import admin, put
from talktime_server.archive.database import Database
from talktime_server.notices.line_rules import safe_code, safe_link
from talktime_server.notices.tables import deliveries
from talktime_server.words import EntryKind

CHARGE = "contoso-a1-1"
STEPS = [
    ("ARMED", {}, ""),
    ("CLAIMED", {}, ""),
    ("CHARGING", {"amount": 200_000_000}, ""),
    ("UNKNOWN", {"amount": 200_000_000}, ""),
    ("OFF", {}, ""),
    ("COOLING", {"amount": 200_000_000}, "A recharge of $200.00 succeeded."),
    (
        "DECLINED",
        {"amount": 200_000_000, "code": "expired_card"},
        "A recharge of $200.00 failed and is tried again.",
    ),
    (
        "STOPPED",
        {"amount": 200_000_000, "code": "expired_card"},
        "A recharge of $200.00 failed, and recharges have stopped.",
    ),
    (
        "NEEDS_REVIEW",
        {"amount": 200_000_000},
        "It is not clear what became of a recharge of $200.00.",
    ),
    (
        "ACTION_REQUIRED",
        {"amount": 200_000_000, "url": "https://pay.example.com/confirm"},
        "A recharge of $200.00 waits to be confirmed.",
    ),
    ("CAPPED", {"amount": 200_000_000}, "Recharges reached a limit of their rule."),
]


@pytest.mark.parametrize(("state", "details", "summary"), STEPS, ids=[row[0] for row in STEPS])
async def test_each_step_of_a_recharge(
    file: Database, state: str, details: dict[str, Any], summary: str
) -> None:
    books = Books(file)
    await put(file)
    line = books.line(EntryKind.RECHARGE, reference=CHARGE, state=state, charge=CHARGE, **details)
    await books.archive(line)
    assert [notice.summary for notice in await books.told()] == ([summary] if summary else [])


@pytest.mark.parametrize("state", ["DECLINED", "STOPPED", "NEEDS_REVIEW", "ACTION_REQUIRED"])
async def test_a_change_of_the_rule_tells_nothing_again(file: Database, state: str) -> None:
    """It leaves a line that says where the recharge is, and names no charge."""
    books = Books(file)
    await put(file)
    await books.archive(books.line(EntryKind.RECHARGE, reference="", state=state))
    assert await books.told() == []


@pytest.mark.parametrize("batches", [1, 3], ids=["one batch", "three batches"])
@pytest.mark.parametrize("rows_first", [True, False], ids=["rows first", "followers first"])
async def test_a_charge_succeeds_once(file: Database, batches: int, rows_first: bool) -> None:
    """Its funding and its last step tell the same thing; whichever is read first."""
    books = Books(file, rows_first=rows_first)
    await put(file, admin("ann"))
    lines = [
        books.line(EntryKind.RECHARGE, reference=CHARGE, state="CHARGING", amount=200_000_000),
        books.line(EntryKind.FUND, 200, reference=CHARGE, days=365),
        books.line(EntryKind.RECHARGE, reference=CHARGE, state="COOLING", amount=200_000_000),
    ]
    for batch in [lines] if batches == 1 else [[line] for line in lines]:
        await books.archive(*batch)
    assert await books.words() == ["RECHARGE_SUCCEEDED"]
    assert await count_of(file, deliveries) == 1


async def test_funds_that_somebody_adds_are_no_recharge(file: Database) -> None:
    books = Books(file)
    await books.archive(books.line(EntryKind.FUND, 200, reference="f1"))
    assert await books.words() == []


async def test_limits_name_whose_they_are(file: Database) -> None:
    books = Books(file)
    await books.archive(
        books.line(EntryKind.LIMIT), books.line(EntryKind.LIMIT, reference="alice@example.com")
    )
    assert [notice.summary for notice in await books.told()] == [
        "A limit on spend or costly calls refused a call.",
        "A limit on spend or costly calls refused a call of alice@example.com.",
    ]


async def test_money_taken_back_says_what_is_left(file: Database) -> None:
    books = Books(file)
    await put(file)
    said: dict[str, Any] = {"funding": "f1", "reason": "ordered twice"}
    await books.archive(books.line(EntryKind.FUND, 100, reference="f1"))
    await books.archive(
        books.line(EntryKind.REFUND, -30, reference="r1", **said),
        books.line(EntryKind.CHARGEBACK, -80, reference="r2", **said),
    )
    told = await books.told()
    kinds = sorted(str(notice.kind) for notice in told)
    assert kinds == ["BALANCE_ZERO", "FUNDS_TAKEN_BACK", "FUNDS_TAKEN_BACK"]
    summaries = {notice.summary for notice in told}
    assert "A refund of $30.00 was taken from the credits." in summaries
    assert "A chargeback of $80.00 was taken from the credits." in summaries
    assert {notice.noticed_ms for notice in told} == {AT_MS + 2, AT_MS + 3}


@pytest.mark.parametrize(
    "url",
    [
        "http://pay.example.com/",
        "javascript:alert(1)",
        "https://",
        "https://" + "you@pay.example.com/",
        "https://pay.example.com/a b",
        "https://pay.example.com/\r\nBcc: x",
        "https://" + "pay.exämple.com/",
        "https://[pay",
        "https://pay.example.com/" + "a" * 2000,
    ],
)
def test_only_plain_https_links_stand_in_mails(url: str) -> None:
    assert safe_link(url) == ""


def test_a_providers_word_is_one_word() -> None:
    assert safe_code("expired_card") == "expired_card"
    assert safe_code("call 0800\r\nnow") == safe_code("x" * 65) == safe_code("") == ""
