"""Which way a call of AsyncClient goes: by its own RPC, or over the one stream that concurrent calls share.

- A call that is alone goes by its own RPC; the first one that comes while another is under way opens the stream.
- While the stream is open everything goes over it, a lone call too, because that is the quicker way. Nothing waits for
  company: a message is whatever is ready when the last one has left.
- An emergency call goes by its own RPC, always: it waits neither for the stream nor for room on it.
- Where streams do not work (a service without Exchange, one with too many streams, a proxy that cuts them), what was
  on them and what comes next goes by RPCs of its own. After a second the stream is tried again, then after ever
  longer.
"""

import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from talktime.ask import Ask
from talktime.channel import Terms
from talktime.operations import Elsewhere
from talktime.pipeline import Exchange
from talktime.retry import Attempts
from talktime.v1 import authorization_service_pb2 as pb

T = TypeVar("T")
# Four messages of the largest size. More on the way would only wait in the service instead of here.
MOST_IN_FLIGHT = 1024
# Streams in a row that break before they answer: one may meet a restart.
_MOST_VAIN = 2
# An idle stream ends with a word to the service, which has so long to answer it.
_FAREWELL_S = 0.2
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 600.0


class Alone(Protocol):
    """Asks by the RPC of its own."""

    def __call__(self, ask: Ask[T], attempts: Attempts, /) -> Coroutine[Any, Any, T]: ...


class Batches:
    """One client's calls: each goes the way that its moment calls for."""

    def __init__(self, terms: Terms, channel: Callable[[], grpc.aio.Channel], alone: Alone) -> None:
        self._terms = terms
        self._alone = alone
        self._stream = Exchange(terms, channel, max_in_flight=MOST_IN_FLIGHT, most_vain=_MOST_VAIN)
        self._under_way = 0
        self._answers = 0
        self._paused_until_s = 0.0
        self._pause_s = _FIRST_PAUSE_S

    async def answer(self, ask: Ask[T]) -> T:
        """Asks, and raises what the operation's own RPC would raise, whichever way it goes."""
        attempts = self._terms.attempts(ask)
        self._under_way += 1
        try:
            if self._streams and not _calls_for_help(ask.request):
                try:
                    return await self._stream.carry(ask, attempts)
                except Elsewhere:
                    self._pause()
            return await self._alone(ask, attempts)
        finally:
            self._under_way -= 1

    async def stop(self) -> None:
        """Ends the stream; calls under way end with Cancelled."""
        if self._under_way:
            await self._stream.stop()
        else:
            await self._stream.close(_FAREWELL_S)

    @property
    def _streams(self) -> bool:
        """Whether this is a moment for the stream."""
        if self._stream.answering:
            return True
        return self._under_way > 1 and time.monotonic() >= self._paused_until_s

    def _pause(self) -> None:
        """Keeps away from streams for a while; all calls of a stream that failed say so."""
        now_s = time.monotonic()
        if now_s < self._paused_until_s:
            return
        if self._stream.answers > self._answers:
            self._answers, self._pause_s = self._stream.answers, _FIRST_PAUSE_S
        self._paused_until_s = now_s + self._pause_s
        self._pause_s = min(_LONGEST_PAUSE_S, 2 * self._pause_s)


def _calls_for_help(request: Message) -> bool:
    """Whether it may be an emergency call: those numbers are the ones sent as dialled, without a plus."""
    return isinstance(request, pb.AuthorizeRequest) and not request.to_number.startswith("+")
