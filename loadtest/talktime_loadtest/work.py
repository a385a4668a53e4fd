"""Which operation comes next, and what came of those before: the books that a generator keeps.

Calls that were granted are remembered until they are settled. What was granted, charged and refused
is counted per tenant over the whole run, so that it can be compared with the service's own books.
"""

import json
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from google.protobuf.message import Message

from talktime.v1 import authorization_service_pb2 as pb
from talktime_loadtest.asking import ID_DIGITS, Kind, Template, template
from talktime_loadtest.buckets import Counts, bucket_of
from talktime_loadtest.orders import Orders, Shape
from talktime_loadtest.wire import LOST, WRONG_ANSWER

DROPPED = "DROPPED_BY_GENERATOR"
NOT_THE_SAME = "NOT_THE_FIRST_ANSWER"
PATTERN = 1_000
BIG_SHARE = 10  # one call in so many is not the big tenant's
MOST_TEMPLATES = 200_000
# After these the operation may be asked again with its id; see the client's retry.py.
WORTH_REPEATING = frozenset(
    {"UNAVAILABLE", LOST, "RESET", "DEADLINE_EXCEEDED", "UNKNOWN", "HTTP_503", "HTTP_504"}
)

_AUTHORIZED = pb.OUTCOME_AUTHORIZED
_REFUSED = pb.OUTCOME_REFUSED


class Asked:
    """One operation on its way: when it was meant to leave, and what it is compared with when it was answered before."""

    __slots__ = ("begun_s", "call_id", "first", "kind", "template", "tenant", "tries")

    def __init__(self, kind: Kind, template: Template, call_id: bytes, tenant: int) -> None:
        self.kind = kind
        self.template = template
        self.call_id = call_id
        self.tenant = tenant
        self.begun_s = 0.0
        self.tries = 1
        self.first: Any = None


@dataclass(slots=True)
class Answer:
    """What is judged of an answer that did not come as a message, under the message's names."""

    outcome: int
    replayed: bool = False
    charged_micros: int = 0
    reason: int = 0

    def CopyFrom(self, other: "Answer") -> None:  # noqa: N802  a message's own name for it
        """Becomes as the other."""
        self.outcome, self.replayed = other.outcome, other.replayed
        self.charged_micros, self.reason = other.charged_micros, other.reason


def answer_of_json(body: bytes) -> Answer:
    """What a service says in JSON; ValueError for what is no answer."""
    fields = json.loads(body)
    if not isinstance(fields, dict):
        raise ValueError("not an object")
    return Answer(
        pb.Outcome.Value(fields.get("outcome", "OUTCOME_UNSPECIFIED")),
        bool(fields.get("replayed")),
        int(fields.get("charged_micros", 0)),
        pb.Reason.Value(fields.get("reason", "REASON_UNSPECIFIED")),
    )


@dataclass(slots=True)
class Slice:
    """What came in during a moment."""

    latencies: dict[Kind, Counts] = field(default_factory=lambda: {kind: {} for kind in Kind})
    errors: dict[str, int] = field(default_factory=dict)
    refused: int = 0


@dataclass(slots=True)
class Books:
    """What the clients saw, from the first operation to the last; lists are by tenant."""

    granted: list[int]
    settled: list[int]
    refused: list[int]
    extended: list[int]
    charged_micros: list[int]
    reasons: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    # Operations of which nobody knows whether they were applied.
    unknown: int = 0
    replayed: int = 0
    repeated: int = 0

    @classmethod
    def of(cls, tenants: int) -> "Books":
        """Empty books."""
        granted, settled, refused, extended, charged = ([0] * tenants for _ in range(5))
        return cls(granted, settled, refused, extended, charged)


class Work:
    """A source of operations, and the judge of their answers."""

    def __init__(self, orders: Orders) -> None:
        self.books = Books.of(len(orders.tenants))
        self.slice = Slice()
        self.asked = 0
        # Operations that wait a moment before they are asked again.
        self.resting = 0
        # Answers and failures so far: as long as it grows, the service is at work.
        self.ended = 0
        self.finishing = False
        self._orders = orders
        self._kinds = _pattern(orders)
        self._callers = _callers(orders)
        self._barred = [
            template(Kind.REFUSE, tenant_id, orders.barred_payer, orders.terms)
            for tenant_id in orders.tenants
        ]
        self._settles, self._extends = (
            [template(kind, tenant_id, "", orders.terms) for tenant_id in orders.tenants]
            for kind in (Kind.SETTLE, Kind.EXTEND)
        )
        self._run = orders.run.encode()
        self._made = 0
        self._open: deque[tuple[bytes, int]] = deque()
        self._extended: deque[tuple[bytes, int]] = deque()
        self._again: deque[Asked] = deque()

    def take(self, count: int, now: float) -> list[Asked]:
        """The next operations, which begin now; fewer when the orders end, none when there is nothing left."""
        found = []
        for _ in range(count):
            asked = self._again.popleft() if self._again else self._next()
            if asked is None:
                break
            # What is asked again has been waited for since it was first asked.
            asked.begun_s = asked.begun_s or now
            found.append(asked)
        return found

    def took(self, asked: Asked, answer: Any, now: float) -> None:
        """Judges an answer: the message that the operation's RPC gives."""
        self.ended += 1
        if asked.first is not None:
            self._took_again(asked, answer, now)
            return
        if answer.replayed:
            if asked.tries == 1:
                self._wrong(asked)
                return
            self.books.replayed += 1
        if not self._booked(asked, answer):
            self._wrong(asked)
            return
        self._note(asked, now)

    def failed(self, asked: Asked, status: str) -> bool:
        """Counts an error; True when the operation will be asked again, with its id."""
        self.ended += 1
        self.count_error(status)
        if status in WORTH_REPEATING and asked.tries < self._orders.attempts:
            asked.tries += 1
            return True
        if status in WORTH_REPEATING and asked.first is None:
            self.books.unknown += 1
        return False

    def count_error(self, status: str) -> None:
        """Counts an error."""
        for errors in (self.slice.errors, self.books.errors):
            errors[status] = errors.get(status, 0) + 1

    def dropped(self, asked: Asked) -> None:
        """Counts an operation that could not even be sent, and forgets it."""
        self.count_error(DROPPED)
        if asked.kind in (Kind.SETTLE, Kind.EXTEND) or asked.first is not None:
            self._open.append((asked.call_id, asked.tenant))

    def again(self, asked: Asked) -> None:
        """Puts an operation back in front."""
        self._again.append(asked)

    def next_slice(self) -> Slice:
        """What came in since the last time."""
        last, self.slice = self.slice, Slice()
        return last

    def _next(self) -> Asked | None:
        if self.finishing:
            return self._settle() if self._orders.settle_all else None
        if self._orders.count and self.asked >= self._orders.count:
            return None
        self.asked += 1
        kind = next(self._kinds)
        if kind is Kind.SETTLE and (settle := self._settle()):
            return settle
        if kind is Kind.EXTEND and self._open:
            call_id, tenant = self._open.popleft()
            return Asked(kind, self._extends[tenant], call_id, tenant)
        tenant, found = next(self._callers)
        self._made += 1
        call_id = b"%s%0*d" % (self._run, ID_DIGITS, self._made)
        if kind is Kind.REFUSE:
            return Asked(kind, self._barred[tenant], call_id, tenant)
        return Asked(Kind.AUTHORIZE, found, call_id, tenant)

    def _settle(self) -> Asked | None:
        calls = self._extended or self._open
        if not calls:
            return None
        call_id, tenant = calls.popleft()
        return Asked(Kind.SETTLE, self._settles[tenant], call_id, tenant)

    def _booked(self, asked: Asked, answer: Any) -> bool:
        """Writes an answer into the books; False for one that cannot be right."""
        kind, tenant, outcome, books = asked.kind, asked.tenant, answer.outcome, self.books
        if outcome == _AUTHORIZED:
            if kind is Kind.AUTHORIZE:
                books.granted[tenant] += 1
                every = self._orders.duplicate_every
                if every and self._made % every == 0:
                    self._ask_twice(asked, answer)
                else:
                    self._open.append((asked.call_id, tenant))
            elif kind is Kind.SETTLE:
                books.settled[tenant] += 1
                books.charged_micros[tenant] += answer.charged_micros
            elif kind is Kind.EXTEND:
                books.extended[tenant] += 1
                self._extended.append((asked.call_id, tenant))
            return kind is not Kind.REFUSE
        if outcome != _REFUSED or kind is Kind.SETTLE:
            return False
        self._refused(asked, answer)
        return True

    def _refused(self, asked: Asked, answer: Any) -> None:
        self.slice.refused += 1
        self.books.refused[asked.tenant] += 1
        if asked.kind is Kind.EXTEND:
            self._extended.append((asked.call_id, asked.tenant))
        if asked.kind is not Kind.REFUSE:
            reason = pb.Reason.Name(answer.reason).removeprefix("REASON_")
            self.books.reasons[reason] = self.books.reasons.get(reason, 0) + 1

    def _ask_twice(self, asked: Asked, answer: Any) -> None:
        twice = Asked(asked.kind, asked.template, asked.call_id, asked.tenant)
        twice.first = type(answer)() if isinstance(answer, Message) else Answer(0)
        twice.first.CopyFrom(answer)
        self._again.append(twice)

    def _took_again(self, asked: Asked, answer: Any, now: float) -> None:
        """The same id again: the first answer, and it says that it is."""
        replayed = answer.replayed
        answer.replayed = asked.first.replayed
        self._open.append((asked.call_id, asked.tenant))
        self.books.repeated += 1
        if not replayed or answer != asked.first:
            self.failed(asked, NOT_THE_SAME)
            return
        self._note(asked, now)

    def _wrong(self, asked: Asked) -> None:
        self.failed(asked, WRONG_ANSWER)

    def _note(self, asked: Asked, now: float) -> None:
        bucket = bucket_of(int((now - asked.begun_s) * 1e6))
        counts = self.slice.latencies[asked.kind]
        counts[bucket] = counts.get(bucket, 0) + 1


def _pattern(orders: Orders) -> Iterator[Kind]:
    """Kinds in the shares asked for. A pair alternates, so that every moment has as many of each."""
    weights = {kind: weight for kind, weight in orders.mix.items() if weight}
    if len(set(weights.values())) == 1:
        return cycle(weights)
    picked = random.Random(orders.seed).choices(list(weights), list(weights.values()), k=PATTERN)
    return cycle(picked)


def _callers(orders: Orders) -> Iterator[tuple[int, Template]]:
    """Who calls: every payer of every tenant in turn, or one tenant's nearly always."""
    payers = max(1, min(len(orders.payers), MOST_TEMPLATES // len(orders.tenants)))
    callers = [
        [
            (tenant, template(Kind.AUTHORIZE, name, payer, orders.terms))
            for payer in orders.payers[:payers]
        ]
        for tenant, name in enumerate(orders.tenants)
    ]
    turns = [each for turn in zip(*callers, strict=True) for each in turn]
    if orders.shape is Shape.EVEN or len(callers) == 1:
        return cycle(turns)
    others = cycle([each for each in turns if each[0]])
    big = cycle(callers[0])
    return (
        next(others) if place % BIG_SHARE == 0 else next(big) for place in cycle(range(BIG_SHARE))
    )
