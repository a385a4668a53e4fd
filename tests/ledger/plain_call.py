"""A call of the plain ledger, and what was answered about one."""

from dataclasses import dataclass
from dataclasses import field as filled
from datetime import UTC, datetime

from ledger.plain_price import Share
from talktime_server.ledger.operations import Funding, Taking
from talktime_server.ledger.profiles import Tenant
from talktime_server.ledger.records import (
    NO_PRICE,
    NOTHING,
    Call,
    Ending,
    Facts,
    Grant,
    Slice,
    Sources,
    Terms,
)
from talktime_server.words import CallState, Reason

DAY_MS = 86_400_000
_GOING_ON = (CallState.OPEN, CallState.EXPIRED)  # the others are over for good


class DueFirst(Exception):
    """Holds past their lease stand in the way of a batch: nothing of it is done before they are ended."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation said: what it shows, or the word of its failure; of a batch, what each leg was told."""

    shown: Call | Funding | Taking | None = None
    replayed: bool = False
    failure: str = ""
    legs: tuple["Answer", ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call as it is asked for: what is said of it, what may pay, and what bounds it."""

    call_id: str
    facts: Facts
    asked: int
    sources: Sources = NOTHING
    refusal: Reason | None = None
    terms: Terms = NO_PRICE
    line: int = 0
    costly: bool = False


def month_of(now_ms: int) -> int:
    at = datetime.fromtimestamp(now_ms // 1000, UTC)
    return at.year * 100 + at.month


@dataclass(slots=True)
class PlainCall:
    """A call, with what was charged for it so far and the talk time that its last extension proved."""

    state: CallState
    facts: Facts
    sources: Sources
    terms: Terms
    settings: Tenant
    month: int = 0
    epoch: int = 0
    line: int = 0
    hold: int = 0
    owed: int = 0
    paid: int = 0
    invoiced: int = 0
    parts: list[Slice] = filled(default_factory=list)
    granted: int = 0
    lease_ms: int = 0
    proven: int = 0
    last_added: int = 0
    generation: int = 0
    first: Grant | None = None
    last: Grant | None = None
    ending: Ending | None = None

    @property
    def payer(self) -> str:
        return self.facts.payer_id

    @property
    def budget(self) -> int:
        return int(self.facts.conference_budget_micros)

    @property
    def conference(self) -> str:
        """The conference whose budget it counts for."""
        return self.facts.conference_id if self.budget else ""

    @property
    def open(self) -> bool:
        return self.state is CallState.OPEN

    def shown(self) -> Call:
        return Call(
            self.state,
            self.facts,
            self.sources.free,
            self.hold,
            self.granted,
            self.lease_ms if self.state in _GOING_ON else 0,
            self.terms,
            self.first,
            self.last,
            self.ending,
            self.owed,
            tuple(self.parts),
        )

    def used_of(self, pool_id: str) -> int:
        return sum(part.used_seconds for part in self.parts if part.pool_id == pool_id)

    def held_parts(self, shares: tuple[Share, ...]) -> list[Slice]:
        """Its slices when it holds these shares, less what it was charged of them before."""
        parts = []
        for share in shares:
            used = self.used_of(share.pool_id)
            parts.append(Slice(share.pool_id, max(0, share.takes - used), used))
        return [part for part in parts if part.held_seconds or part.used_seconds]

    def kept_parts(self) -> list[Slice]:
        """Its slices when it gives back what it holds."""
        return [Slice(p.pool_id, 0, p.used_seconds) for p in self.parts if p.used_seconds]


def charged_parts(shares: tuple[Share, ...]) -> list[Slice]:
    return [Slice(share.pool_id, 0, share.takes) for share in shares if share.takes]
