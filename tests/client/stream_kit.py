"""What the tests of the stream share: services that answer operations as told, and a book of what reached them."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import grpc
import pytest

from client.lying_server import Serve, status_of
from talktime import AsyncClient, Authorization, CallType, Exchange, TalktimeError
from talktime.v1 import authorization_service_pb2 as pb

Code = grpc.StatusCode
Context = grpc.ServicerContext
TO = "+442079460018"
Answer = Callable[[pb.Operation], pb.OperationResult | None]


def number_in(operation: pb.Operation) -> int:
    return int(operation.authorize.call_id.removeprefix("c-"))


def grant(operation: pb.Operation) -> pb.OperationResult:
    """Granted seconds that tell which call was meant."""
    kind = operation.WhichOneof("operation")
    result = pb.OperationResult(correlation_id=operation.correlation_id)
    if kind == "authorize":
        result.authorize.outcome = pb.OUTCOME_AUTHORIZED
        result.authorize.granted_seconds = number_in(operation)
    elif kind == "extend":
        result.extend.outcome = pb.OUTCOME_AUTHORIZED
        result.extend.granted_seconds = operation.extend.additional_seconds
    elif kind == "settle":
        result.settle.outcome = pb.OUTCOME_AUTHORIZED
        result.settle.duration_seconds = operation.settle.duration_seconds
    else:
        result.release.state = pb.CALL_STATE_RELEASED
    return result


def failed_with(
    operation: pb.Operation, code: Code, reason: str, outcome: str
) -> pb.OperationResult:
    status = status_of(code, reason, outcome=outcome)
    return pb.OperationResult(correlation_id=operation.correlation_id, error=status)


class Book:
    """What reached the server: messages as they came, operations in order."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.operations: list[pb.Operation] = []
        self.ended = threading.Event()

    def reads(self, messages: Iterator[bytes]) -> Iterator[list[pb.Operation]]:
        for message in messages:
            operations = list(pb.ExchangeRequest.FromString(message).operations)
            self.messages.append(message)
            self.operations += operations
            yield operations
        self.ended.set()

    def call_ids(self) -> list[str]:
        return [o.authorize.call_id for o in self.operations]


def replies(results: list[pb.OperationResult]) -> bytes:
    return pb.ExchangeResponse(results=results).SerializeToString()


def answering(book: Book, answer: Answer = grant) -> Serve:
    """Serves every message at once; an operation answered with None stays unanswered."""

    def serve(messages: Iterator[bytes], context: Context) -> Iterator[bytes]:
        for operations in book.reads(messages):
            answered = map(answer, operations)
            yield replies([result for result in answered if result is not None])

    return serve


def alone(path: str, body: bytes) -> pb.AuthorizeResponse:
    """Answers an RPC of its own as `grant` answers an operation; a number that calls for help is a call without one."""
    call_id = pb.AuthorizeRequest.FromString(body).call_id.removeprefix("c-")
    seconds = int(call_id) if call_id.isdecimal() else 0
    return pb.AuthorizeResponse(outcome=pb.OUTCOME_AUTHORIZED, granted_seconds=seconds)


async def ask(
    stream: Exchange | AsyncClient, number: int, timeout_s: float | None = None
) -> Authorization:
    return await stream.authorize(
        "alice", CallType.USER_OUT, TO, call_id=f"c-{number}", timeout_s=timeout_s
    )


async def failure(
    stream: Exchange | AsyncClient, number: int, timeout_s: float | None = None
) -> TalktimeError:
    with pytest.raises(TalktimeError) as caught:
        await ask(stream, number, timeout_s)
    return caught.value


async def granted(client: AsyncClient, numbers: range) -> None:
    """Asks for all at once; each gets its own answer."""
    answers = await asyncio.gather(*(ask(client, n) for n in numbers))
    assert [a.granted_seconds for a in answers] == list(numbers)


def stuck(messages: Iterator[bytes], context: Context) -> Iterator[bytes]:
    """Takes nothing in and gives nothing out, until the client goes."""
    gone = threading.Event()
    context.add_callback(gone.set)
    gone.wait(10)
    return iter(())


def until(true: Callable[[], bool]) -> None:
    end_s, pause = time.monotonic() + 5, threading.Event()
    while not true():
        assert time.monotonic() < end_s
        pause.wait(0.005)
