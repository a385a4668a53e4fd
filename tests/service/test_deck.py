"""The real deck, imported, activated and priced as a plain reading of its file says (semantics 88)."""

import csv
import random
import uuid
from collections.abc import Iterator
from decimal import Decimal
from importlib import resources
from pathlib import Path

import pytest

from service.running import Service, until
from service.site import LONDON, MINUTE, Patient, Site
from service.test_money import own_currency
from talktime import Client, Conflict, InvalidRequest, NotFound, Rate, RateRow

# The real deck lies beside the checkout; where it does not, the one for the demo is read the same way.
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "rate_deck_az.csv"
DEMO = Path(str(resources.files("talktime_server.decision.facts") / "demo_deck.csv"))
FILE = REAL if REAL.is_file() else DEMO
NUMBERS = 200
SEEN_WITHIN_S = 10.0


def micros(text: str) -> int:
    """A decimal of the file."""
    exact = Decimal(text) * 1_000_000
    assert exact == exact.to_integral_value()
    return int(exact)


def rows_of_file() -> list[RateRow]:
    """The file, read as plainly as can be."""
    with FILE.open(newline="", encoding="utf-8") as file:
        return [
            RateRow(
                row["prefix"],
                row["destination"],
                micros(row["rate_per_minute"]),
                micros(row["connection_fee"]),
                int(row["initial_seconds"]),
                int(row["increment_seconds"]),
                row.get("direction", "OUT"),
                row.get("origin", ""),
            )
            for row in csv.DictReader(file)
        ]


def brute_force(rows: list[RateRow], number: str) -> RateRow | None:
    """The row for calls that go out with the longest prefix, found by trying every row."""
    outbound = [row for row in rows if row.direction == "OUT"]
    matching = [row for row in outbound if number[1:].startswith(row.prefix)]
    return max(matching, key=lambda row: len(row.prefix), default=None)


def as_row(rate: Rate) -> RateRow:
    """A rate as the line of its deck."""
    return RateRow(
        rate.prefix,
        rate.destination,
        rate.rate_per_minute_micros,
        rate.connection_fee_micros,
        rate.initial_seconds,
        rate.increment_seconds,
    )


def random_numbers(rows: list[RateRow], count: int) -> Iterator[str]:
    """Numbers behind the deck's prefixes, and some behind none."""
    chance = random.Random(20_26)
    for n in range(count):
        prefix = chance.choice(rows).prefix if n % 8 else str(chance.randint(1, 99))
        more = "".join(chance.choices("0123456789", k=15))
        yield "+" + (prefix + more)[: chance.randint(max(8, len(prefix)), 15)]


def new_version() -> str:
    return f"deck-{uuid.uuid4().hex[:12]}"


def rate_of(client: Client, version: str, number: str) -> Rate | None:
    """What this deck says of a number, when it is in force where the client asks."""
    rates = client.get_rate_decks(number).rates
    return next((rate for rate in rates if rate.deck_version == version), None)


@pytest.fixture(scope="module")
def operators(service: Service) -> Iterator[list[Client]]:
    """Operators on so many connections that every process is asked."""
    clients: list[Client] = [
        Patient(service.address, service.operator, timeout_s=2.0) for _ in range(16)
    ]
    yield clients
    for client in clients:
        client.close()


@pytest.mark.parametrize("deck", [FILE.name])
def test_a_deck_prices_as_its_file_says(site: Site, operators: list[Client], deck: str) -> None:
    """The real one where it is there. Every row arrives, and each number gets the row that trying all of them finds."""
    rows, version, currency = rows_of_file(), new_version(), own_currency()
    told: list[tuple[int, int]] = []
    stored = operators[0].put_rate_deck(
        version, currency, rows, on_progress=lambda sent, of: told.append((sent, of))
    )
    assert stored == len(rows) == (36_204 if deck == REAL.name else 885)
    assert told[-1] == (len(rows), len(rows))
    assert rate_of(operators[0], version, "+994501234567") is None
    told_deck = operators[0].activate_rate_deck(version, len(rows))
    assert (told_deck.active, told_deck.row_count) == (True, len(rows))
    priced = rows[0].prefix.ljust(11, "0")
    until(lambda: all(rate_of(o, version, f"+{priced}") for o in operators), SEEN_WITHIN_S)
    for number in random_numbers(rows, NUMBERS):
        found, expected = rate_of(operators[0], version, number), brute_force(rows, number)
        assert (as_row(found) if found else None) == expected, number
    check_quotes(site, currency, rows)


def check_quotes(site: Site, currency: str, rows: list[RateRow]) -> None:
    """A quote in the deck's currency is priced by it, to the micro."""
    abroad = Site.of(site.service, f"site-{uuid.uuid4().hex[:12]}")
    abroad.set(currency_code=currency, country="AX")
    abroad.put_payer("alice", country="AX")
    abroad.fund(10**12)
    for number in random_numbers(rows, NUMBERS // 4):
        expected = brute_force(rows, number)
        quote = abroad.router.quote("alice", "USER_OUT", number, requested_seconds=601)
        if quote.reason == "PREMIUM_BARRED":
            continue
        if expected is None:
            assert quote.reason == "NO_RATE", number
            continue
        assert quote.rate is not None, number
        assert as_row(quote.rate) == expected
        assert quote.sources[0].amount_micros == price(expected, 601)
    abroad.close()


def price(row: RateRow, seconds: int) -> int:
    """What a call costs, step by step."""
    billed = row.initial_seconds
    while billed < seconds:
        billed += row.increment_seconds
    return row.connection_fee_micros + -(-row.rate_per_minute_micros * billed // 60)


def test_an_upload_half_finished_changes_nothing(site: Site) -> None:
    """semantics 88: what is missing is noticed, and the deck in force goes on pricing."""
    currency, old, new = own_currency(), new_version(), new_version()
    operator = site.operator
    operator.put_rate_deck(old, currency, [RateRow("44", "Old", MINUTE)])
    operator.activate_rate_deck(old, 1)
    operator.put_rate_deck(new, currency, [RateRow("44", "New", 2 * MINUTE)])
    with pytest.raises(Conflict) as missing:
        operator.activate_rate_deck(new, 2)
    assert missing.value.reason == "DECK_INCOMPLETE"
    decks = {deck.deck_version: deck.active for deck in operator.get_rate_decks().decks}
    assert (decks[old], decks[new]) == (True, False)
    assert rate_of(operator, new, LONDON) is None
    found = until(lambda: rate_of(operator, old, LONDON))
    assert found is not None
    assert found.destination == "Old"


def test_an_activation_is_seen_by_every_process_at_once(operators: list[Client]) -> None:
    """semantics 88: one switch, within two seconds everywhere; the one who switched sees it with the answer."""
    currency = own_currency()
    for name in ("First", "Second"):
        version = new_version()
        operators[0].put_rate_deck(version, currency, [RateRow("44", name, MINUTE)])
        operators[0].activate_rate_deck(version, 1)
        assert rate_of(operators[0], version, LONDON)

        def everywhere(version: str = version) -> bool:
            return all(rate_of(operator, version, LONDON) for operator in operators)

        until(everywhere, SEEN_WITHIN_S)


BAD = (
    (RateRow("4a4", "x", 1), "prefix", "BAD_PREFIX"),
    (RateRow("044", "x", 1), "prefix", "BAD_PREFIX"),
    (RateRow("44", "", 1), "destination", "MISSING_FIELD"),
    (RateRow("44", "a\nb", 1), "destination", "BAD_CHARSET"),
    (RateRow("44", "=1+1", 1), "destination", "FORMULA"),
    (RateRow("44", "x", -1), "rate_per_minute_micros", "OUT_OF_RANGE"),
    (RateRow("44", "x", 1, 10**9 + 1), "connection_fee_micros", "OUT_OF_RANGE"),
    (RateRow("44", "x", 1, 0, 3601), "initial_seconds", "OUT_OF_RANGE"),
    (RateRow("44", "x", 1, 0, 60, -6), "increment_seconds", "OUT_OF_RANGE"),
    (RateRow("44", "x", 1, origin="US"), "origin", "ORIGIN_OF_OUTBOUND"),
    (RateRow("44", "x", 1, direction="IN", origin="us"), "origin", "BAD_CHARSET"),
    (RateRow("44", "x", 1, direction="IN", origin="UK"), "origin", "UNKNOWN_COUNTRY"),
)


@pytest.mark.parametrize(("bad", "field", "rule"), BAD)
def test_a_bad_row_is_named_and_nothing_is_stored(
    site: Site, bad: RateRow, field: str, rule: str
) -> None:
    """semantics 88: the row by its number, the field, and the rule; the good rows beside it stay out too."""
    version = new_version()
    good = [RateRow(f"44{n}", "Good", 1) for n in range(3)]
    with pytest.raises(InvalidRequest) as refused:
        site.operator.put_rate_deck(version, "EUR", [*good, bad])
    named = [(violation.field, violation.rule) for violation in refused.value.violations]
    assert named == [(f"rows[3].{field}", rule)]
    assert version not in {deck.deck_version for deck in site.operator.get_rate_decks().decks}
    with pytest.raises(NotFound):
        site.operator.activate_rate_deck(version, 3)


def test_a_deck_in_force_cannot_change(site: Site) -> None:
    """semantics 35, 88: what priced calls stays as it was."""
    currency, version = own_currency(), new_version()
    rows = [RateRow("44", "Kingdom", MINUTE)]
    site.operator.put_rate_deck(version, currency, rows)
    site.operator.activate_rate_deck(version, 1)
    assert site.operator.put_rate_deck(version, currency, rows) == 1
    with pytest.raises(Conflict) as sealed:
        site.operator.put_rate_deck(version, currency, [RateRow("44", "Kingdom", 1)])
    assert sealed.value.reason == "DECK_ACTIVE"


def test_a_prefix_in_two_parts_is_found_before_the_deck_is_in_force(site: Site) -> None:
    """semantics 88"""
    version, rows = new_version(), [RateRow("44", "One", 1)]
    rows += [RateRow(f"49{n}", "More", 1) for n in range(2_000)]
    rows.append(RateRow("44", "Two", 2))
    site.operator.put_rate_deck(version, own_currency(), rows)
    with pytest.raises(Conflict) as double:
        site.operator.activate_rate_deck(version, len(rows))
    assert (double.value.reason, double.value.facts["prefix"]) == ("DECK_DUPLICATE", "44")
