"""What the archive answers for a call whose receipt the store does not keep any more (semantics 8).

A repeat that comes so late gets the first answer again, and nothing else: what ended once is never
charged a second time. Another body than the first is refused with RECEIPT_EXPIRED, for what the
store would have compared it with is gone. A call that ended by time alone was never settled: its
settle still charges it once, however late it comes, by the record that the archive gives back.
"""

from dataclasses import dataclass
from typing import Protocol

from talktime_server.failure import Conflict
from talktime_server.ledger.operations import Outcome, Unreserved
from talktime_server.ledger.packed import call_of
from talktime_server.ledger.records import Call
from talktime_server.words import CallState


class Archive(Protocol):
    """What is asked of the archive."""

    async def packed_call(self, tenant_id: str, call_id: str) -> bytes | None:
        """A call as it last stood, as the scripts pack it; None for one that it does not have. Raises
        ArchiveAway.
        """


@dataclass(frozen=True, slots=True)
class Record:
    """A call that ended, and the same as the scripts pack it."""

    call: Call
    packed: bytes


class Receipts:
    """Answers repeats from the archive; without one it knows no call."""

    def __init__(self, archive: Archive | None = None) -> None:
        self._archive = archive

    async def find(self, tenant_id: str, call_id: str) -> Record | None:
        """A call that ended, as it ended. Raises ArchiveAway."""
        packed = await self._archive.packed_call(tenant_id, call_id) if self._archive else None
        if packed is None:
            return None
        call = call_of(packed)
        # An open call is in the store or it is nowhere: there is no receipt of it.
        return None if call.state is CallState.OPEN else Record(call, packed)

    async def release(self, tenant_id: str, call_id: str) -> Outcome | None:
        """The receipt of this very release, None for a call that never was. Raises Conflict
        RECEIPT_EXPIRED, ArchiveAway.
        """
        record = await self.find(tenant_id, call_id)
        if record is None:
            return None
        if record.call.state not in (CallState.RELEASED, CallState.EXPIRED):
            raise _expired(record.call)
        return Outcome(record.call, replayed=True)

    async def refuse_ended(self, tenant_id: str, call_id: str) -> None:
        """Raises Conflict RECEIPT_EXPIRED for a call that ended: it takes no more talk time."""
        record = await self.find(tenant_id, call_id)
        if record:
            raise _expired(record.call)


def settled(call: Call, duration_seconds: int, asked: Unreserved | None) -> Outcome:
    """The receipt of a settle that is asked for again. Raises Conflict RECEIPT_EXPIRED when it was
    another one, or the call ended otherwise.
    """
    ending = call.ending
    if call.state is not CallState.SETTLED or ending is None:
        raise _expired(call)
    other = ending.unreserved and asked and call.facts.differing_field(asked.facts)
    if other or ending.duration_seconds != duration_seconds:
        raise _expired(call)
    return Outcome(call, replayed=True)


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
