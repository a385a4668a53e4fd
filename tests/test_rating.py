"""What talk costs: exact prices, the longest prefix, and deck files read line by line."""

import csv
import random
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, count
from math import ceil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talktime_server.decision import rating
from talktime_server.decision.rating import (
    COLUMNS,
    MAX_MICROS,
    BadRow,
    Deck,
    DeckFile,
    Rate,
    RateRow,
    check_row,
    read_csv,
)

REAL_DECK = Path(__file__).parents[1] / "../shared/data/rate_deck_az.csv"

HEADER = ",".join(COLUMNS)
GOOD = "44,United Kingdom,0.0125,0.02,60,60,USD"

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
    deck = Deck("v7", "USD", [row("44", "United Kingdom"), row("4477", "Mobile"), row("4", "Four")])
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
    assert Deck("v1", "USD", []).rate_for("+442071838750") is None


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
    deck = Deck("real", file.currency, file.rows)
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


def read(*lines: str) -> DeckFile:
    return read_csv([line + "\n" for line in "\n".join((HEADER, *lines)).split("\n")])


def blame(file: DeckFile) -> list[tuple[int, str, str]]:
    return [(bad.line, bad.field, bad.rule) for bad in file.bad]


def test_a_good_file_reads_exactly() -> None:
    file = read(GOOD, '33,"France, fixed",1,0,30,6,USD', "49,Germany,0.000001,1000,1,3600,USD")
    assert file == DeckFile(
        (
            RateRow("44", "United Kingdom", 12_500, 20_000, 60, 60),
            RateRow("33", "France, fixed", 1_000_000, 0, 30, 6),
            RateRow("49", "Germany", 1, 1_000_000_000, 1, 3_600),
        ),
        "USD",
        (),
    )


@settings(deadline=None)
@given(micros)
def test_a_decimal_is_read_exactly(amount: int) -> None:
    text = f"{amount // 10**6}.{amount % 10**6:06d}"
    assert read(f"44,Somewhere,{text},0,60,60,USD").rows[0].rate_per_minute_micros == amount


def test_columns_may_come_in_any_order() -> None:
    swapped = "currency,increment_seconds,initial_seconds,connection_fee,rate_per_minute"
    file = read_csv([f"{swapped},destination,prefix\r\n", "USD,6,30,0,0.5,France,33\r\n"])
    assert file.rows == (RateRow("33", "France", 500_000, 0, 30, 6),)


def test_a_byte_order_mark_and_blank_lines_are_passed_over() -> None:
    file = read_csv(["\ufeff" + HEADER + "\n", "\n", GOOD + "\n", "\n"])
    assert (len(file.rows), file.bad) == (1, ())


@pytest.mark.parametrize(
    "text",
    [
        "1e3",
        "0x10",
        "1_000",
        " 12 ",
        "+5",
        "\u0663",
        "\uff11",
        "",
        "-1",
        "-0",
        ".5",
        "5.",
        "1,5",
        "1/2",
        "$1",
        "12\n",
        "nan",
        "inf",
        "0.1234567",
        "1" * 5_000,
        "0." + "0" * 5_000,
    ],
)
@pytest.mark.parametrize("field", ["rate_per_minute", "connection_fee"])
def test_a_decimal_is_digits_and_at_most_six_places(field: str, text: str) -> None:
    cells = {"rate_per_minute": "1", "connection_fee": "1", field: f'"{text}"'}
    file = read(f"44,Somewhere,{cells['rate_per_minute']},{cells['connection_fee']},60,60,USD")
    assert blame(file) == [(2, field, "BAD_DECIMAL")]
    assert len(file.bad[0].text) < 300
    assert file.bad[0].text.isascii()
    assert file.rows == ()


@pytest.mark.parametrize(
    ("line", "blamed"),
    [
        (",UK,1,0,60,60,USD", [("prefix", "BAD_PREFIX")]),
        ("044,UK,1,0,60,60,USD", [("prefix", "BAD_PREFIX")]),
        ("+44,UK,1,0,60,60,USD", [("prefix", "BAD_PREFIX")]),
        (" 44,UK,1,0,60,60,USD", [("prefix", "BAD_PREFIX")]),
        ("4a,UK,1,0,60,60,USD", [("prefix", "BAD_PREFIX")]),
        ("\u0664\u0664,UK,1,0,60,60,USD", [("prefix", "BAD_PREFIX")]),
        ("1234567890123456,UK,1,0,60,60,USD", [("prefix", "BAD_PREFIX")]),
        ("44,,1,0,60,60,USD", [("destination", "MISSING_FIELD")]),
        ("44,U\tK,1,0,60,60,USD", [("destination", "BAD_CHARSET")]),
        ("44,U\x00K,1,0,60,60,USD", [("destination", "BAD_CHARSET")]),
        ("44,U\u202eK,1,0,60,60,USD", [("destination", "BAD_CHARSET")]),
        ("44,U\u200bK,1,0,60,60,USD", [("destination", "BAD_CHARSET")]),
        ("44,U\udcffK,1,0,60,60,USD", [("destination", "BAD_CHARSET")]),
        ('44,"U\nK",1,0,60,60,USD', [("destination", "BAD_CHARSET")]),
        (f"44,{'U' * 65},1,0,60,60,USD", [("destination", "TOO_LONG")]),
        (f"44,{'é' * 33},1,0,60,60,USD", [("destination", "TOO_LONG")]),
        ("44,=cmd,1,0,60,60,USD", [("destination", "FORMULA")]),
        ("44,@cmd,1,0,60,60,USD", [("destination", "FORMULA")]),
        ("44,UK,1000.000001,0,60,60,USD", [("rate_per_minute", "OUT_OF_RANGE")]),
        ("44,UK,1,1000.000001,60,60,USD", [("connection_fee", "OUT_OF_RANGE")]),
        ("44,UK,1,0,0,60,USD", [("initial_seconds", "OUT_OF_RANGE")]),
        ("44,UK,1,0,3601,60,USD", [("initial_seconds", "OUT_OF_RANGE")]),
        ("44,UK,1,0,60,0,USD", [("increment_seconds", "OUT_OF_RANGE")]),
        ("44,UK,1,0,60.0,60,USD", [("initial_seconds", "BAD_INTEGER")]),
        ("44,UK,1,0,60,-6,USD", [("increment_seconds", "BAD_INTEGER")]),
        ("44,UK,1,0,60,,USD", [("increment_seconds", "BAD_INTEGER")]),
        ("44,UK,1,0,60,\u0666,USD", [("increment_seconds", "BAD_INTEGER")]),
        ("44,UK,1,0,60,60,usd", [("currency", "BAD_CURRENCY")]),
        ("44,UK,1,0,60,60,", [("currency", "BAD_CURRENCY")]),
        ("44,UK,1,0,60,60,US\u0430", [("currency", "BAD_CURRENCY")]),
        ("44,UK,1,0,60,60", [("", "FIELD_COUNT")]),
        ("44,UK,1,0,60,60,USD,more", [("", "FIELD_COUNT")]),
        ('44,"UK,1,0,60,60,USD', [("", "UNREADABLE")]),
        ('44,"UK"x,1,0,60,60,USD', [("", "UNREADABLE")]),
        (
            "x,,y,z,0,w,!",
            [
                ("rate_per_minute", "BAD_DECIMAL"),
                ("connection_fee", "BAD_DECIMAL"),
                ("increment_seconds", "BAD_INTEGER"),
                ("prefix", "BAD_PREFIX"),
                ("destination", "MISSING_FIELD"),
                ("initial_seconds", "OUT_OF_RANGE"),
                ("currency", "BAD_CURRENCY"),
            ],
        ),
    ],
)
def test_a_bad_line_is_named_with_each_field_and_rule(
    line: str, blamed: list[tuple[str, str]]
) -> None:
    file = read(line)
    assert blame(file) == [(2, *each) for each in blamed]
    assert file.rows == ()


def test_every_bad_line_is_named_and_the_good_ones_are_read() -> None:
    file = read(
        GOOD,
        "33,France,x,0,60,60,USD",
        "49,Germany,0.01,0,60,60,USD",
        "44,United Kingdom again,0.01,0,60,60,USD",
        "34,Spain,0.01,0,60,60,EUR",
        '35,"Two\nlines",0.01,0,60,60,USD',
        "36,Hungary,0.01,0,60,60",
    )
    assert blame(file) == [
        (3, "rate_per_minute", "BAD_DECIMAL"),
        (5, "prefix", "DUPLICATE_PREFIX"),
        (6, "currency", "MIXED_CURRENCY"),
        (7, "destination", "BAD_CHARSET"),
        (9, "", "FIELD_COUNT"),
    ]
    assert [r.prefix for r in file.rows] == ["44", "49"]
    assert file.bad[1].text == "is on line 2 too"


def test_a_stray_line_break_spoils_its_own_line_only() -> None:
    file = read("33,Fra\rnce,1,0,60,60,USD", GOOD)
    assert blame(file) == [(2, "", "UNREADABLE")]
    assert [r.prefix for r in file.rows] == ["44"]


@pytest.mark.parametrize("lines", [[], ["\n"], ["\ufeff\n"], ["\ufeff"], [""]])
def test_an_empty_file_is_refused(lines: list[str]) -> None:
    file = read_csv(lines)
    assert [bad.rule for bad in file.bad] == ["EMPTY_FILE"]


def test_a_file_without_rows_is_refused() -> None:
    assert blame(read()) == [(1, "", "NO_ROWS")]


def test_a_file_without_end_is_read_no_further_than_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rating, "MAX_FILE_ROWS", 2)
    endless = (f"{prefix},UK,x,0,60,60,USD\n" for prefix in count(1))
    file = read_csv(chain([HEADER + "\n", GOOD + "\n"], endless))
    assert blame(file) == [(3, "rate_per_minute", "BAD_DECIMAL"), (4, "", "TOO_MANY_ROWS")]


def test_every_wrong_column_of_a_header_is_named() -> None:
    file = read_csv(["prefix,Destination,rate_per_minute,rate_per_minute,currency\n", GOOD + "\n"])
    assert [(bad.field, bad.rule) for bad in file.bad] == [
        ("destination", "MISSING_COLUMN"),
        ("connection_fee", "MISSING_COLUMN"),
        ("initial_seconds", "MISSING_COLUMN"),
        ("increment_seconds", "MISSING_COLUMN"),
        ("'Destination'", "UNKNOWN_COLUMN"),
        ("rate_per_minute", "DUPLICATE_COLUMN"),
    ]
    assert file.rows == ()


def test_a_file_that_is_no_csv_at_all_is_refused() -> None:
    file = read_csv(['"' + HEADER])
    assert file.bad == (
        BadRow(1, "", "EMPTY_FILE", f"has no header; it must name {', '.join(COLUMNS)}"),
    )


@settings(deadline=None)
@given(st.lists(st.text(max_size=80), max_size=8))
def test_no_text_breaks_the_reader(lines: list[str]) -> None:
    file = read_csv([HEADER + "\n", *(line + "\n" for line in lines)])
    assert file.rows or file.bad


def test_a_row_within_its_limits_breaks_no_rule() -> None:
    assert check_row(RateRow("1" * 15, "é" * 32, MAX_MICROS, MAX_MICROS, 3_600, 3_600)) == []
    assert check_row(RateRow("1", "U", 0, 0, 1, 1)) == []


def test_every_rule_a_row_breaks_is_named() -> None:
    broken = check_row(RateRow("0", "", -1, MAX_MICROS + 1, 0, 3_601))
    assert [(each.field, each.rule) for each in broken] == [
        ("prefix", "BAD_PREFIX"),
        ("destination", "MISSING_FIELD"),
        ("rate_per_minute_micros", "OUT_OF_RANGE"),
        ("connection_fee_micros", "OUT_OF_RANGE"),
        ("initial_seconds", "OUT_OF_RANGE"),
        ("increment_seconds", "OUT_OF_RANGE"),
    ]
