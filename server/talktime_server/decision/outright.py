"""The short way of an operation: decided from what is at hand, asked together with those beside it, answered outright.

Nearly every operation goes this way. One that does not (its profiles are not at hand or are old, holds
stand in its way whose time is over, the store does not know its call) had no effect, and goes the
long way of calls.py, which can do all of that.
"""

from collections.abc import Sequence
from typing import NamedTuple

from talktime_server.decision.answers import Answer, Answers
from talktime_server.decision.verdict import Decision, Question, Verdicts, asking_of
from talktime_server.failure import Failure
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.ledger import Ledger
from talktime_server.ledger.operations import Extension, Outcome
from talktime_server.ledger.profiles import Tenant
from talktime_server.ledger.store import Ask


class Attempt(NamedTuple):
    """An operation that is ready to be asked for. `question` is that of its call, where it is given."""

    tenant: Tenant
    ask: Ask
    question: Question | None = None
    decision: Decision | None = None


class Outright:
    """Makes attempts, None where something is not at hand, and carries them out side by side."""

    def __init__(
        self, directory: Directory, verdicts: Verdicts, ledger: Ledger, answers: Answers
    ) -> None:
        self._directory = directory
        self._verdicts = verdicts
        self._ledger = ledger
        self._asks = ledger.asks
        self._answers = answers

    def authorize(self, question: Question) -> Attempt | None:
        """Decides a call and holds what pays for it."""
        profiles = self._directory.cached(question.tenant_id, question.payer_id)
        if profiles is None:
            return None
        decision = self._verdicts.decide(profiles, question)
        asking = asking_of(question, profiles, decision)
        ask = self._asks.authorization(profiles.tenant, asking)
        return Attempt(profiles.tenant, ask, question, decision)

    def extend(
        self, tenant_id: str, call_id: str, sequence: int, added_seconds: int
    ) -> Attempt | None:
        """Adds talk time."""
        tenant = self._directory.cached_tenant(tenant_id)
        if tenant is None:
            return None
        wish = Extension(call_id, sequence, added_seconds)
        return Attempt(tenant, self._asks.extension(tenant, wish))

    def settle(
        self, tenant_id: str, call_id: str, duration_seconds: int, question: Question | None
    ) -> Attempt | None:
        """Charges a call that the store knows."""
        tenant = self._directory.cached_tenant(tenant_id)
        if tenant is None:
            return None
        return Attempt(tenant, self._asks.settlement(tenant, call_id, duration_seconds), question)

    def release(self, tenant_id: str, call_id: str) -> Attempt | None:
        """Gives a call's hold back whole."""
        tenant = self._directory.cached_tenant(tenant_id)
        return Attempt(tenant, self._asks.giving_back(tenant_id, call_id)) if tenant else None

    async def carry_out(self, attempts: Sequence[Attempt]) -> list[Answer | Failure | None]:
        """The answers, None where an operation has to go the long way."""
        outcomes = await self._ledger.outright([attempt.ask for attempt in attempts])
        return list(map(self._answer, attempts, outcomes))

    def _answer(
        self, attempt: Attempt, outcome: Outcome | Failure | None
    ) -> Answer | Failure | None:
        if outcome is None or isinstance(outcome, Failure):
            return outcome
        tenant, _, question, decision = attempt
        if decision and question:
            return self._answers.of(tenant, question, decision, outcome)
        ending = outcome.call.ending
        if question and ending and ending.unreserved:
            return None  # by other fields it would be another call (semantics 14)
        return Answer(tenant, outcome.call, outcome.replayed)
