"""`rates import`: every bad row is named and nothing is sent; a good deck is stored, and put in force if asked."""

from pathlib import Path

import pytest

from cli.command import Shell
from house import HOUSE

HEADER = (
    "prefix,destination,rate_per_minute,connection_fee,initial_seconds,increment_seconds,currency"
)
REAL_DECK = HOUSE.parent / "shared" / "data" / "rate_deck_az.csv"


def deck(folder: Path, *rows: str) -> str:
    file = folder / "deck.csv"
    file.write_text("\n".join((HEADER, *rows)) + "\n")
    return str(file)


def test_every_bad_row_is_named_and_nothing_is_sent(served: Shell, tmp_path: Path) -> None:
    file = deck(
        tmp_path,
        "44,United Kingdom,0.0125,0,60,60,USD",
        "0x,Nowhere,0.01,0,60,60,USD",
        "33,France,1e3,0,0,60,USD",
        "44,Twice,0.01,0,60,60,EUR",
    )
    asked = ("rates", "import", file, "--deck", "bad", "--activate")
    read = served.run(*asked)
    assert (read.code, read.out) == (1, "")
    assert "5 faults; nothing was sent" in read.err
    for named in (
        "BAD_PREFIX",
        "BAD_DECIMAL",
        "OUT_OF_RANGE",
        "DUPLICATE_PREFIX",
        "MIXED_CURRENCY",
    ):
        assert named in read.err
    faults = served.run(*asked, "--json").error["faults"]
    assert [(f["line"], f["field"]) for f in faults] == [
        (3, "prefix"),
        (4, "rate_per_minute"),
        (4, "initial_seconds"),
        (5, "prefix"),
        (5, "currency"),
    ]
    decks = served.run("rates", "show", "--json").document["decks"]
    assert "bad" not in [each["deck_version"] for each in decks]


@pytest.mark.parametrize(
    ("content", "rule"),
    [(b"", "EMPTY_FILE"), (b"\xff\xfe", "UTF-8"), (b"prefix\n1\n", "MISSING_COLUMN")],
)
def test_what_is_no_deck_is_refused(
    served: Shell, tmp_path: Path, content: bytes, rule: str
) -> None:
    file = tmp_path / "deck.csv"
    file.write_bytes(content)
    refused = served.run("rates", "import", str(file), "--deck", "bad")
    assert (refused.code, rule in refused.err) == (1, True)


def test_one_fault_is_one(served: Shell, tmp_path: Path) -> None:
    refused = served.run("rates", "import", deck(tmp_path), "--deck", "bad")
    assert "one fault; nothing was sent" in refused.err


def test_a_file_that_is_not_there_is_named(served: Shell, tmp_path: Path) -> None:
    refused = served.run("rates", "import", str(tmp_path / "none.csv"), "--deck", "bad")
    assert (refused.code, "none.csv" in refused.err) == (2, True)


def test_a_stored_deck_prices_nothing_until_it_is_activated(served: Shell, tmp_path: Path) -> None:
    file = deck(tmp_path, "81,Japan,0.0045,0,1,1,JPY")
    stored = served.run("rates", "import", file, "--deck", "jpy-1")
    assert "talktime rates activate jpy-1" in stored.out
    assert served.run("rates", "show", "+81312345678", "--json").document["rates"] == []
    assert served.run("rates", "activate", "jpy-1").code == 0
    (rate,) = served.run("rates", "show", "+81312345678", "--json").document["rates"]
    assert rate["rate_per_minute_micros"] == 4_500
    assert (
        served.run(
            "rates", "import", deck(tmp_path, "82,Korea,1,0,1,1,JPY"), "--deck", "jpy-1"
        ).code
        == 7
    )


def test_the_real_deck_is_stored_whole(served: Shell) -> None:
    if not REAL_DECK.exists():
        pytest.skip("the real deck is not beside this checkout")
    answer = served.run("rates", "import", str(REAL_DECK), "--deck", "real", "--activate", "--json")
    assert answer.document == {
        "deck_version": "real",
        "currency_code": "USD",
        "row_count": 36_204,
        "active": True,
    }
