"""Money that comes in and goes back, beside what calls cost: fundings, adjustments, refunds and chargebacks.

Each takes effect once by its id, which is unique within the tenant over all of them and for ever.
"""

from typing import Any

from talktime_server.failure import Conflict, Mismatch, NotFound
from talktime_server.ledger import keys
from talktime_server.ledger.operations import Funding, Taking
from talktime_server.ledger.profiles import unknown_tenant
from talktime_server.ledger.records import Money
from talktime_server.ledger.store import Script, Store
from talktime_server.words import EntryKind


class Funds:
    """Adds and takes back."""

    def __init__(self, store: Store) -> None:
        self._add_funds = Script(store, "add_funds")
        self._take_funds = Script(store, "take_funds")

    async def add(
        self,
        tenant_id: str,
        funding_id: str,
        amount_micros: int,
        expire_days: int,
        purchase_order: str = "",
    ) -> Funding:
        """Adds credits once, as a lot of their own. Raises NotFound, Mismatch, and Conflict when the
        balance would pass 9 * 10^15.
        """
        asked = (funding_id, EntryKind.FUND, amount_micros, expire_days, purchase_order)
        return await self._add(tenant_id, *asked)

    async def adjust(
        self,
        tenant_id: str,
        adjustment_id: str,
        amount_micros: int,
        reason: str,
        expire_days: int,
    ) -> Funding | Taking:
        """Corrects credits once, up or, with an amount below zero, down. Raises as `add`."""
        if amount_micros < 0:
            taking = (adjustment_id, EntryKind.ADJUST, amount_micros, "", reason)
            return await self._take(tenant_id, *taking)
        asked = (adjustment_id, EntryKind.ADJUST, amount_micros, expire_days, reason)
        return await self._add(tenant_id, *asked)

    async def refund(
        self,
        tenant_id: str,
        refund_id: str,
        funding_id: str,
        amount_micros: int,
        reason: str,
        *,
        chargeback: bool,
    ) -> Taking:
        """Takes back what was funded, once, below the floor too (semantics 62, 63). Raises NotFound for
        an unknown funding, Conflict REFUND_LIMIT for more than is left of it, Mismatch.
        """
        kind = EntryKind.CHARGEBACK if chargeback else EntryKind.REFUND
        return await self._take(tenant_id, refund_id, kind, amount_micros, funding_id, reason)

    async def _add(
        self, tenant_id: str, funding_id: str, kind: EntryKind, amount: int, days: int, note: str
    ) -> Funding:
        shard = keys.shard_of(tenant_id)
        names = (
            keys.tenant(tenant_id),
            keys.account(tenant_id),
            keys.funding(tenant_id, funding_id),
            keys.journal(shard),
            keys.recharges(shard),
        )
        arguments = (funding_id, tenant_id, kind, str(amount), str(days), note)
        word, *rest = await self._add_funds(names, arguments)
        settled, held, expires = _funded(word, rest, kind)
        return Funding(Money(settled, held), expires, word == b"replay")

    async def _take(
        self, tenant_id: str, key: str, kind: EntryKind, amount: int, funding_id: str, reason: str
    ) -> Taking:
        shard = keys.shard_of(tenant_id)
        names = (
            keys.tenant(tenant_id),
            keys.account(tenant_id),
            keys.funding(tenant_id, key),
            keys.funding(tenant_id, funding_id or key),
            keys.journal(shard),
            keys.recharges(shard),
        )
        arguments = (key, tenant_id, kind, str(amount), funding_id, reason)
        word, *rest = await self._take_funds(names, arguments)
        settled, held, total = _funded(word, rest, kind)
        return Taking(Money(settled, held), total, word == b"replay")


_IDENTITY = {
    EntryKind.FUND: "funding_id",
    EntryKind.ADJUST: "adjustment_id",
    EntryKind.REFUND: "refund_id",
    EntryKind.CHARGEBACK: "refund_id",
}
_NOTES = {EntryKind.FUND: "purchase_order", EntryKind.ADJUST: "reason"}


def _funded(word: bytes, rest: list[Any], kind: EntryKind) -> tuple[int, int, int]:
    """The three numbers of an answer about money that came or went, or the failure its word stands
    for.
    """
    if word == b"mismatch":
        field = rest[0].decode()
        raise Mismatch.of(_IDENTITY[kind], _NOTES[kind] if field == "note" else field)
    if word == b"limit":
        raise Conflict("BALANCE_LIMIT", "the balance would pass 9 * 10^15 micros")
    if word == b"over":
        left = str(int(rest[0]))
        raise Conflict(
            "REFUND_LIMIT",
            "more than is left of this funding",
            facts={"refundable_micros": left},
        )
    if word == b"unknown":
        raise NotFound("UNKNOWN_FUNDING", "there is no such funding")
    if word == b"no_tenant":
        raise unknown_tenant()
    first, second, third = map(int, rest)
    return first, second, third
