"""An edge with handlers of its own: the tests of this folder look at the edge alone, without store or engine."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from talktime.v1.account_service_pb2 import PutRateDeckRequest, PutRateDeckResponse
from talktime.v1.authorization_service_pb2 import (
    AuthorizeRequest,
    AuthorizeResponse,
    CallType,
    GetCallRequest,
    GetCallResponse,
    NumberClass,
    SettleRequest,
    SettleResponse,
)
from talktime.v1.status_pb2 import BadRequest, ErrorInfo, RetryInfo, Status
from talktime_server.rpc import token_file
from talktime_server.rpc.decoding import Checks, known_numbers
from talktime_server.rpc.edge import Edge, Identity, Incoming, Lane, Method, Reply, Role
from talktime_server.rpc.exchange import Exchange, Operations
from talktime_server.rpc.health import Health
from talktime_server.rpc.limiter import Limits
from talktime_server.rpc.shapes import ADMIN_BODY_BYTES, Answer
from talktime_server.rpc.tokens import Tokens

AUTHORIZE = "/talktime.v1.AuthorizationService/Authorize"
SETTLE = "/talktime.v1.AuthorizationService/Settle"
GET_CALL = "/talktime.v1.AuthorizationService/GetCall"
PUT_RATE_DECK = "/talktime.v1.AccountService/PutRateDeck"
EXCHANGE = "/talktime.v1.AuthorizationService/Exchange"
PREFIX = "type.googleapis.com/google.rpc."

_CALL_TYPES = known_numbers(CallType)


def good_request(**changes: Any) -> AuthorizeRequest:
    """A request that no check refuses, with changes."""
    fields: dict[str, Any] = {
        "tenant_id": "acme",
        "call_id": "site1-0001",
        "payer_id": "ann@example.com",
        "call_type": CallType.CALL_TYPE_USER_OUT,
        "to_number": "+994501234567",
    }
    return AuthorizeRequest(**(fields | changes))


def check_authorize(request: AuthorizeRequest, identity: Identity) -> None:
    """The checks of Authorize, as far as these tests need them."""
    checks = Checks()
    checks.tenant("tenant_id", request.tenant_id, identity)
    checks.call_id("call_id", request.call_id)
    checks.id("payer_id", request.payer_id)
    checks.enum("call_type", request.call_type, _CALL_TYPES)
    checks.number("to_number", request.to_number)
    checks.seconds("requested_seconds", request.requested_seconds, 0, 86400)
    checks.done()


@dataclass
class Book:
    """What the handlers saw; `before` lets a test make the next ones slow or fail."""

    seen: list[Any] = field(default_factory=list)
    remaining_s: list[float] = field(default_factory=list)
    before: Callable[[], Awaitable[None]] | None = None

    async def authorize(
        self, request: AuthorizeRequest, identity: Identity, remaining_s: float
    ) -> AuthorizeResponse:
        check_authorize(request, identity)
        await self._note(request, remaining_s)
        return AuthorizeResponse(granted_seconds=600)

    async def settle(
        self, request: SettleRequest, identity: Identity, remaining_s: float
    ) -> SettleResponse:
        await self._note(request, remaining_s)
        return SettleResponse()

    async def get_call(
        self, request: GetCallRequest, identity: Identity, remaining_s: float
    ) -> GetCallResponse:
        await self._note(request, remaining_s)
        return GetCallResponse()

    async def put_rate_deck(
        self, request: PutRateDeckRequest, identity: Identity, remaining_s: float
    ) -> PutRateDeckResponse:
        checks = Checks()
        checks.id("deck_version", request.deck_version)
        checks.items("rows", request.rows, 2000, least=1)
        checks.done()
        await self._note(request, remaining_s)
        return PutRateDeckResponse()

    def emergency(self, request: AuthorizeRequest, identity: Identity) -> Awaitable[Message] | None:
        return self._pass() if request.to_number == "112" else None

    async def _pass(self) -> AuthorizeResponse:
        self.seen.append("112")
        return AuthorizeResponse(number_class=NumberClass.NUMBER_CLASS_EMERGENCY)

    async def _note(self, request: object, remaining_s: float) -> None:
        if self.before:
            await self.before()
        self.seen.append(request)
        self.remaining_s.append(remaining_s)


def methods(book: Book) -> list[Method]:
    """A hot method that writes, one that ends calls, one that reads, and an admin's."""
    routers = frozenset({Role.ROUTER, Role.OPERATOR})
    emergency = book.emergency

    def row(path: str, kind: type[Message], answer: Answer, **more: Any) -> Method:
        return Method(path, kind, routers, answer, **more)

    return [
        row(AUTHORIZE, AuthorizeRequest, book.authorize, passes_first=emergency),
        row(SETTLE, SettleRequest, book.settle, lane=Lane.ENDING),
        row(GET_CALL, GetCallRequest, book.get_call, writes=False),
        Method(
            PUT_RATE_DECK,
            PutRateDeckRequest,
            frozenset({Role.OPERATOR}),
            book.put_rate_deck,
            body_cap=ADMIN_BODY_BYTES,
            timeout_s=2.0,
        ),
    ]


@dataclass
class Kit:
    """Everything a test of the edge needs."""

    path: Path
    book: Book
    tokens: dict[str, str]
    health: Health

    def edge(self, limits: Limits | None = None, operations: Operations | None = None) -> Edge:
        limits = limits or Limits()
        streams = [self.health.stream()]
        if operations:
            exchange = Exchange(operations, self.book.emergency, limits=limits)
            streams.append(exchange.stream())
        rows = [*methods(self.book), self.health.method()]
        return Edge(rows, streams, tokens=Tokens(self.path), limits=limits)

    def call(
        self,
        body: bytes = b"",
        *,
        path: str = AUTHORIZE,
        token: str = "router",
        metadata: tuple[tuple[bytes, bytes], ...] | None = None,
        timeout_s: float | None = None,
    ) -> Incoming:
        if metadata is None:
            metadata = (self.bearer(token),)
        return Incoming(path, metadata, body, timeout_s, "test")

    def bearer(self, token: str) -> tuple[bytes, bytes]:
        return (b"authorization", f"Bearer {self.tokens.get(token, token)}".encode())


def make_kit(path: Path) -> Kit:
    """A kit whose tokens are in the file at `path`."""
    now = datetime.now(UTC)
    hour = timedelta(hours=1)

    def make(role: Role, name: str, tenant: str = "acme", **more: datetime) -> str:
        return token_file.create(path, role=role, tenants=[tenant], name=name, **more)

    tokens = {
        "router": make(Role.ROUTER, "r1"),
        "auditor": make(Role.AUDITOR, "a1"),
        "operator": make(Role.OPERATOR, "o1", "*"),
        "expired": make(Role.ROUTER, "x", expires=now - hour),
        "early": make(Role.ROUTER, "y", not_before=now + hour),
    }
    return Kit(path, Book(), tokens, Health())


def details(reply: Reply) -> tuple[ErrorInfo, BadRequest, RetryInfo]:
    """What a failed reply tells programs."""
    status = Status.FromString(reply.status_details)
    assert status.code == reply.code
    assert status.message == reply.message
    found = {any_.type_url.removeprefix(PREFIX): any_.value for any_ in status.details}
    return (
        ErrorInfo.FromString(found["ErrorInfo"]),
        BadRequest.FromString(found.get("BadRequest", b"")),
        RetryInfo.FromString(found.get("RetryInfo", b"")),
    )
