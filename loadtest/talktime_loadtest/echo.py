"""The floor: a process that answers every call with the same bytes, through the same engine and framing as the service.

Serve it by the setting TALKTIME_APP=talktime_loadtest.echo:open_app. What the service costs beyond
this is talktime's own.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from talktime.v1 import authorization_service_pb2 as pb
from talktime_server.failure import Code
from talktime_server.rpc.shapes import Reply

CHARGED_MICROS = 6_900


def balance() -> pb.Balance:
    """Money of the usual size."""
    return pb.Balance(
        settled_micros=10**12,
        held_micros=10**9,
        available_micros=999 * 10**9,
        currency_code="USD",
    )


def rate() -> pb.Rate:
    """A rate of the usual size."""
    return pb.Rate(
        destination="United Kingdom",
        prefix="44",
        rate_per_minute_micros=6_900,
        initial_seconds=60,
        increment_seconds=60,
        deck_version="demo",
    )


def authorized() -> pb.AuthorizeResponse:
    """An answer of the size the service gives."""
    response = pb.AuthorizeResponse(
        outcome=pb.OUTCOME_AUTHORIZED,
        granted_seconds=600,
        lease_seconds=720,
        number_class=pb.NUMBER_CLASS_ORDINARY,
        country="GB",
        sources=[pb.Source(kind=pb.SOURCE_KIND_CREDITS, seconds=600, amount_micros=69_000)],
        rate=rate(),
        balance=balance(),
    )
    response.decided_time.GetCurrentTime()
    return response


def settled() -> pb.SettleResponse:
    """A receipt of the size the service gives."""
    response = pb.SettleResponse(
        outcome=pb.OUTCOME_AUTHORIZED,
        charges=[pb.Source(kind=pb.SOURCE_KIND_CREDITS, seconds=60, amount_micros=CHARGED_MICROS)],
        charged_micros=CHARGED_MICROS,
        duration_seconds=60,
        billed_seconds=60,
        rate=rate(),
        balance=balance(),
    )
    response.settled_time.GetCurrentTime()
    return response


def extended() -> pb.ExtendResponse:
    """An answer of the size the service gives."""
    return pb.ExtendResponse.FromString(authorized().SerializeToString())


class Echo:
    """Stands where the edge stands and does nothing."""

    in_flight = 0

    def __init__(self) -> None:
        authorize, settle, extend = authorized(), settled(), extended()
        self._authorized = Reply(Code.OK, body=authorize.SerializeToString())
        self._settled = Reply(Code.OK, body=settle.SerializeToString())
        # The parts of an answer on a stream, without its correlation id; parts of a message follow each other freely.
        self._result_of = {
            "authorize": pb.OperationResult(authorize=authorize),
            "settle": pb.OperationResult(settle=settle),
            "extend": pb.OperationResult(extend=extend),
        }

    def streaming(self, path: str) -> bool:
        """Whether the path is a stream."""
        return path.endswith("/Exchange")

    def one_question(self, path: str) -> bool:
        """No stream is of one question only."""
        return False

    async def unary(self, call: Any) -> Reply:
        """Answers at once."""
        return self._settled if call.path.endswith("/Settle") else self._authorized

    async def exchange(self, call: Any, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Answers each message with one of as many results."""
        async for message in messages:
            response = pb.ExchangeResponse()
            for operation in pb.ExchangeRequest.FromString(message).operations:
                result = self._result_of[operation.WhichOneof("operation") or "authorize"]
                result.correlation_id = operation.correlation_id
                response.results.append(result)
            yield response.SerializeToString()

    def drain(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class App:
    """What a serving process opens."""

    edge: Echo

    async def drain(self) -> None:
        """Nothing is open."""

    async def close(self) -> None:
        """Nothing is held."""


async def open_app(settings: Any) -> App:
    """Opens the floor; no setting matters to it."""
    return App(Echo())
