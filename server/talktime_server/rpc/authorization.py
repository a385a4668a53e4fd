"""AuthorizationService: one handler per RPC, from a checked message to an answer, and the
operations of Exchange.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

from google.protobuf.message import Message

from talktime.v1 import authorization_service_pb2 as pb
from talktime_server.decision.calls import Calls
from talktime_server.decision.emergency import GRANTED_SECONDS, Emergencies
from talktime_server.decision.quote import explain
from talktime_server.decision.verdict import Question
from talktime_server.failure import Failure
from talktime_server.rpc import messages
from talktime_server.rpc.call_checks import (
    MAX_SECONDS,
    careful_question,
    check_call,
    check_fields,
    check_leg,
    check_same,
    checked_call,
    payer_of,
    question_of,
)
from talktime_server.rpc.decoding import Checks
from talktime_server.rpc.messages import CALL_TYPE_WORDS
from talktime_server.rpc.replies import failed_operation
from talktime_server.rpc.shapes import (
    EVERY_ROLE,
    HOT_BODY_BYTES,
    Answer,
    Identity,
    Lane,
    Method,
    Role,
)
from talktime_server.words import CallType

SERVICE = "/talktime.v1.AuthorizationService/"
ROUTERS = frozenset({Role.ROUTER, Role.OPERATOR})
MAX_LEGS = 100
BATCH_BYTES = 64 * 1024
MAX_SEQUENCE = 1_000_000_000


class Authorization:
    """The service's handlers."""

    def __init__(self, calls: Calls, emergencies: Emergencies) -> None:
        self._calls = calls
        self._emergencies = emergencies
        self._operations: dict[str, Callable[[Any, Identity], Awaitable[Message]]] = {
            "authorize": self._authorize,
            "extend": self._extend,
            "settle": self._settle,
            "release": self._release,
        }

    def methods(self) -> list[Method]:
        """The rows for the edge's table."""
        ending = Lane.ENDING
        return [
            _row("Authorize", pb.AuthorizeRequest, self._authorize, first=self.emergency),
            _row(
                "AuthorizeBatch", pb.AuthorizeBatchRequest, self._authorize_batch, cap=BATCH_BYTES
            ),
            _row("Extend", pb.ExtendRequest, self._extend),
            _row("Settle", pb.SettleRequest, self._settle, lane=ending),
            _row("Release", pb.ReleaseRequest, self._release, lane=ending),
            _row("Quote", pb.QuoteRequest, self._quote, roles=EVERY_ROLE, writes=False),
            _row("GetCall", pb.GetCallRequest, self._get_call, roles=EVERY_ROLE, writes=False),
        ]

    def emergency(
        self, request: pb.AuthorizeRequest, identity: Identity
    ) -> Awaitable[Message] | None:
        """The answer to a call for help; None for any other call. Nothing else of the request needs
        to be right.
        """
        help_wanted = self._help_wanted(request, identity)
        return self._pass(help_wanted) if help_wanted else None

    def _help_wanted(self, request: pb.AuthorizeRequest, identity: Identity) -> Question | None:
        call_type = CALL_TYPE_WORDS.get(request.call_type, CallType.USER_OUT)
        if call_type.inbound or not self._emergencies.may_be(request.to_number):
            return None
        return careful_question(request, identity, call_type)

    async def _pass(self, question: Question) -> Message:
        passed = await self._emergencies.passes(question)
        return pb.AuthorizeResponse(
            outcome=pb.OUTCOME_AUTHORIZED,
            granted_seconds=passed.granted_seconds,
            lease_seconds=passed.granted_seconds,
            sources=[pb.Source(kind=pb.SOURCE_KIND_EMERGENCY, seconds=passed.granted_seconds)],
            number_class=pb.NUMBER_CLASS_EMERGENCY,
            country=passed.country,
            decided_time=messages.instant(passed.decided_ms),
        )

    async def _authorize(self, request: pb.AuthorizeRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        check_call(checks, request)
        checks.done()
        answer = await self._calls.authorize(question_of(request, tenant_id, request.call_id))
        return messages.authorization(answer)

    async def _authorize_batch(
        self, request: pb.AuthorizeBatchRequest, identity: Identity
    ) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.items("legs", request.legs, MAX_LEGS, least=1)
        legs = [leg.call for leg in request.legs[:MAX_LEGS]]
        seen: set[str] = set()
        for number, leg in enumerate(legs):
            if self._help_wanted(leg, identity):
                text = (
                    "is an emergency number, which no batch may refuse: ask for it with Authorize"
                )
                checks.blame(f"legs[{number}].call.to_number", "EMERGENCY_IN_BATCH", text)
                continue
            check_leg(checks, leg, f"legs[{number}].call.", tenant_id, seen)
        checks.done()
        answers = await self._calls.authorize_batch(
            [question_of(leg, tenant_id, leg.call_id) for leg in legs],
            all_or_none=request.all_or_none,
        )
        verdicts = [messages.authorization(answer) for answer in answers]
        granted = sum(verdict.outcome == pb.OUTCOME_AUTHORIZED for verdict in verdicts)
        return pb.AuthorizeBatchResponse(verdicts=verdicts, authorized_legs=granted)

    async def _extend(self, request: pb.ExtendRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.call_id("call_id", request.call_id)
        checks.count("sequence", request.sequence, 1, MAX_SEQUENCE)
        checks.seconds("additional_seconds", request.additional_seconds, 1, MAX_SECONDS)
        checks.done()
        answer = await self._calls.extend(
            tenant_id, request.call_id, request.sequence, request.additional_seconds
        )
        return messages.extension(answer)

    async def _settle(self, request: pb.SettleRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.call_id("call_id", request.call_id)
        checks.seconds("duration_seconds", request.duration_seconds, 0, MAX_SECONDS)
        question = None
        if request.HasField("call"):
            question = self._settled_question(checks, request, tenant_id)
        checks.done()
        answer = await self._calls.settle(
            tenant_id, request.call_id, request.duration_seconds, question
        )
        return messages.settlement(answer)

    def _settled_question(
        self, checks: Checks, request: pb.SettleRequest, tenant_id: str
    ) -> Question:
        """The fields of a call that may never have been authorized; an emergency number is as good
        as any here.
        """
        call = request.call
        check_same(checks, "call.tenant_id", call.tenant_id, tenant_id)
        check_same(checks, "call.call_id", call.call_id, request.call_id)
        dialled = "" if self._emergencies.may_be(call.to_number) else call.to_number
        check_fields(checks, call, "call.", dialled=dialled, required=dialled == call.to_number)
        return question_of(call, tenant_id, request.call_id)

    async def _release(self, request: pb.ReleaseRequest, identity: Identity) -> Message:
        tenant_id = checked_call(request, identity)
        return messages.release(await self._calls.release(tenant_id, request.call_id))

    async def _get_call(self, request: pb.GetCallRequest, identity: Identity) -> Message:
        tenant_id = checked_call(request, identity)
        return messages.shown(await self._calls.show(tenant_id, request.call_id), request.call_id)

    async def _quote(self, request: pb.QuoteRequest, identity: Identity) -> Message:
        asked = pb.AuthorizeRequest(
            payer_id=request.payer_id,
            call_type=request.call_type,
            from_number=request.from_number,
            to_number=request.to_number,
            requested_seconds=request.requested_seconds,
            routing_number=request.routing_number,
            conference_id=request.conference_id,
            conference_budget_micros=request.conference_budget_micros,
        )
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        if help_wanted := self._help_wanted(asked, identity):
            return await self._quote_emergency(help_wanted)
        check_fields(checks, asked, "", dialled=asked.to_number)
        checks.done()
        quote = await self._calls.quote(question_of(asked, tenant_id, ""))
        lines = [
            pb.Check(
                name=step.name, passed=step.passed, explanation=step.explanation, rule=step.rule
            )
            for step in explain(quote)
        ]
        return messages.quotation(quote.answer, lines)

    async def _quote_emergency(self, question: Question) -> Message:
        country = await self._emergencies.country_for(question)
        number = question.to_number
        text = f"{number} is an emergency number: the call always passes, and is never charged"
        return pb.QuoteResponse(
            outcome=pb.OUTCOME_AUTHORIZED,
            granted_seconds=GRANTED_SECONDS,
            lease_seconds=GRANTED_SECONDS,
            number_class=pb.NUMBER_CLASS_EMERGENCY,
            country=country,
            sources=[pb.Source(kind=pb.SOURCE_KIND_EMERGENCY, seconds=GRANTED_SECONDS)],
            explain=[pb.Check(name="emergency", passed=True, explanation=text)],
        )

    async def operations(
        self, operations: list[pb.Operation], identity: Identity
    ) -> AsyncGenerator[Sequence[pb.OperationResult], None]:
        """Carries out operations of a stream: in order within a tenant, tenants beside each other."""
        by_tenant: dict[str, list[pb.Operation]] = {}
        for operation in operations:
            tenant_id = _asked(operation).tenant_id or identity.only_tenant
            by_tenant.setdefault(tenant_id, []).append(operation)
        running = [self._in_order(own, identity) for own in by_tenant.values()]
        for finished in asyncio.as_completed(running):
            yield await finished

    async def _in_order(
        self, operations: list[pb.Operation], identity: Identity
    ) -> list[pb.OperationResult]:
        """One tenant's operations: those of a kind that follow each other go together, the next
        kind waits for them.
        """
        results: list[pb.OperationResult] = []
        for _, alike in groupby(
            operations, key=lambda operation: operation.WhichOneof("operation")
        ):
            run = list(alike)
            await self._meet(run, identity)
            results += await asyncio.gather(*(self._one(each, identity) for each in run))
        return results

    async def _meet(self, run: Iterable[pb.Operation], identity: Identity) -> None:
        """Brings the profiles to hand first: an operation that waited for its own would be
        overtaken.
        """
        for operation in run:
            asked = _asked(operation)
            payer_id = payer_of(asked) if operation.HasField("authorize") else None
            await self._calls.meet(asked.tenant_id or identity.only_tenant, payer_id)

    async def _one(self, operation: pb.Operation, identity: Identity) -> pb.OperationResult:
        kind = operation.WhichOneof("operation")
        assert kind is not None
        try:
            answer: Any = await self._operations[kind](getattr(operation, kind), identity)
        except Failure as failure:
            return failed_operation(operation.correlation_id, failure)
        return pb.OperationResult(correlation_id=operation.correlation_id, **{kind: answer})


def _row(
    name: str,
    request: type[Message],
    answer: Callable[[Any, Identity], Awaitable[Message]],
    *,
    roles: frozenset[Role] = ROUTERS,
    lane: Lane = Lane.ORDINARY,
    writes: bool = True,
    first: Any = None,
    cap: int = HOT_BODY_BYTES,
) -> Method:
    return Method(
        SERVICE + name,
        request,
        roles,
        _timeless(answer),
        cap,
        lane,
        writes=writes,
        passes_first=first,
    )


def _timeless(answer: Callable[[Any, Identity], Awaitable[Message]]) -> Answer:
    """These handlers make one trip; the edge's clock is limit enough."""

    def timed(request: Any, identity: Identity, _: float) -> Awaitable[Message]:
        return answer(request, identity)

    return timed


def _asked(operation: pb.Operation) -> Any:
    kind = operation.WhichOneof("operation")
    assert kind is not None  # the stream lets no other in
    return getattr(operation, kind)
