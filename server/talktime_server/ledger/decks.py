"""Rate decks as stored: uploaded in parts, sealed and put in force in one step, kept for the calls
they priced.

A deck is in force for a scope: all tenants of its currency, or one tenant; and there it prices, or
is a shadow that is priced beside. What is in force when is a timeline by the store's clock, so that
every process switches at the same instant without asking.
"""

import asyncio
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from talktime_server.failure import Conflict, NotFound, StoreAway, TooMuch
from talktime_server.ledger import keys
from talktime_server.ledger.rate_table import RateTable, Row
from talktime_server.ledger.store import Script, Store

# How far ahead the switch lies that is asked for now: every process hears of it (they look every
# fifth of a second) and has read a deck of this many rows, so that all switch at one instant.
LEAD_MS = 400
ROWS_PER_LEAD_MS = 120
MOST_LEAD_MS = 1_200
SCOPES_A_LOOK = 500
NO_DECK = "-"  # no deck's version begins like this

PARTS_A_TRIP = 16
ROWS_A_STEP = 1_000
REST_S = 0.001  # between steps: other threads wait for the interpreter as well
_USUAL = ("OUT", "")  # direction and origin that are not stored


class Scope(NamedTuple):
    """Whom a deck prices: all tenants of a currency, or one; a shadow is priced beside. A tuple, as
    decisions look decks up by it.
    """

    currency: str
    tenant_id: str = ""
    shadow: bool = False

    def __str__(self) -> str:
        # Neither mark can be part of a currency or an id.
        owner = f"{self.currency}:{self.tenant_id}" if self.tenant_id else self.currency
        return f"!{owner}" if self.shadow else owner

    @classmethod
    def read(cls, text: str) -> "Scope":
        """The scope that has this text."""
        currency, _, tenant_id = text.removeprefix("!").partition(":")
        return cls(currency, tenant_id, text.startswith("!"))


@dataclass(frozen=True, slots=True)
class Switch:
    """From an instant on, in ms by the store's clock, a deck is in force; none, when its version is
    empty.
    """

    from_ms: int
    deck_version: str


# A scope's switches by time. The last one that is over says what is in force.
Timeline = tuple[Switch, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What changed since a look before, at a time of the store's clock; `anew` when all that was
    known is to be forgotten first.
    """

    now_ms: int
    revision: int
    anew: bool
    complete: bool
    changed: dict[Scope, Timeline]


@dataclass(frozen=True, slots=True)
class InScope:
    """Where a deck prices, or will, from when on."""

    scope: Scope
    from_ms: int


@dataclass(frozen=True, slots=True)
class StoredDeck:
    """What is known of a deck without reading its rows; `active_ms` 0 for one that never was
    activated.
    """

    deck_version: str
    currency: str
    row_count: int
    active_ms: int
    active: bool
    scopes: tuple[InScope, ...] = ()


class Decks:
    """Reads and writes rate decks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._put = Script(store, "put_deck")
        self._activate = Script(store, "activate_deck")
        self._watch = Script(store, "watch_decks")
        self._checked: tuple[str, RateTable] | None = None

    async def put(self, deck_version: str, currency: str, part: int, rows: Sequence[Row]) -> int:
        """Stores a part; returns the rows of all parts. Raises Conflict when the deck is sealed or
        in another currency.
        """
        # A part is bytes; the batch takes text and bytes alike.
        arguments: tuple[Any, ...] = (
            deck_version,
            currency,
            str(part),
            str(len(rows)),
            pack(rows),
        )
        word, *rest = await self._put((keys.deck(deck_version), keys.decks()), arguments)
        if word == b"sealed":
            raise Conflict("DECK_ACTIVE", "the deck was activated before and cannot change")
        if word == b"currency":
            raise Conflict("CURRENCY_FIXED", "the deck's other parts are in another currency")
        return int(rest[0])

    async def activate(
        self, deck_version: str, row_count: int, scope: Scope, *, from_ms: int = 0
    ) -> int:
        """Puts a deck in force, soon or at a later time; returns from when on it is, in ms. Raises
        NotFound; Conflict when rows are missing, when one stands in the deck twice, or when the
        scope has another currency. The first time, a deck is read whole: 300,000 rows take half a
        second.
        """
        key = keys.deck(deck_version)
        currency, revision, sealed = await self._store.command(
            "HMGET", key, "currency", "revision", "sealed"
        )
        if currency is None:
            raise _unknown()
        if currency.decode() != scope.currency:
            raise Conflict(
                "CURRENCY_MISMATCH",
                f"the deck is in {currency.decode()}, the tenant in {scope.currency}",
                facts={"currency_code": currency.decode()},
            )
        table = None if sealed else await self._read(deck_version)
        if table and table.double:
            raise _double(table.double)
        lead_ms = min(LEAD_MS + row_count // ROWS_PER_LEAD_MS, MOST_LEAD_MS)
        starts_ms = await self._switch(
            scope, deck_version, str(row_count), revision.decode(), str(from_ms), str(lead_ms)
        )
        self._checked = (deck_version, table) if table else None
        return starts_ms

    async def deactivate(self, scope: Scope) -> int:
        """Takes a scope's own deck out of force, with the one planned for it; returns from when on,
        in ms.
        """
        return await self._switch(scope, NO_DECK, "0", "0", "0", str(LEAD_MS))

    async def _switch(self, scope: Scope, deck_version: str, *arguments: str) -> int:
        """Arguments: rows, revision, from when on and lead in ms."""
        word, *rest = await self._activate(
            (keys.deck(deck_version), keys.active_decks(), keys.deck_changes()),
            (str(scope), deck_version, *arguments),
        )
        if word == b"unknown":
            raise _unknown()
        if word == b"incomplete":
            raise Conflict(
                "DECK_INCOMPLETE",
                f"the deck has {int(rest[0])} rows, not {arguments[0]}",
                facts={"row_count": str(int(rest[0]))},
            )
        if word == b"changed":
            raise StoreAway("CONTENDED", "the deck is being written; try again")
        if word == b"full":
            raise TooMuch("TOO_MANY_DECKS", "too many decks are in force, or too many at once")
        return int(rest[0])

    async def look(self, known: int = 0) -> Look:
        """The scopes that changed after a revision, SCOPES_A_LOOK at most; 0 gives all. One script
        call, which costs next to nothing when none did. Raises StoreAway.
        """
        word, now_ms, revision, *rest = await self._watch(
            (keys.active_decks(), keys.deck_changes()), (str(known), str(SCOPES_A_LOOK))
        )
        pairs = list(zip(rest[::2], rest[1::2], strict=True))
        changed = {Scope.read(scope.decode()): _timeline(text.decode()) for scope, text in pairs}
        complete = word == b"same" or len(pairs) != SCOPES_A_LOOK
        return Look(int(now_ms), int(revision), word == b"anew", complete, changed)

    async def find(self, deck_version: str) -> StoredDeck:
        """What is known of a deck. Raises NotFound."""
        for deck in await self._describe([deck_version]):
            return deck
        raise _unknown()

    async def stored(self) -> list[StoredDeck]:
        """Every stored deck, by version."""
        versions = await self._store.command("ZRANGE", keys.decks(), 0, -1)
        return await self._describe([version.decode() for version in versions])

    async def _describe(self, versions: Sequence[str]) -> list[StoredDeck]:
        asks = [("HMGET", keys.deck(version), "currency", "rows", "at") for version in versions]
        rows = await self._store.commands(asks)
        places, active = await self._in_force()
        return [
            StoredDeck(
                version,
                currency.decode(),
                int(count),
                int(at or 0),
                version in active,
                tuple(places.get(version, ())),
            )
            for version, (currency, count, at) in zip(versions, rows, strict=True)
            if currency
        ]

    async def _in_force(self) -> tuple[dict[str, list[InScope]], set[str]]:
        """Where each deck prices or will, and which decks price now."""
        places: dict[str, list[InScope]] = {}
        active: set[str] = set()
        look = await self.look()
        while True:
            for scope, timeline in look.changed.items():
                for switch in remaining(timeline, look.now_ms):
                    places.setdefault(switch.deck_version, []).append(
                        InScope(scope, switch.from_ms)
                    )
                    if switch.from_ms <= look.now_ms and not scope.shadow:
                        active.add(switch.deck_version)
            if look.complete:
                return places, active
            look = await self.look(look.revision)

    async def read(self, deck_version: str) -> tuple[str, RateTable]:
        """The currency and all rows of a deck; none when there is no such deck."""
        currency = await self._store.command("HGET", keys.deck(deck_version), "currency")
        if self._checked and self._checked[0] == deck_version:
            table = self._checked[1]
        else:
            table = await self._read(deck_version)
        return (currency or b"").decode(), table

    def forget(self) -> None:
        """Lets go of rows that were read for an activation and nobody asked for since."""
        self._checked = None

    async def _read(self, deck_version: str) -> RateTable:
        """Reads part by part, a millisecond of work at a time, and lets calls go on in between: a thread
        would take the interpreter from them for much longer.
        """
        key = keys.deck(deck_version)
        names = await self._store.command("HKEYS", key)
        parts = sorted((n for n in names if n.startswith(b"p:")), key=lambda name: int(name[2:]))
        table = RateTable()
        for start in range(0, len(parts), PARTS_A_TRIP):
            trip = [("HGET", key, name) for name in parts[start : start + PARTS_A_TRIP]]
            for part in await self._store.commands(trip):
                rows = unpack(part)
                await asyncio.sleep(REST_S)
                for at in range(0, len(rows), ROWS_A_STEP):
                    table.add(rows[at : at + ROWS_A_STEP])
                    await asyncio.sleep(0)
        return table


def remaining(timeline: Timeline, now_ms: float) -> Timeline:
    """A timeline without the switches that another one has followed already."""
    over = sum(switch.from_ms <= now_ms for switch in timeline)
    return timeline[max(over - 1, 0) :]


def pack(rows: Sequence[Row]) -> bytes:
    """A part as it is stored: what most rows have is left out, as decks were before they had it."""
    short = [row[:6] if row[6:] == _USUAL else row for row in rows]
    return zlib.compress(json.dumps(short, separators=(",", ":")).encode(), 1)


def unpack(part: bytes) -> list[Row]:
    """The rows of a stored part."""
    return [(*row, *_USUAL) if len(row) == 6 else tuple(row) for row in _read_part(part)]


def _read_part(part: bytes) -> list[Any]:
    return list(json.loads(zlib.decompress(part)))


def _timeline(text: str) -> Timeline:
    """Reads "1764547200000 v2 1767225600000 v3", or the bare "v1" of an older store."""
    words = text.split()
    if len(words) == 1:
        return (Switch(0, words[0]),)
    pairs = zip(words[::2], words[1::2], strict=True)
    return tuple(Switch(int(at), "" if deck == NO_DECK else deck) for at, deck in pairs)


def _double(prefix: str) -> Conflict:
    return Conflict(
        "DECK_DUPLICATE", f"prefix {prefix} stands in more than one row", facts={"prefix": prefix}
    )


def _unknown() -> NotFound:
    return NotFound("UNKNOWN_DECK", "there is no such deck")
