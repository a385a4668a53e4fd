"""The ledger: money and holds, one method per script.

Every method is safe to repeat with the same id. A script that finds holds past their lease where it
needs the money names them; the ledger expires them and asks again, so that nobody is refused for
money that is free (semantics 27), and no script ever walks a long list (90).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from talktime_server.failure import Conflict, Mismatch, NotFound, StoreAway
from talktime_server.ledger import keys
from talktime_server.ledger.profiles import Tenant
from talktime_server.ledger.records import NO_PRICE, Call, Facts, Money, Terms
from talktime_server.ledger.store import Script, Store
from talktime_server.words import CallState, Reason, SourceKind

ROUNDS = 100  # of expiring 100 due holds each, before a caller is told to come back


class Stale(Exception):
    """The profiles a decision was made by have changed: read them again and decide anew."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A decision, ready to be held: who, what it was made by, and what pays. A dry one holds and
    keeps nothing.
    """

    call_id: str
    facts: Facts
    payer_version: int
    asked_seconds: int
    source: SourceKind | None = None
    refusal: Reason | None = None
    terms: Terms = NO_PRICE
    credit_line_micros: int = 0
    dry: bool = False


@dataclass(frozen=True, slots=True)
class Extension:
    """A wish for more talk time. `epoch` is that of the profiles the call was judged by again, None
    when it was not.
    """

    call_id: str
    sequence: int
    added_seconds: int
    epoch: int | None = None
    refusal: Reason | None = None


@dataclass(frozen=True, slots=True)
class Judge:
    """The ledger's word that a profile changed since the call was decided: judge it again, by
    profiles of this epoch.
    """

    epoch: int
    call: Call


@dataclass(frozen=True, slots=True)
class Unreserved:
    """What to charge a call by that was never authorized, and the payer's profile that says so."""

    facts: Facts
    payer_version: int
    source: SourceKind
    terms: Terms


@dataclass(frozen=True, slots=True)
class Outcome:
    """A call after an operation; `replayed` when the operation had been done before."""

    call: Call
    replayed: bool


@dataclass(frozen=True, slots=True)
class Funding:
    """A tenant's money after a funding, and when what is unused of it is lost."""

    money: Money
    expires_ms: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class Balance:
    """A tenant's money in full, in micros, and its open calls."""

    money: Money
    loaded_micros: int
    spent_micros: int
    expired_micros: int
    refunded_micros: int
    uncollected_micros: int
    abandoned_calls: int
    version: int
    expires_ms: int
    open_calls: int


class Ledger:
    """Holds, charges and gives back; knows the scripts and nothing of licences or prices."""

    def __init__(self, store: Store, *, receipt_ttl_s: int, refusal_ttl_s: int) -> None:
        self._store = store
        self._receipt_ttl = str(receipt_ttl_s)
        self._refusal_ttl = str(refusal_ttl_s)
        self._authorize = Script(store, "authorize")
        self._extend = Script(store, "extend")
        self._settle = Script(store, "settle")
        self._release = Script(store, "release")
        self._expire = Script(store, "expire")
        self._add_funds = Script(store, "add_funds")
        self._balance = Script(store, "balance")
        self._show = Script(store, "show")

    async def authorize(self, tenant: Tenant, asking: Asking) -> Outcome:
        """Holds what the decision says, or records its refusal. Raises Stale; Mismatch when the id
        was used for another call.
        """
        names, arguments = self._authorization(tenant, asking)
        answer = await self._when_free(tenant, lambda: self._authorize(names, arguments))
        if answer[0] == b"stale":
            raise Stale
        call = self._call(answer, tenant.tenant_id)
        if not (call.ending and call.ending.unreserved):
            _refuse_another(call, asking.facts)
        return Outcome(call, answer[0] == b"replay")

    def _authorization(self, tenant: Tenant, asking: Asking) -> tuple[Sequence[str], Sequence[str]]:
        owner, facts = tenant.tenant_id, asking.facts
        shard = keys.shard_of(owner)
        names = (
            keys.tenant(owner),
            keys.payer(owner, facts.payer_id),
            keys.call(owner, asking.call_id),
            keys.open_calls(owner),
            keys.due(shard),
            keys.busy(owner),
            keys.journal(shard),
        )
        arguments = (
            asking.call_id,
            owner,
            facts.payer_id,
            str(tenant.version),
            str(asking.payer_version),
            facts.pack(),
            asking.refusal or "",
            asking.source or "",
            *asking.terms.texts(),
            str(asking.asked_seconds),
            str(tenant.min_grant_seconds),
            str(tenant.lease_grace_seconds),
            str(asking.credit_line_micros),
            str(tenant.max_open_calls),
            str(tenant.max_open_calls_per_payer),
            str(tenant.max_payer_hold_percent),
            self._refusal_ttl,
            "1" if asking.dry else "0",
        )
        return names, arguments

    async def extend(self, tenant: Tenant, wish: Extension) -> Outcome | Judge:
        """Holds more for an open call. Raises Stale, NotFound, Conflict when the call has ended,
        Mismatch for a used sequence.
        """
        owner = tenant.tenant_id
        shard = keys.shard_of(owner)
        names = (
            keys.tenant(owner),
            keys.call(owner, wish.call_id),
            keys.open_calls(owner),
            keys.due(shard),
            keys.busy(owner),
            keys.journal(shard),
        )
        arguments = (
            wish.call_id,
            owner,
            str(tenant.version),
            "" if wish.epoch is None else str(wish.epoch),
            wish.refusal or "",
            "1" if wish.refusal and tenant.cut_running_calls else "0",
            str(wish.sequence),
            str(wish.added_seconds),
            str(tenant.lease_grace_seconds),
            str(tenant.max_payer_hold_percent),
        )
        answer = await self._when_free(tenant, lambda: self._extend(names, arguments))
        if answer[0] == b"stale":
            raise Stale
        if answer[0] == b"judge":
            return Judge(int(answer[1]), Call.read(answer[2]))
        if answer[0] == b"mismatch":
            raise Mismatch.of("sequence", "additional_seconds")
        call = self._call(answer, owner)
        return Outcome(call, answer[0] == b"replay")

    async def settle(
        self,
        tenant: Tenant,
        call_id: str,
        duration_seconds: int,
        unreserved: Unreserved | None = None,
    ) -> Outcome:
        """Charges a call once. Raises Stale, NotFound, Conflict when it ended otherwise, Mismatch when
        it was charged by other fields than these.
        """
        owner = tenant.tenant_id
        names = (
            keys.tenant(owner),
            keys.call(owner, call_id),
            keys.open_calls(owner),
            keys.busy(owner),
            keys.journal(keys.shard_of(owner)),
            keys.unmatched(owner, call_id),
            keys.payer(owner, unreserved.facts.payer_id if unreserved else ""),
        )
        arguments = (
            call_id,
            owner,
            str(tenant.version),
            str(duration_seconds),
            str(tenant.floor_micros),
            self._receipt_ttl,
            *_unreserved_texts(unreserved),
        )
        answer = await self._when_free(tenant, lambda: self._settle(names, arguments))
        if answer[0] == b"stale":
            raise Stale
        call = self._call(answer, owner)
        if unreserved and call.ending and call.ending.unreserved:
            _refuse_another(call, unreserved.facts)
        return Outcome(call, answer[0] == b"replay")

    async def release(self, tenant_id: str, call_id: str) -> Outcome:
        """Gives a hold back. Raises NotFound, and Conflict when the call was settled or refused."""
        names = (
            keys.tenant(tenant_id),
            keys.call(tenant_id, call_id),
            keys.open_calls(tenant_id),
            keys.busy(tenant_id),
            keys.journal(keys.shard_of(tenant_id)),
        )
        answer = await self._release(names, (call_id, tenant_id, self._receipt_ttl))
        return Outcome(self._call(answer, tenant_id), answer[0] == b"replay")

    async def show(self, tenant_id: str, call_id: str) -> Call:
        """A call as stored. Raises NotFound."""
        answer = await self._show((keys.call(tenant_id, call_id),), ())
        return self._call(answer, tenant_id)

    async def add_funds(
        self, tenant_id: str, funding_id: str, amount_micros: int, expire_days: int
    ) -> Funding:
        """Adds credits once. Raises NotFound, Mismatch, and Conflict when the balance would pass 9
        * 10^15.
        """
        names = (
            keys.tenant(tenant_id),
            keys.funding(tenant_id, funding_id),
            keys.journal(keys.shard_of(tenant_id)),
        )
        arguments = (funding_id, tenant_id, str(amount_micros), str(expire_days))
        word, *rest = await self._add_funds(names, arguments)
        if word == b"mismatch":
            raise Mismatch.of("funding_id", rest[0].decode())
        if word == b"limit":
            raise Conflict("BALANCE_LIMIT", "the balance would pass 9 * 10^15 micros")
        if word == b"no_tenant":
            raise unknown_tenant()
        settled, held, expires = map(int, rest)
        return Funding(Money(settled, held), expires, word == b"replay")

    async def balance(self, tenant: Tenant) -> Balance:
        """A tenant's money now; that of expired holds counts as free. Raises NotFound."""
        owner = tenant.tenant_id
        names = (
            keys.tenant(owner),
            keys.open_calls(owner),
            keys.journal(keys.shard_of(owner)),
        )
        word, *rest = await self._when_free(tenant, lambda: self._balance(names, (owner,)))
        if word == b"no_tenant":
            raise unknown_tenant()
        settled, held, *sums = map(int, rest)
        return Balance(Money(settled, held), *sums)

    async def expire(self, tenant: Tenant, call_ids: Sequence[str]) -> None:
        """Ends the holds of calls whose lease is over; leaves the others alone."""
        owner = tenant.tenant_id
        shard = keys.shard_of(owner)
        charge = "1" if tenant.charge_orphans else "0"
        await asyncio.gather(
            *(
                self._expire(
                    (
                        keys.tenant(owner),
                        keys.call(owner, call_id),
                        keys.open_calls(owner),
                        keys.due(shard),
                        keys.busy(owner),
                        keys.journal(shard),
                    ),
                    (call_id, owner, charge, self._receipt_ttl),
                )
                for call_id in call_ids
            )
        )

    async def _when_free(
        self, tenant: Tenant, ask: Callable[[], Awaitable[list[Any]]]
    ) -> list[Any]:
        """Asks; as long as due holds stand in the way, expires them and asks again."""
        for _ in range(ROUNDS):
            answer = await ask()
            if answer[0] != b"due":
                return answer
            await self.expire(tenant, [call_id.decode() for call_id in answer[1:]])
        raise StoreAway("EXPIRING", "too many holds are expiring at once; try again")

    @staticmethod
    def _call(answer: list[Any], tenant_id: str) -> Call:
        """The call of an answer, or the failure its word stands for."""
        word = answer[0]
        if word in (b"new", b"replay"):
            return Call.read(answer)
        if word in (b"unknown", b"unmatched"):
            raise NotFound("UNKNOWN_CALL", "there is no such call")
        if word == b"no_tenant":
            raise unknown_tenant()
        raise _ended(Call.read(answer))


def unknown_tenant() -> NotFound:
    """Another tenant's and nobody's look the same."""
    return NotFound("UNKNOWN_TENANT", "there is no such tenant")


def _refuse_another(call: Call, asked: Facts) -> None:
    """One id is one call (semantics 2, 5)."""
    field = call.facts.differing_field(asked)
    if field:
        raise Mismatch.of("call_id", field)


def _unreserved_texts(unreserved: Unreserved | None) -> tuple[str, ...]:
    if unreserved is None:
        return ("",) * 8
    facts = unreserved.facts
    return (
        facts.pack(),
        facts.payer_id,
        str(unreserved.payer_version),
        unreserved.source,
        *unreserved.terms.texts(),
    )


def _ended(call: Call) -> Conflict:
    """What ended a call first stands (semantics 13, 19, 22); the error carries that receipt."""
    facts = {"state": call.state.value}
    if call.ending:
        facts |= {
            "duration_seconds": str(call.ending.duration_seconds),
            "charged_micros": str(call.ending.charged_micros),
        }
    reason, message = {
        CallState.SETTLED: ("ALREADY_SETTLED", "the call was settled before"),
        CallState.RELEASED: ("ALREADY_RELEASED", "the call was released before"),
        CallState.REFUSED: ("CALL_REFUSED", "the call was refused"),
    }[call.state]
    return Conflict(reason, message, facts=facts)
