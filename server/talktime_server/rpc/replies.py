"""From a failure to what the caller reads: a status with ErrorInfo, and field violations and a delay where they apply.

The messages mirror google.rpc's, wire-equal, so that every gRPC client's own error tools read them.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from talktime.v1.authorization_service_pb2 import ExchangeResponse
from talktime.v1.status_pb2 import BadRequest, ErrorInfo, FieldViolation, RetryInfo, Status
from talktime_server.failure import Failure, Violation
from talktime_server.rpc.shapes import Reply

DOMAIN = "talktime"
# A client takes 8 KiB of metadata without being told otherwise (above it, some answers and not others). The message is there
# twice, up to three times as long in its header; details are a third longer; other headers need half a KiB.
MAX_MESSAGE_BYTES = 384
MAX_BLAMED_BYTES = 4096
_LIST_ITEM_BYTES = 3


def status_of(failure: Failure) -> Status:
    """The status of a failure, details included."""
    facts = {"outcome": failure.applied.value} | failure.facts
    details = [_any(ErrorInfo(reason=failure.reason, domain=DOMAIN, metadata=facts))]
    if failure.violations:
        details.append(_any(_blamed(failure.violations)))
    if failure.retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(failure.retry_after_s * 1000))
        details.append(_any(RetryInfo(retry_delay=delay)))
    message = failure.message.encode()[:MAX_MESSAGE_BYTES].decode(errors="ignore")
    return Status(code=failure.code.value, message=message, details=details)


def reply_of(failure: Failure) -> Reply:
    """The reply of a unary call, or the end of a stream, that failed."""
    status = status_of(failure)
    return Reply(failure.code, status.message, b"", status.SerializeToString())


class Result(NamedTuple):
    """The answer to one operation of a stream: `kind` is its name in OperationResult, `answer` a message or its fields."""

    correlation_id: int
    kind: str
    answer: Message | dict[str, object]


def failed_operation(correlation_id: int, failure: Failure) -> Result:
    """The answer to one operation of a stream that failed; the stream lives on."""
    return Result(correlation_id, "error", status_of(failure))


def message_of(results: Iterable[Result]) -> bytes:
    """A message of a stream, with the answers to some operations."""
    told: list[Any] = [{"correlation_id": mark, kind: answer} for mark, kind, answer in results]
    return ExchangeResponse(results=told).SerializeToString()


def _blamed(violations: Iterable[Violation]) -> BadRequest:
    """The first violations, as many as the answer has room for: at least some fifty."""
    blamed = BadRequest()
    size = 0
    for violation in violations:
        told = FieldViolation(
            field=violation.field, description=violation.text, reason=violation.rule
        )
        size += told.ByteSize() + _LIST_ITEM_BYTES
        if size > MAX_BLAMED_BYTES:
            break
        blamed.field_violations.append(told)
    return blamed


def _any(detail: Message) -> any_pb2.Any:
    # Named as google.rpc's, not as ours: that is what other tools look for.
    name = f"type.googleapis.com/google.rpc.{detail.DESCRIPTOR.name}"
    return any_pb2.Any(type_url=name, value=detail.SerializeToString())
