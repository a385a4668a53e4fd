"""The ledger: money and holds, one method per script.

Every method is safe to repeat with the same id. A script that finds holds past their lease where it
needs the money names them; the ledger expires them and asks again, so that nobody is refused for
money that is free (semantics 27), and no script ever walks a long list (90).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from talktime_server.failure import Conflict, Failure, Mismatch, NotFound, StoreAway
from talktime_server.ledger import keys
from talktime_server.ledger.asks import KINDS, Asks
from talktime_server.ledger.funds import Funds
from talktime_server.ledger.meters import read_meters, read_pool_rows
from talktime_server.ledger.operations import (
    Absent,
    Asking,
    Balance,
    Extension,
    Judge,
    Lot,
    Meters,
    Outcome,
    Stale,
    Unreserved,
)
from talktime_server.ledger.packed import call_of
from talktime_server.ledger.profiles import Tenant, unknown_tenant
from talktime_server.ledger.records import Call, Facts, Money, Pool
from talktime_server.ledger.store import Answer, Ask, Script, Store
from talktime_server.words import CallState

ROUNDS = 100  # of expiring 100 due holds each, before a caller is told to come back


class Ledger:
    """Holds, charges and gives back; knows the scripts and nothing of licences or prices."""

    def __init__(self, store: Store, *, receipt_ttl_s: int, refusal_ttl_s: int) -> None:
        self._store = store
        self.asks = Asks(receipt_ttl_s=receipt_ttl_s, refusal_ttl_s=refusal_ttl_s)
        self._calls = Script(store, "calls", KINDS, tail=("",))
        self.funds = Funds(store)
        self._balance = Script(store, "balance")
        self._show = Script(store, "show")

    async def outright(self, asks: Sequence[Ask]) -> list[Outcome | Failure | None]:
        """Asks for operations side by side, at least one, in their order. None where the answer is not
        simply the call: then the operation had no effect, and its own method finds out more.
        """
        return [_outright(answer) for answer in await self._calls.side_by_side(asks)]

    async def authorize(self, tenant: Tenant, asking: Asking) -> Outcome:
        """Holds what the decision says, or records its refusal. Raises Stale; Mismatch when the id
        was used for another call.
        """
        answer = await self._when_free(tenant, self.asks.authorization(tenant, asking))
        return self._decided(answer, asking)

    async def authorize_batch(
        self, tenant: Tenant, askings: Sequence[Asking], *, all_or_none: bool
    ) -> list[Outcome]:
        """Decides calls in one step, in order. Raises Stale; Mismatch when an id was used for another
        call: nothing was done.
        """
        asks = [self.asks.authorization(tenant, asking) for asking in askings]
        mode = "all" if all_or_none else "any"
        for _ in range(ROUNDS):
            answers = await self._calls.together(asks, mode)
            named = (call_id for answer in answers if answer[0] == b"due" for call_id in answer[1:])
            due = list(dict.fromkeys(named))  # the longest over first, as everywhere
            if not due:
                pairs = zip(answers, askings, strict=True)
                return [self._decided(answer, asking) for answer, asking in pairs]
            await self.expire(tenant, [call_id.decode() for call_id in due])
        raise _expiring()

    def _decided(self, answer: list[Any], asking: Asking) -> Outcome:
        if answer[0] == b"stale":
            raise Stale
        call = self._call(answer)
        if not (call.ending and call.ending.unreserved):
            _refuse_another(call, asking.facts)
        return Outcome(call, answer[0] == b"replay")

    async def extend(self, tenant: Tenant, wish: Extension) -> Outcome | Judge:
        """Holds more for an open call. Raises Stale, NotFound, Conflict when the call has ended,
        Mismatch for a used sequence.
        """
        answer = await self._when_free(tenant, self.asks.extension(tenant, wish))
        if answer[0] == b"stale":
            raise Stale
        if answer[0] == b"judge":
            return Judge(int(answer[2]), call_of(answer[1]))
        if answer[0] == b"mismatch":
            raise Mismatch.of("sequence", "additional_seconds")
        call = self._call(answer)
        return Outcome(call, answer[0] == b"replay")

    async def settle(
        self,
        tenant: Tenant,
        call_id: str,
        duration_seconds: int,
        unreserved: Unreserved | None = None,
        *,
        archived: bytes | None = None,
    ) -> Outcome:
        """Charges a call once. Raises Absent for a call that the store does not know, unless `archived`
        says what the archive has: the call as packed, empty when it knows none; Stale, NotFound, Conflict when it ended
        otherwise, Mismatch when it was charged by other fields than these.
        """
        ask = self.asks.settlement(
            tenant, call_id, duration_seconds, unreserved=unreserved, archived=archived
        )
        answer = await self._when_free(tenant, ask)
        if answer[0] == b"stale":
            raise Stale
        if answer[0] == b"absent":
            raise Absent
        call = self._call(answer)
        if unreserved and call.ending and call.ending.unreserved:
            _refuse_another(call, unreserved.facts)
        return Outcome(call, answer[0] == b"replay")

    async def release(self, tenant_id: str, call_id: str) -> Outcome:
        """Gives a hold back. Raises NotFound, and Conflict when the call was settled or refused."""
        answer = await self._in_turn(self.asks.giving_back(tenant_id, call_id))
        return Outcome(self._call(answer), answer[0] == b"replay")

    async def show(self, tenant_id: str, call_id: str) -> Call:
        """A call as stored. Raises NotFound."""
        answer = await self._show((keys.call(tenant_id, call_id),), ())
        return self._call(answer)

    async def balance(self, tenant: Tenant) -> Balance:
        """A tenant's money now; that of expired holds counts as free. Raises NotFound."""
        owner = tenant.tenant_id
        shard = keys.shard_of(owner)
        names = (
            keys.tenant(owner),
            keys.account(owner),
            keys.open_calls(owner),
            keys.journal(shard),
            keys.recharges(shard),
        )
        word, *rest = await self._until_free(tenant, lambda: self._balance(names, (owner,)))
        if word == b"no_tenant":
            raise unknown_tenant()
        *numbers, rows = rest
        settled, held, *sums = map(int, numbers)
        places: list[Any] = [*sums, tuple(map(_lot, rows))]
        return Balance(Money(settled, held), *places)

    async def meters(self, tenant_id: str, pools: Sequence[Pool]) -> Meters:
        """The licences that size these pools, and what is used and held of them this month."""
        return await read_meters(self._store, tenant_id, pools)

    async def pool_rows(self, tenant_id: str) -> dict[str, tuple[int, int]]:
        """What is used and held, in seconds, by pool and month as "US/MCOPSTN1@202611"."""
        return await read_pool_rows(self._store, tenant_id)

    async def expire(self, tenant: Tenant, call_ids: Sequence[str]) -> None:
        """Ends the holds of calls whose lease is over; leaves the others alone."""
        expiries = (self.asks.expiry(tenant, call_id) for call_id in call_ids)
        await asyncio.gather(*map(self._in_turn, expiries))

    async def _when_free(self, tenant: Tenant, ask: Ask) -> list[Any]:
        return await self._until_free(tenant, lambda: self._in_turn(ask))

    async def _in_turn(self, ask: Ask) -> list[Any]:
        """Asks; one that came behind another of its tenant which must be asked again goes after it."""
        while (answer := await self._calls(*ask))[0] == b"behind":
            pass
        return answer

    async def _until_free(
        self, tenant: Tenant, ask: Callable[[], Awaitable[list[Any]]]
    ) -> list[Any]:
        """Asks; as long as due holds stand in the way, expires them and asks again."""
        for _ in range(ROUNDS):
            answer = await ask()
            if answer[0] != b"due":
                return answer
            await self.expire(tenant, [call_id.decode() for call_id in answer[1:]])
        raise _expiring()

    @staticmethod
    def _call(answer: list[Any]) -> Call:
        """The call of an answer, or the failure its word stands for."""
        word = answer[0]
        if word in (b"new", b"replay", b"another"):
            return call_of(answer[1])
        if word in (b"unknown", b"unmatched"):
            raise NotFound("UNKNOWN_CALL", "there is no such call")
        if word == b"no_tenant":
            raise unknown_tenant()
        raise _ended(call_of(answer[1]), word)


def _outright(answer: Answer | Failure) -> Outcome | Failure | None:
    if isinstance(answer, Failure):
        return answer
    word = answer[0]
    if word == b"new" or word == b"replay":
        return Outcome(call_of(answer[1]), word == b"replay")
    return None


def _lot(row: list[Any]) -> Lot:
    funding_id, left, expires, amount, funded = row
    return Lot(funding_id.decode(), int(left), int(expires), int(amount), int(funded))


def _expiring() -> StoreAway:
    return StoreAway("EXPIRING", "too many holds are expiring at once; try again")


def _refuse_another(call: Call, asked: Facts) -> None:
    """One id is one call (semantics 2, 5)."""
    field = call.facts.differing_field(asked)
    if field:
        raise Mismatch.of("call_id", field)


def _ended(call: Call, word: bytes) -> Conflict:
    """What ended a call first stands (semantics 13, 19, 22); the error carries that receipt."""
    facts = {"state": call.state.value}
    if word == b"differs":
        facts["field"] = "duration_seconds"
    seconds = ""
    if call.ending:
        seconds = str(call.ending.duration_seconds)
        facts |= {
            "duration_seconds": seconds,
            "charged_micros": str(call.ending.charged_micros),
        }
    reason, message = {
        CallState.SETTLED: ("ALREADY_SETTLED", f"the call was settled before, with {seconds} s"),
        CallState.RELEASED: ("ALREADY_RELEASED", "the call was released before"),
        CallState.REFUSED: ("CALL_REFUSED", "the call was refused"),
    }[call.state]
    return Conflict(reason, message, facts=facts)
