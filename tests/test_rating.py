"""What talk costs: exact prices and the longest prefix."""

import csv
import random
from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talktime_server.decision.deck_file import DeckFile, read_csv
from talktime_server.decision.rating import MAX_MICROS, Deck, Direction, Rate, RateRow
from talktime_server.ledger.rate_table import RateTable

REAL_DECK = Path(__file__).parents[1] / "../shared/data/rate_deck_az.csv"

micros = st.integers(0, MAX_MICROS)
steps = st.integers(1, 3600)
durations = st.integers(0, 86_400)
rates = st.builds(
    Rate, st.just("Somewhere"), st.just("44"), micros, micros, steps, steps, st.just("v1")
)


def rate(per_minute: int, fee: int = 0, initial: int = 60, increment: int = 60) -> Rate:
    return Rate("Somewhere", "44", per_minute, fee, initial, increment, "v1")


@pytest.mark.parametrize(
    ("initial", "increment", "duration", "billed"),
    [
        (60, 60, 0, 0),
        (60, 60, 1, 60),
        (60, 60, 60, 60),
        (60, 60, 61, 120),
        (30, 6, 1, 30),
        (30, 6, 30, 30),
        (30, 6, 31, 36),
        (30, 6, 36, 36),
        (30, 6, 37, 42),
        (1, 1, 59, 59),
        (60, 1, 61, 61),
        (6, 6, 86_400, 86_400),
    ],
)
def test_the_initial_seconds_are_billed_then_whole_increments(
    initial: int, increment: int, duration: int, billed: int
) -> None:
    assert rate(1, 0, initial, increment).billed_seconds(duration) == billed


@pytest.mark.parametrize(
    ("priced", "duration", "price"),
    [
        (rate(12_500, 20_000), 0, 0),
        (rate(12_500, 20_000), 1, 32_500),
        (rate(12_500, 20_000), 61, 45_000),
        (rate(10_000, 0, 6, 6), 7, 2_000),
        (rate(1, 0, 1, 1), 1, 1),
        (rate(1, 0, 1, 1), 61, 2),
        (rate(0, 20_000), 1, 20_000),
        (rate(0, 0), 3_600, 0),
        (rate(MAX_MICROS, MAX_MICROS), 86_400, 1_441 * MAX_MICROS),
    ],
)
def test_the_price_is_the_fee_and_the_billed_seconds_rounded_up_once(
    priced: Rate, duration: int, price: int
) -> None:
    assert priced.price_micros(duration) == price


@settings(deadline=None)
@given(rates, durations)
def test_the_price_equals_its_reading_in_fractions(priced: Rate, duration: int) -> None:
    assert priced.price_micros(duration) == _price_in_fractions(priced, duration)


def _price_in_fractions(priced: Rate, duration: int) -> int:
    if duration == 0:
        return 0
    increment = priced.increment_seconds
    beyond = max(0, duration - priced.initial_seconds)
    seconds = priced.initial_seconds + ceil(Fraction(beyond, increment)) * increment
    return priced.connection_fee_micros + ceil(
        Fraction(priced.rate_per_minute_micros, 60) * seconds
    )


@settings(deadline=None)
@given(rates, durations, durations)
def test_talking_longer_never_costs_less(priced: Rate, one: int, other: int) -> None:
    assert priced.price_micros(min(one, other)) <= priced.price_micros(max(one, other))


@settings(deadline=None)
@given(rates, st.lists(st.integers(1, 600), min_size=1, max_size=100))
def test_many_extends_cost_what_one_long_grant_costs(priced: Rate, extends: list[int]) -> None:
    """Each extend holds what its new total costs beyond the old one."""
    held = talked = 0
    for seconds in extends:
        held += priced.price_micros(talked + seconds) - priced.price_micros(talked)
        talked += seconds
    assert held == priced.price_micros(sum(extends))


def row(prefix: str, destination: str = "Somewhere", per_minute: int = 1) -> RateRow:
    return RateRow(prefix, destination, per_minute, 0, 60, 60)


def test_the_longest_prefix_prices_a_number() -> None:
    rows = [row("44", "United Kingdom"), row("4477", "Mobile"), row("4", "Four")]
    deck = Deck("v7", "USD", RateTable(rows))
    assert len(deck) == 3
    found = deck.rate_for("+447712345678")
    assert found == Rate("Mobile", "4477", 1, 0, 60, 60, "v7")
    assert [_destination(deck, n) for n in ("+442071838750", "+4612345678", "+33123456789")] == [
        "United Kingdom",
        "Four",
        None,
    ]


def _destination(deck: Deck, number: str) -> str | None:
    found = deck.rate_for(number)
    return found.destination if found else None


def test_an_empty_deck_prices_nothing() -> None:
    assert Deck("v1", "USD", RateTable()).rate_for("+442071838750") is None


def inbound(prefix: str, destination: str, origin: str = "") -> RateRow:
    return RateRow(prefix, destination, 1, 0, 60, 60, Direction.IN, origin)


TOLL_FREE = Deck(
    "v1",
    "USD",
    RateTable(
        [
            row("1", "United States"),
            row("1800", "Toll-free out"),
            row("33", "France"),
            inbound("1800", "North America", "US"),
            inbound("1800", "Canada", "CA"),
            inbound("1800", "Puerto Rico", "PR"),
            inbound("1800", "Other countries"),
            inbound("1844", "Canada only", "CA"),
            inbound("18", "Mexico by eight", "MX"),
            inbound("1", "Dial-in"),
        ]
    ),
)


@pytest.mark.parametrize(
    ("number", "origin", "destination"),
    [
        ("+18005550123", "US", "North America"),
        ("+18005550123", "CA", "Canada"),
        ("+18005550123", "PR", "Puerto Rico"),
        ("+18005550123", "MX", "Other countries"),
        ("+18005550123", "", "Other countries"),
        ("+18445550123", "CA", "Canada only"),
        ("+18445550123", "MX", "Mexico by eight"),
        ("+18445550123", "US", "Dial-in"),
        ("+14255550123", "US", "Dial-in"),
        ("+33199001234", "US", "France"),
        ("+4930901820", "US", None),
    ],
)
def test_a_call_that_comes_in_is_priced_by_its_callers_country(
    number: str, origin: str, destination: str | None
) -> None:
    """domain.md 4: longest prefix first, there the country, else any; without a row as going out."""
    found = TOLL_FREE.rate_for(number, inbound=True, origin=origin)
    assert (found and found.destination) == destination
    if found:
        assert found.origin in ("", origin)


@pytest.mark.parametrize("origin", ["", "US", "CA"])
def test_a_call_that_goes_out_knows_no_origin(origin: str) -> None:
    found = TOLL_FREE.rate_for("+18005550123", origin=origin)
    assert found == Rate("Toll-free out", "1800", 1, 0, 60, 60, "v1")
    assert _destination(TOLL_FREE, "+14255550123") == "United States"
    assert len(TOLL_FREE) == 10


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text("12", min_size=1, max_size=4),
            st.sampled_from(Direction),
            st.sampled_from(["", "US", "CA"]),
        ),
        unique_by=lambda key: (key[0], key[1], key[2] if key[1] is Direction.IN else ""),
    ),
    st.text("12", min_size=7, max_size=7),
    st.sampled_from(["", "US", "CA", "MX"]),
)
def test_a_deck_prices_calls_that_come_in_as_trying_every_row_does(
    keys: list[tuple[str, Direction, str]], digits: str, origin: str
) -> None:
    rows = [
        RateRow(prefix, f"to {n}", 1, 0, 60, 60, way, place if way is Direction.IN else "")
        for n, (prefix, way, place) in enumerate(keys)
    ]
    found = Deck("v1", "USD", RateTable(rows)).rate_for(f"+{digits}", inbound=True, origin=origin)
    matching = [r for r in rows if digits.startswith(r.prefix) and r.origin in ("", origin)]
    best = max(
        matching,
        key=lambda r: (r.direction is Direction.IN, len(r.prefix), r.origin != ""),
        default=None,
    )
    assert (found and found.destination) == (best and best.destination)


def _real_deck() -> DeckFile:
    if not REAL_DECK.exists():
        pytest.skip("the real rate deck is not beside this checkout (../shared/data)")
    with REAL_DECK.open(encoding="utf-8", newline="") as lines:
        return read_csv(lines)


def test_the_real_deck_reads_whole() -> None:
    file = _real_deck()
    assert (len(file.rows), file.currency, file.bad) == (36_204, "USD", ())


def test_the_real_deck_prices_as_a_reading_of_its_file_by_hand_does() -> None:
    file = _real_deck()
    deck = Deck("real", file.currency, RateTable(file.rows))
    with REAL_DECK.open(encoding="utf-8", newline="") as lines:
        by_prefix = {line["prefix"]: line for line in csv.DictReader(lines)}
    unpriced = 0
    for number, duration in _random_calls(list(by_prefix), 2_000):
        found = deck.rate_for(number)
        expected = _by_hand(by_prefix, number, duration)
        assert (found and (found.prefix, found.price_micros(duration))) == expected, number
        unpriced += expected is None
    assert 0 < unpriced < 1_000


def _random_calls(prefixes: list[str], count: int) -> Iterator[tuple[str, int]]:
    """Three in four begin with a known prefix, with its last digit changed now and then."""
    chance = random.Random("random calls")
    for _ in range(count):
        start = chance.choice(prefixes) if chance.random() < 0.75 else str(chance.randint(1, 9))
        if chance.random() < 0.2:
            start = start[:-1] + chance.choice("123456789")
        rest = "".join(chance.choices("0123456789", k=12))
        yield "+" + (start + rest)[:12], chance.randint(1, 4_000)


def _by_hand(
    by_prefix: dict[str, dict[str, str]], number: str, duration: int
) -> tuple[str, int] | None:
    digits = number[1:]
    matching = [digits[:length] for length in range(1, 16) if digits[:length] in by_prefix]
    if not matching:
        return None
    line = by_prefix[max(matching, key=len)]
    increment = int(line["increment_seconds"])
    beyond = max(0, duration - int(line["initial_seconds"]))
    seconds = int(line["initial_seconds"]) + ceil(Fraction(beyond, increment)) * increment
    per_second = Fraction(line["rate_per_minute"]) * 10**6 / 60
    return line["prefix"], ceil(per_second * seconds)
