"""However answers, breaks and cancellations fall together, the room on a stream is kept and nothing is sent twice at once."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from client.stream_kit import TO, Code, failed_with, grant, replies
from talktime import RetrySettings, TalktimeError, call_requests
from talktime.ask import Defaults
from talktime.errors import error_of
from talktime.operations import Operations, Waiting
from talktime.retry import Attempts, RetryBudget
from talktime.v1 import authorization_service_pb2 as pb

MOST_SENT = 5
STEPS = 400
SETTINGS = RetrySettings(first_wait_s=0.0, longest_wait_s=0.0, budget_tokens=10_000)


@dataclass
class Storm:
    """Operations, and what of them a service would have on its stream; one step is one thing that happens."""

    chance: random.Random
    operations: Operations
    waiting: list[Waiting] = field(default_factory=list)
    on_stream: dict[int, pb.Operation] = field(default_factory=dict)
    number: int = 0

    def ask(self) -> None:
        self.number += 1
        asked = call_requests.authorize(
            Defaults("", 2.0, None), "alice", "USER_OUT", TO, call_id=f"c-{self.number}"
        )
        attempts = Attempts(SETTINGS, RetryBudget(SETTINGS), asked)
        self.waiting.append(self.operations.add(asked, attempts))

    def send(self) -> None:
        while message := self.operations.next_message():
            for operation in pb.ExchangeRequest.FromString(message).operations:
                assert operation.correlation_id not in self.on_stream
                self.on_stream[operation.correlation_id] = operation
        still = {w.correlation_id for w in self.waiting}
        assert len(self.on_stream.keys() & still) <= MOST_SENT

    def answer(self) -> None:
        for mark in self.chance.sample(sorted(self.on_stream), min(2, len(self.on_stream))):
            operation = self.on_stream.pop(mark)
            away = self.chance.random() < 0.2
            result = (
                failed_with(operation, Code.UNAVAILABLE, "STORE_AWAY", "UNKNOWN")
                if away
                else grant(operation)
            )
            self.operations.take(replies([result] * self.chance.randint(1, 2)))

    def leave(self) -> None:
        """A caller stops waiting."""
        if self.waiting:
            gone = self.waiting.pop(self.chance.randrange(len(self.waiting)))
            gone.answer.cancel()
            self.operations.drop(gone)

    def wake(self) -> None:
        """Callers hear what came; some of them late."""
        for waiting in [w for w in self.waiting if w.answer.done() and self.chance.random() < 0.7]:
            self.waiting.remove(waiting)
            if waiting.answer.exception() is None:
                number = waiting.attempts.failed(error_of(Code.OK, "")).call_id
                assert waiting.answer.result().granted_seconds == int(number.removeprefix("c-"))
            self.operations.drop(waiting)

    def break_off(self) -> None:
        self.on_stream.clear()
        error = error_of(Code.UNAVAILABLE, "the stream ended")
        self.operations.interrupted(error, refused=False, elsewhere=False)


@pytest.mark.parametrize("seed", range(10))
async def test_a_storm_leaves_the_room_as_it_was(seed: int) -> None:
    chance = random.Random(seed)
    storm = Storm(chance, Operations(MOST_SENT, lambda: None))
    steps = [storm.ask] * 4 + [storm.send] * 3 + [storm.answer] * 4 + [storm.wake] * 3
    steps += [storm.leave, storm.break_off]
    for _ in range(STEPS):
        chance.choice(steps)()
        await asyncio.sleep(0)
    while storm.waiting:
        storm.send()
        storm.answer()
        storm.wake()
        await asyncio.sleep(0)
    for _ in range(MOST_SENT + 1):
        storm.ask()
    storm.on_stream.clear()
    storm.send()
    assert len(storm.on_stream) == MOST_SENT
    storm.operations.give_up(error_of(Code.CANCELLED, "over"))
    ended = await asyncio.gather(*(w.answer for w in storm.waiting), return_exceptions=True)
    assert all(isinstance(error, TalktimeError) for error in ended)
