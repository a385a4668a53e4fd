"""Every failure becomes one typed error that says whether the operation was applied; lies about it are not believed."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # it ships no types
from google.rpc import status_pb2 as google_status

from client.lying_server import Fails, LyingServer, failing, status_of
from talktime import (
    Applied,
    Conflict,
    DeadlineExceeded,
    IdempotencyMismatch,
    InternalError,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    TalktimeError,
    TooMuch,
    Unavailable,
    Unimplemented,
    Violation,
    errors,
)
from talktime.v1 import status_pb2

Code = grpc.StatusCode
Make = Callable[..., Any]

CLASSES = [
    (Code.INVALID_ARGUMENT, InvalidRequest),
    (Code.UNAUTHENTICATED, NotAuthenticated),
    (Code.PERMISSION_DENIED, NotPermitted),
    (Code.NOT_FOUND, NotFound),
    (Code.ALREADY_EXISTS, IdempotencyMismatch),
    (Code.FAILED_PRECONDITION, Conflict),
    (Code.RESOURCE_EXHAUSTED, TooMuch),
    (Code.DEADLINE_EXCEEDED, DeadlineExceeded),
    (Code.UNAVAILABLE, Unavailable),
    (Code.UNIMPLEMENTED, Unimplemented),
    (Code.INTERNAL, InternalError),
    (Code.UNKNOWN, InternalError),
    (Code.DATA_LOSS, InternalError),
]


def failure(make: Make, **settings: Any) -> TalktimeError:
    """What asking raises."""
    face = make(**settings)
    with pytest.raises(TalktimeError) as caught:
        face.authorize("alice", "USER_OUT", "+442079460018", call_id="site-1-call-1")
    error: TalktimeError = caught.value
    return error


def test_the_drawing_names_every_class_and_its_parent() -> None:
    assert errors.__doc__ is not None
    drawn = [line.split()[1] for line in errors.__doc__.splitlines() if "──" in line]
    made = [c.__name__ for c in TalktimeError.__subclasses__()]
    assert drawn == made


@pytest.mark.parametrize(("code", "kind"), CLASSES)
def test_each_status_has_its_class(
    make: Make, server: LyingServer, code: Code, kind: type[TalktimeError]
) -> None:
    server.script = [failing(code, "SOME_REASON", outcome="NOT_APPLIED", field="to_number")]
    error = failure(make)
    assert type(error) is kind
    assert error.code is code
    assert error.reason == "SOME_REASON"
    assert error.outcome is Applied.NOT_APPLIED
    assert error.facts["field"] == "to_number"
    assert error.message == "a sentence"
    assert error.call_id == "site-1-call-1"


def test_every_violation_is_told(make: Make, server: LyingServer) -> None:
    blamed = status_pb2.BadRequest(
        field_violations=[
            status_pb2.FieldViolation(
                field="to_number", description="a sentence", reason="NOT_E164"
            ),
            status_pb2.FieldViolation(field="payer_id", description="another", reason="TOO_LONG"),
        ]
    )
    server.script = [failing(Code.INVALID_ARGUMENT, "NOT_E164", blamed, outcome="NOT_APPLIED")]
    assert failure(make).violations == (
        Violation("to_number", "NOT_E164", "a sentence"),
        Violation("payer_id", "TOO_LONG", "another"),
    )


def test_the_wait_the_service_asks_for_is_told(make: Make, server: LyingServer) -> None:
    retry = status_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000))
    server.script = [failing(Code.RESOURCE_EXHAUSTED, "TOO_MANY", retry, outcome="NOT_APPLIED")]
    assert failure(make).retry_after_s == 1.5


@pytest.mark.parametrize(
    "lie",
    [
        Fails(Code.NOT_FOUND, "a sentence"),
        Fails(Code.NOT_FOUND, "a sentence", b"\xff\xff\xffgarbage"),
        Fails(Code.NOT_FOUND, "a sentence", status_of(Code.ABORTED, "X").SerializeToString()),
        failing(Code.NOT_FOUND, "X", domain="elsewhere", outcome="NOT_APPLIED"),
        failing(Code.NOT_FOUND, "NOT_FOUND"),
        failing(Code.NOT_FOUND, "NOT_FOUND", outcome="not_applied"),
        failing(Code.NOT_FOUND, "NOT_FOUND", outcome="APPLIED"),
    ],
    ids=["none", "garbage", "another code", "another domain", "silent", "lower case", "a new word"],
)
def test_details_that_are_no_promise_leave_the_outcome_unknown(
    make: Make, server: LyingServer, lie: Fails
) -> None:
    server.script = [lie]
    error = failure(make)
    assert type(error) is NotFound
    assert error.outcome is Applied.UNKNOWN
    assert error.reason == "NOT_FOUND"


def test_a_detail_that_cannot_be_read_leaves_the_others(make: Make, server: LyingServer) -> None:
    status = status_of(Code.CANCELLED, "X", outcome="NOT_APPLIED")
    status.code = Code.NOT_FOUND.value[0]
    status.details.add(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff")
    server.script = [Fails(Code.NOT_FOUND, "", status.SerializeToString())]
    error = failure(make)
    assert error.reason == "X"
    assert error.violations == ()


def test_a_success_in_the_details_of_a_failure_is_not_believed() -> None:
    assert type(errors.error_of_status(status_pb2.Status(code=0))) is InternalError
    assert type(errors.error_of_status(status_pb2.Status(code=99))) is InternalError


@pytest.mark.parametrize(
    "body", [b"\xff\xff\xff", b"\x62\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f"]
)
def test_an_answer_that_cannot_be_read_leaves_the_outcome_unknown(
    make: Make, server: LyingServer, body: bytes
) -> None:
    """The second is a decided_time beyond every calendar."""
    server.script = [body]
    error = failure(make)
    assert type(error) is InternalError
    assert error.reason == "MALFORMED_ANSWER"
    assert error.outcome is Applied.UNKNOWN
    assert error.call_id == "site-1-call-1"


def test_a_refused_connection_has_applied_nothing(make: Make, server: LyingServer) -> None:
    server.stop()
    error = failure(make)
    assert type(error) is Unavailable
    assert error.reason == "NOT_CONNECTED"
    assert error.outcome is Applied.NOT_APPLIED


@pytest.mark.parametrize(
    "words", ["errors resolving nobody:1: [not found]", "DNS resolution failed"]
)
def test_a_name_that_is_not_resolved_has_applied_nothing(words: str) -> None:
    """Made here, as the machine's own name service would be slow or say something else."""
    none = grpc.aio.Metadata()
    failed = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, none, none, details=words)
    error = errors.error_of_call(failed)
    assert (error.reason, error.outcome) == ("NOT_CONNECTED", Applied.NOT_APPLIED)


def test_after_an_unknown_attempt_no_later_one_makes_it_known(
    make: Make, server: LyingServer
) -> None:
    """The first attempt may have been applied, whatever the second says of itself."""
    server.script = [
        failing(Code.UNAVAILABLE, "STORE_AWAY", outcome="UNKNOWN"),
        failing(Code.UNAVAILABLE, "STORE_AWAY", outcome="NOT_APPLIED"),
    ]
    error = failure(make)
    assert error.outcome is Applied.UNKNOWN
    assert error.attempts == 3


def test_what_was_never_applied_stays_so_over_all_attempts(make: Make, server: LyingServer) -> None:
    server.script = [failing(Code.UNAVAILABLE, "STORE_AWAY", outcome="NOT_APPLIED")]
    assert failure(make).outcome is Applied.NOT_APPLIED


def test_a_connection_that_dies_leaves_the_outcome_unknown(make: Make, server: LyingServer) -> None:
    def die(path: str, body: bytes) -> bytes:
        server.stop()
        return b""

    server.script = die
    assert failure(make).outcome is Applied.UNKNOWN


def test_the_text_names_reason_and_outcome(make: Make, server: LyingServer) -> None:
    server.script = [failing(Code.FAILED_PRECONDITION, "ALREADY_SETTLED", outcome="NOT_APPLIED")]
    assert str(failure(make)) == "a sentence (ALREADY_SETTLED, NOT_APPLIED)"


def test_errors_can_be_copied_and_pickled() -> None:
    error = errors.error_of_status(status_of(Code.NOT_FOUND, "CALL_UNKNOWN", outcome="NOT_APPLIED"))
    error.call_id = "c-1"
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is NotFound
        assert vars(twin) == vars(error)


def test_our_copy_of_the_error_details_is_google_rpc() -> None:
    retry = status_pb2.RetryInfo(retry_delay=Duration(seconds=2))
    ours = status_of(Code.NOT_FOUND, "CALL_UNKNOWN", retry, outcome="NOT_APPLIED")
    theirs = google_status.Status.FromString(ours.SerializeToString())
    cause, wait = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert theirs.details[0].Unpack(cause)
    assert theirs.details[1].Unpack(wait)
    assert (cause.reason, cause.domain) == ("CALL_UNKNOWN", "talktime")
    assert wait.retry_delay.seconds == 2
