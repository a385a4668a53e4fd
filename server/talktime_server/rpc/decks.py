"""AccountService, the part about rate decks: stored in parts, put in force, compared, shown."""

import asyncio

from google.protobuf.message import Message

from talktime.v1 import account_service_pb2 as pb
from talktime_server.decision import catalog
from talktime_server.decision.price_list import PriceList
from talktime_server.decision.rating import Direction, RateRow, check_row
from talktime_server.decision.shadow import ShadowCounts
from talktime_server.ledger.decks import Decks, InScope, Scope, StoredDeck
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.shadows import Pair, Tally
from talktime_server.rpc import messages
from talktime_server.rpc.account_methods import OPERATORS, READERS, account_method
from talktime_server.rpc.decoding import Checks, known_numbers
from talktime_server.rpc.messages import instant
from talktime_server.rpc.shapes import ACTIVATION_TIMEOUT_S, Identity, Method

MAX_ROWS = 2000
MAX_PARTS = 10_000
ROWS_A_STEP = 400  # a millisecond
DEFAULT_STEP_SECONDS = 60
_MAX_TIME_SECONDS = 253_402_300_799  # the last second that a timestamp can name
_MAX_NANOS = 999_999_999
_DIRECTIONS = known_numbers(pb.Direction)


class RateDecks:
    """The handlers about decks."""

    def __init__(
        self,
        *,
        directory: Directory,
        decks: Decks,
        prices: PriceList,
        counts: ShadowCounts,
    ) -> None:
        self._directory = directory
        self._decks = decks
        self._prices = prices
        self._counts = counts

    def methods(self) -> list[Method]:
        """The rows for the edge's table."""
        return [
            account_method("PutRateDeck", pb.PutRateDeckRequest, OPERATORS, self._put),
            account_method(
                "ActivateRateDeck",
                pb.ActivateRateDeckRequest,
                OPERATORS,
                self._activate,
                timeout_s=ACTIVATION_TIMEOUT_S,
            ),
            account_method(
                "DeactivateRateDeck", pb.DeactivateRateDeckRequest, OPERATORS, self._deactivate
            ),
            account_method("GetRateDecks", pb.GetRateDecksRequest, READERS, self._get),
            account_method("GetShadowReport", pb.GetShadowReportRequest, READERS, self._report),
        ]

    async def _put(self, request: pb.PutRateDeckRequest, _: Identity) -> Message:
        checks = Checks()
        checks.id("deck_version", request.deck_version)
        checks.currency("currency_code", request.currency_code)
        checks.count("part", request.part, 0, MAX_PARTS - 1)
        checks.items("rows", request.rows, MAX_ROWS, least=1)
        rows: list[RateRow] = []
        for row in request.rows[:MAX_ROWS]:
            rows.append(_checked_row(checks, len(rows), row))
            if len(rows) % ROWS_A_STEP == 0:
                await asyncio.sleep(0)  # Calls go on while a part is looked through.
        checks.done()
        stored = await self._decks.put(
            request.deck_version, request.currency_code, request.part, rows
        )
        return pb.PutRateDeckResponse(stored_rows=stored)

    async def _activate(self, request: pb.ActivateRateDeckRequest, identity: Identity) -> Message:
        checks = Checks()
        checks.id("deck_version", request.deck_version)
        checks.count("row_count", request.row_count, 1, MAX_ROWS * MAX_PARTS)
        tenant_id = _named_tenant(checks, request.tenant_id, identity)
        _check_time(checks, request)
        checks.done()
        scope = await self._scope(request, tenant_id)
        time = request.activate_time
        from_ms = max(time.seconds * 1000 + time.nanos // 1_000_000, 0)
        starts_ms = await self._decks.activate(
            request.deck_version, request.row_count, scope, from_ms=from_ms
        )
        await self._prices.adopt(starts_ms)
        deck = await self._decks.find(request.deck_version)
        return pb.ActivateRateDeckResponse(deck=_deck_message(deck))

    async def _scope(self, request: pb.ActivateRateDeckRequest, tenant_id: str) -> Scope:
        """The scope that an activation means: the deck's currency, or the tenant's."""
        if tenant_id:
            tenant = await self._directory.fresh_tenant(tenant_id)
            return Scope(tenant.currency, tenant_id, request.shadow)
        deck = await self._decks.find(request.deck_version)
        return Scope(deck.currency, "", request.shadow)

    async def _deactivate(
        self, request: pb.DeactivateRateDeckRequest, identity: Identity
    ) -> Message:
        checks = Checks()
        tenant_id = _named_tenant(checks, request.tenant_id, identity)
        if request.currency_code or not tenant_id:
            checks.currency("currency_code", request.currency_code)
        if not tenant_id and not request.shadow:
            text = "is required without tenant_id, as every currency keeps its deck"
            checks.blame("shadow", "MISSING_FIELD", text)
        checks.done()
        currency = request.currency_code
        if tenant_id:
            currency = (await self._directory.fresh_tenant(tenant_id)).currency
        ends_ms = await self._decks.deactivate(Scope(currency, tenant_id, request.shadow))
        await self._prices.adopt(ends_ms)
        return pb.DeactivateRateDeckResponse()

    async def _get(self, request: pb.GetRateDecksRequest, _: Identity) -> Message:
        checks = Checks()
        checks.number("number", request.number, required=False)
        checks.done()
        rates = self._prices.rates_for(request.number) if request.number else []
        return pb.GetRateDecksResponse(
            decks=[_deck_message(deck) for deck in await self._decks.stored()],
            rates=[messages.deck_rate(rate) for rate in rates],
        )

    async def _report(self, request: pb.GetShadowReportRequest, _: Identity) -> Message:
        checks = Checks()
        checks.id("deck_version", request.deck_version)
        count = checks.page_size("page_size", request.page_size)
        checks.done()
        await self._decks.find(request.deck_version)
        report = await self._counts.report(request.deck_version, count)
        return pb.GetShadowReportResponse(
            calls=report.total.calls,
            differing_calls=report.total.differing_calls,
            live_micros=report.total.live_micros,
            shadow_micros=report.total.shadow_micros,
            lines=[_line_message(pair, tally) for pair, tally in report.lines],
        )


def _checked_row(checks: Checks, number: int, row: pb.RateRow) -> RateRow:
    """A row as it was sent; what is wrong with it is noted."""
    checks.enum(f"rows[{number}].direction", row.direction, _DIRECTIONS, required=False)
    made = RateRow(
        row.prefix,
        row.destination,
        row.rate_per_minute_micros,
        row.connection_fee_micros,
        row.initial_seconds or DEFAULT_STEP_SECONDS,
        row.increment_seconds or DEFAULT_STEP_SECONDS,
        Direction.IN if row.direction == pb.DIRECTION_IN else Direction.OUT,
        row.origin,
    )
    for bad in check_row(made, countries=catalog.countries()):
        checks.blame(f"rows[{number}].{bad.field}", bad.rule, bad.text)
    return made


def _named_tenant(checks: Checks, tenant_id: str, identity: Identity) -> str:
    """A tenant that must be the token's; none means all, and not the token's only one."""
    return checks.tenant("tenant_id", tenant_id, identity) if tenant_id else ""


def _check_time(checks: Checks, request: pb.ActivateRateDeckRequest) -> None:
    time = request.activate_time
    checks.within("activate_time.seconds", time.seconds, -_MAX_TIME_SECONDS, _MAX_TIME_SECONDS)
    checks.within("activate_time.nanos", time.nanos, 0, _MAX_NANOS)


def _deck_message(deck: StoredDeck) -> pb.RateDeck:
    return pb.RateDeck(
        deck_version=deck.deck_version,
        currency_code=deck.currency,
        row_count=deck.row_count,
        active=deck.active,
        active_time=instant(deck.active_ms) if deck.active_ms else None,
        scopes=[_scope_message(place) for place in deck.scopes],
    )


def _scope_message(place: InScope) -> pb.DeckScope:
    return pb.DeckScope(
        tenant_id=place.scope.tenant_id,
        active_time=instant(place.from_ms),
        shadow=place.scope.shadow,
    )


def _line_message(pair: Pair, tally: Tally) -> pb.ShadowLine:
    return pb.ShadowLine(
        live_destination=pair.live_destination,
        live_prefix=pair.live_prefix,
        shadow_destination=pair.shadow_destination,
        shadow_prefix=pair.shadow_prefix,
        calls=tally.calls,
        live_micros=tally.live_micros,
        shadow_micros=tally.shadow_micros,
    )
