"""The ledger once more, in plain Python: one tenant, exact fractions, sums taken anew each time instead of kept.

It is slow and knows no store. The model test asks both the same and compares every answer.
"""

from copy import deepcopy
from dataclasses import dataclass, field, replace

from ledger.plain_bill import due_bill
from ledger.plain_call import (
    DAY_MS,
    Answer,
    DueFirst,
    PlainCall,
    Wanted,
    charged_parts,
    month_of,
)
from ledger.plain_funds import Movement
from ledger.plain_lots import PlainLots
from ledger.plain_meters import Charge, PlainMeters, Start
from ledger.plain_offer import Offer, first_offer, offer_of, scarce, shares_of
from ledger.plain_price import Bill, billed, price, stretches
from talktime_server.ledger.profiles import Tenant
from talktime_server.ledger.records import ASKED, Ending, Facts, Grant, Money, Slice, Sources
from talktime_server.words import CallState, Reason, SourceKind

LONGEST_S = 86_400
LIVING = (CallState.OPEN, CallState.EXPIRED)


@dataclass(slots=True)
class PlainLedger:
    """One tenant's money, minutes and calls at one moment."""

    settings: Tenant
    now_ms: int
    epoch: int = 0
    loaded: int = 0
    spent: int = 0
    expired: int = 0
    refunded: int = 0
    uncollected: int = 0
    abandoned: int = 0
    lots: PlainLots = field(default_factory=PlainLots)
    entries: int = 0
    in_batch: bool = False
    meters: PlainMeters = field(default_factory=PlainMeters)
    calls: dict[str, PlainCall] = field(default_factory=dict)
    fundings: dict[str, Movement] = field(default_factory=dict)
    unmatched: set[str] = field(default_factory=set)

    @property
    def settled(self) -> int:
        return self.loaded - self.spent - self.expired - self.refunded

    @property
    def money(self) -> Money:
        return Money(self.settled, sum(call.hold for call in self.calls.values()))

    def open_calls(self, payer: str | None = None) -> list[PlainCall]:
        calls = [call for call in self.calls.values() if call.open]
        return [call for call in calls if payer in (None, call.payer)]

    def live(self) -> list[str]:
        """Calls that may still be extended or settled."""
        return [call_id for call_id, call in self.calls.items() if call.state in LIVING]

    def due(self) -> list[str]:
        """Open calls whose lease is over."""
        return [i for i, call in self.calls.items() if call.open and call.lease_ms < self.now_ms]

    def lapse(self) -> None:
        """What nobody holds is lost when its lot's time is over; what is held then, when its call ends."""
        if not self.lots.over(self.now_ms):
            return
        self.lots.look(self.settled, self.now_ms)
        newly = self.lots.newly_over(self.now_ms)
        if newly:
            self.lots.cut_ms = self.now_ms
            self.lots.generation += 1
        lost = self.lots.lose(list(self.calls.values()), self.now_ms)
        self.lots.keep()
        self.expired += lost
        self.entries += newly or lost > 0

    def sweep(self) -> None:
        """What a reading of the balance does."""
        self.end_due()
        self.lapse()
        if not self.lots.lots:
            self.lots.look(self.settled, self.now_ms)

    def end_due(self) -> None:
        over = sorted((self.calls[call_id].lease_ms, call_id) for call_id in self.due())
        for _, call_id in over:
            self._expire(self.calls[call_id])

    def quote(self, wanted: Wanted) -> Answer:
        """What an authorize would say; money that is lost with time is lost all the same."""
        offer = self._decided(wanted)
        alone = replace(wanted, call_id="quoted")
        return Answer(deepcopy(self).open_or_refuse(alone, offer, dry=True).shown())

    def authorize(self, wanted: Wanted) -> Answer:
        known = self.calls.get(wanted.call_id)
        if known:
            return self.again(known, wanted.facts)
        offer = self._decided(wanted)
        return Answer(self.open_or_refuse(wanted, offer).shown())

    def extend(
        self,
        call_id: str,
        sequence: int,
        added: int,
        *,
        sources: Sources,
        refusal: Reason | None,
    ) -> Answer:
        """`sources` and `refusal` are what a judgement by the profiles of now would say."""
        call = self.calls.get(call_id)
        failure = _closed(call, *LIVING)
        if call is None or failure:
            return Answer(failure=failure)
        if call.last and sequence <= call.last.sequence:
            if sequence == call.last.sequence and added != call.last_added:
                return Answer(failure="additional_seconds")
            return Answer(call.shown(), replayed=True)
        judged = call.epoch != self.epoch
        call.last_added = added
        if judged and refusal:
            self.entries += call.state is CallState.OPEN
            kept = 0 if self.settings.cut_running_calls else call.granted
            call.last = self._no(call, refusal, sequence, kept)
            return Answer(call.shown())
        if not judged or call.sources.free or sources.free is SourceKind.INCLUDED:
            sources = call.sources
        limits = self.settings if judged else call.settings
        total = min(call.granted + added, LONGEST_S)
        offer = self._more(call, total, sources, limits)
        call.sources, call.settings, call.epoch = sources, limits, self.epoch
        if offer.short:
            if offer.whose:
                self._tell(offer.whose, call.payer)
            self.entries += call.state is CallState.OPEN
            call.last = self._no(call, offer.short, sequence, call.granted)
        else:
            self._push_out(call, offer.bill, total, sequence)
        return Answer(call.shown())

    def settle(self, call_id: str, duration: int, fields: Wanted | None) -> Answer:
        call = self.calls.get(call_id)
        if call and call.state is CallState.SETTLED:
            assert call.ending is not None
            if call.ending.duration_seconds != duration:
                return Answer(failure="ALREADY_SETTLED")
            if fields and call.ending.unreserved:
                return _told_apart(call, fields.facts)
            return Answer(call.shown(), replayed=True)
        if call is None and fields is None and call_id not in self.unmatched:
            self.unmatched.add(call_id)
            self.entries += 1
        unreserved = call is None
        if call is None and fields:
            call = self._new(fields)
            call.state = CallState.OPEN
        failure = _closed(call, *LIVING)
        if call is None or failure:
            return Answer(failure=failure)
        self._charge(call, duration, unreserved=unreserved)
        self.calls[call_id] = call
        return Answer(call.shown())

    def release(self, call_id: str) -> Answer:
        call = self.calls.get(call_id)
        if call and call.state in (CallState.RELEASED, CallState.EXPIRED):
            return Answer(call.shown(), replayed=True)
        failure = _closed(call, CallState.OPEN)
        if call is None or failure:
            return Answer(failure=failure)
        released = call.hold
        self._move(call, call.kept_parts(), hold=0, owed=0)
        call.state = CallState.RELEASED
        self.lapse()
        charged = call.ending.stretches if call.ending else ()
        call.ending = self._ending(0, call, released=released)._replace(stretches=charged)
        return Answer(call.shown())

    def open_or_refuse(self, wanted: Wanted, offer: Offer, *, dry: bool = False) -> PlainCall:
        """Keeps what was decided; a dry one only shows it."""
        call = self._new(wanted)
        self.calls[wanted.call_id] = call
        if offer.short:
            if offer.whose and not dry:
                self._tell(offer.whose, call.payer)
            call.first = Grant(0, 0, 0, False, self.money, self.now_ms, offer.short)
            return call
        bill, money = offer.bill, self.money
        lease_s = bill.granted + self.settings.lease_grace_seconds
        call.state, call.granted = CallState.OPEN, bill.granted
        call.lease_ms = self.now_ms + lease_s * 1000
        if not dry:
            call.generation = self.lots.generation
            self._move(call, call.held_parts(bill.shares), hold=bill.credits, owed=bill.invoiced)
            self.meters.starts.append(Start(self.now_ms, call.payer, wanted.costly))
            money = self.money
        call.first = Grant(
            bill.granted,
            bill.credits,
            lease_s,
            bill.granted < wanted.asked,
            money,
            self.now_ms,
            stretches=stretches(call.sources, bill),
        )
        return call

    def _new(self, wanted: Wanted) -> PlainCall:
        return PlainCall(
            CallState.REFUSED,
            wanted.facts,
            wanted.sources,
            wanted.terms,
            self.settings,
            month_of(self.now_ms),
            self.epoch,
            wanted.line,
        )

    @staticmethod
    def again(known: PlainCall, facts: Facts) -> Answer:
        if known.ending and known.ending.unreserved:
            return Answer(known.shown(), replayed=True)
        return _told_apart(known, facts)

    def _end_first(self, short: bool) -> bool:
        """Whether holds past their lease were in the way, and were ended."""
        if not (short and self.due()):
            return False
        if self.in_batch:
            raise DueFirst
        self.end_due()
        return True

    def _decided(self, wanted: Wanted) -> Offer:
        call = self._new(wanted)
        free = Bill((), wanted.asked)
        if wanted.refusal:
            return Offer(free, wanted.refusal)
        if wanted.sources.free is SourceKind.EMERGENCY:
            return Offer(free)
        offer = first_offer(self, call, wanted)
        while self._end_first(bool(offer.short) or scarce(offer, wanted.asked, call.sources)):
            offer = first_offer(self, call, wanted)
        return offer

    def _more(self, call: PlainCall, total: int, sources: Sources, limits: Tenant) -> Offer:
        if sources.free is SourceKind.EMERGENCY:
            return Offer(Bill((), total))
        if total == call.granted:
            return Offer(Bill((), 0), Reason.CALL_LIMIT)
        if sources.free:
            return Offer(Bill((), total))
        self.lapse()
        offer = offer_of(self, call, total, sources, limits)
        while self._end_first(scarce(offer, total, sources)):
            self.lapse()
            offer = offer_of(self, call, total, sources, limits)
        return offer if offer.bill.granted <= call.granted else replace(offer, short=None)

    def _push_out(self, call: PlainCall, bill: Bill, total: int, sequence: int) -> None:
        assert call.first is not None
        granted = bill.granted
        anew = call.state is CallState.EXPIRED or self.now_ms > call.lease_ms
        call.proven = min(call.granted, (self.now_ms - call.first.decided_ms) // 1000)
        start = self.now_ms + self.settings.lease_grace_seconds * 1000 if anew else call.lease_ms
        call.lease_ms = start + (granted - call.granted) * 1000
        parts = call.kept_parts() if call.sources.free else call.held_parts(bill.shares)
        hold, owed = max(0, bill.credits - call.paid), max(0, bill.invoiced - call.invoiced)
        if call.state is CallState.EXPIRED:
            call.generation = self.lots.generation
        self._move(call, parts, hold=hold, owed=owed)
        call.state, call.granted = CallState.OPEN, granted
        lease_s = (call.lease_ms - self.now_ms) // 1000
        call.last = Grant(
            granted,
            call.hold,
            lease_s,
            granted < total,
            self.money,
            self.now_ms,
            None,
            sequence,
            anew,
            stretches(call.sources, bill),
        )

    def _no(self, call: PlainCall, why: Reason, sequence: int, kept: int) -> Grant:
        return Grant(kept, call.hold, 0, False, self.money, self.now_ms, why, sequence)

    def _charge(self, call: PlainCall, duration: int, *, unreserved: bool) -> None:
        due = due_bill(self, call, duration)
        while self._end_first(due.missing or bool(call.sources.pools and due.priced)):
            due = due_bill(self, call, duration)
        late = not unreserved and (call.state is CallState.EXPIRED or self.now_ms > call.lease_ms)
        overrun = not unreserved and duration > call.granted
        self._pay(call, due.bill, charged_parts(due.bill.shares))
        self.uncollected += due.uncollected
        call.state = CallState.SETTLED
        self.lapse()
        call.ending = self._ending(
            duration, call, counted=billed(call.terms, due.bill.rest)
        )._replace(
            uncollected_micros=due.uncollected,
            late=late,
            overrun=overrun,
            unreserved=unreserved,
            uncovered_seconds=due.uncovered,
            stretches=stretches(call.sources, due.bill),
        )

    def _pay(self, call: PlainCall, bill: Bill, parts: list[Slice]) -> None:
        """Charges a call all of this; what was charged before is part of it."""
        change = bill.credits - call.paid + bill.invoiced - call.invoiced
        self.spent += bill.credits - call.paid
        made_ms = call.ending.ended_ms if call.ending else self.now_ms
        charge = Charge(self.now_ms, call.payer, call.conference, change, made_ms)
        self.meters.charges.append(charge)
        self._move(call, parts, hold=0, owed=0)
        call.paid, call.invoiced = bill.credits, bill.invoiced

    def _expire(self, call: PlainCall) -> None:
        proven = call.proven if self.settings.charge_orphans and not call.sources.free else 0
        released, paid, rest = call.hold, call.paid, 0
        charged = call.ending.stretches if call.ending else ()
        if proven:
            shares = shares_of(self, call, proven, None)
            rest = proven - sum(share.talk for share in shares)
            cost = price(call.terms, rest, from_start=rest == proven)
            by_credits = min(cost, call.paid + call.hold)
            by_invoice = min(cost - by_credits, call.invoiced + call.owed)
            bill = Bill(shares, rest, by_credits, by_invoice)
            self._pay(call, bill, charged_parts(shares))
            charged = stretches(call.sources, bill)
        else:
            self._pay(call, Bill((), 0, call.paid, call.invoiced), call.kept_parts())
        self.abandoned += 1
        call.state = CallState.EXPIRED
        self.lapse()
        counted = billed(call.terms, rest)
        ending = self._ending(proven, call, counted=counted, released=released - call.paid + paid)
        call.ending = ending._replace(stretches=charged)

    def _move(self, call: PlainCall, parts: list[Slice], *, hold: int, owed: int) -> None:
        """Changes what a call holds; one line of the journal."""
        self.meters.touch(call, parts, self.now_ms)
        call.parts, call.hold, call.owed = parts, hold, owed
        self.entries += 1

    def _tell(self, whose: str, payer: str) -> None:
        """A limit is told once a day."""
        told = (self.now_ms // DAY_MS, whose, payer if whose == "payer" else "")
        self.entries += told not in self.meters.told
        self.meters.told.add(told)

    def _ending(
        self, duration: int, call: PlainCall, *, counted: int = 0, released: int = 0
    ) -> Ending:
        pooled = sum(part.used_seconds for part in call.parts)
        return Ending(
            duration,
            counted + pooled if call.state is not CallState.RELEASED else 0,
            call.paid,
            uncollected_micros=0,
            late=False,
            overrun=False,
            unreserved=False,
            money=self.money,
            ended_ms=self.now_ms,
            released_micros=released,
            invoiced_micros=call.invoiced,
        )


def _told_apart(known: PlainCall, facts: Facts) -> Answer:
    """A repeat, unless what is asked differs."""
    for name in ASKED:
        if getattr(known.facts, name) != getattr(facts, name):
            return Answer(failure=name)
    return Answer(known.shown(), replayed=True)


def _closed(call: PlainCall | None, *fine: CallState) -> str:
    if call is None:
        return "UNKNOWN_CALL"
    if call.state in fine:
        return ""
    return "CALL_REFUSED" if call.state is CallState.REFUSED else f"ALREADY_{call.state}"
