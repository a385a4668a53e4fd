"""Deck files, read line by line: every row that breaks a rule is named."""

from itertools import chain, count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talktime_server.decision import deck_file
from talktime_server.decision.deck_file import (
    REQUIRED_COLUMNS,
    BadRow,
    DeckFile,
    read_csv,
)
from talktime_server.decision.rating import MAX_MICROS, Direction, RateRow, check_row

HEADER = ",".join(REQUIRED_COLUMNS)
GOOD = "44,United Kingdom,0.0125,0.02,60,60,USD"

micros = st.integers(0, MAX_MICROS)


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


WAYS = f"{HEADER},direction,origin"


def read_ways(*lines: str) -> DeckFile:
    text = [line + "\n" for line in (WAYS, *lines)]
    return read_csv(text, countries=("US", "CA"))


def test_rows_for_calls_that_come_in_have_a_direction_and_an_origin() -> None:
    """domain.md 4; the same prefix may stand there once for each way and country."""
    file = read_ways(
        "1800,Toll-free,0.02,0,60,60,USD,,",
        "1800,Toll-free from Canada,0.02,0,60,60,USD,IN,CA",
        "1800,Toll-free from elsewhere,0.03,0,60,60,USD,IN,",
        "1,United States,0.01,0,60,60,USD,OUT,",
    )
    assert file.bad == ()
    assert [row.key for row in file.rows] == [
        ("1800", "OUT", ""),
        ("1800", "IN", "CA"),
        ("1800", "IN", ""),
        ("1", "OUT", ""),
    ]


@pytest.mark.parametrize("column", ["direction", "origin"])
def test_each_of_the_columns_for_calls_that_come_in_may_be_left_out(column: str) -> None:
    cell = "IN" if column == "direction" else ""
    file = read_csv([f"{HEADER},{column}\n", f"{GOOD},{cell}\n"])
    way = Direction.IN if column == "direction" else Direction.OUT
    assert file.rows == (RateRow("44", "United Kingdom", 12_500, 20_000, 60, 60, way),)


@pytest.mark.parametrize(
    ("cells", "blamed"),
    [
        ("in,US", [("direction", "BAD_DIRECTION")]),
        ("IN ,", [("direction", "BAD_DIRECTION")]),
        ("BOTH,usa", [("direction", "BAD_DIRECTION"), ("origin", "BAD_CHARSET")]),
        ("IN,us", [("origin", "BAD_CHARSET")]),
        ("IN,U\u0405", [("origin", "BAD_CHARSET")]),
        ("IN,UK", [("origin", "UNKNOWN_COUNTRY")]),
        ("OUT,US", [("origin", "ORIGIN_OF_OUTBOUND")]),
        (",US", [("origin", "ORIGIN_OF_OUTBOUND")]),
    ],
)
def test_a_bad_direction_or_origin_is_named(cells: str, blamed: list[tuple[str, str]]) -> None:
    file = read_ways(f"{GOOD},{cells}")
    assert blame(file) == [(2, *each) for each in blamed]
    assert file.rows == ()


def test_a_prefix_may_stand_there_once_for_each_way_and_country() -> None:
    file = read_ways(*(f"{GOOD},{cells}" for cells in (",", "IN,US", "OUT,", "IN,", "IN,US")))
    assert blame(file) == [(4, "prefix", "DUPLICATE_PREFIX"), (6, "prefix", "DUPLICATE_PREFIX")]


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
    monkeypatch.setattr(deck_file, "MAX_FILE_ROWS", 2)
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
        BadRow(1, "", "EMPTY_FILE", f"has no header; it must name {', '.join(REQUIRED_COLUMNS)}"),
    )


@settings(deadline=None)
@given(st.lists(st.text(max_size=80), max_size=8))
def test_no_text_breaks_the_reader(lines: list[str]) -> None:
    file = read_csv([HEADER + "\n", *(line + "\n" for line in lines)])
    assert file.rows or file.bad


def test_a_row_within_its_limits_breaks_no_rule() -> None:
    assert check_row(RateRow("1" * 15, "é" * 32, MAX_MICROS, MAX_MICROS, 3_600, 3_600)) == []
    assert check_row(RateRow("1", "U", 0, 0, 1, 1)) == []


def test_an_origin_is_a_country_of_a_call_that_comes_in() -> None:
    row = RateRow("1800", "Toll-free", 0, 0, 60, 60, Direction.IN, "UK")
    assert check_row(row) == []
    assert [bad.rule for bad in check_row(row, countries={"GB": ""})] == ["UNKNOWN_COUNTRY"]


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
