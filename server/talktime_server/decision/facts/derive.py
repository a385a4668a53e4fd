"""Makes the derived tables of this folder: `python -m talktime_server.decision.facts.derive` writes
them beside this file.

For developers: it needs `phonenumberslite` from the dev extra, in the version below. The service
reads only the tables, so that classifying a number costs a look-up and not a parse. The same
version always makes the same bytes; a test compares them.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import phonenumbers

from talktime_server.decision.facts.deck_rows import deck_rows
from talktime_server.decision.facts.digit_patterns import matches
from talktime_server.decision.facts.number_ranges import (
    KINDS,
    CallingCode,
    Label,
    Range,
)
from talktime_server.words import NumberClass

PHONENUMBERS_VERSION = "9.0.42"

# Deeper than this, no metadata of this version tells any further class or country apart.
MAX_NATIONAL_DIGITS = 6

WORDS = dict.fromkeys(KINDS, NumberClass.ORDINARY.value) | {
    "premium_rate": NumberClass.PREMIUM.value,
    "toll_free": NumberClass.TOLL_FREE.value,
    "shared_cost": NumberClass.SHARED_COST.value,
}

# Under a prefix that is not ordinary at all, digits that nobody has yet count as the dearest, which
# bars them.
USUAL = (
    NumberClass.ORDINARY.value,
    NumberClass.PREMIUM.value,
    NumberClass.SHARED_COST.value,
    NumberClass.TOLL_FREE.value,
)

# The metadata calls these premium; the modelled service publishes them as the United Kingdom's
# shared-cost numbers.
SHARED_COST_IN_GB = ("44843", "44844", "44845", "44870", "44871", "44872")


def number_classes() -> list[tuple[str, ...]]:
    """Prefix, country and class; the longest prefix of a number speaks for it."""
    rows = ((r.prefix, r.label.country, r.label.word) for r in _class_ranges())
    return [("prefix", "country", "number_class"), *rows]


def emergency_numbers() -> list[tuple[str, ...]]:
    """The short numbers that the metadata calls emergency numbers, by country."""
    rows = (
        (country, number)
        for country in sorted(phonenumbers.SUPPORTED_SHORT_REGIONS)
        for number in _emergency_numbers(country)
    )
    return [("country", "number"), *rows]


def demo_deck() -> list[tuple[str, ...]]:
    """Invented rates over real prefixes."""
    return deck_rows(_class_ranges())


TABLES: dict[str, Callable[[], list[tuple[str, ...]]]] = {
    "number_classes.csv": number_classes,
    "emergency_numbers.csv": emergency_numbers,
    "demo_deck.csv": demo_deck,
}


def text(rows: Iterable[tuple[str, ...]]) -> str:
    """A table as CSV. No field of ours needs a quote, which keeps the files greppable."""
    assert not any("," in field or '"' in field for row in rows for field in row)
    return "".join(",".join(row) + "\n" for row in rows)


@cache
def _class_ranges() -> tuple[Range, ...]:
    ranges = {r.prefix: r for r in _library_ranges() if not r.prefix.startswith(SHARED_COST_IN_GB)}
    for prefix in SHARED_COST_IN_GB:
        ranges[prefix] = Range(prefix, Label("GB", NumberClass.SHARED_COST.value))
    return tuple(ranges[prefix] for prefix in sorted(ranges))


def _library_ranges() -> Iterator[Range]:
    for code in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE):
        plan = CallingCode(code, words=WORDS, usual=USUAL, max_digits=MAX_NATIONAL_DIGITS)
        yield from plan.ranges()


def _emergency_numbers(country: str) -> list[str]:
    metadata = phonenumbers.PhoneMetadata.short_metadata_for_region(country)
    kept = metadata.emergency if metadata else None
    if kept is None or not kept.national_number_pattern:
        return []
    numbers = matches(kept.national_number_pattern, max(kept.possible_length))
    return [number for number in numbers if len(number) in kept.possible_length]


def main() -> None:
    """Writes every table."""
    assert phonenumbers.__version__ == PHONENUMBERS_VERSION, f"needs {PHONENUMBERS_VERSION}"
    for name, make in TABLES.items():
        Path(__file__).with_name(name).write_text(text(make()), encoding="utf-8")


if __name__ == "__main__":
    main()
