"""From a question to an answer: profile → number → who may and what pays → price → ledger.

This is the way of a call. Profiles, decks and number tables are at hand in the process, so the one
trip to the store is the script that holds the money; it compares the versions of the profiles it
was decided by, and when they are old the decision is made again.
"""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from talktime_server.decision.answers import Answer, Answers
from talktime_server.decision.numbering import Number, is_e164
from talktime_server.decision.outright import Outright
from talktime_server.decision.pools import PoolState, pools_of
from talktime_server.decision.price_list import PriceList
from talktime_server.decision.receipts import Receipts, settled
from talktime_server.decision.verdict import Decision, Question, Verdicts, asking_of, facts_of
from talktime_server.failure import Conflict, Failure, Invalid, NotFound, StoreAway, Violation
from talktime_server.ledger.directory import Directory, Profiles
from talktime_server.ledger.ledger import Ledger
from talktime_server.ledger.operations import (
    Absent,
    Extension,
    Judge,
    Outcome,
    Stale,
    Unreserved,
)
from talktime_server.ledger.profiles import Payer, Tenant
from talktime_server.ledger.records import EMERGENCY, NOTHING, Call, Sources
from talktime_server.words import CallState, CallType, NumberClass, SourceKind

ATTEMPTS = 3  # of a decision whose profiles keep changing under it

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Quote:
    """What Authorize would answer, with the decision behind it."""

    answer: Answer
    decision: Decision
    payer: Payer | None
    pools: tuple[PoolState, ...] = ()


class Calls:
    """Authorizes, extends, settles and releases calls."""

    def __init__(
        self,
        *,
        directory: Directory,
        verdicts: Verdicts,
        prices: PriceList,
        ledger: Ledger,
        receipts: Receipts,
    ) -> None:
        self._directory = directory
        self._verdicts = verdicts
        self._ledger = ledger
        self._receipts = receipts
        self._answers = Answers(verdicts, prices)
        self.outright = Outright(directory, verdicts, ledger, self._answers)

    async def authorize(self, question: Question) -> Answer:
        """Decides a call and holds what pays for it, once per call id."""

        async def attempt(profiles: Profiles) -> Answer:
            decision = self._verdicts.decide(profiles, question)
            asking = asking_of(question, profiles, decision)
            outcome = await self._ledger.authorize(profiles.tenant, asking)
            return self._answers.of(profiles.tenant, question, decision, outcome)

        return await self._by_profiles(question.tenant_id, question.payer_id, attempt)

    async def authorize_batch(
        self, questions: Sequence[Question], *, all_or_none: bool
    ) -> list[Answer]:
        """Decides calls of one tenant in one step, in order; all or none of them when asked so."""
        for attempt in range(ATTEMPTS):
            known = await self._profiles_of(questions, again=attempt > 0)
            decided = [self._verdicts.decide(p, q) for p, q in zip(known, questions, strict=True)]
            tenant = known[0].tenant
            if any(p.tenant.version != tenant.version for p in known):
                continue  # the tenant changed between two readings
            askings = [
                asking_of(q, p, d) for q, p, d in zip(questions, known, decided, strict=True)
            ]
            with contextlib.suppress(Stale):
                outcomes = await self._ledger.authorize_batch(
                    tenant, askings, all_or_none=all_or_none
                )
                parts = zip(questions, decided, outcomes, strict=True)
                return [self._answers.of(tenant, *part) for part in parts]
        raise _churning()

    async def _profiles_of(self, questions: Sequence[Question], *, again: bool) -> list[Profiles]:
        """The profiles of each question, each payer's read once."""
        read = self._directory.fresh if again else self._directory.profiles
        owner = questions[0].tenant_id
        found = {q.payer_id: await read(owner, q.payer_id) for q in questions}
        return [found[question.payer_id] for question in questions]

    async def quote(self, question: Question) -> Quote:
        """Decides a call as `authorize` does; holds and keeps nothing."""

        async def attempt(found: Profiles) -> Quote:
            profiles = found.named(question.payer_id)
            decision = self._verdicts.decide(profiles, question)
            asking = asking_of(question, profiles, decision, dry=True)
            outcome = await self._ledger.authorize(profiles.tenant, asking)
            answer = Answer(profiles.tenant, outcome.call, replayed=False)
            return Quote(answer, decision, profiles.payer, await self._pools(profiles, decision))

        return await self._by_profiles(question.tenant_id, question.payer_id, attempt)

    async def _pools(self, profiles: Profiles, decision: Decision) -> tuple[PoolState, ...]:
        """The tenant's pools, where the decision speaks of any."""
        if not (decision.sources and decision.sources.pools):
            return ()
        tenant, pools = profiles.tenant, decision.sources.pools
        meters = await self._ledger.meters(tenant.tenant_id, pools)
        return tuple(pools_of(tenant, meters.counts, meters.uses))

    async def extend(
        self, tenant_id: str, call_id: str, sequence: int, added_seconds: int
    ) -> Answer:
        """Adds talk time; a call whose profiles changed since it started is judged by the new ones
        first (semantics 67).
        """
        wish = Extension(call_id, sequence, added_seconds)

        async def attempt(tenant: Tenant) -> Answer:
            try:
                outcome = await self._ledger.extend(tenant, wish)
            except NotFound:
                await self._receipts.refuse_ended(tenant_id, call_id)
                raise
            if isinstance(outcome, Judge):
                tenant, outcome = await self._extend_judged(tenant_id, wish, outcome)
            return Answer(tenant, outcome.call, outcome.replayed)

        return await self._by_tenant(tenant_id, attempt)

    async def _extend_judged(
        self, tenant_id: str, wish: Extension, judge: Judge
    ) -> tuple[Tenant, Outcome]:
        # The epoch was read before these profiles: if they change once more, the script asks again.
        payer_id = judge.call.facts.payer_id
        profiles = (await self._directory.fresh(tenant_id, payer_id)).named(payer_id)
        judged = wish._replace(epoch=judge.epoch, limits=profiles.limits)
        if judge.call.free is not SourceKind.EMERGENCY:
            facts = judge.call.facts
            now = self._verdicts.decide_again(profiles, CallType(facts.call_type), facts.to_number)
            sources = _payable(now.sources, judge.call)
            judged = judged._replace(refusal=now.refusal, sources=sources)
        outcome = await self._ledger.extend(profiles.tenant, judged)
        if isinstance(outcome, Judge):
            raise Stale
        return profiles.tenant, outcome

    async def settle(
        self,
        tenant_id: str,
        call_id: str,
        duration_seconds: int,
        question: Question | None,
    ) -> Answer:
        """Charges a call once; one that was never authorized by its fields, when they are given
        (semantics 14).
        """

        async def attempt(tenant: Tenant) -> Answer:
            unreserved, unpriced = await self._unreserved(question)
            try:
                outcome = await self._settle_once(tenant, call_id, duration_seconds, unreserved)
            except NotFound as unknown:
                raise unpriced or unknown from None
            except Stale:
                if question:  # its payer's profile may be the old one
                    await self._directory.fresh(tenant_id, question.payer_id)
                raise
            return Answer(tenant, outcome.call, outcome.replayed)

        return await self._by_tenant(tenant_id, attempt)

    async def _settle_once(
        self, tenant: Tenant, call_id: str, duration_seconds: int, unreserved: Unreserved | None
    ) -> Outcome:
        """A call that the store does not know may be one whose receipt's life is over."""
        try:
            return await self._ledger.settle(tenant, call_id, duration_seconds, unreserved)
        except Absent:
            record = await self._receipts.find(tenant.tenant_id, call_id)
        if record and record.call.state is not CallState.EXPIRED:
            return settled(record.call, duration_seconds, unreserved)
        archived = record.packed if record else b""
        return await self._ledger.settle(
            tenant, call_id, duration_seconds, unreserved, archived=archived
        )

    async def _unreserved(
        self, question: Question | None
    ) -> tuple[Unreserved | None, Failure | None]:
        """What a call would cost by its fields, or why they have no price: that matters only when
        nobody knows the call, as a known one keeps its frozen rate.
        """
        if question is None:
            return None, None
        try:
            return await self._price_unasked(question), None
        except Failure as failure:
            return None, failure

    async def _price_unasked(self, question: Question) -> Unreserved:
        profiles = await self._directory.profiles(question.tenant_id, question.payer_id)
        if self._verdicts.is_emergency(question, profiles.payer):
            number = Number(question.to_number, NumberClass.EMERGENCY, "")
            decision = Decision(number, EMERGENCY)
        elif not is_e164(question.to_number):
            text = "is neither E.164 nor an emergency number of the payer's country"
            raise Invalid.fields([Violation("call.to_number", "NOT_E164", text)])
        else:
            decision = self._verdicts.decide_unasked(profiles, question)
        if decision.sources is None:
            raise Conflict(decision.refusal or "", "no deck in force prices this call")
        facts = facts_of(question, decision)
        return Unreserved(facts, profiles.payer_version, decision.sources, decision.terms)

    async def release(self, tenant_id: str, call_id: str) -> Answer:
        """Gives a call's hold back whole."""
        tenant = await self._directory.tenant(tenant_id)
        try:
            outcome = await self._ledger.release(tenant_id, call_id)
        except NotFound:
            known = await self._receipts.release(tenant_id, call_id)
            if known is None:
                raise
            outcome = known
        return Answer(tenant, outcome.call, outcome.replayed)

    async def show(self, tenant_id: str, call_id: str) -> Answer:
        """A call as stored, or as it ended long ago."""
        tenant = await self._directory.tenant(tenant_id)
        try:
            call = await self._ledger.show(tenant_id, call_id)
        except NotFound:
            record = await self._receipts.find(tenant_id, call_id)
            if record is None:
                raise
            call = record.call
        return Answer(tenant, call, replayed=False)

    async def _by_profiles(
        self,
        tenant_id: str,
        payer_id: str,
        attempt: Callable[[Profiles], Awaitable[Result]],
    ) -> Result:
        profiles = await self._directory.profiles(tenant_id, payer_id)
        for _ in range(ATTEMPTS):
            try:
                return await attempt(profiles)
            except Stale:
                profiles = await self._directory.fresh(tenant_id, payer_id)
        raise _churning()

    async def _by_tenant(
        self, tenant_id: str, attempt: Callable[[Tenant], Awaitable[Result]]
    ) -> Result:
        tenant = await self._directory.tenant(tenant_id)
        for _ in range(ATTEMPTS):
            try:
                return await attempt(tenant)
            except Stale:
                tenant = await self._directory.fresh_tenant(tenant_id)
        raise _churning()


def _churning() -> StoreAway:
    return StoreAway("CONTENDED", "the tenant's profiles keep changing; try again")


def _payable(sources: Sources | None, call: Call) -> Sources:
    """What may pay from now on; no money may where no rate was frozen."""
    if sources is None:
        return NOTHING
    return sources if call.priced else replace(sources, credits=False, postpaid=False)
