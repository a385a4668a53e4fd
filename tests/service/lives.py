"""Random lives of calls, asked over streams while the service is ill-treated, and the proof that each had one effect."""

import asyncio
import dataclasses
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from service.site import LONDON, MINUTE, Site
from talktime import (
    AsyncClient,
    Authorization,
    DeadlineExceeded,
    Entry,
    Exchange,
    Extension,
    Release,
    Settlement,
    Unavailable,
)

Answer = Authorization | Extension | Settlement | Release
A = TypeVar("A", bound=Answer)
Asker = AsyncClient | Exchange
Asking = tuple[Asker, bool]  # and whether it makes one attempt and no more
PATIENCE_S = 30.0  # a store that was killed reads its journal back first
REST_S = 0.05
TWICE_SHARE = 0.1
RELEASED_SHARE = 0.2
MOST_REPEATS = 4_000


@dataclass(frozen=True, slots=True)
class Operation:
    """What was asked of one call: enough to ask it again."""

    call_id: str
    name: str
    number: int = 0

    async def ask(self, asker: Asker, tenant_id: str) -> Answer:
        if self.name == "authorize":
            return await asker.authorize(
                "alice",
                "USER_OUT",
                LONDON,
                call_id=self.call_id,
                requested_seconds=self.number,
                tenant_id=tenant_id,
            )
        if self.name == "extend":
            return await asker.extend(self.call_id, self.number, 60, tenant_id=tenant_id)
        if self.name == "settle":
            return await asker.settle(self.call_id, self.number, tenant_id=tenant_id)
        return await asker.release(self.call_id, tenant_id=tenant_id)


@dataclass
class Lives:
    """The calls of one site: what was asked, and the first answer to each."""

    site: Site
    askers: Sequence[Asking]
    chance: random.Random
    answers: dict[Operation, Answer] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    async def go_on(self, until: Callable[[], bool]) -> None:
        """One caller: life after life until it is time to stop; a life that has begun is lived to its end."""
        mark = self.chance.getrandbits(48)
        for n in count():
            if until():
                return
            await self._live(f"call-{mark:x}-{n}")

    async def repeat(self) -> None:
        """Asks again, with their ids, many of the operations: each gets its first answer. An extend is left out, as
        that of a call that has ended is refused."""
        repeated = [o for o in self.answers if o.name != "extend"]
        self.chance.shuffle(repeated)
        for start in range(0, min(len(repeated), MOST_REPEATS), 200):
            asked = repeated[start : start + 200]
            answers = await asyncio.gather(*(self._answered(o) for o in asked))
            for operation, answer in zip(asked, answers, strict=True):
                assert answer.replayed, operation
                assert unmarked(answer) == unmarked(self.answers[operation]), operation

    def prove(self, entries: Sequence[Entry]) -> None:
        """Everything was held once and charged once, and nothing else moved."""
        ended = [a for a in self.answers.values() if isinstance(a, Settlement | Release)]
        spent = sum(a.charged_micros for a in ended if isinstance(a, Settlement))
        balance = self.site.balance()
        assert (balance.spent_micros, balance.open_calls) == (spent, 0)
        assert self.site.money().held_micros == 0
        kinds = Counter((entry.reference_id, entry.kind.value) for entry in entries)
        for end in ended:
            kind = "SETTLE" if isinstance(end, Settlement) else "RELEASE"
            assert kinds[end.call_id, kind] == 1
        holds = sum(
            a.authorized for a in self.answers.values() if isinstance(a, Authorization | Extension)
        )
        assert sum(n for (_, kind), n in kinds.items() if kind == "HOLD") == holds
        assert self.site.operator.check_conservation().conserved

    async def _live(self, call_id: str) -> None:
        chance = self.chance
        call = await self._asked(Operation(call_id, "authorize", 60 * chance.randint(1, 4)))
        assert isinstance(call, Authorization)
        if not call.authorized:
            return
        seconds = call.granted_seconds
        for sequence in range(1, chance.randint(1, 3)):
            more = await self._asked(Operation(call_id, "extend", sequence))
            assert isinstance(more, Extension)
            seconds = max(seconds, more.granted_seconds if more.authorized else 0)
        if chance.random() < RELEASED_SHARE:
            await self._asked(Operation(call_id, "release"))
            return
        duration_s = chance.randint(0, seconds)
        receipt = await self._asked(Operation(call_id, "settle", duration_s))
        assert isinstance(receipt, Settlement)
        assert receipt.charged_micros == -(-duration_s // 60) * MINUTE

    async def _asked(self, operation: Operation) -> Answer:
        """The answer to an operation, which some callers send twice at the same time."""
        times = 2 if self.chance.random() < TWICE_SHARE else 1
        answers = await asyncio.gather(
            *(self._answered(operation, alone=times == 1) for _ in range(times))
        )
        assert sum(not answer.replayed for answer in answers) <= 1, operation
        assert len({repr(unmarked(answer)) for answer in answers}) == 1, operation
        self.answers[operation] = answers[0]
        return answers[0]

    async def _answered(self, operation: Operation, *, alone: bool = False) -> Answer:
        """Asks until there is an answer: a failure says whether asking again is safe, and it always is."""
        end_s, in_doubt = time.monotonic() + PATIENCE_S, not alone
        while True:
            asker, once = self.chance.choice(self.askers)
            # One that repeats by itself may have been answered by its second attempt.
            in_doubt = in_doubt or not once
            try:
                answer = await operation.ask(asker, self.site.tenant_id)
                assert in_doubt or not answer.replayed, "an error said NOT_APPLIED and was wrong"
                return answer
            except (Unavailable, DeadlineExceeded) as error:
                self.errors[f"{error.reason} {error.outcome}"] += 1
                in_doubt = in_doubt or error.outcome != "NOT_APPLIED"
                if time.monotonic() > end_s:
                    raise
            await asyncio.sleep(REST_S)


def unmarked(answer: A) -> A:
    """An answer as it was first given."""
    return dataclasses.replace(answer, replayed=False)
