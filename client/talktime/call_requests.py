"""What can be asked of AuthorizationService: each function builds one request."""

from collections.abc import Iterable
from functools import cache

from google.protobuf.message import Message

from talktime import conversion
from talktime.answers import (
    Authorization,
    Batch,
    Call,
    CallFields,
    Extension,
    Leg,
    Quote,
    Release,
    Settlement,
    new_call_id,
)
from talktime.ask import Ask, Defaults, T, ask, reading
from talktime.errors import malformed_answer
from talktime.v1 import authorization_service_pb2 as pb
from talktime.words import CallType


def authorize(
    defaults: Defaults,
    payer_id: str,
    call_type: CallType | str,
    to_number: str,
    *,
    call_id: str | None = None,
    from_number: str = "",
    conference_id: str = "",
    requested_seconds: int = 0,
    routing_number: str = "",
    conference_budget_micros: int = 0,
    tenant_id: str | None = None,
    timeout_s: float | None = None,
) -> Ask[Authorization]:
    """Decides whether a call may start and holds what pays for it; without `call_id` one is made, and told in
    the answer. `requested_seconds` is at most 86,400; 0 asks for the tenant's default. `payer_id` is empty for
    UNASSIGNED_IN, which the tenant itself pays; `conference_budget_micros` is the most that the legs of its
    conference may hold and spend together, 0 for no budget."""
    call_id = new_call_id() if call_id is None else call_id
    request = pb.AuthorizeRequest(
        tenant_id=defaults.tenant(tenant_id),
        call_id=call_id,
        payer_id=payer_id,
        call_type=_call_type(call_type),
        from_number=defaults.number(from_number),
        to_number=defaults.number(to_number),
        conference_id=conference_id,
        requested_seconds=requested_seconds,
        routing_number=defaults.number(routing_number),
        conference_budget_micros=conference_budget_micros,
    )
    return _about_call(defaults, request, Authorization, call_id, timeout_s)


def authorize_batch(
    defaults: Defaults,
    legs: Iterable[Leg],
    *,
    all_or_none: bool = False,
    tenant_id: str | None = None,
    timeout_s: float | None = None,
) -> Ask[Batch]:
    """Decides up to 100 legs in one atomic step, in their order: with `all_or_none` every leg is granted or none,
    otherwise each gets its own verdict. An emergency number is asked about with `authorize` alone."""
    legs = list(legs)
    request = pb.AuthorizeBatchRequest(
        tenant_id=defaults.tenant(tenant_id),
        legs=[pb.AuthorizeBatchLeg(call=_call(defaults, leg)) for leg in legs],
        all_or_none=all_or_none,
    )

    def read(answer: pb.AuthorizeBatchResponse) -> Batch:
        if len(answer.verdicts) != len(legs):
            raise malformed_answer("it has not one verdict per leg")
        pairs = zip(legs, answer.verdicts, strict=True)
        verdicts = [conversion.read(Authorization, v, call_id=leg.call_id) for leg, v in pairs]
        return Batch(tuple(verdicts), answer.authorized_legs)

    return ask(request, read, defaults.limit_s(timeout_s))


def extend(
    defaults: Defaults,
    call_id: str,
    sequence: int,
    additional_seconds: int,
    *,
    tenant_id: str | None = None,
    timeout_s: float | None = None,
) -> Ask[Extension]:
    """Adds talk time to an open call, at most 86,400 seconds at once; `sequence` counts its extensions from 1, and
    makes repeating safe."""
    request = pb.ExtendRequest(
        tenant_id=defaults.tenant(tenant_id),
        call_id=call_id,
        sequence=sequence,
        additional_seconds=additional_seconds,
    )
    return _about_call(defaults, request, Extension, call_id, timeout_s)


def settle(
    defaults: Defaults,
    call_id: str,
    duration_seconds: int,
    call: CallFields | None = None,
    *,
    tenant_id: str | None = None,
    timeout_s: float | None = None,
) -> Ask[Settlement]:
    """Charges the talk time of an ended call, at most 86,400 seconds, 0 when nobody answered; `call` names its
    fields, for one that may never have been authorized."""
    request = pb.SettleRequest(
        tenant_id=defaults.tenant(tenant_id), call_id=call_id, duration_seconds=duration_seconds
    )
    if call is not None:
        request.call.CopyFrom(_call(defaults, call))
    return _about_call(defaults, request, Settlement, call_id, timeout_s)


def release(
    defaults: Defaults,
    call_id: str,
    *,
    tenant_id: str | None = None,
    timeout_s: float | None = None,
) -> Ask[Release]:
    """Gives a call's whole hold back: it was never answered, or never placed."""
    request = pb.ReleaseRequest(tenant_id=defaults.tenant(tenant_id), call_id=call_id)
    return _about_call(defaults, request, Release, call_id, timeout_s)


def quote(
    defaults: Defaults,
    payer_id: str,
    call_type: CallType | str,
    to_number: str,
    *,
    from_number: str = "",
    conference_id: str = "",
    requested_seconds: int = 0,
    routing_number: str = "",
    conference_budget_micros: int = 0,
    tenant_id: str | None = None,
    timeout_s: float | None = None,
) -> Ask[Quote]:
    """Decides as `authorize` would, holds and records nothing, and explains each check."""
    request = pb.QuoteRequest(
        tenant_id=defaults.tenant(tenant_id),
        payer_id=payer_id,
        call_type=_call_type(call_type),
        from_number=defaults.number(from_number),
        to_number=defaults.number(to_number),
        requested_seconds=requested_seconds,
        routing_number=defaults.number(routing_number),
        conference_id=conference_id,
        conference_budget_micros=conference_budget_micros,
    )
    return ask(request, reading(Quote), defaults.limit_s(timeout_s))


def get_call(
    defaults: Defaults,
    call_id: str,
    *,
    tenant_id: str | None = None,
    timeout_s: float | None = None,
) -> Ask[Call]:
    """Reads a call as stored."""
    request = pb.GetCallRequest(tenant_id=defaults.tenant(tenant_id), call_id=call_id)
    return _about_call(defaults, request, Call, call_id, timeout_s)


def _about_call(
    defaults: Defaults, request: Message, kind: type[T], call_id: str, timeout_s: float | None
) -> Ask[T]:
    read = reading(kind, call_id=call_id)
    return ask(request, read, defaults.limit_s(timeout_s), call_id)


@cache
def _call_type(word: str) -> pb.CallType.ValueType:
    return pb.CallType.ValueType(conversion.number_of(word, pb.CallType.DESCRIPTOR))


def _call(defaults: Defaults, call: CallFields | Leg) -> pb.AuthorizeRequest:
    """A call's fields as `authorize` would have sent them; its ids may be left to the request around it."""
    return pb.AuthorizeRequest(
        tenant_id=call.tenant_id if isinstance(call, CallFields) else "",
        call_id=call.call_id,
        payer_id=call.payer_id,
        call_type=_call_type(call.call_type),
        from_number=defaults.number(call.from_number),
        to_number=defaults.number(call.to_number),
        conference_id=call.conference_id,
        requested_seconds=call.requested_seconds,
        routing_number=defaults.number(call.routing_number),
        conference_budget_micros=call.conference_budget_micros,
    )
