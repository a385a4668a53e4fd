"""From what the ledger keeps to what the contract answers. An answer is built from stored fields
alone, so a repeat is equal.

What operations answer stays fields until it is written: a message that is made of fields costs half of
one that is made of messages, which it copies, and a stream's message holds those of many operations.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from talktime.v1 import authorization_service_pb2 as pb
from talktime_server.decision.answers import Answer
from talktime_server.decision.rating import Rate
from talktime_server.ledger.profiles import Tenant
from talktime_server.ledger.records import Call, Ending, Grant, Money, Stretch
from talktime_server.words import CallState, CallType, NumberClass, Reason, SourceKind

Fields = dict[str, Any]


def _numbers(words: type[StrEnum], enum: Any, prefix: str) -> dict[str, Any]:
    """The proto number of each word; the empty word is the unspecified one."""
    return {"": 0} | {word.value: enum.Value(f"{prefix}_{word.value}") for word in words}


REASONS = _numbers(Reason, pb.Reason, "REASON")
SOURCES = _numbers(SourceKind, pb.SourceKind, "SOURCE_KIND")
CLASSES = _numbers(NumberClass, pb.NumberClass, "NUMBER_CLASS")
STATES = _numbers(CallState, pb.CallState, "CALL_STATE")
CALL_TYPES = _numbers(CallType, pb.CallType, "CALL_TYPE")
CALL_TYPE_WORDS = {number: CallType(word) for word, number in CALL_TYPES.items() if word}


def instant(ms: int) -> Timestamp:
    """An instant, from milliseconds."""
    return Timestamp(**_instant(ms))


def balance(money: Money, tenant: Tenant) -> pb.Balance:
    """A tenant's money."""
    return pb.Balance(**_balance(money, tenant))


def _instant(ms: int) -> Fields:
    return {"seconds": ms // 1000, "nanos": ms % 1000 * 1_000_000}


def _balance(money: Money, tenant: Tenant) -> Fields:
    return {
        "settled_micros": money.settled_micros,
        "held_micros": money.held_micros,
        "available_micros": money.available_micros,
        "currency_code": tenant.currency,
    }


def _rate(call: Call) -> Fields | None:
    """The price frozen on a call; None where no money may pay."""
    if not call.priced or call.state is CallState.REFUSED:
        return None
    facts, terms = call.facts, call.terms
    return {
        "destination": facts.destination,
        "prefix": facts.prefix,
        "rate_per_minute_micros": terms.rate_per_minute_micros,
        "connection_fee_micros": terms.connection_fee_micros,
        "initial_seconds": terms.initial_seconds,
        "increment_seconds": terms.increment_seconds,
        "deck_version": facts.deck_version,
        "origin": facts.origin,
    }


def deck_rate(found: Rate) -> pb.Rate:
    """A price as a deck says it."""
    return pb.Rate(
        destination=found.destination,
        prefix=found.prefix,
        rate_per_minute_micros=found.rate_per_minute_micros,
        connection_fee_micros=found.connection_fee_micros,
        initial_seconds=found.initial_seconds,
        increment_seconds=found.increment_seconds,
        deck_version=found.deck_version,
        origin=found.origin,
    )


def _sources(stretches: Iterable[Stretch]) -> list[Fields]:
    return [
        {
            "kind": SOURCES[part.kind],
            "pool_id": part.pool_id,
            "seconds": part.seconds,
            "amount_micros": part.amount_micros,
        }
        for part in stretches
    ]


def authorization(answer: Answer) -> Fields:
    """AuthorizeResponse: the first answer of a call. One that was settled before it was authorized is over: refused,
    with that receipt's money.
    """
    call, first = answer.call, answer.call.first
    if first is None:
        assert call.ending is not None
        return {
            "outcome": pb.OUTCOME_REFUSED,
            "reason": pb.REASON_ALREADY_SETTLED,
            "number_class": CLASSES[call.facts.number_class],
            "country": call.facts.country,
            "balance": _balance(call.ending.money, answer.tenant),
            "replayed": True,
            "decided_time": _instant(call.ending.ended_ms),
        }
    fields = _decision(answer, first)
    fields["replayed"] = answer.replayed
    return fields


def quotation(answer: Answer, explain: list[pb.Check]) -> pb.QuoteResponse:
    """What Authorize would answer."""
    assert answer.call.first is not None
    fields = _decision(answer, answer.call.first)
    del fields["decided_time"]
    return pb.QuoteResponse(**fields, explain=explain)


def extension(answer: Answer) -> Fields:
    """ExtendResponse: the last answer to an Extend of a call."""
    last = answer.call.last
    assert last is not None
    fields = _decision(answer, last)
    fields["replayed"], fields["reacquired"] = answer.replayed, last.reacquired
    return fields


def _decision(answer: Answer, grant: Grant) -> Fields:
    """The fields that every decision answers."""
    call, granted = answer.call, grant.refusal is None
    return {
        "outcome": pb.OUTCOME_AUTHORIZED if granted else pb.OUTCOME_REFUSED,
        "reason": REASONS[grant.refusal or ""],
        "granted_seconds": grant.granted_seconds,
        "lease_seconds": grant.lease_seconds,
        "final_grant": grant.final,
        "sources": _sources(grant.stretches),
        "rate": _rate(call),
        "number_class": CLASSES[call.facts.number_class],
        "country": call.facts.country,
        "balance": _balance(grant.money, answer.tenant),
        "decided_time": _instant(grant.decided_ms),
    }


def settlement(answer: Answer) -> Fields:
    """SettleResponse: the receipt of a settled call."""
    call, ending = answer.call, answer.call.ending
    assert ending is not None
    return {
        "outcome": pb.OUTCOME_AUTHORIZED,
        "charges": _sources(ending.stretches),
        "charged_micros": ending.charged_micros + ending.invoiced_micros,
        "late": ending.late,
        "overrun": ending.overrun,
        "unreserved": ending.unreserved,
        "balance": _balance(ending.money, answer.tenant),
        "replayed": answer.replayed,
        "uncollected_micros": ending.uncollected_micros,
        "duration_seconds": ending.duration_seconds,
        "billed_seconds": ending.billed_seconds,
        "rate": _rate(call),
        "settled_time": _instant(ending.ended_ms),
        "uncovered_seconds": ending.uncovered_seconds,
    }


def release(answer: Answer) -> Fields:
    """ReleaseResponse: the receipt of a released call, or of one that time released."""
    ending = answer.call.ending
    assert ending is not None
    return {
        "state": STATES[answer.call.state],
        "released_micros": ending.released_micros,
        "balance": _balance(ending.money, answer.tenant),
        "replayed": answer.replayed,
        "released_time": _instant(ending.ended_ms),
    }


def shown(answer: Answer, call_id: str) -> pb.GetCallResponse:
    """A call as stored."""
    call = answer.call
    fields: Fields = {
        "state": STATES[call.state],
        "call": _asked(call, answer.tenant.tenant_id, call_id),
        "granted_seconds": call.granted_seconds,
        "held_micros": call.held_micros,
        "extend_sequence": call.last.sequence if call.last else 0,
    }
    if call.first:
        fields["authorization"] = authorization(answer)
    if call.state is CallState.SETTLED:
        fields["settlement"] = settlement(answer)
    if lease_end := _lease_end(call.ending, call):
        fields["lease_expire_time"] = _instant(lease_end)
    return pb.GetCallResponse(**fields)


def _lease_end(ending: Ending | None, call: Call) -> int:
    return ending.ended_ms if ending and call.state is not CallState.OPEN else call.lease_ms


def _asked(call: Call, tenant_id: str, call_id: str) -> pb.AuthorizeRequest:
    facts = call.facts
    return pb.AuthorizeRequest(
        tenant_id=tenant_id,
        call_id=call_id,
        payer_id=facts.payer_id,
        call_type=CALL_TYPES[facts.call_type],
        from_number=facts.from_number,
        to_number=facts.to_number,
        conference_id=facts.conference_id,
        requested_seconds=int(facts.requested_seconds),
        routing_number=facts.routing_number,
        conference_budget_micros=int(facts.conference_budget_micros),
    )
