"""The ledger once more, in plain Python: one tenant, exact fractions, sums taken anew each time instead of kept.

It is slow and knows no store. The model test asks both the same and compares every answer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil
from typing import Any

from talktime_server.ledger.operations import Funding
from talktime_server.ledger.profiles import Tenant
from talktime_server.ledger.records import Call, Ending, Facts, Grant, Money, Terms
from talktime_server.words import CallState, Reason, SourceKind

LONGEST_S = 86_400
MOST_AT_ONCE = 10**12
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation said: what it shows, or the word of its failure."""

    shown: Call | Funding | None = None
    replayed: bool = False
    failure: str = ""


def billed(terms: Terms, seconds: int) -> int:
    """The seconds charged for a talk time."""
    if seconds == 0:
        return 0
    beyond = max(0, seconds - terms.initial_seconds)
    return terms.initial_seconds + ceil(Fraction(beyond, terms.increment_seconds)) * (
        terms.increment_seconds
    )


def price(terms: Terms, seconds: int) -> int:
    """The price of a talk time, rounded up once."""
    if seconds == 0:
        return 0
    exact = Fraction(terms.rate_per_minute_micros * billed(terms, seconds), 60)
    return terms.connection_fee_micros + ceil(exact)


def longest(terms: Terms, asked: int, money: int) -> int:
    """The longest talk time up to `asked` that the money pays, in whole steps where it is cut."""
    if money <= 0:
        return 0
    if price(terms, asked) <= money:
        return asked
    paid = 0
    step = terms.initial_seconds
    while price(terms, step) <= money:
        paid, step = step, step + terms.increment_seconds
    return paid


@dataclass(slots=True)
class PlainCall:
    """A call, with what was charged for it so far and the talk time that its last extension proved."""

    state: CallState
    facts: Facts
    source: SourceKind | None
    terms: Terms
    hold: int = 0
    granted: int = 0
    lease_ms: int = 0
    line: int = 0
    paid: int = 0
    proven: int = 0
    last_added: int = 0
    first: Grant | None = None
    last: Grant | None = None
    ending: Ending | None = None

    def shown(self) -> Call:
        return Call(
            self.state,
            self.facts,
            self.source,
            self.hold,
            self.granted,
            self.lease_ms,
            self.terms,
            self.first,
            self.last,
            self.ending,
        )

    def cost(self, seconds: int) -> int:
        return price(self.terms, seconds) if self.source is SourceKind.CREDITS else 0


@dataclass(slots=True)
class PlainLedger:
    """One tenant's money and calls at one moment."""

    settings: Tenant
    now_ms: int
    loaded: int = 0
    spent: int = 0
    expired: int = 0
    uncollected: int = 0
    abandoned: int = 0
    lot_ms: int = 0
    calls: dict[str, PlainCall] = field(default_factory=dict)
    fundings: dict[str, tuple[int, int, Funding]] = field(default_factory=dict)

    @property
    def settled(self) -> int:
        return self.loaded - self.spent - self.expired

    @property
    def money(self) -> Money:
        return Money(self.settled, sum(call.hold for call in self.calls.values()))

    def open_calls(self, payer: str = "") -> list[PlainCall]:
        calls = [call for call in self.calls.values() if call.state is CallState.OPEN]
        return [call for call in calls if payer in ("", call.facts.payer_id)]

    def live(self) -> list[str]:
        """Calls that may still be extended or settled."""
        states = (CallState.OPEN, CallState.EXPIRED)
        return [call_id for call_id, call in self.calls.items() if call.state in states]

    def due(self) -> list[str]:
        """Open calls whose lease is over, the longest over first."""
        open_ids = (i for i, call in self.calls.items() if call.state is CallState.OPEN)
        over = [
            (self.calls[i].lease_ms, i) for i in open_ids if self.calls[i].lease_ms < self.now_ms
        ]
        return [call_id for _, call_id in sorted(over)]

    def lapse(self) -> None:
        """What nobody holds is lost when the credits' time is over."""
        if self.lot_ms and self.now_ms >= self.lot_ms:
            self.expired += max(0, self.money.available_micros)

    def sweep(self) -> None:
        """What a reading of the balance does."""
        for call_id in self.due():
            self._expire(self.calls[call_id])
        self.lapse()

    def fund(self, funding_id: str, amount: int, days: int) -> Answer:
        if funding_id in self.fundings:
            was_amount, was_days, funding = self.fundings[funding_id]
            if was_amount != amount:
                return Answer(failure="amount_micros")
            if was_days != days:
                return Answer(failure="expire_days")
            return Answer(replace(funding, replayed=True), replayed=True)
        self.lapse()
        self.loaded += amount
        expires_ms = self.now_ms + days * DAY_MS
        self.lot_ms = max(self.lot_ms, expires_ms)
        funding = Funding(self.money, expires_ms, replayed=False)
        self.fundings[funding_id] = (amount, days, funding)
        return Answer(funding)

    def authorize(
        self,
        call_id: str,
        facts: Facts,
        asked: int,
        *,
        source: SourceKind | None,
        refusal: Reason | None,
        terms: Terms,
        line: int,
    ) -> Answer:
        known = self.calls.get(call_id)
        if known:
            return self._again(known, facts)
        call = PlainCall(CallState.REFUSED, facts, source, terms, line=line)
        granted, why = 0, refusal
        if not refusal:
            granted, why = self._with_due_money(lambda: self._grant(call, asked), asked)
        self.calls[call_id] = call
        if why:
            call.first = Grant(0, 0, 0, False, self.money, self.now_ms, why)
            return Answer(call.shown())
        lease_s = granted + self.settings.lease_grace_seconds
        call.state, call.granted, call.hold = CallState.OPEN, granted, call.cost(granted)
        call.lease_ms = self.now_ms + lease_s * 1000
        call.first = Grant(granted, call.hold, lease_s, granted < asked, self.money, self.now_ms)
        return Answer(call.shown())

    def extend(self, call_id: str, sequence: int, added: int) -> Answer:
        call = self.calls.get(call_id)
        failure = self._closed(call, CallState.OPEN, CallState.EXPIRED)
        if call is None or failure:
            return Answer(failure=failure)
        if call.last and sequence <= call.last.sequence:
            if sequence == call.last.sequence and added != call.last_added:
                return Answer(failure="additional_seconds")
            return Answer(call.shown(), replayed=True)
        total = min(call.granted + added, LONGEST_S)
        granted, why = self._with_due_money(lambda: self._more(call, total), total)
        call.last_added = added
        if why:
            call.last = Grant(
                call.granted, call.hold, 0, False, self.money, self.now_ms, why, sequence
            )
        else:
            self._push_out(call, granted, total, sequence)
        return Answer(call.shown())

    def settle(
        self,
        call_id: str,
        duration: int,
        fields: tuple[Facts, SourceKind, Terms] | None,
    ) -> Answer:
        call = self.calls.get(call_id)
        if call and call.state is CallState.SETTLED:
            assert call.ending is not None
            if call.ending.duration_seconds != duration:
                return Answer(failure="ALREADY_SETTLED")
            if fields and call.ending.unreserved:
                return self._told_apart(call, fields[0])
            return Answer(call.shown(), replayed=True)
        unreserved = call is None
        if call is None and fields:
            call = PlainCall(CallState.OPEN, *fields)
        failure = self._closed(call, CallState.OPEN, CallState.EXPIRED)
        if call is None or failure:
            return Answer(failure=failure)
        if unreserved:
            self._charge(call, duration, late=False, overrun=False, unreserved=True)
            self.calls[call_id] = call
        else:
            late = call.state is CallState.EXPIRED or self.now_ms > call.lease_ms
            self._charge(call, duration, late=late, overrun=duration > call.granted)
        return Answer(call.shown())

    def release(self, call_id: str) -> Answer:
        call = self.calls.get(call_id)
        if call and call.state in (CallState.RELEASED, CallState.EXPIRED):
            return Answer(call.shown(), replayed=True)
        failure = self._closed(call, CallState.OPEN)
        if call is None or failure:
            return Answer(failure=failure)
        released, call.hold, call.state = call.hold, 0, CallState.RELEASED
        self.lapse()
        call.ending = self._ending(0, call, released=released)
        return Answer(call.shown())

    def _again(self, known: PlainCall, facts: Facts) -> Answer:
        if known.ending and known.ending.unreserved:
            return Answer(known.shown(), replayed=True)
        return self._told_apart(known, facts)

    @staticmethod
    def _told_apart(known: PlainCall, facts: Facts) -> Answer:
        """A repeat, unless what is asked differs."""
        names = ("payer_id", "to_number", "requested_seconds")
        for name in names:
            if getattr(known.facts, name) != getattr(facts, name):
                return Answer(failure=name)
        return Answer(known.shown(), replayed=True)

    @staticmethod
    def _closed(call: PlainCall | None, *fine: CallState) -> str:
        if call is None:
            return "UNKNOWN_CALL"
        if call.state in fine:
            return ""
        return "CALL_REFUSED" if call.state is CallState.REFUSED else f"ALREADY_{call.state}"

    def _with_due_money(
        self, decide: Callable[[], tuple[int, Reason | None]], wanted: int
    ) -> tuple[int, Reason | None]:
        """Decides; when it is too little, expires what is due and decides once more."""
        granted, why = decide()
        if (why or granted < wanted) and self.due():
            for call_id in self.due():
                self._expire(self.calls[call_id])
            granted, why = decide()
        return granted, why

    def _grant(self, call: PlainCall, asked: int) -> tuple[int, Reason | None]:
        most, most_of_payer = self.settings.max_open_calls, self.settings.max_open_calls_per_payer
        payer = call.facts.payer_id
        if most and len(self.open_calls()) >= most:
            return 0, Reason.CALL_LIMIT
        if most_of_payer and len(self.open_calls(payer)) >= most_of_payer:
            return 0, Reason.CALL_LIMIT
        if call.source is not SourceKind.CREDITS:
            return asked, None
        self.lapse()
        money, short = self._purse(call)
        granted = longest(call.terms, asked, money)
        cut_too_short = granted < asked and granted < self.settings.min_grant_seconds
        return (0, short) if granted == 0 or cut_too_short else (granted, None)

    def _more(self, call: PlainCall, total: int) -> tuple[int, Reason | None]:
        if total == call.granted:
            return total, Reason.CALL_LIMIT
        if call.source is not SourceKind.CREDITS:
            return total, None
        self.lapse()
        money, short = self._purse(call)
        granted = longest(call.terms, total, money + call.paid)
        return granted, None if granted > call.granted else short

    def _purse(self, call: PlainCall) -> tuple[int, Reason]:
        """What the call may hold in all, and the word for too little."""
        others = [other for other in self.open_calls() if other is not call]
        own = [other for other in others if other.facts.payer_id == call.facts.payer_id]
        money = self.settled - sum(other.hold for other in others) + call.line
        percent = self.settings.max_payer_hold_percent
        share = max(0, self.settled) * percent // 100
        share += call.line - sum(other.hold for other in own)
        if percent and share < money:
            return share, Reason.CALL_LIMIT
        return money, Reason.INSUFFICIENT_CREDITS

    def _push_out(self, call: PlainCall, granted: int, total: int, sequence: int) -> None:
        assert call.first is not None
        anew = call.state is CallState.EXPIRED or self.now_ms > call.lease_ms
        call.proven = min(call.granted, (self.now_ms - call.first.decided_ms) // 1000)
        start = self.now_ms + self.settings.lease_grace_seconds * 1000 if anew else call.lease_ms
        call.lease_ms = start + (granted - call.granted) * 1000
        call.state, call.granted = CallState.OPEN, granted
        call.hold = max(0, call.cost(granted) - call.paid)
        call.last = Grant(
            granted,
            call.hold,
            (call.lease_ms - self.now_ms) // 1000,
            granted < total,
            self.money,
            self.now_ms,
            None,
            sequence,
            anew,
        )

    def _charge(self, call: PlainCall, duration: int, **marks: bool) -> None:
        beyond, free = self._beyond(call, duration)
        if beyond > free and self.due():
            for call_id in self.due():
                self._expire(self.calls[call_id])
            beyond, free = self._beyond(call, duration)
        uncollected = max(0, beyond - free)
        charged = call.cost(duration) - uncollected
        self.spent += charged - call.paid
        self.uncollected += uncollected
        call.paid, call.hold, call.state = charged, 0, CallState.SETTLED
        self.lapse()
        call.ending = self._ending(duration, call, uncollected=uncollected, **marks)

    def _beyond(self, call: PlainCall, duration: int) -> tuple[int, int]:
        """What the hold does not cover, and what may be taken for it."""
        beyond = max(0, call.cost(duration) - call.paid - call.hold)
        if beyond:
            self.lapse()
        free = max(0, self.money.available_micros - self.settings.floor_micros)
        return beyond, min(free, MOST_AT_ONCE - call.hold)

    def _expire(self, call: PlainCall) -> None:
        proven = call.proven if self.settings.charge_orphans else 0
        charge = min(max(0, call.cost(proven) - call.paid), call.hold)
        self.spent += charge
        self.abandoned += 1
        released, call.hold, call.state = call.hold - charge, 0, CallState.EXPIRED
        call.paid += charge
        self.lapse()
        counted = proven if call.source is SourceKind.CREDITS else 0
        call.ending = self._ending(counted, call, released=released)

    def _ending(
        self,
        duration: int,
        call: PlainCall,
        *,
        uncollected: int = 0,
        released: int = 0,
        **marks: Any,
    ) -> Ending:
        return Ending(
            duration,
            billed(call.terms, duration),
            call.paid,
            uncollected,
            marks.get("late", False),
            marks.get("overrun", False),
            marks.get("unreserved", False),
            self.money,
            self.now_ms,
            released,
        )
