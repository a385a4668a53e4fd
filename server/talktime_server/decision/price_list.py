"""The decks in force, at hand in the process: one for each currency, replaced whole when another is
activated.
"""

import asyncio
import gc

import structlog

from talktime_server.decision.rating import Deck, Rate, RateRow
from talktime_server.failure import Failure
from talktime_server.ledger.decks import Decks

PERIOD_S = 0.2  # between two looks at which decks are in force
OTHERS_S = (
    0.5  # for a look by every other process, and for reading a deck of tens of thousands of rows
)

log = structlog.get_logger()


class PriceList:
    """Prices numbers by the decks in force. A call keeps the rate it was authorized by, so a switch
    needs no lock.
    """

    def __init__(self, decks: Decks) -> None:
        self._decks = decks
        self._by_currency: dict[str, Deck] = {}
        # One look at a time: a large deck read slowly must not replace the one put in force after it.
        self._looking = asyncio.Lock()

    def rate_for(self, currency: str, number: str) -> Rate | None:
        """The rate of a number, E.164, in a currency; None where no deck in force prices it."""
        deck = self._by_currency.get(currency)
        return deck.rate_for(number) if deck else None

    def rates_for(self, number: str) -> list[Rate]:
        """The rate of a number in each currency that has one."""
        rates = [deck.rate_for(number) for deck in self._by_currency.values()]
        return [rate for rate in rates if rate]

    async def refresh(self) -> None:
        """Reads the decks in force that are not at hand. Raises StoreAway."""
        async with self._looking:
            active = await self._decks.active()
            for currency, version in active.items():
                current = self._by_currency.get(currency)
                if current is None or current.version != version:
                    self._by_currency[currency] = await self._load(version, currency)

    async def _load(self, version: str, currency: str) -> Deck:
        rows = await self._decks.rows(version)
        log.info("deck_in_force", deck_version=version, currency=currency, rows=len(rows))

        def build() -> Deck:
            return Deck(version, currency, [RateRow(*row) for row in rows])

        # In a thread, so that building tens of thousands of rows does not hold up calls.
        deck = await asyncio.to_thread(build)
        gc.freeze()  # A deck is for long: a full collection that walked it would hold up calls.
        return deck

    async def adopt(self) -> None:
        """Takes a newly activated deck up, and gives every other process the time to: whoever
        activated it sees it everywhere.
        """
        await self.refresh()
        await asyncio.sleep(OTHERS_S)

    async def run(self) -> None:
        """Looks for newly activated decks until cancelled; goes on pricing by the old ones while
        the store is away.
        """
        while True:
            await asyncio.sleep(PERIOD_S)
            try:
                await self.refresh()
            except Failure as failure:
                log.warning("decks_not_read", reason=failure.reason)
