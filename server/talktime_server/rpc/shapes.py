"""What passes between an engine and the edge, and what the edge's tables are made of.

An engine (asgi.py, aio.py) turns its own call into `Incoming`, hands it to the edge, and writes out the `Reply`.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from google.protobuf.message import Message

from talktime_server.failure import Code, Failure, Forbidden, Invalid, Violation

HOT_BODY_BYTES = 16 * 1024
ADMIN_BODY_BYTES = 256 * 1024
BULK_BODY_BYTES = 1024 * 1024  # a thousand payers
HOT_TIMEOUT_S = 0.25
ADMIN_TIMEOUT_S = 2.0
REPORT_TIMEOUT_S = 30.0  # what the archive adds up, and a proof, which reads what of the journal it does not know yet
ACTIVATION_TIMEOUT_S = 30.0  # a deck is read whole, and every process must have it before it prices


class Role(StrEnum):
    """What a token may do."""

    ROUTER = "router"
    ADMIN = "admin"
    OPERATOR = "operator"
    AUDITOR = "auditor"


class Lane(StrEnum):
    """How the concurrency limiter treats a method."""

    ORDINARY = "ordinary"
    ENDING = "ending"
    """May use the part kept for settles and releases: they are shed last."""
    FREE = "free"
    """Not limited: health."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: a token's name, role and tenants."""

    name: str
    role: Role
    tenants: frozenset[str] = frozenset()
    all_tenants: bool = False

    @property
    def only_tenant(self) -> str:
        """The tenant that an absent tenant_id means; empty when there is not exactly one."""
        if len(self.tenants) != 1:
            return ""
        (tenant,) = self.tenants
        return tenant

    def tenant(self, asked: str) -> str:
        """The tenant a request is about; refuses one that is not this token's."""
        if asked:
            if self.all_tenants or asked in self.tenants:
                return asked
            raise Forbidden(
                "TENANT_MISMATCH", "the token is not for this tenant", facts={"field": "tenant_id"}
            )
        if only := self.only_tenant:
            return only
        text = "is required, as the token names no single tenant"
        raise Invalid.fields([Violation("tenant_id", "MISSING_FIELD", text)])


class Incoming(NamedTuple):
    """A call as it came in. Metadata names are lower case; `timeout_s` is what the caller's deadline
    leaves now, None without one. A stream's body is empty: its messages come separately."""

    path: str
    metadata: tuple[tuple[bytes, bytes], ...]
    body: bytes
    timeout_s: float | None
    peer: str


class Reply(NamedTuple):
    """An answer to be written out. `status_details` goes into grpc-status-details-bin; empty when OK."""

    code: Code
    message: str = ""
    body: bytes = b""
    status_details: bytes = b""


# A handler: the decoded request, who asks, and the seconds left. It returns the response message or raises Failure.
Answer = Callable[[Any, Identity, float], Awaitable[Message]]
# Looks at a decoded request and, if it must pass before limits and deadlines, returns what answers it.
PassesFirst = Callable[[Any, Identity], Awaitable[Message] | None]


@dataclass(frozen=True, slots=True)
class Method:
    """A unary method: how its requests are read, who may call it, and what answers it.

    `timeout_s` is what a caller without a deadline gets; one with a deadline gets up to the larger of
    this and two seconds.
    """

    path: str
    request: type[Message]
    roles: frozenset[Role]
    answer: Answer
    body_cap: int = HOT_BODY_BYTES
    lane: Lane = Lane.ORDINARY
    writes: bool = True
    timeout_s: float = HOT_TIMEOUT_S
    passes_first: PassesFirst | None = None
    anonymous: bool = False


class Draining(Failure):
    """This process is about to stop; another one answers. Nothing was done."""

    code = Code.UNAVAILABLE

    @classmethod
    def now(cls) -> "Draining":
        return cls("DRAINING", "this process is about to stop; reconnect")


@dataclass(frozen=True, slots=True)
class Visit:
    """What a stream knows of its caller, and when the process wants it to end.

    `counted` counts the stream for a tenant while its context lasts, and raises TooMuch at the limit.
    `confirm` raises when the caller's token does not hold any more what it did at the beginning.
    """

    identity: Identity
    peer: str
    timeout_s: float | None
    draining: asyncio.Event
    counted: Callable[[str], AbstractContextManager[None]]
    confirm: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Stream:
    """A streaming method: takes messages, gives messages, and raises Failure to end with a status.

    `one_question`: the caller sends one message and then listens, so an engine may wait for the first
    answer before it begins its own, and a refusal is then a plain one.
    """

    path: str
    roles: frozenset[Role]
    serve: Callable[[AsyncIterator[bytes], Visit], AsyncGenerator[bytes, None]]
    anonymous: bool = False
    one_question: bool = False


EVERY_ROLE = frozenset(Role)
