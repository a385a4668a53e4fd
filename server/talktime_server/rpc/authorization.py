"""AuthorizationService: one handler per RPC, from a checked message to an answer, and the
operations of Exchange.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from google.protobuf.message import Message

from talktime.v1 import authorization_service_pb2 as pb
from talktime_server.decision.answers import Answer
from talktime_server.decision.calls import Calls
from talktime_server.decision.emergency import GRANTED_SECONDS, Emergencies
from talktime_server.decision.outright import Attempt
from talktime_server.decision.quote import explain
from talktime_server.decision.verdict import Question
from talktime_server.failure import Failure
from talktime_server.rpc import messages, shapes
from talktime_server.rpc.call_checks import (
    MAX_SECONDS,
    careful_question,
    check_call,
    check_fields,
    check_leg,
    check_same,
    checked_call,
    question_of,
)
from talktime_server.rpc.decoding import Checks
from talktime_server.rpc.messages import CALL_TYPE_WORDS
from talktime_server.rpc.replies import Result, failed_operation
from talktime_server.rpc.shapes import (
    EVERY_ROLE,
    HOT_BODY_BYTES,
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


class _Kind(NamedTuple):
    """An operation: what a checked request asks, its short way and its long one, and what it answers: of
    which response, which fields.
    """

    asked: Callable[[Any, Identity], tuple[Any, ...]]
    attempt: Callable[..., Attempt | None]
    long_way: Callable[..., Awaitable[Answer]]
    response: type[Message]
    fields: Callable[[Answer], messages.Fields]

    def message(self, answer: Answer) -> Message:
        """The response of a call of its own."""
        return self.response(**self.fields(answer))


class Authorization:
    """The service's handlers."""

    def __init__(self, calls: Calls, emergencies: Emergencies) -> None:
        self._calls = calls
        self._emergencies = emergencies
        short = calls.outright
        self._kinds: dict[str, _Kind] = {
            "authorize": _Kind(
                _asked_authorize,
                short.authorize,
                calls.authorize,
                pb.AuthorizeResponse,
                messages.authorization,
            ),
            "extend": _Kind(
                _asked_extend, short.extend, calls.extend, pb.ExtendResponse, messages.extension
            ),
            "settle": _Kind(
                self._asked_settle,
                short.settle,
                calls.settle,
                pb.SettleResponse,
                messages.settlement,
            ),
            "release": _Kind(
                checked_call, short.release, calls.release, pb.ReleaseResponse, messages.release
            ),
        }

    def methods(self) -> list[Method]:
        """The rows for the edge's table."""
        ending = Lane.ENDING
        return [
            _row("Authorize", pb.AuthorizeRequest, self._one_of("authorize"), first=self.emergency),
            _row(
                "AuthorizeBatch", pb.AuthorizeBatchRequest, self._authorize_batch, cap=BATCH_BYTES
            ),
            _row("Extend", pb.ExtendRequest, self._one_of("extend")),
            _row("Settle", pb.SettleRequest, self._one_of("settle"), lane=ending),
            _row("Release", pb.ReleaseRequest, self._one_of("release"), lane=ending),
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
        verdicts: list[Any] = [messages.authorization(answer) for answer in answers]
        granted = sum(verdict["outcome"] == pb.OUTCOME_AUTHORIZED for verdict in verdicts)
        return pb.AuthorizeBatchResponse(verdicts=verdicts, authorized_legs=granted)

    def _asked_settle(
        self, request: pb.SettleRequest, identity: Identity
    ) -> tuple[str, str, int, Question | None]:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.call_id("call_id", request.call_id)
        checks.seconds("duration_seconds", request.duration_seconds, 0, MAX_SECONDS)
        question = None
        if request.HasField("call"):
            question = self._settled_question(checks, request, tenant_id)
        checks.done()
        return tenant_id, request.call_id, request.duration_seconds, question

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

    async def _get_call(self, request: pb.GetCallRequest, identity: Identity) -> Message:
        tenant_id, call_id = checked_call(request, identity)
        return messages.shown(await self._calls.show(tenant_id, call_id), call_id)

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

    def _one_of(self, name: str) -> Callable[[Any, Identity], Awaitable[Message]]:
        """The handler of one operation."""
        kind = self._kinds[name]

        async def answer(request: Any, identity: Identity) -> Message:
            asked = kind.asked(request, identity)
            attempt = kind.attempt(*asked)
            if attempt:
                (answered,) = await self._calls.outright.carry_out([attempt])
                if isinstance(answered, Failure):
                    raise answered
                if answered:
                    return kind.message(answered)
            return kind.message(await kind.long_way(*asked))

        return answer

    async def operations(
        self, operations: list[pb.Operation], identity: Identity
    ) -> AsyncGenerator[Sequence[Result], None]:
        """Carries out operations of a stream, in order within a tenant: all together first; then what was
        not answered outright, tenants beside each other.
        """
        results = await self._together(operations, identity)
        yield [result for result in results if result]
        left: dict[str, list[pb.Operation]] = {}
        for operation, result in zip(operations, results, strict=True):
            if result is None:
                left.setdefault(_tenant_of(operation, identity), []).append(operation)
        running = [self._in_order(own, identity) for own in left.values()]
        for finished in asyncio.as_completed(running):
            yield await finished

    async def _together(
        self, operations: Sequence[pb.Operation], identity: Identity
    ) -> list[Result | None]:
        """The results of those that are answered outright."""
        results: list[Result | None] = [None] * len(operations)
        attempts: dict[int, Attempt] = {}
        waiting: set[str] = set()  # tenants with an operation that goes the long way
        for place, operation in enumerate(operations):
            attempt = self._attempt(operation, identity, waiting)
            if isinstance(attempt, Failure):
                results[place] = failed_operation(operation.correlation_id, attempt)
            elif attempt:
                attempts[place] = attempt
        if attempts:
            answers = await self._calls.outright.carry_out(list(attempts.values()))
            for place, answer in zip(attempts, answers, strict=True):
                if answer:
                    results[place] = self._result(operations[place], answer)
        return results

    def _attempt(
        self, operation: pb.Operation, identity: Identity, waiting: set[str]
    ) -> Attempt | Failure | None:
        kind, request = _kind_of(operation)
        tenant_id = request.tenant_id or identity.only_tenant
        if tenant_id in waiting:
            return None
        try:
            asked = self._kinds[kind].asked(request, identity)
        except Failure as failure:
            return failure
        attempt = self._kinds[kind].attempt(*asked)
        if attempt is None:
            waiting.add(tenant_id)
        return attempt

    def _result(self, operation: pb.Operation, answer: Answer | Failure) -> Result:
        correlation_id = operation.correlation_id
        if isinstance(answer, Failure):
            return failed_operation(correlation_id, answer)
        kind, _ = _kind_of(operation)
        return Result(correlation_id, kind, self._kinds[kind].fields(answer))

    async def _in_order(
        self, operations: Sequence[pb.Operation], identity: Identity
    ) -> list[Result]:
        """One tenant's operations: the first goes the long way, what it held up is tried again after it."""
        results: list[Result] = []
        left = list(operations)
        while left:
            results.append(await self._one(left.pop(0), identity))
            tried = await self._together(left, identity)
            results += [result for result in tried if result]
            left = [each for each, result in zip(left, tried, strict=True) if result is None]
        return results

    async def _one(self, operation: pb.Operation, identity: Identity) -> Result:
        kind, request = _kind_of(operation)
        long_way, asked = self._kinds[kind].long_way, self._kinds[kind].asked
        try:
            return self._result(operation, await long_way(*asked(request, identity)))
        except Failure as failure:
            return failed_operation(operation.correlation_id, failure)


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


def _timeless(answer: Callable[[Any, Identity], Awaitable[Message]]) -> shapes.Answer:
    """These handlers make one trip; the edge's clock is limit enough."""

    def timed(request: Any, identity: Identity, _: float) -> Awaitable[Message]:
        return answer(request, identity)

    return timed


def _asked_authorize(request: pb.AuthorizeRequest, identity: Identity) -> tuple[Question]:
    checks = Checks()
    tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
    check_call(checks, request)
    checks.done()
    return (question_of(request, tenant_id, request.call_id),)


def _asked_extend(request: pb.ExtendRequest, identity: Identity) -> tuple[str, str, int, int]:
    checks = Checks()
    tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
    checks.call_id("call_id", request.call_id)
    checks.count("sequence", request.sequence, 1, MAX_SEQUENCE)
    checks.seconds("additional_seconds", request.additional_seconds, 1, MAX_SECONDS)
    checks.done()
    return tenant_id, request.call_id, request.sequence, request.additional_seconds


def _kind_of(operation: pb.Operation) -> tuple[str, Any]:
    kind = operation.WhichOneof("operation")
    assert kind is not None  # the stream lets no other in
    return kind, getattr(operation, kind)


def _tenant_of(operation: pb.Operation, identity: Identity) -> str:
    return _kind_of(operation)[1].tenant_id or identity.only_tenant
