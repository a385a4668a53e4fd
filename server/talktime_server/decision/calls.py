"""From a question to an answer: profile → number → who may and what pays → price → ledger.

This is the way of a call. Profiles, decks and number tables are at hand in the process, so the one
trip to the store is the script that holds the money; it compares the versions of the profiles it
was decided by, and when they are old the decision is made again.
"""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from talktime_server.decision.entitlement import Entitlement, entitle
from talktime_server.decision.numbering import Number, NumberPlan
from talktime_server.decision.price_list import PriceList
from talktime_server.decision.rating import Rate
from talktime_server.failure import Conflict, Failure, NotFound, StoreAway
from talktime_server.ledger.directory import Directory, Profiles
from talktime_server.ledger.ledger import (
    Asking,
    Extension,
    Judge,
    Ledger,
    Outcome,
    Stale,
    Unreserved,
)
from talktime_server.ledger.profiles import Payer, Tenant
from talktime_server.ledger.records import NO_PRICE, Call, Facts, Terms
from talktime_server.words import CallType, NumberClass, Reason, SourceKind

ATTEMPTS = 3  # of a decision whose profiles keep changing under it
DEFAULT_RATE = "default rate"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Question:
    """A call somebody wants to place: ids and numbers are checked, `requested_seconds` 0 asks for
    the tenant's default.
    """

    tenant_id: str
    call_id: str
    payer_id: str
    call_type: CallType
    from_number: str
    to_number: str
    conference_id: str
    requested_seconds: int
    routing_number: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What pays for a call and at which rate, or why nothing does."""

    number: Number | None = None
    source: SourceKind | None = None
    refusal: Reason | None = None
    rate: Rate | None = None
    credit_line_micros: int = 0
    entitlement: Entitlement | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A call after an operation, and the tenant whose money it shows."""

    tenant: Tenant
    call: Call
    replayed: bool


@dataclass(frozen=True, slots=True)
class Quote:
    """What Authorize would answer, with the decision behind it."""

    answer: Answer
    decision: Decision
    payer: Payer | None


class Calls:
    """Authorizes, extends, settles and releases calls."""

    def __init__(
        self,
        *,
        directory: Directory,
        plan: NumberPlan,
        prices: PriceList,
        ledger: Ledger,
    ) -> None:
        self._directory = directory
        self._plan = plan
        self._prices = prices
        self._ledger = ledger

    async def authorize(self, question: Question) -> Answer:
        """Decides a call and holds what pays for it, once per call id."""

        async def attempt(profiles: Profiles) -> Answer:
            decision = self.decide(profiles, question)
            asking = _asking(question, profiles, decision)
            outcome = await self._ledger.authorize(profiles.tenant, asking)
            return Answer(profiles.tenant, outcome.call, outcome.replayed)

        return await self._by_profiles(question.tenant_id, question.payer_id, attempt)

    async def quote(self, question: Question) -> Quote:
        """Decides a call as `authorize` does; holds and keeps nothing."""

        async def attempt(profiles: Profiles) -> Quote:
            decision = self.decide(profiles, question)
            asking = _asking(question, profiles, decision, dry=True)
            outcome = await self._ledger.authorize(profiles.tenant, asking)
            answer = Answer(profiles.tenant, outcome.call, replayed=False)
            return Quote(answer, decision, profiles.payer)

        return await self._by_profiles(question.tenant_id, question.payer_id, attempt)

    async def extend(
        self, tenant_id: str, call_id: str, sequence: int, added_seconds: int
    ) -> Answer:
        """Adds talk time; a call whose profiles changed since it started is judged by the new ones
        first (semantics 67).
        """
        wish = Extension(call_id, sequence, added_seconds)

        async def attempt(tenant: Tenant) -> Answer:
            outcome = await self._ledger.extend(tenant, wish)
            if isinstance(outcome, Judge):
                tenant, outcome = await self._extend_judged(tenant_id, wish, outcome)
            return Answer(tenant, outcome.call, outcome.replayed)

        return await self._by_tenant(tenant_id, attempt)

    async def _extend_judged(
        self, tenant_id: str, wish: Extension, judge: Judge
    ) -> tuple[Tenant, Outcome]:
        # The epoch was read before these profiles: if they change once more, the script asks again.
        profiles = await self._directory.fresh(tenant_id, judge.call.facts.payer_id)
        refusal = self._refusal_now(profiles, judge.call)
        judged = replace(wish, epoch=judge.epoch, refusal=refusal)
        outcome = await self._ledger.extend(profiles.tenant, judged)
        if isinstance(outcome, Judge):
            raise Stale
        return profiles.tenant, outcome

    def _refusal_now(self, profiles: Profiles, call: Call) -> Reason | None:
        """Whether a call that runs may go on by the profiles of now. Its price is frozen and not
        asked again.
        """
        if call.source is SourceKind.EMERGENCY:
            return None
        refusal = _standing(profiles)
        if refusal or profiles.payer is None:
            return refusal
        number = self._plan.classify(call.facts.to_number)
        return entitle(profiles.payer, CallType(call.facts.call_type), number).refusal

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
                outcome = await self._ledger.settle(tenant, call_id, duration_seconds, unreserved)
            except NotFound as unknown:
                raise unpriced or unknown from None
            except Stale:
                if question:  # its payer's profile may be the old one
                    await self._directory.fresh(tenant_id, question.payer_id)
                raise
            return Answer(tenant, outcome.call, outcome.replayed)

        return await self._by_tenant(tenant_id, attempt)

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
        """Nobody can refuse a call any more that took place without asking, so only its price counts."""
        profiles = await self._directory.profiles(question.tenant_id, question.payer_id)
        if self.is_emergency(question, profiles.payer):
            number = Number(question.to_number, NumberClass.EMERGENCY, "")
            decision = Decision(number, SourceKind.EMERGENCY)
        else:
            decision = self._price(profiles.tenant, self._entitled(profiles, question), question)
        if decision.refusal:
            raise Conflict(decision.refusal, "no deck in force prices this call")
        facts = facts_of(question, decision)
        source = decision.source or SourceKind.INCLUDED
        return Unreserved(facts, profiles.payer_version, source, _terms(decision.rate))

    def _entitled(self, profiles: Profiles, question: Question) -> Decision:
        number = self._plan.classify(question.to_number)
        if profiles.payer is None:
            return Decision(number, SourceKind.CREDITS)
        entitlement = entitle(profiles.payer, question.call_type, number)
        return Decision(number, entitlement.source or SourceKind.CREDITS)

    async def release(self, tenant_id: str, call_id: str) -> Answer:
        """Gives a call's hold back whole."""
        tenant = await self._directory.tenant(tenant_id)
        outcome = await self._ledger.release(tenant_id, call_id)
        return Answer(tenant, outcome.call, outcome.replayed)

    async def show(self, tenant_id: str, call_id: str) -> Answer:
        """A call as stored."""
        tenant = await self._directory.tenant(tenant_id)
        return Answer(tenant, await self._ledger.show(tenant_id, call_id), replayed=False)

    async def meet(self, tenant_id: str, payer_id: str) -> None:
        """Brings profiles to hand, so that operations that follow are decided without waiting; the
        operation itself says what is wrong.
        """
        with contextlib.suppress(Failure):
            if payer_id:
                await self._directory.profiles(tenant_id, payer_id)
            else:
                await self._directory.tenant(tenant_id)

    def decide(self, profiles: Profiles, question: Question) -> Decision:
        """The checks in their order (domain.md 2): standing, number and licences, price, ceiling.
        Money comes last, in the script.
        """
        refusal = _standing(profiles)
        if refusal or profiles.payer is None:
            return Decision(refusal=refusal)
        number = self._plan.classify(question.to_number)
        entitlement = entitle(profiles.payer, question.call_type, number)
        decision = Decision(
            number, entitlement.source, entitlement.refusal, entitlement=entitlement
        )
        if decision.source is not SourceKind.CREDITS:
            return decision
        priced = self._price(profiles.tenant, decision, question)
        return _below_ceiling(priced, profiles.tenant, profiles.payer)

    def is_emergency(self, question: Question, payer: Payer | None) -> bool:
        """Whether the called number is an emergency number for its payer; anywhere's will do when
        the payer is not known.
        """
        if question.call_type.inbound:
            return False
        if payer is None:
            return self._plan.is_emergency_anywhere(question.to_number)
        return self._plan.is_emergency(question.to_number, payer.country)

    def _price(self, tenant: Tenant, decision: Decision, question: Question) -> Decision:
        if decision.source is not SourceKind.CREDITS:
            return decision
        rate = self._prices.rate_for(tenant.currency, question.routing_number or question.to_number)
        rate = rate or _default_rate(tenant)
        return Decision(
            decision.number,
            decision.source,
            None if rate else Reason.NO_RATE,
            rate,
            tenant.inbound_grace_micros if question.call_type.inbound else 0,
            decision.entitlement,
        )

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


def _standing(profiles: Profiles) -> Reason | None:
    """Whether tenant and payer may call at all."""
    if profiles.tenant.suspended:
        return Reason.TENANT_SUSPENDED
    if profiles.payer is None:
        return Reason.PAYER_UNKNOWN
    return Reason.PAYER_BLOCKED if profiles.payer.blocked else None


def _default_rate(tenant: Tenant) -> Rate | None:
    """What an unpriced destination costs when the tenant said so; otherwise nothing prices it
    (semantics 36).
    """
    micros = tenant.default_rate_per_minute_micros
    return Rate(DEFAULT_RATE, "", micros, 0, 60, 60, "") if micros else None


def _below_ceiling(decision: Decision, tenant: Tenant, payer: Payer) -> Decision:
    ceiling = payer.max_rate_per_minute_micros or tenant.max_rate_per_minute_micros
    if decision.rate is None or not ceiling or decision.rate.rate_per_minute_micros <= ceiling:
        return decision
    return replace(decision, refusal=Reason.RATE_CEILING)


def _terms(rate: Rate | None) -> Terms:
    if rate is None:
        return NO_PRICE
    return Terms(
        rate.rate_per_minute_micros,
        rate.connection_fee_micros,
        rate.initial_seconds,
        rate.increment_seconds,
    )


def facts_of(question: Question, decision: Decision) -> Facts:
    """What is kept with a call: what was asked, and what was found out about it."""
    number, rate = decision.number, decision.rate
    return Facts(
        call_type=question.call_type.value,
        payer_id=question.payer_id,
        from_number=question.from_number,
        to_number=question.to_number,
        conference_id=question.conference_id,
        requested_seconds=str(question.requested_seconds),
        routing_number=question.routing_number,
        number_class=number.number_class.value if number else "",
        country=number.country if number else "",
        destination=rate.destination if rate else "",
        prefix=rate.prefix if rate else "",
        deck_version=rate.deck_version if rate else "",
    )


def _asking(
    question: Question, profiles: Profiles, decision: Decision, *, dry: bool = False
) -> Asking:
    return Asking(
        call_id=question.call_id,
        facts=facts_of(question, decision),
        payer_version=profiles.payer_version,
        asked_seconds=question.requested_seconds or profiles.tenant.default_grant_seconds,
        source=decision.source,
        refusal=decision.refusal,
        terms=_terms(decision.rate),
        credit_line_micros=decision.credit_line_micros,
        dry=dry,
    )
