"""What an operation is answered; and what a deck in the shadow would have made of it, on the side."""

from typing import NamedTuple

import structlog

from talktime_server.decision.price_list import PriceList
from talktime_server.decision.verdict import Decision, Question, Verdicts
from talktime_server.ledger.operations import Outcome
from talktime_server.ledger.profiles import Tenant
from talktime_server.ledger.records import Call
from talktime_server.words import Reason, SourceKind

_MONEY = frozenset({SourceKind.CREDITS, SourceKind.POSTPAID})

log = structlog.get_logger()


class Answer(NamedTuple):
    """A call after an operation, and the tenant whose money it shows."""

    tenant: Tenant
    call: Call
    replayed: bool


class Answers:
    """Answers authorizations."""

    def __init__(self, verdicts: Verdicts, prices: PriceList) -> None:
        self._verdicts = verdicts
        self._prices = prices

    def of(
        self, tenant: Tenant, question: Question, decision: Decision, outcome: Outcome
    ) -> Answer:
        """The answer; a call decided now is also priced by the deck in the shadow, if there is one."""
        if decision.priced and not outcome.replayed and self._prices.shadowed:
            try:
                self._compare(tenant, question, decision, outcome)
            except Exception:  # the call is held: what is only counted must not lose its answer
                log.exception("shadow_not_compared")
        return Answer(tenant, outcome.call, outcome.replayed)

    def _compare(
        self, tenant: Tenant, question: Question, decision: Decision, outcome: Outcome
    ) -> None:
        """Counts the talk time that money pays for, and calls that found no rate as long as they asked."""
        first = outcome.call.first
        if first is None:
            return
        seconds = sum(part.seconds for part in first.stretches if part.kind in _MONEY)
        if first.refusal is Reason.NO_RATE:
            seconds = question.requested_seconds or tenant.default_grant_seconds
        if not seconds:
            return
        self._prices.compare(
            tenant,
            question.routing_number or question.to_number,
            decision.rate,
            seconds,
            inbound=question.call_type.inbound,
            origin=self._verdicts.origin_of(question),
        )
