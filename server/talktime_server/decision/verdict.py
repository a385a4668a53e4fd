"""The decision itself, without any trip to the store: who may make a call, what may pay for it, and
at which rate.

The checks stand in the order of domain.md 2: tenant and payer, dial-out policy, number class,
licences, price, ceiling. What is left of pools and money, and the limits on it, is the ledger's
question.
"""

from dataclasses import replace
from typing import NamedTuple, Protocol

from talktime_server.decision.entitlement import Entitlement, entitle
from talktime_server.decision.numbering import Number, NumberPlan
from talktime_server.decision.rating import Rate
from talktime_server.ledger.directory import Profiles
from talktime_server.ledger.operations import Asking
from talktime_server.ledger.profiles import Payer, Tenant
from talktime_server.ledger.records import CREDITS, NO_PRICE, NOTHING, Facts, Sources, Terms
from talktime_server.words import CallType, NumberClass, Reason

DEFAULT_RATE = "default rate"
_UNPRICED = ("", "", "", "")
_COSTLY_CLASSES = frozenset({NumberClass.PREMIUM, NumberClass.SHARED_COST})


class Question(NamedTuple):
    """A call somebody wants to place: ids and numbers are checked, `requested_seconds` 0 asks for
    the tenant's default. `payer_id` is empty for a call to an unassigned number, which no payer
    makes.
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
    conference_budget_micros: int = 0


class Decision(NamedTuple):
    """What may pay for a call and at which rate, or why nothing may. `priced` says that a rate was
    looked for; `costly` that the call counts against the limit on costly ones.
    """

    number: Number | None = None
    sources: Sources | None = None
    refusal: Reason | None = None
    rate: Rate | None = None
    credit_line_micros: int = 0
    entitlement: Entitlement | None = None
    priced: bool = False
    costly: bool = False

    @property
    def terms(self) -> Terms:
        """The price to freeze on the call."""
        rate = self.rate
        if rate is None:
            return NO_PRICE
        return Terms(
            rate.rate_per_minute_micros,
            rate.connection_fee_micros,
            rate.initial_seconds,
            rate.increment_seconds,
        )


class Prices(Protocol):
    """Where rates come from."""

    def rate_for(
        self, tenant: Tenant, number: str, *, inbound: bool = False, origin: str = ""
    ) -> Rate | None:
        """The rate of a number, E.164, for a tenant; None where no deck in force has one."""


class Verdicts:
    """Decides calls by the number plan and the decks at hand."""

    def __init__(self, plan: NumberPlan, prices: Prices) -> None:
        self._plan = plan
        self._prices = prices

    def decide(self, profiles: Profiles, question: Question) -> Decision:
        """Every check but the ledger's, in order."""
        refusal = standing(profiles, question.call_type)
        if refusal:
            return Decision(refusal=refusal)
        number = self._plan.classify(question.to_number)
        entitlement = _entitle(profiles, question, number)
        sources = entitlement.sources
        if sources is None:
            return Decision(number, refusal=entitlement.refusal, entitlement=entitlement)
        if not sources.money:
            return Decision(number, sources, entitlement=entitlement)
        return self._price(profiles, question, Decision(number, sources, entitlement=entitlement))

    def decide_unasked(self, profiles: Profiles, question: Question) -> Decision:
        """What pays for a call that took place without asking: nobody can refuse it any more, so
        only its price counts, and what no licence covers is the tenant's to pay.
        """
        number = self._plan.classify(question.to_number)
        sources: Sources | None = None
        if profiles.payer or not question.payer_id:
            sources = _entitle(profiles, question, number).sources
        if sources is None or not sources.free:
            pools = sources.pools if sources else ()
            sources = replace(CREDITS, pools=pools, postpaid=profiles.tenant.postpaid)
        decision = Decision(number, sources)
        return self._price(profiles, question, decision) if sources.money else decision

    def decide_again(self, profiles: Profiles, call_type: CallType, to_number: str) -> Decision:
        """Whether a call that runs may go on by the profiles of now, and what may pay for it. Its
        price is frozen and not asked again.
        """
        refusal = standing(profiles, call_type)
        if refusal:
            return Decision(refusal=refusal)
        number = self._plan.classify(to_number)
        entitlement = entitle(profiles.tenant, profiles.payer, call_type, number)
        return Decision(number, entitlement.sources, entitlement.refusal)

    def origin_of(self, question: Question) -> str:
        """Country of the caller of a call that comes in, where it matters for the price."""
        if not (question.call_type.inbound and question.from_number):
            return ""
        return self._plan.classify(question.from_number).country

    def is_emergency(self, question: Question, payer: Payer | None) -> bool:
        """Whether the called number is an emergency number for its payer; anywhere's will do when
        the payer is not known.
        """
        if question.call_type.inbound:
            return False
        if payer is None:
            return self._plan.is_emergency_anywhere(question.to_number)
        return self._plan.is_emergency(question.to_number, payer.country)

    def _price(self, profiles: Profiles, question: Question, decision: Decision) -> Decision:
        tenant, inbound = profiles.tenant, question.call_type.inbound
        number, sources, entitlement = decision.number, decision.sources, decision.entitlement
        routed = question.routing_number or question.to_number
        origin = self.origin_of(question) if inbound else ""
        rate = self._prices.rate_for(tenant, routed, inbound=inbound, origin=origin)
        rate = rate or _default_rate(tenant)
        if rate is None:
            return _without_money(decision, Reason.NO_RATE, None)
        if entitlement and _above_ceiling(rate, tenant, profiles.payer):
            return _without_money(decision, Reason.RATE_CEILING, rate)
        line, costly = _grace(tenant, question, number), _is_costly(rate, tenant, number)
        return Decision(number, sources, None, rate, line, entitlement, True, costly)


def _entitle(profiles: Profiles, question: Question, number: Number) -> Entitlement:
    tenant, payer, _ = profiles
    return entitle(tenant, payer, question.call_type, number, payer_id=question.payer_id)


def standing(profiles: Profiles, call_type: CallType) -> Reason | None:
    """Whether tenant and payer may call at all; nobody pays in person for an unassigned number."""
    if profiles.tenant.suspended:
        return Reason.TENANT_SUSPENDED
    if profiles.payer is None:
        return None if call_type is CallType.UNASSIGNED_IN else Reason.PAYER_UNKNOWN
    return Reason.PAYER_BLOCKED if profiles.payer.blocked else None


def facts_of(question: Question, decision: Decision) -> Facts:
    """What is kept with a call: what was asked, and what was found out about it."""
    number, rate = decision.number, decision.rate
    if decision.sources is None or not decision.sources.money:
        rate = None  # what no money may pay for has no price to freeze
    return Facts(
        question.call_type,
        question.payer_id,
        question.from_number,
        question.to_number,
        question.conference_id,
        str(question.requested_seconds),
        question.routing_number,
        str(question.conference_budget_micros),
        *((number.number_class, number.country) if number else ("", "")),
        *((rate.destination, rate.prefix, rate.origin, rate.deck_version) if rate else _UNPRICED),
    )


def _default_rate(tenant: Tenant) -> Rate | None:
    """What an unpriced destination costs when the tenant said so; otherwise nothing prices it
    (semantics 36).
    """
    micros = tenant.default_rate_per_minute_micros
    return Rate(DEFAULT_RATE, "", micros, 0, 60, 60, "") if micros else None


def _without_money(decision: Decision, why: Reason, rate: Rate | None) -> Decision:
    """Pools may still pay for a call that has no price, or too high a one; without them it is
    refused.
    """
    assert decision.sources is not None
    if not decision.sources.pools:
        return decision._replace(sources=None, refusal=why, rate=rate, priced=True)
    pools_alone = Sources(pools=decision.sources.pools, short=why)
    return decision._replace(sources=pools_alone, rate=rate, priced=True)


def _above_ceiling(rate: Rate, tenant: Tenant, payer: Payer | None) -> bool:
    """semantics 46"""
    own = payer.max_rate_per_minute_micros if payer else 0
    ceiling = own or tenant.max_rate_per_minute_micros
    return 0 < ceiling < rate.rate_per_minute_micros


def _grace(tenant: Tenant, question: Question, number: Number | None) -> int:
    """How far below zero a call may hold that comes in on a toll-free number (semantics 74); no
    other may, as anybody can call an unassigned one, and none of a postpaid tenant needs to.
    """
    toll_free = number is not None and number.number_class is NumberClass.TOLL_FREE
    may = question.call_type.inbound and toll_free and not tenant.postpaid
    return tenant.inbound_grace_micros if may else 0


def _is_costly(rate: Rate, tenant: Tenant, number: Number | None) -> bool:
    if number and number.number_class in _COSTLY_CLASSES:
        return True
    return 0 < tenant.costly_rate_per_minute_micros <= rate.rate_per_minute_micros


def asking_of(
    question: Question, profiles: Profiles, decision: Decision, *, dry: bool = False
) -> Asking:
    """What the ledger is asked: to hold what pays, or to keep the refusal."""
    return Asking(
        question.call_id,
        facts_of(question, decision),
        profiles.payer_version,
        question.requested_seconds or profiles.tenant.default_grant_seconds,
        decision.sources or NOTHING,
        decision.refusal,
        decision.terms,
        decision.credit_line_micros,
        profiles.limits,
        decision.costly,
        dry,
    )
