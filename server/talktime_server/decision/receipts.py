"""What the archive answers for a call whose receipt the store does not keep any more (semantics 8).

A repeat that comes so late gets the first answer again, and nothing else: what ended once is never
charged a second time. Another body than the first is refused with RECEIPT_EXPIRED, for what the
store would have compared it with is gone.
"""

from typing import Protocol

from talktime_server.failure import Conflict
from talktime_server.ledger.operations import Outcome, Unreserved
from talktime_server.ledger.records import Call
from talktime_server.words import CallState


class Archive(Protocol):
    """What is asked of the archive."""

    async def call(self, tenant_id: str, call_id: str) -> Call | None:
        """A call as it last stood, None for one that it does not have. Raises ArchiveAway."""


class Receipts:
    """Answers repeats from the archive; without one it knows no call."""

    def __init__(self, archive: Archive | None = None) -> None:
        self._archive = archive

    async def show(self, tenant_id: str, call_id: str) -> Call | None:
        """A call that ended, as it ended. Raises ArchiveAway."""
        call = await self._archive.call(tenant_id, call_id) if self._archive else None
        # An open call is in the store or it is nowhere: there is no receipt of it.
        return call if call and call.state is not CallState.OPEN else None

    async def settle(
        self, tenant_id: str, call_id: str, duration_seconds: int, asked: Unreserved | None
    ) -> Outcome | None:
        """The receipt of this very settle, None for a call that never was. Raises Conflict
        RECEIPT_EXPIRED, ArchiveAway.
        """
        call = await self.show(tenant_id, call_id)
        if call is None:
            return None
        ending = call.ending
        same = call.state is CallState.SETTLED and ending is not None
        if same and ending and ending.unreserved and asked:
            same = call.facts.differing_field(asked.facts) is None
        if not (same and ending and ending.duration_seconds == duration_seconds):
            raise _expired(call)
        return Outcome(call, replayed=True)

    async def release(self, tenant_id: str, call_id: str) -> Outcome | None:
        """The receipt of this very release, None for a call that never was. Raises as `settle`."""
        call = await self.show(tenant_id, call_id)
        if call and call.state not in (CallState.RELEASED, CallState.EXPIRED):
            raise _expired(call)
        return Outcome(call, replayed=True) if call else None

    async def refuse_ended(self, tenant_id: str, call_id: str) -> None:
        """Raises Conflict RECEIPT_EXPIRED for a call that ended: it takes no more talk time."""
        call = await self.show(tenant_id, call_id)
        if call:
            raise _expired(call)


def _expired(call: Call) -> Conflict:
    facts = {"state": call.state.value}
    if call.ending:
        facts |= {
            "duration_seconds": str(call.ending.duration_seconds),
            "charged_micros": str(call.ending.charged_micros),
        }
    return Conflict(
        "RECEIPT_EXPIRED",
        "the call ended long ago, and otherwise than this asks",
        facts=facts,
    )
