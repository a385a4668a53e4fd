"""Rate decks and what a shadow deck would have changed, as plain Python values."""

from dataclasses import dataclass
from datetime import datetime

from talktime.answers import Rate
from talktime.words import Direction


@dataclass(frozen=True, slots=True)
class RateRow:
    """One line of a deck: its `prefix` is that of the number called, `origin` the country of the caller of a call that
    comes in, empty for any.
    """

    prefix: str
    destination: str
    rate_per_minute_micros: int
    connection_fee_micros: int = 0
    initial_seconds: int = 60
    increment_seconds: int = 60
    direction: Direction | str = Direction.OUT
    origin: str = ""


@dataclass(frozen=True, slots=True)
class DeckScope:
    """For whom and from when a deck is in force; an empty `tenant_id` is all of the currency."""

    tenant_id: str
    active_time: datetime | None
    shadow: bool


@dataclass(frozen=True, slots=True)
class RateDeck:
    """A stored deck."""

    deck_version: str
    currency_code: str
    row_count: int
    active: bool
    active_time: datetime | None
    scopes: tuple[DeckScope, ...]


@dataclass(frozen=True, slots=True)
class RateDecks:
    """Every stored deck and, when a number was asked about, the rows that price it."""

    decks: tuple[RateDeck, ...]
    rates: tuple[Rate, ...]


@dataclass(frozen=True, slots=True)
class ShadowLine:
    """The calls to one destination, priced by two decks; a side is empty where its deck had no rate."""

    live_destination: str
    live_prefix: str
    shadow_destination: str
    shadow_prefix: str
    calls: int
    live_micros: int
    shadow_micros: int


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """What a shadow deck would have changed, and the destinations that differ, the largest difference first."""

    calls: int
    differing_calls: int
    live_micros: int
    shadow_micros: int
    lines: tuple[ShadowLine, ...]
