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


def answer() -> pb.AuthorizeResponse:
    """An answer of the size the service gives."""
    response = pb.AuthorizeResponse(
        outcome=pb.OUTCOME_AUTHORIZED,
        granted_seconds=600,
        lease_seconds=720,
        number_class=pb.NUMBER_CLASS_ORDINARY,
        country="GB",
        sources=[pb.Source(kind=pb.SOURCE_KIND_CREDITS, seconds=600, amount_micros=69_000)],
        rate=pb.Rate(
            destination="United Kingdom",
            prefix="44",
            rate_per_minute_micros=6_900,
            initial_seconds=60,
            increment_seconds=60,
            deck_version="demo",
        ),
        balance=pb.Balance(
            settled_micros=10**12,
            held_micros=10**9,
            available_micros=999 * 10**9,
            currency_code="USD",
        ),
    )
    response.decided_time.GetCurrentTime()
    return response


class Echo:
    """Stands where the edge stands and does nothing."""

    in_flight = 0

    def __init__(self) -> None:
        self._reply = Reply(Code.OK, body=answer().SerializeToString())

    def streaming(self, path: str) -> bool:
        """No path is a stream."""
        return False

    async def unary(self, call: Any) -> Reply:
        """Answers at once."""
        return self._reply

    async def exchange(self, call: Any, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Gives each message back."""
        async for message in messages:
            yield message

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
