"""AccountService, the part about rate decks: stored in parts, put in force in one step, shown."""

from google.protobuf.message import Message

from talktime.v1 import account_service_pb2 as pb
from talktime_server.decision.price_list import PriceList
from talktime_server.decision.rating import RateRow, check_row
from talktime_server.ledger.decks import Decks, StoredDeck
from talktime_server.rpc import messages
from talktime_server.rpc.account_methods import OPERATORS, READERS, account_method
from talktime_server.rpc.decoding import Checks
from talktime_server.rpc.messages import instant
from talktime_server.rpc.shapes import Identity, Method

MAX_ROWS = 2000
MAX_PARTS = 10_000
DEFAULT_STEP_SECONDS = 60


class RateDecks:
    """The handlers about decks."""

    def __init__(self, decks: Decks, prices: PriceList) -> None:
        self._decks = decks
        self._prices = prices

    def methods(self) -> list[Method]:
        """The rows for the edge's table."""
        return [
            account_method("PutRateDeck", pb.PutRateDeckRequest, OPERATORS, self._put),
            account_method(
                "ActivateRateDeck", pb.ActivateRateDeckRequest, OPERATORS, self._activate
            ),
            account_method("GetRateDecks", pb.GetRateDecksRequest, READERS, self._get),
        ]

    async def _put(self, request: pb.PutRateDeckRequest, _: Identity) -> Message:
        checks = Checks()
        checks.id("deck_version", request.deck_version)
        checks.currency("currency_code", request.currency_code)
        checks.count("part", request.part, 0, MAX_PARTS - 1)
        checks.items("rows", request.rows, MAX_ROWS, least=1)
        rows = [_rate_row(row) for row in request.rows]
        for number, row in enumerate(rows[:MAX_ROWS]):
            for bad in check_row(row):
                checks.blame(f"rows[{number}].{bad.field}", bad.rule, bad.text)
        checks.done()
        packed = [_columns(row) for row in rows]
        stored = await self._decks.put(
            request.deck_version, request.currency_code, request.part, packed
        )
        return pb.PutRateDeckResponse(stored_rows=stored)

    async def _activate(self, request: pb.ActivateRateDeckRequest, _: Identity) -> Message:
        checks = Checks()
        checks.id("deck_version", request.deck_version)
        checks.count("row_count", request.row_count, 1, MAX_ROWS * MAX_PARTS)
        checks.done()
        deck = await self._decks.activate(request.deck_version, request.row_count)
        await self._prices.adopt()
        return pb.ActivateRateDeckResponse(deck=_deck_message(deck))

    async def _get(self, request: pb.GetRateDecksRequest, _: Identity) -> Message:
        checks = Checks()
        checks.number("number", request.number, required=False)
        checks.done()
        rates = self._prices.rates_for(request.number) if request.number else []
        return pb.GetRateDecksResponse(
            decks=[_deck_message(deck) for deck in await self._decks.stored()],
            rates=[messages.deck_rate(rate) for rate in rates],
        )


def _rate_row(row: pb.RateRow) -> RateRow:
    return RateRow(
        row.prefix,
        row.destination,
        row.rate_per_minute_micros,
        row.connection_fee_micros,
        row.initial_seconds or DEFAULT_STEP_SECONDS,
        row.increment_seconds or DEFAULT_STEP_SECONDS,
    )


def _columns(row: RateRow) -> tuple[str, str, int, int, int, int]:
    return (
        row.prefix,
        row.destination,
        row.rate_per_minute_micros,
        row.connection_fee_micros,
        row.initial_seconds,
        row.increment_seconds,
    )


def _deck_message(deck: StoredDeck) -> pb.RateDeck:
    return pb.RateDeck(
        deck_version=deck.deck_version,
        currency_code=deck.currency,
        row_count=deck.row_count,
        active=deck.active,
        active_time=instant(deck.active_ms) if deck.active_ms else None,
    )
