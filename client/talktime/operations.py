"""The operations of a stream that have no answer yet: their order, their deadlines, and what becomes of each.

Nothing here waits or sends; pipeline.py does.
"""

import asyncio
import copy
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from talktime import frames
from talktime.alarm import Alarm
from talktime.ask import Ask
from talktime.errors import (
    Applied,
    TalktimeError,
    error_of,
    error_of_status,
    malformed_answer,
)
from talktime.retry import Attempts
from talktime.v1 import authorization_service_pb2 as pb

MAX_MESSAGE_OPERATIONS = 256
_SMALL_MESSAGE_OPERATIONS = 64
MAX_MESSAGE_BYTES = 64 * 1024
MAX_OPERATION_BYTES = 16 * 1024
# When an operation runs out of time on a stream that owed answers and gave none for so long, the stream is dead.
SILENCE_S = 0.2
# A loop that comes so late to its own deadlines has no right to call the service slow.
_OWN_DELAY_S = 0.05
KINDS = {
    pb.AuthorizeRequest: "authorize",
    pb.ExtendRequest: "extend",
    pb.SettleRequest: "settle",
    pb.ReleaseRequest: "release",
}


class Elsewhere(Exception):
    """No stream can be had, and the operation may be asked by its own RPC: it is safe to do so, and in order."""


@dataclass(slots=True, eq=False)
class Waiting:
    """An operation without its answer yet."""

    correlation_id: int
    kind: str
    frame: bytes
    attempts: Attempts
    answer: asyncio.Future[Any]
    until_s: float
    # When it went onto the stream that is open now; 0 while it is on none, and then it cannot have been applied
    # since its last failure.
    sent_s: float = 0.0
    # Waits a moment before it is sent again.
    resting: bool = False

    def fail(self, error: TalktimeError) -> None:
        """Ends it with an error that no repeat would mend."""
        if not self.answer.done():
            self.answer.set_exception(self.attempts.failed(self._own(error)))

    def interrupted(self, error: TalktimeError, *, refused: bool, elsewhere: bool) -> None:
        """The stream broke below it: it waits for the next one, goes elsewhere, or ends with an error of its own.

        A stream that was `refused` has taken nothing, so it was no attempt.
        """
        own = self.attempts.failed(self._own(error), charged=False)
        if refused and elsewhere:
            self.attempts.take_back()
        elif not self.attempts.may_repeat(own):
            self.answer.set_exception(own)
            return
        if elsewhere:
            self.answer.set_exception(Elsewhere())
        else:
            self.begin()

    def begin(self) -> None:
        """Begins an attempt, which has a limit of its own."""
        self.until_s = time.monotonic() + self.attempts.begin()

    def _own(self, error: TalktimeError) -> TalktimeError:
        """The stream's error as this operation's: what was on no stream was not applied."""
        own = copy.copy(error)
        if not self.sent_s:
            own.outcome = Applied.NOT_APPLIED
        return own


class Operations:
    """Those of one Exchange, in the order they were asked; at most `most_sent` of them are on the stream."""

    def __init__(self, most_sent: int, on_silence: Callable[[], None]) -> None:
        self.ready = asyncio.Event()
        self.answers = 0
        self._most_sent = most_sent
        self._on_silence = on_silence
        self._ids = count(1)
        self._waiting: dict[int, Waiting] = {}
        self._unsent: deque[Waiting] = deque()
        self._sent = 0
        # Since when the stream has owed an answer and given none; 0 when it owes none, as far as is known.
        self._owed_since_s = 0.0
        self._alarm = Alarm(self._end_late_ones)

    def __bool__(self) -> bool:
        """Whether any waits for its answer."""
        return bool(self._waiting)

    @property
    def unsent(self) -> bool:
        """Whether there may be something to send."""
        return bool(self._unsent)

    def add(self, ask: Ask[Any], attempts: Attempts) -> Waiting:
        """Takes an operation in; `drop` it when it has its answer, or nobody waits for that."""
        kind = KINDS.get(type(ask.request))
        if kind is None:
            raise ValueError(f"a stream carries {', '.join(KINDS.values())}")
        correlation_id = next(self._ids)
        frame = frames.operation(kind, correlation_id, ask.request.SerializeToString())
        if len(frame) > MAX_OPERATION_BYTES:
            raise attempts.failed(_too_large())
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        waiting = Waiting(correlation_id, kind, frame, attempts, answer, 0.0)
        self._waiting[correlation_id] = waiting
        self._line_up(waiting)
        return waiting

    def drop(self, waiting: Waiting) -> None:
        """Forgets an operation; an answer to it that comes later is passed over."""
        del self._waiting[waiting.correlation_id]
        self._landed(waiting)

    def next_message(self) -> bytes | None:
        """Whatever is ready, as far as one message and the room on the stream go; None when nothing is."""
        taken: list[bytes] = []
        size_bytes, now_s = 0, time.monotonic()
        # A crowd is halved: the service decides on one half while this side reads and writes the other.
        half = max(_SMALL_MESSAGE_OPERATIONS, len(self._waiting) // 2)
        most = min(MAX_MESSAGE_OPERATIONS, half, self._most_sent - self._sent)
        while self._unsent and len(taken) < most:
            waiting = self._unsent[0]
            if not waiting.answer.done():
                size_bytes += len(waiting.frame)
                if size_bytes > MAX_MESSAGE_BYTES:
                    break
                waiting.sent_s = now_s
                taken.append(waiting.frame)
            self._unsent.popleft()
        if not taken:
            return None
        self._sent += len(taken)
        self._owed_since_s = self._owed_since_s or now_s
        return frames.message(taken)

    def take(self, body: bytes) -> None:
        """Hands the answers of a message to whom they belong; raises when they cannot be read."""
        self._owed_since_s = 0.0
        for result in _results(body):
            self.answers += 1
            waiting = self._waiting.get(result.correlation_id)
            # Nobody waits for it any more, or it came twice.
            if waiting is not None and waiting.sent_s and not waiting.answer.done():
                self._take(result, waiting)

    def interrupted(self, error: TalktimeError, *, refused: bool, elsewhere: bool) -> None:
        """The stream broke: keeps what may be sent again, in its order, and ends the rest."""
        for waiting in self._under_way():
            waiting.interrupted(error, refused=refused, elsewhere=elsewhere)
        self._unsent = deque(self._under_way())
        for waiting in self._waiting.values():
            waiting.sent_s = 0.0
        self._sent, self._owed_since_s = 0, 0.0

    def give_up(self, error: TalktimeError) -> None:
        """Ends all of them."""
        self._alarm.stop()
        for waiting in self._waiting.values():
            waiting.fail(error)

    def _line_up(self, waiting: Waiting) -> None:
        waiting.begin()
        self._alarm.at(waiting.until_s)
        self._unsent.append(waiting)
        self.ready.set()

    def _landed(self, waiting: Waiting) -> None:
        """It is on the stream no more, and there is room for another."""
        if waiting.sent_s:
            waiting.sent_s = 0.0
            self._sent -= 1
            if self._unsent:
                self.ready.set()

    def _take(self, result: pb.OperationResult, waiting: Waiting) -> None:
        what = result.WhichOneof("result")
        if what == waiting.kind:
            waiting.answer.set_result(getattr(result, what))
        elif what == "error":
            self._failed(waiting, error_of_status(result.error))
        else:
            waiting.fail(malformed_answer("it answers another kind of operation"))
        self._landed(waiting)

    def _failed(self, waiting: Waiting, error: TalktimeError) -> None:
        waiting.attempts.failed(error)
        rest_s = waiting.attempts.rest_s(error)
        if rest_s is None:
            waiting.answer.set_exception(error)
            return
        waiting.resting = True
        asyncio.get_running_loop().call_later(rest_s, self._send_again, waiting)

    def _send_again(self, waiting: Waiting) -> None:
        waiting.resting = False
        if not waiting.answer.done():
            self._line_up(waiting)

    def _end_late_ones(self) -> float | None:
        """Ends what is out of time, and returns when the next one will be."""
        now_s = time.monotonic()
        late = [waiting for waiting in self._under_way() if waiting.until_s <= now_s]
        silent = any(self._is_dead_silence(waiting, now_s) for waiting in late)
        for waiting in late:
            waiting.fail(_too_late())
        self._unsent = deque(waiting for waiting in self._unsent if not waiting.answer.done())
        if silent:
            self._on_silence()
        return min((waiting.until_s for waiting in self._under_way()), default=None)

    def _is_dead_silence(self, late: Waiting, now_s: float) -> bool:
        in_time = now_s - late.until_s < _OWN_DELAY_S
        return in_time and 0 < self._owed_since_s <= now_s - SILENCE_S

    def _under_way(self) -> list[Waiting]:
        """Those in an attempt: neither answered, nor resting between two."""
        return [w for w in self._waiting.values() if not w.resting and not w.answer.done()]


def _results(body: bytes) -> Iterable[pb.OperationResult]:
    try:
        return pb.ExchangeResponse.FromString(body).results
    except DecodeError:
        raise malformed_answer("not an ExchangeResponse") from None


def _too_large() -> TalktimeError:
    """Sent, it would end the stream for all others."""
    return error_of(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"an operation has at most {MAX_OPERATION_BYTES} bytes",
        reason="MESSAGE_TOO_LARGE",
        outcome=Applied.NOT_APPLIED,
    )


def _too_late() -> TalktimeError:
    return error_of(grpc.StatusCode.DEADLINE_EXCEEDED, "no answer came in time")
