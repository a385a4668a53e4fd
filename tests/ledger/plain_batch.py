"""Several calls decided as one step by the plain ledger."""

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

from ledger.plain_call import Answer, DueFirst, Wanted
from ledger.plain_offer import Offer
from ledger.plain_price import Bill
from talktime_server.ledger.records import Call
from talktime_server.words import CallState, Reason

if TYPE_CHECKING:
    from ledger.plain import PlainLedger


def authorize_batch(ledger: "PlainLedger", legs: Sequence[Wanted], *, all_or_none: bool) -> Answer:
    """All legs in order as one step; with all or none, a refused one refuses the others."""
    while True:
        attempt = deepcopy(ledger)
        attempt.in_batch = True
        try:
            told = [attempt.authorize(leg) for leg in legs]
        except DueFirst:
            ledger.end_due()
            continue
        break
    failures = [answer.failure for answer in told if answer.failure]
    if failures:
        return Answer(failure=failures[0])
    if all_or_none and any(not _granted(answer) for answer in told):
        told = [_refused_leg(ledger, leg, first) for leg, first in zip(legs, told, strict=True)]
        reached = attempt.meters.told - ledger.meters.told
        ledger.entries += len(reached)
        ledger.meters.told |= reached
    else:
        attempt.in_batch = False
        _become(ledger, attempt)
    return Answer(legs=tuple(told))


def _become(ledger: "PlainLedger", other: "PlainLedger") -> None:
    for name in ledger.__slots__:
        setattr(ledger, name, getattr(other, name))


def _refused_leg(ledger: "PlainLedger", leg: Wanted, first: Answer) -> Answer:
    known = ledger.calls.get(leg.call_id)
    if known:
        return ledger.again(known, leg.facts)
    own = getattr(getattr(first.shown, "first", None), "refusal", None)
    offer = Offer(Bill((), 0), own or Reason.BATCH_REFUSED)
    return Answer(ledger.open_or_refuse(leg, offer).shown())


def _granted(answer: Answer) -> bool:
    """A call that was settled before it was authorized has no first answer: it is over."""
    call = answer.shown
    return isinstance(call, Call) and call.first is not None and call.state is not CallState.REFUSED
