"""The rows of a deck in columns: found as trying every row finds them, with as many rows as a deck may have."""

import random

import pytest

from talktime_server.decision import rating
from talktime_server.decision.rating import Deck, Rate
from talktime_server.ledger.rate_table import STEP_ROWS, RateTable, Row

PART_ROWS = 2_000
ROWS = 300_000
ORIGINS = ("", "", "", "US", "CA", "GB")


def a_row(chance: random.Random) -> Row:
    """A row of a prefix of one to eight digits; one in four prices calls that come in."""
    long = str(chance.randrange(1_000, 10 ** chance.choice((4, 5, 6, 6, 7, 7, 8))))
    prefix = chance.choice(("1", "44", "358")) if chance.random() < 0.001 else long
    direction = chance.choice(("OUT", "OUT", "OUT", "IN"))
    origin = chance.choice(ORIGINS) if direction == "IN" else ""
    amounts = (chance.randrange(10**9), chance.randrange(10**9), chance.randint(1, 3_600))
    return (prefix, f"Place {chance.randrange(5_000)}", *amounts, 60, direction, origin)


def a_deck(chance: random.Random) -> list[Row]:
    """Rows no two of which are alike."""
    rows: dict[tuple[str, str, str], Row] = {}
    while len(rows) < ROWS:
        row = a_row(chance)
        rows[row[0], row[6], row[7]] = row
    return list(rows.values())


def by_hand(
    rows: dict[tuple[str, str, str], Row], digits: str, inbound: bool, origin: str
) -> Rate | None:
    """The longest prefix, a row for calls that come in first, and of those one for the country."""
    ways = [("IN", origin), ("IN", "")] if inbound else []
    for names in (ways, [("OUT", "")]):
        for length in range(len(digits), 0, -1):
            for direction, country in names:
                row = rows.get((digits[:length], direction, country))
                if row:
                    return Rate(row[1], row[0], *row[2:6], "v", row[7])
    return None


def test_300_000_rows_price_as_the_plain_rows_do() -> None:
    chance = random.Random("a large deck")
    rows = a_deck(chance)
    table = RateTable()
    for start in range(0, ROWS, PART_ROWS):
        table.add(rows[start : start + PART_ROWS])
    deck, plain = Deck("v", "USD", table), {(row[0], row[6], row[7]): row for row in rows}
    assert (len(deck), table.double) == (ROWS, "")
    unpriced = 0
    for _ in range(40_000):
        known = chance.choice(rows)[0]
        begun = known if chance.random() < 0.5 else str(chance.randint(1, 999))
        digits = (begun + str(chance.randrange(10**12)))[: chance.randint(3, 15)]
        inbound, origin = chance.random() < 0.5, chance.choice(ORIGINS)
        found = deck.rate_for(f"+{digits}", inbound=inbound, origin=origin)
        expected = by_hand(plain, digits, inbound, origin)
        assert found == expected
        unpriced += expected is None
    assert unpriced


@pytest.mark.parametrize(
    ("second", "double"),
    [
        (("44", "UK", 1, 0, 60, 60, "OUT", ""), "44"),
        (("1800", "Toll-free", 1, 0, 60, 60, "IN", "CA"), "1800"),
        (("1800", "Toll-free", 1, 0, 60, 60, "IN", "US"), ""),
        (("1800", "Toll-free", 1, 0, 60, 60, "IN", ""), ""),
        (("44", "UK", 1, 0, 60, 60, "IN", ""), ""),
        (("445", "UK", 1, 0, 60, 60, "OUT", ""), ""),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_row_that_stands_twice_is_noticed(second: Row, double: str, together: bool) -> None:
    """Within a part of a deck and over its parts."""
    first: list[Row] = [
        ("44", "UK", 1, 0, 60, 60, "OUT", ""),
        ("1800", "Toll-free", 1, 0, 60, 60, "IN", "CA"),
    ]
    table = RateTable()
    for part in [[*first, second]] if together else [first, [second]]:
        table.add(part)
    assert table.double == double


def test_a_table_goes_in_steps() -> None:
    """So that nobody waits until hundreds of thousands of rows are freed."""
    rows: list[Row] = [
        (str(prefix), "Somewhere", 1, 0, 60, 60, "OUT", "") for prefix in range(10_000, 90_000)
    ]
    table = RateTable(rows)
    before = left = sum(len(found) for found, _ in table.outbound.areas.values())
    for _ in table.let_go():
        now = sum(len(found) for found, _ in table.outbound.areas.values())
        assert left - now <= STEP_ROWS + 100
        left = now
    assert (before, table.outbound.areas) == (80_000, {})


def test_rates_that_were_made_are_not_kept_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rating, "MOST_MADE", 10)
    rows: list[Row] = [
        (str(prefix), "Somewhere", prefix, 0, 60, 60, "OUT", "") for prefix in range(1_000, 2_000)
    ]
    deck = Deck("v", "USD", RateTable(rows))
    assert deck.rate_for("+1000555") is deck.rate_for("+1000777")
    for prefix in [*range(1_000, 2_000), *range(1_000, 2_000)]:
        found = deck.rate_for(f"+{prefix}555")
        assert found
        assert found.rate_per_minute_micros == prefix
        assert len(deck._made) <= 10
