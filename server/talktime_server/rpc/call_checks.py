"""What a request about a call may look like, and the question that it asks: every rule of
authorization_service.proto, checked before anything is decided.
"""

from typing import Any

from talktime.v1 import authorization_service_pb2 as pb
from talktime_server.decision.verdict import Question
from talktime_server.failure import Failure
from talktime_server.rpc.decoding import Checks
from talktime_server.rpc.messages import CALL_TYPE_WORDS
from talktime_server.rpc.shapes import Identity
from talktime_server.words import CallType

MAX_SECONDS = 86_400
MAX_BUDGET = 10**12
_CALL_TYPES = frozenset(CALL_TYPE_WORDS)


def check_call(checks: Checks, request: pb.AuthorizeRequest) -> None:
    """A call that asks to start."""
    checks.call_id("call_id", request.call_id)
    check_fields(checks, request, "", dialled=request.to_number)


def check_fields(
    checks: Checks,
    request: pb.AuthorizeRequest,
    path: str,
    *,
    dialled: str,
    required: bool = True,
) -> None:
    """A call's own fields, below `path`. `dialled` is the called number, empty where one that is no
    E.164 is as good as any.
    """
    if request.call_type != pb.CALL_TYPE_UNASSIGNED_IN:
        checks.id(f"{path}payer_id", request.payer_id)
    checks.enum(f"{path}call_type", request.call_type, _CALL_TYPES)
    checks.number(f"{path}from_number", request.from_number, required=False)
    checks.number(f"{path}to_number", dialled, required=required)
    checks.id(f"{path}conference_id", request.conference_id, required=False)
    checks.seconds(f"{path}requested_seconds", request.requested_seconds, 0, MAX_SECONDS)
    checks.number(f"{path}routing_number", request.routing_number, required=False)
    budget = request.conference_budget_micros
    checks.micros(f"{path}conference_budget_micros", budget, 0, MAX_BUDGET)
    if budget and not request.conference_id:
        text = "is required with a conference_budget_micros"
        checks.blame(f"{path}conference_id", "MISSING_FIELD", text)


def check_leg(
    checks: Checks, leg: pb.AuthorizeRequest, path: str, tenant_id: str, seen: set[str]
) -> None:
    """One leg of a batch; `seen` gathers the call ids of the legs before it."""
    check_same(checks, f"{path}tenant_id", leg.tenant_id, tenant_id)
    checks.call_id(f"{path}call_id", leg.call_id)
    check_fields(checks, leg, path, dialled=leg.to_number)
    if leg.call_id in seen:
        checks.blame(f"{path}call_id", "DUPLICATE_ID", "stands in an earlier leg too")
    seen.add(leg.call_id)


def check_same(checks: Checks, field: str, value: str, expected: str) -> None:
    """A field that may be left out because the request says it already."""
    if value and value != expected:
        checks.blame(field, "DIFFERS", "is another than the request's own")


def checked_call(request: Any, identity: Identity) -> tuple[str, str]:
    """Tenant and id of a request that names nothing but a call."""
    checks = Checks()
    tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
    checks.call_id("call_id", request.call_id)
    checks.done()
    return tenant_id, request.call_id


def question_of(request: pb.AuthorizeRequest, tenant_id: str, call_id: str) -> Question:
    """The question that a checked request asks."""
    return Question(
        tenant_id,
        call_id,
        payer_of(request),
        CALL_TYPE_WORDS.get(request.call_type, CallType.USER_OUT),
        request.from_number,
        request.to_number,
        request.conference_id,
        request.requested_seconds,
        request.routing_number,
        request.conference_budget_micros,
    )


def payer_of(request: pb.AuthorizeRequest) -> str:
    """Nobody in person pays for a call to an unassigned number."""
    return "" if request.call_type == pb.CALL_TYPE_UNASSIGNED_IN else request.payer_id


def careful_question(
    request: pb.AuthorizeRequest, identity: Identity, call_type: CallType
) -> Question:
    """A call for help as far as it can be recorded: a field that breaks a rule is left out, never
    refused.
    """
    checks = Checks()
    check_fields(checks, request, "", dialled="", required=False)
    checks.call_id("call_id", request.call_id)
    broken = {violation.field for violation in checks.violations}

    def good(field: str) -> str:
        return "" if field in broken else str(getattr(request, field))

    return Question(
        _careful_tenant(request.tenant_id, identity),
        good("call_id"),
        good("payer_id"),
        call_type,
        good("from_number"),
        request.to_number,
        good("conference_id"),
        0,
        "",
    )


def _careful_tenant(asked: str, identity: Identity) -> str:
    checks = Checks()
    try:
        tenant_id = checks.tenant("tenant_id", asked, identity)
    except Failure:
        return ""
    return "" if checks.violations else tenant_id
