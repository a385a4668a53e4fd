"""How tables fit where they are shown: whole numbers and words at any width, and nothing that says nothing."""

import io
from collections.abc import Sequence

from rich.console import Console

from talktime_server.commands.output import table

AT = "2026-11-21 19:08:05 UTC"
COLUMNS = ("When", "What", ">Amount", "Why")
ROWS = [(AT, "FUND", "60,000.00", ""), (AT, "ADJUST", "-12.50", "the order was billed twice")]


def shown(width: int, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The lines of a table on a terminal of so many columns."""
    paper = io.StringIO()
    Console(file=paper, width=width, color_system=None).print(table("", columns, rows)())
    return [each.rstrip() for each in paper.getvalue().splitlines()]


def test_a_table_that_fits_has_a_line_for_each_row() -> None:
    lines = shown(80, COLUMNS, ROWS)
    assert len(lines) == 4
    assert f"{AT}  ADJUST     -12.50  the order was billed twice" in lines


def test_sentences_give_way_before_any_word_or_number_is_broken() -> None:
    lines = shown(50, COLUMNS, ROWS)
    assert all(len(each) <= 50 for each in lines)
    words = " ".join(lines).split()
    assert {"60,000.00", "-12.50", "ADJUST", "billed", "2026-11-21", "19:08:05"} <= set(words)
    assert any(each.startswith("19:08:05 UTC") for each in lines)


def test_rows_are_shown_as_facts_where_words_would_be_broken() -> None:
    assert shown(38, COLUMNS, ROWS) == [
        f"When     {AT}",
        "What     FUND",
        "Amount   60,000.00",
        "",
        f"When     {AT}",
        "What     ADJUST",
        "Amount   -12.50",
        "Why      the order was billed twice",
    ]


def test_a_column_in_which_no_row_says_anything_is_left_out() -> None:
    assert shown(80, COLUMNS, ROWS[:1])[0].split() == ["When", "What", "Amount"]


def test_a_table_without_rows_keeps_its_heads_and_says_so() -> None:
    lines = shown(80, COLUMNS, [])
    assert lines[0].split() == ["When", "What", "Amount", "Why"]
    assert lines[-1] == "There are none."


def test_wide_letters_count_as_the_two_places_that_they_take() -> None:
    lines = shown(24, ("Payer", "Name"), [("kim", "김민준 이서연"), ("lee", "이")])
    assert lines[2:] == ["kim    김민준 이서연", "lee    이"]
