"""What can be asked of AccountService about rate decks: each function builds one request, or those of one deck."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from talktime import conversion
from talktime.ask import Ask, Defaults, ask, reading
from talktime.decks import RateDeck, RateDecks, RateRow, ShadowReport
from talktime.v1 import account_service_pb2 as pb

# A part of a deck: the contract's most rows, and room for the message's own fields below the service's 256 KiB.
MAX_PART_ROWS = 2000
MAX_PART_BYTES = 250_000
MAX_PARTS = 10_000
# The service reads a deck whole, and answers when every process of it prices by it.
ACTIVATION_TIMEOUT_S = 30.0
# Tag and length in front of a row: rows are shorter than 16,384 bytes.
_ROW_FRAME_BYTES = 3


@dataclass(frozen=True, slots=True)
class Upload:
    """A deck in parts, each with its number of rows; each part answers how many rows are stored so far."""

    parts: list[tuple[Ask[int], int]]
    row_count: int


def put_rate_deck(
    defaults: Defaults, deck_version: str, currency_code: str, rows: Iterable[RateRow]
) -> Upload:
    """Stores a deck in as many parts as it takes."""
    parts = list(_parts(rows))
    if not parts:
        raise ValueError("rows: a deck has at least one")
    if len(parts) > MAX_PARTS:
        raise ValueError(f"rows: a deck has at most {MAX_PARTS} parts of {MAX_PART_ROWS} rows")
    asks = [
        (_deck_part(deck_version, currency_code, number, part), len(part))
        for number, part in enumerate(parts)
    ]
    return Upload(asks, sum(map(len, parts)))


def activate_rate_deck(
    defaults: Defaults,
    deck_version: str,
    row_count: int,
    *,
    deck_tenant_id: str = "",
    activate_time: datetime | None = None,
    shadow: bool = False,
) -> Ask[RateDeck]:
    """Makes a complete deck price new calls, now or from `activate_time` on; `row_count` proves it complete.

    Without `deck_tenant_id` it prices every tenant of its currency that has no deck of its own. A `shadow` deck
    charges nothing: what it would have changed is counted.
    """
    request = pb.ActivateRateDeckRequest(
        deck_version=deck_version, row_count=row_count, tenant_id=deck_tenant_id, shadow=shadow
    )
    if activate_time is not None:
        conversion.write_instant(activate_time, "activate_time", request.activate_time)
    return ask(request, reading(RateDeck, "deck"), ACTIVATION_TIMEOUT_S)


def deactivate_rate_deck(
    defaults: Defaults,
    currency_code: str = "",
    *,
    deck_tenant_id: str = "",
    shadow: bool = False,
) -> Ask[None]:
    """Takes a tenant's own deck, or a shadow deck, out of force: the currency's deck prices again."""
    request = pb.DeactivateRateDeckRequest(
        currency_code=currency_code, tenant_id=deck_tenant_id, shadow=shadow
    )
    return ask(request, lambda answer: None)


def get_rate_decks(defaults: Defaults, number: str = "") -> Ask[RateDecks]:
    """Lists stored decks and, for a number, the rows that price it."""
    request = pb.GetRateDecksRequest(number=defaults.number(number))
    return ask(request, reading(RateDecks))


def get_shadow_report(
    defaults: Defaults, deck_version: str, *, page_size: int = 0
) -> Ask[ShadowReport]:
    """Shows how a shadow deck would have priced the calls that the live one priced."""
    request = pb.GetShadowReportRequest(deck_version=deck_version, page_size=page_size)
    return ask(request, reading(ShadowReport))


def _deck_part(
    deck_version: str, currency_code: str, number: int, rows: list[pb.RateRow]
) -> Ask[int]:
    request = pb.PutRateDeckRequest(
        deck_version=deck_version, currency_code=currency_code, part=number, rows=rows
    )
    return ask(request, lambda answer: int(answer.stored_rows))


def _parts(rows: Iterable[RateRow]) -> Iterator[list[pb.RateRow]]:
    """The rows in their order, in parts that the service takes."""
    part: list[pb.RateRow] = []
    size = 0
    for row in map(_deck_row, rows):
        row_size = row.ByteSize() + _ROW_FRAME_BYTES
        if part and (len(part) == MAX_PART_ROWS or size + row_size > MAX_PART_BYTES):
            yield part
            part, size = [], 0
        part.append(row)
        size += row_size
    if part:
        yield part


def _deck_row(row: RateRow) -> pb.RateRow:
    message = pb.RateRow()
    conversion.write(row, message)
    return message
