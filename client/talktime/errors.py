"""How asking talktime fails. A refusal is an answer and never passes through here.

    TalktimeError
    ├── InvalidRequest        the request breaks a rule; names every field and its rule
    ├── NotAuthenticated      the token is not known
    ├── NotPermitted          the token may not do this, or not for this tenant
    ├── NotFound              there is no such tenant, payer, call or deck
    ├── IdempotencyMismatch   a known id came again with another body; names the field
    ├── Conflict              the thing is not in a state that allows this
    ├── TooMuch               a limit of size or number is passed; ask for less, or later
    ├── DeadlineExceeded      no answer came in time
    ├── Unavailable           the service, or its store, cannot be asked now
    ├── Unimplemented         the service does not serve this yet
    ├── Cancelled             this side gave up, as when the client is closed
    └── InternalError         a bug, on either side

Each says whether the operation took effect: `outcome` is NOT_APPLIED or UNKNOWN, and NOT_APPLIED is never
wrong. After UNKNOWN ask again with the same id: the service gives its first answer, or does now what it had not
done.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from talktime.v1 import status_pb2

DETAILS_KEY = "grpc-status-details-bin"
DOMAIN = "talktime"
NOT_CONNECTED = "NOT_CONNECTED"
_TYPE_PREFIX = "type.googleapis.com/google.rpc."
_MAX_DETAILS = 16
# gRPC's words for a call that never left: there was no connection to put it on. Other words of the transport
# say nothing.
_NEVER_SENT = (
    "failed to connect to all addresses",
    "DNS resolution failed",
    "errors resolving ",
)
M = TypeVar("M", bound=Message)
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Applied(StrEnum):
    """What an error says of its operation."""

    NOT_APPLIED = "NOT_APPLIED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Violation:
    """One field and the rule it broke; `rule` is UPPER_SNAKE, `text` a sentence."""

    field: str
    rule: str
    text: str


class TalktimeError(Exception):
    """An operation that failed: a reason for programs, a sentence for people, and what is known of its outcome.

    `call_id` is the call asked about, also when the library made the id; `attempts` counts what was sent,
    repeats included.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.INTERNAL,
        reason: str = "",
        outcome: Applied = Applied.UNKNOWN,
        facts: Mapping[str, str] | None = None,
        violations: tuple[Violation, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason or code.name
        self.outcome = outcome
        self.facts = dict(facts or {})
        self.violations = violations
        self.retry_after_s = retry_after_s
        self.call_id = ""
        self.attempts = 0

    def __str__(self) -> str:
        return f"{self.message} ({self.reason}, {self.outcome})"


class InvalidRequest(TalktimeError):
    """The request breaks a rule; `violations` names every field to blame."""


class NotAuthenticated(TalktimeError):
    """The token is not known."""


class NotPermitted(TalktimeError):
    """The token may not do this, or not for this tenant."""


class NotFound(TalktimeError):
    """There is no such thing, or it is another tenant's: the two look the same."""


class IdempotencyMismatch(TalktimeError):
    """This id was used before with another body; `facts["field"]` names the first field that differs."""


class Conflict(TalktimeError):
    """The thing is not in a state that allows this, as a call that is settled already."""


class TooMuch(TalktimeError):
    """A limit of size or number is passed; `retry_after_s` says when to try again, if that would help."""


class DeadlineExceeded(TalktimeError):
    """No answer came in time."""


class Unavailable(TalktimeError):
    """The service, or its store, cannot be asked now; repeated already as far as the retry settings allow."""


class Unimplemented(TalktimeError):
    """The service does not serve this yet."""


class Cancelled(TalktimeError):
    """This side gave up, as when the client is closed while it asks."""


class InternalError(TalktimeError):
    """A bug, on either side: an answer that cannot be read, or a failure that nobody foresaw."""


_CLASSES: dict[grpc.StatusCode, type[TalktimeError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: NotAuthenticated,
    grpc.StatusCode.PERMISSION_DENIED: NotPermitted,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: IdempotencyMismatch,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.RESOURCE_EXHAUSTED: TooMuch,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.CANCELLED: Cancelled,
}


def error_of(code: grpc.StatusCode, message: str, **facts: Any) -> TalktimeError:
    """The error class of a status code, built."""
    return _CLASSES.get(code, InternalError)(message, code=code, **facts)


def malformed_answer(what: str) -> InternalError:
    """An answer came and cannot be read, so what became of the operation is not known."""
    return InternalError(f"the answer cannot be read: {what}", reason="MALFORMED_ANSWER")


def closed() -> TalktimeError:
    """What ends an operation whose client or stream was closed below it."""
    return Cancelled("closed while asking", code=grpc.StatusCode.CANCELLED, reason="CLOSED")


def error_of_call(failed: grpc.RpcError) -> TalktimeError:
    """The error of a failed gRPC call, blocking or not, with the service's details where it sent them."""
    # The stubs' RpcError knows neither method; every error that a call raises, in either face, has them.
    call: Any = failed
    code, message = call.code(), call.details() or ""
    status = _status_in(call.trailing_metadata())
    # Details that speak of another code are not about this failure: believe the transport.
    if status is not None and status.code == code.value[0]:
        return error_of_status(status)
    never_sent = code is grpc.StatusCode.UNAVAILABLE and message.startswith(_NEVER_SENT)
    if never_sent:
        return error_of(code, message, reason=NOT_CONNECTED, outcome=Applied.NOT_APPLIED)
    return error_of(code, message)


def error_of_status(status: status_pb2.Status) -> TalktimeError:
    """The error that a google.rpc.Status describes; details that are not talktime's are passed over."""
    cause = _detail(status, "ErrorInfo", status_pb2.ErrorInfo)
    blamed = _detail(status, "BadRequest", status_pb2.BadRequest)
    retry = _detail(status, "RetryInfo", status_pb2.RetryInfo)
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    ours = cause.domain == DOMAIN
    return error_of(
        grpc.StatusCode.UNKNOWN if code is grpc.StatusCode.OK else code,
        status.message,
        reason=cause.reason if ours else "",
        outcome=_outcome(cause.metadata) if ours else Applied.UNKNOWN,
        facts=cause.metadata if ours else None,
        violations=_violations(blamed.field_violations),
        retry_after_s=_seconds(retry) if retry.HasField("retry_delay") else None,
    )


def _status_in(metadata: Iterable[tuple[str, str | bytes]] | None) -> status_pb2.Status | None:
    for key, value in metadata or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return _parsed(status_pb2.Status, value)
    return None


def _detail(status: status_pb2.Status, name: str, kind: type[M]) -> M:
    """The first detail of this name; an empty one when there is none that can be read."""
    for packed in status.details[:_MAX_DETAILS]:
        if packed.type_url == _TYPE_PREFIX + name:
            return _parsed(kind, packed.value) or kind()
    return kind()


def _parsed(kind: type[M], value: bytes) -> M | None:
    try:
        return kind.FromString(value)
    except DecodeError:
        return None


def _outcome(metadata: Mapping[str, str]) -> Applied:
    # Only the very word is a promise; anything else, or nothing, leaves it open.
    return (
        Applied.NOT_APPLIED if metadata.get("outcome") == Applied.NOT_APPLIED else Applied.UNKNOWN
    )


def _violations(blamed: Iterable[status_pb2.FieldViolation]) -> tuple[Violation, ...]:
    return tuple(Violation(field=b.field, rule=b.reason, text=b.description) for b in blamed)


def _seconds(retry: status_pb2.RetryInfo) -> float:
    delay = retry.retry_delay
    return max(0.0, delay.seconds + delay.nanos / 1e9)
