"""`rates`: every bad row is named and nothing is sent; a good deck is stored, put in force if asked, and compared."""

from pathlib import Path
from typing import Any

import pytest

from cli.command import Shell, until
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
    read = served.ask(*asked)
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
    faults = served.ask(*asked, "--json").error["faults"]
    assert [(f["line"], f["field"]) for f in faults] == [
        (3, "prefix"),
        (4, "rate_per_minute"),
        (4, "initial_seconds"),
        (5, "prefix"),
        (5, "currency"),
    ]
    decks = served.ask("rates", "show", "--json").document["decks"]
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
    refused = served.ask("rates", "import", str(file), "--deck", "bad")
    assert (refused.code, rule in refused.err) == (1, True)


def test_one_fault_is_told_in_the_singular(served: Shell, tmp_path: Path) -> None:
    refused = served.ask("rates", "import", deck(tmp_path), "--deck", "bad")
    assert "one fault; nothing was sent" in refused.err


def test_a_file_that_is_not_there_is_named(served: Shell, tmp_path: Path) -> None:
    refused = served.ask("rates", "import", str(tmp_path / "none.csv"), "--deck", "bad")
    assert (refused.code, "none.csv" in refused.err) == (2, True)


def test_a_stored_deck_prices_nothing_until_it_is_activated(served: Shell, tmp_path: Path) -> None:
    file = deck(tmp_path, "81,Japan,0.0045,0,1,1,JPY")
    stored = served.ask("rates", "import", file, "--deck", "jpy-1")
    assert "talktime rates activate jpy-1" in stored.out
    assert served.ask("rates", "show", "+81312345678", "--json").document["rates"] == []
    assert served.ask("rates", "activate", "jpy-1").code == 0
    (rate,) = served.ask("rates", "show", "+81312345678", "--json").document["rates"]
    assert rate["rate_per_minute_micros"] == 4_500
    assert (
        served.ask(
            "rates", "import", deck(tmp_path, "82,Korea,1,0,1,1,JPY"), "--deck", "jpy-1"
        ).code
        == 7
    )


def stored(served: Shell, folder: Path, version: str, *rows: str) -> str:
    """A deck in a currency of the test's own."""
    assert served.ask("rates", "import", deck(folder, *rows), "--deck", version).code == 0
    return version


def test_rows_for_calls_that_come_in_are_sent_with_their_origin(
    served: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "deck.csv"
    rows = ("1800,Canada,0.02,0,60,60,CAD,IN,CA", "1800,Others,0.03,0,60,60,CAD,IN,", GOOD_OUT)
    file.write_text("\n".join((f"{HEADER},direction,origin", *rows)) + "\n")
    asked = ("rates", "import", str(file), "--deck", "cad-1", "--activate", "--json")
    assert served.ask(*asked).document["row_count"] == 3
    file.write_text(f"{HEADER},direction,origin\n1800,Canada,0.02,0,60,60,CAD,IN,UK\n")
    refused = served.ask("rates", "import", str(file), "--deck", "cad-2", "--json")
    assert [fault["rule"] for fault in refused.error["faults"]] == ["UNKNOWN_COUNTRY"]


GOOD_OUT = "1800,Toll-free,0.01,0,60,60,CAD,,"


def test_a_deck_is_put_in_force_at_a_time(served: Shell, tmp_path: Path) -> None:
    version = stored(served, tmp_path, "nok-1", "47,Norway,0.01,0,60,60,NOK")
    asked = ("rates", "activate", version, "--at", "2126-12-01T00:00:00Z")
    planned = served.ask(*asked, "--json").document
    assert (planned["active"], planned["scopes"]) == (
        False,
        [{"tenant_id": "", "active_time": "2126-12-01T00:00:00Z", "shadow": False}],
    )
    assert "all, from 2126-12-01 00:00:00 UTC" in served.ask(*asked).out
    assert "all, from 2126-12-01 00:00:00 UTC" in served.ask("rates", "show").out


@pytest.mark.parametrize("text", ["tomorrow", "2126-12-01", "2126-12-01T00:00:00", "1764547200"])
def test_a_time_needs_its_zone(served: Shell, text: str) -> None:
    refused = served.ask("rates", "activate", "first", "--at", text)
    assert (refused.code, "2026-12-01T00:00:00Z" in refused.err) == (2, True)


def test_a_time_that_is_past_is_refused(served: Shell) -> None:
    refused = served.ask("rates", "activate", "first", "--at", "2026-01-01T00:00:00Z")
    assert (refused.code, "leave --at out" in refused.err) == (2, True)


def test_a_deck_of_one_tenant_is_named_and_taken_back(served: Shell, tmp_path: Path) -> None:
    """The tenant that the environment names (here contoso) must not narrow what a deck prices by itself."""
    version = stored(served, tmp_path, "usd-own", "44,Own,0.01,0,60,60,USD")
    own = served.ask("rates", "activate", version, "--tenant", "contoso", "--json").document
    assert [scope["tenant_id"] for scope in own["scopes"]] == ["contoso"]
    assert "tenant contoso, from" in served.ask("rates", "show").out
    taken = served.ask("rates", "deactivate", "--tenant", "contoso")
    assert (taken.code, "Taken out: usd-own" in taken.out) == (0, True)
    assert "There was none" in served.ask("rates", "deactivate", "--tenant", "contoso").out
    common = served.ask("rates", "deactivate", "--json")
    assert common.code == 2
    assert {fault["field"] for fault in common.error["faults"]} == {"currency_code", "shadow"}
    other = stored(served, tmp_path, "sek-1", "46,Sweden,0.01,0,60,60,SEK")
    assert served.ask("rates", "activate", other, "--tenant", "contoso").code == 7


def test_a_shadow_deck_is_reported_on(served: Shell, tmp_path: Path) -> None:
    version = stored(served, tmp_path, "usd-shadow", "44,Shadow,0.06,0,60,60,USD")
    shadow = served.ask("rates", "activate", version, "--shadow", "--json").document
    assert (shadow["active"], shadow["scopes"][0]["shadow"]) == (False, True)
    asked = ("call", "authorize", "alice", "+442079460018", "--seconds", "60")
    assert served.ask(*asked).code == 0

    def report() -> Any:
        return served.ask("rates", "shadow", version, "--json").document

    until(lambda: report()["calls"])
    found = report()
    assert (found["calls"], found["differing_calls"], found["shadow_micros"]) == (1, 1, 60_000)
    assert found["lines"][0]["shadow_destination"] == "Shadow"
    told = served.ask("rates", "shadow", version).out
    assert "Priced differently" in told
    assert "talk time granted and paid by money" in told
    assert "0.06" in told
    taken = served.ask("rates", "deactivate", "--shadow", "--currency", "USD", "--json")
    assert taken.document["taken_out"] == [version]
    assert served.ask("rates", "shadow", "no-such-deck").code == 4


def test_the_real_deck_is_stored_whole(served: Shell) -> None:
    if not REAL_DECK.exists():
        pytest.skip("the real deck is not beside this checkout")
    answer = served.ask("rates", "import", str(REAL_DECK), "--deck", "real", "--activate", "--json")
    assert answer.document == {
        "deck_version": "real",
        "currency_code": "USD",
        "row_count": 36_204,
        "active": True,
    }
