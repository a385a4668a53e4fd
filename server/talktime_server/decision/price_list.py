"""The decks in force, at hand in the process: for each currency, and for tenants with one of their own.

Which deck is in force when is known ahead, by the store's clock; so all processes switch at the same
instant without asking anybody, also when the store is away, and a decision never waits for a deck.
A call keeps the rate it was authorized by (semantics 35).
"""

import asyncio
from math import inf
from time import monotonic
from typing import TypeVar

import structlog

from talktime_server.decision.rating import Deck, Rate
from talktime_server.decision.shadow import ShadowCounts
from talktime_server.decision.timelines import StoreClock, Timelines
from talktime_server.failure import Failure
from talktime_server.ledger.decks import MOST_LEAD_MS, REST_S, Decks, Scope, Timeline
from talktime_server.ledger.profiles import Tenant

PERIOD_S = 0.2  # between two looks at what is in force
CLOCKS_APART_S = 0.02  # how far the processes' ideas of the store's time may be apart, amply

Key = TypeVar("Key")

log = structlog.get_logger()


class PriceList:
    """Prices numbers by the decks in force."""

    def __init__(self, decks: Decks, counts: ShadowCounts) -> None:
        self._decks = decks
        self._counts = counts
        self._clock = StoreClock()
        self._timelines = Timelines()
        self._revision = 0
        self._turn_at_s = inf  # by the process's clock
        self._by_version: dict[str, Deck] = {}
        self._by_currency: dict[str, Deck] = {}
        self._by_tenant: dict[str, Deck] = {}
        self._shadows: dict[Scope, Deck] = {}
        self._late: dict[Scope, str] = {}
        # One look at a time: a large deck read slowly must not replace the one put in force after it.
        self._looking = asyncio.Lock()

    def rate_for(
        self, tenant: Tenant, number: str, *, inbound: bool = False, origin: str = ""
    ) -> Rate | None:
        """The rate of a call to a number, E.164: by the tenant's own deck if there is one, else by
        its currency's; None where that has none. `origin` is the country of the caller of a call
        that comes in, empty when it is not known.
        """
        if monotonic() >= self._turn_at_s:
            self._turn()
        deck = self._by_tenant.get(tenant.tenant_id)
        if deck is None:
            deck = self._by_currency.get(tenant.currency)
            if deck is None:
                return None
        return deck.rate_for(number, inbound=inbound, origin=origin)

    @property
    def shadowed(self) -> bool:
        """Whether there is a shadow deck at all."""
        return bool(self._shadows)

    def compare(
        self,
        tenant: Tenant,
        number: str,
        rate: Rate | None,
        seconds: int,
        *,
        inbound: bool = False,
        origin: str = "",
    ) -> None:
        """Prices a call by the shadow decks of its scope too, and counts it; `rate` is the live
        one, None or a default where no deck has one, and `seconds` the talk time asked for.
        """
        live = rate if rate and rate.deck_version else None
        own, common = (
            Scope(tenant.currency, tenant.tenant_id, True),
            Scope(tenant.currency, "", True),
        )
        for scope in (own, common):
            deck = self._shadows.get(scope)
            # A currency's deck, live or shadow, does not price a tenant that has its own.
            if deck and (scope is own or tenant.tenant_id not in self._by_tenant):
                shadow = deck.rate_for(number, inbound=inbound, origin=origin)
                self._counts.count(deck.version, live, shadow, seconds)

    def at_hand(self) -> frozenset[str]:
        """The versions of the decks that this process keeps: those in force or planned anywhere."""
        return frozenset(self._by_version)

    def rates_for(self, number: str) -> list[Rate]:
        """The rate of calling a number, by each deck in force that has one."""
        self._turn()
        decks = {
            deck.version: deck for deck in (*self._by_currency.values(), *self._by_tenant.values())
        }
        rates = [deck.rate_for(number) for deck in decks.values()]
        return [rate for rate in rates if rate]

    async def refresh(self) -> None:
        """Hears what changed, reads the decks that are not at hand, and drops those that are no
        longer in force anywhere. Raises StoreAway.
        """
        async with self._looking:
            await self._look()
            for version in self._timelines.versions() - self._by_version.keys():
                await self._load(version)
            self._decks.forget()
            self._turn()
            for version in self._by_version.keys() - self._timelines.versions():
                await self._drop(self._by_version.pop(version))

    async def _look(self) -> None:
        """What changed is taken up in one step, however many trips it takes."""
        changed: dict[Scope, Timeline] = {}
        anew, complete, revision = False, False, self._revision
        while not complete:
            asked_s = monotonic()
            look = await self._decks.look(revision)
            self._clock.hear(look.now_ms, asked_s, monotonic())
            if look.anew:
                anew, changed = True, {}
            changed.update(look.changed)
            complete, revision = look.complete, look.revision
        if anew:
            self._timelines.forget()
        for scope, timeline in changed.items():
            self._timelines.put(scope, timeline)
        self._revision = revision

    async def _load(self, version: str) -> None:
        currency, table = await self._decks.read(version)
        if not table:
            log.error("deck_has_no_rows", deck_version=version)
            return
        self._by_version[version] = Deck(version, currency, table)
        log.info("deck_at_hand", deck_version=version, rows=len(table))

    async def _drop(self, deck: Deck) -> None:
        """Lets calls go on while the memory of hundreds of thousands of rows is freed. One that is not
        followed by a deck yet still prices.
        """
        in_force = (self._by_currency, self._by_tenant, self._shadows)
        if any(deck is kept for decks in in_force for kept in decks.values()):
            return
        for _ in deck.let_go():
            await asyncio.sleep(REST_S)

    def _turn(self) -> None:
        """Puts in force what is due. A deck that is not at hand yet leaves its forerunner in force."""
        now_ms = self._clock.store_ms(monotonic())
        due = {**self._late, **dict(self._timelines.turn(now_ms))}
        self._late = {}
        for scope, version in due.items():
            if version and version not in self._by_version:
                self._late[scope] = version
            else:
                self._put_in_force(scope, self._by_version.get(version))
        if due.keys() - self._late.keys():
            log.info("decks_in_force", scopes=len(due), decks=sorted(set(due.values()))[:10])
        self._turn_at_s = self._clock.process_s(self._timelines.next_turn_ms())

    def _put_in_force(self, scope: Scope, deck: Deck | None) -> None:
        if scope.shadow:
            _place(self._shadows, scope, deck)
        elif scope.tenant_id:
            _place(self._by_tenant, scope.tenant_id, deck)
        else:
            _place(self._by_currency, scope.currency, deck)

    async def adopt(self, from_ms: int) -> None:
        """Takes a switch up, and waits until it took place if it is soon: whoever asked for it then
        sees it everywhere.
        """
        await self.refresh()
        wait_s = self._clock.process_s(from_ms) - monotonic()
        if wait_s <= MOST_LEAD_MS / 1000:
            await asyncio.sleep(max(wait_s, 0) + CLOCKS_APART_S)
            self._turn()

    async def run(self) -> None:
        """Looks for changes until cancelled; goes on by what is known while the store is away, and says so once."""
        told = ""
        while True:
            await asyncio.sleep(PERIOD_S)
            try:
                await self.refresh()
                told = ""
            except Failure as failure:
                if failure.reason != told:
                    log.warning("decks_not_read", reason=failure.reason)
                told = failure.reason


def _place(decks: dict[Key, Deck], key: Key, deck: Deck | None) -> None:
    if deck is None:
        decks.pop(key, None)
    else:
        decks[key] = deck
