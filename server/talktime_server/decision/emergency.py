"""Emergency calls: they pass before any other check, store or no store, and are recorded afterwards (promise 6).

Which number is one depends on the payer's country. When no profile can be had, a number that is one
anywhere passes. The record is written behind the answer and tried again while the store is away; it
is bounded, and what it drops is logged. A process that ends waits for the store as long as it may.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from talktime_server.decision.numbering import Number, NumberPlan
from talktime_server.decision.verdict import Decision, Question, facts_of
from talktime_server.failure import Failure, Invalid, StoreAway, Violation
from talktime_server.ledger.directory import Directory, Profiles
from talktime_server.ledger.ledger import Ledger
from talktime_server.ledger.operations import Asking
from talktime_server.ledger.records import EMERGENCY
from talktime_server.words import NumberClass

GRANTED_SECONDS = 86_400  # nobody's emergency call ends because a router forgot to extend it
MOST_WAITING = 10_000
RETRY_PERIOD_S = 1.0
LAST_RETRY_PERIOD_S = 0.1  # when the process is about to end
LAST_TRY_S = 1.0  # which a record is given in any case, and the supervisor waits for

ReadProfiles = Callable[[str, str], Awaitable[Profiles]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Passed:
    """An emergency call that may start; its country is the payer's, empty when that is not known."""

    granted_seconds: int
    country: str
    decided_ms: int


class Emergencies:
    """Lets emergency calls pass and records them."""

    def __init__(self, *, directory: Directory, plan: NumberPlan, ledger: Ledger) -> None:
        self._directory = directory
        self._plan = plan
        self._ledger = ledger
        self._waiting: deque[Question] = deque()
        self._something = asyncio.Event()
        self._ends_at = 0.0

    def may_be(self, to_number: str) -> bool:
        """Whether a dialled number is an emergency number in any country."""
        return self._plan.is_emergency_anywhere(to_number)

    async def passes(self, question: Question) -> Passed:
        """Lets a call to such a number pass, unless the payer's country is known and has another
        number for it. Raises Invalid.
        """
        country = await self.country_for(question)
        self._note(question)
        # The store's clock may be out of reach, so this instant is the process's: it decides
        # nothing.
        return Passed(GRANTED_SECONDS, country, time.time_ns() // 1_000_000)

    async def country_for(self, question: Question) -> str:
        """The payer's country, where the number calls for help; empty when it is not known. Raises
        Invalid when that country has another number for it.
        """
        country = await self._payer_country(question, self._directory.profiles)
        if not self._is_one(question, country):
            # The profile at hand may be old, and nobody is kept from help by what was true before.
            country = await self._payer_country(question, self._directory.fresh)
        if not self._is_one(question, country):
            text = "is neither E.164 nor an emergency number of the payer's country"
            raise Invalid.fields([Violation("to_number", "NOT_E164", text)])
        return country

    def _is_one(self, question: Question, country: str) -> bool:
        return not country or self._plan.is_emergency(question.to_number, country)

    @staticmethod
    async def _payer_country(question: Question, read: ReadProfiles) -> str:
        """Empty when no profile can be had."""
        if not (question.tenant_id and question.payer_id):
            return ""
        try:
            payer = (await read(question.tenant_id, question.payer_id)).payer
        except Failure:
            return ""
        return payer.country if payer else ""

    def _note(self, question: Question) -> None:
        log.info("emergency_call", tenant_id=question.tenant_id, call_id=question.call_id)
        if not (question.tenant_id and question.call_id):
            return
        if len(self._waiting) >= MOST_WAITING:
            log.error("emergency_record_dropped", call_id=self._waiting.popleft().call_id)
        self._waiting.append(question)
        self._something.set()

    async def run(self) -> None:
        """Writes the records until cancelled."""
        while True:
            await self._something.wait()
            self._something.clear()
            if not await self._flush():
                self._something.set()
                await asyncio.sleep(RETRY_PERIOD_S)

    def drain(self, limit_s: float) -> None:
        """The process ends, within so many seconds."""
        self._ends_at = time.monotonic() + limit_s

    async def finish(self) -> bool:
        """Writes what waits, as often tried as the time until the end allows; whether all is written."""
        try:
            async with asyncio.timeout(max(LAST_TRY_S, self._ends_at - time.monotonic())):
                while not await self._flush():
                    await asyncio.sleep(LAST_RETRY_PERIOD_S)
        except TimeoutError:
            return False
        return True

    async def _flush(self) -> bool:
        """Writes what waits; False when the store would not take it."""
        while self._waiting:
            first = self._waiting[0]
            try:
                await self._record(first)
            except StoreAway:
                return False
            except Failure as failure:
                log.warning("emergency_not_recorded", reason=failure.reason)
            # When there were too many, it was dropped meanwhile: the next one is not written yet.
            if self._waiting and self._waiting[0] is first:
                self._waiting.popleft()
        return True

    async def _record(self, question: Question) -> None:
        profiles = await self._directory.profiles(question.tenant_id, question.payer_id)
        country = profiles.payer.country if profiles.payer else ""
        number = Number(question.to_number, NumberClass.EMERGENCY, country)
        asking = Asking(
            question.call_id,
            facts_of(question, Decision(number)),
            profiles.payer_version,
            GRANTED_SECONDS,
            sources=EMERGENCY,
        )
        await self._ledger.authorize(profiles.tenant, asking)
