"""Rate decks as stored: uploaded in parts, sealed and put in force in one step, kept for the calls
they priced.
"""

import asyncio
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from talktime_server.failure import Conflict, NotFound, StoreAway
from talktime_server.ledger import keys
from talktime_server.ledger.store import Script, Store

# prefix, destination, rate and fee in micros, initial and increment in seconds
Row = tuple[str, str, int, int, int, int]


@dataclass(frozen=True, slots=True)
class StoredDeck:
    """What is known of a deck without reading its rows; `active_ms` 0 for one that never was in
    force.
    """

    deck_version: str
    currency: str
    row_count: int
    active_ms: int
    active: bool


class Decks:
    """Reads and writes rate decks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._put = Script(store, "put_deck")
        self._activate = Script(store, "activate_deck")

    async def put(self, deck_version: str, currency: str, part: int, rows: Sequence[Row]) -> int:
        """Stores a part; returns the rows of all parts. Raises Conflict when the deck is sealed or
        in another currency.
        """
        packed = zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 1)
        # A part is bytes; the batch takes text and bytes alike.
        arguments: tuple[Any, ...] = (
            deck_version,
            currency,
            str(part),
            str(len(rows)),
            packed,
        )
        word, *rest = await self._put((keys.deck(deck_version), keys.decks()), arguments)
        if word == b"sealed":
            raise Conflict("DECK_ACTIVE", "the deck was activated before and cannot change")
        if word == b"currency":
            raise Conflict("CURRENCY_FIXED", "the deck's other parts are in another currency")
        return int(rest[0])

    async def activate(self, deck_version: str, row_count: int) -> StoredDeck:
        """Puts a deck in force. Raises NotFound; Conflict when rows are missing or a prefix stands
        in two of them.
        """
        revision = await self._store.command("HGET", keys.deck(deck_version), "revision")
        if revision is None:
            raise _unknown()
        await asyncio.to_thread(_refuse_duplicates, await self.rows(deck_version))
        word, *rest = await self._activate(
            (keys.deck(deck_version), keys.active_decks()),
            (deck_version, str(row_count), revision.decode()),
        )
        if word == b"incomplete":
            raise Conflict(
                "DECK_INCOMPLETE",
                f"the deck has {int(rest[0])} rows, not {row_count}",
                facts={"row_count": str(int(rest[0]))},
            )
        if word == b"changed":
            raise StoreAway("CONTENDED", "the deck is being written; try again")
        return await self.find(deck_version)

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
        active = set((await self.active()).values())
        asks = [("HMGET", keys.deck(version), "currency", "rows", "at") for version in versions]
        rows = await self._store.commands(asks)
        return [
            StoredDeck(version, currency.decode(), int(count), int(at or 0), version in active)
            for version, (currency, count, at) in zip(versions, rows, strict=True)
            if currency
        ]

    async def active(self) -> dict[str, str]:
        """The deck in force for each currency."""
        stored = await self._store.command("HGETALL", keys.active_decks())
        pairs = (
            stored.items()
            if isinstance(stored, dict)
            else zip(stored[::2], stored[1::2], strict=True)
        )
        return {currency.decode(): version.decode() for currency, version in pairs}

    async def rows(self, deck_version: str) -> list[Row]:
        """All rows of a deck."""
        names = await self._store.command("HKEYS", keys.deck(deck_version))
        parts = sorted((n for n in names if n.startswith(b"p:")), key=lambda name: int(name[2:]))
        stored = await self._store.commands([("HGET", keys.deck(deck_version), p) for p in parts])
        # In a thread: tens of thousands of rows would hold up calls for longer than they wait for the store.
        return await asyncio.to_thread(_unpack_all, stored)


def unpack(part: bytes) -> list[Row]:
    """The rows of a stored part."""
    return [
        (prefix, destination, rate, fee, initial, increment)
        for prefix, destination, rate, fee, initial, increment in json.loads(zlib.decompress(part))
    ]


def _unpack_all(parts: Sequence[bytes]) -> list[Row]:
    return [row for part in parts for row in unpack(part)]


def _refuse_duplicates(rows: Sequence[Row]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row[0] in seen:
            raise Conflict(
                "DECK_DUPLICATE",
                f"prefix {row[0]} stands in more than one row",
                facts={"prefix": row[0]},
            )
        seen.add(row[0])


def _unknown() -> NotFound:
    return NotFound("UNKNOWN_DECK", "there is no such deck")
