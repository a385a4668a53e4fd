"""What the ledger keeps of a call, as plain records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Self

from talktime_server.words import CallState, Reason, SourceKind

FACTS_BEFORE = 12
ENDING_NUMBERS = 13
SEPARATOR = "\x1f"  # no id, number or destination can contain it
# The fields of a request, in the order compared: a repeat that differs is told the first that does.
ASKED = (
    "call_type",
    "payer_id",
    "from_number",
    "to_number",
    "conference_id",
    "requested_seconds",
    "routing_number",
    "conference_budget_micros",
)


class Money(NamedTuple):
    """A tenant's money at one moment, in micros."""

    settled_micros: int
    held_micros: int

    @property
    def available_micros(self) -> int:
        """What a new call can draw on."""
        return self.settled_micros - self.held_micros


class Facts(NamedTuple):
    """What was asked of a call and what was found out about it: kept with the call, never changed.

    The first eight are the request; the script keeps them all as one text it does not look into.
    """

    call_type: str
    payer_id: str
    from_number: str
    to_number: str
    conference_id: str
    requested_seconds: str
    routing_number: str
    conference_budget_micros: str = "0"
    number_class: str = ""
    country: str = ""
    destination: str = ""
    prefix: str = ""
    origin: str = ""
    deck_version: str = ""

    def pack(self) -> str:
        """As kept."""
        return SEPARATOR.join(self)

    @classmethod
    def unpack(cls, text: str) -> Self:
        """From what is kept. The data version before this one knew no budgets and no origins
        (semantics 91).
        """
        kept = text.split(SEPARATOR)
        if len(kept) == FACTS_BEFORE:
            kept = [*kept[:7], "0", *kept[7:11], "", kept[11]]
        return cls(*kept)

    def differing_field(self, other: "Facts") -> str | None:
        """The first field of the request in which two askings differ, None when they are the same."""
        for name in ASKED:
            if getattr(self, name) != getattr(other, name):
                return name
        return None


@dataclass(frozen=True, slots=True)
class Pool:
    """Minutes that a call may draw on, in the month it begins in.

    Its size is `seconds_per_license` for each licence that is assigned and counted under `counted`
    ("MCOPSTN1:US"; empty for a pool that no count sizes), or for `bought` licences when those are
    more. It is closed as long as the pool `closed_with`, sized by the same licences, is used up.
    """

    pool_id: str
    counted: str
    seconds_per_license: int
    bought: int = 0
    closed_with: str = ""
    closed_with_seconds: int = 0

    def text(self) -> str:
        """As the scripts take it."""
        return (
            f"{self.pool_id}|{self.counted}|{self.seconds_per_license}|{self.bought}"
            f"|{self.closed_with}|{self.closed_with_seconds}"
        )


@dataclass(frozen=True, slots=True)
class Sources:
    """What may pay for a call: something `free` (INCLUDED or EMERGENCY, nothing is held), or its
    pools in order, then credits, then postpaid. `short` is the refusal of a call that the pools do
    not cover and no money may pay for.
    """

    free: SourceKind | None = None
    pools: tuple[Pool, ...] = ()
    credits: bool = False
    postpaid: bool = False
    short: Reason = Reason.POOL_EXHAUSTED

    @property
    def money(self) -> bool:
        """Whether anything may be charged for the call."""
        return self.credits or self.postpaid

    def kinds(self) -> str:
        """What is no pool, as the scripts take it."""
        if self.free:
            return self.free
        money = (SourceKind.CREDITS, self.credits), (SourceKind.POSTPAID, self.postpaid)
        return "+".join(kind for kind, may_pay in money if may_pay)

    def plan(self) -> str:
        """The pools, as the scripts take them."""
        return ";".join([pool.text() for pool in self.pools])

    def texts(self) -> tuple[str, str, str]:
        """All of it, as the scripts take it."""
        return _texts(self)


@lru_cache(4096)  # verdicts are few, and calls many
def _texts(sources: Sources) -> tuple[str, str, str]:
    short = "" if sources.free or sources.money else sources.short
    return sources.kinds(), sources.plan(), short


NOTHING = Sources()
INCLUDED = Sources(SourceKind.INCLUDED)
EMERGENCY = Sources(SourceKind.EMERGENCY)
CREDITS = Sources(credits=True)


class Stretch(NamedTuple):
    """A part of a call's talk time and what pays for it: micros, 0 for pools and free calls."""

    kind: SourceKind
    seconds: int
    amount_micros: int = 0
    pool_id: str = ""


class Terms(NamedTuple):
    """A price, as frozen on a call: micros and seconds."""

    rate_per_minute_micros: int = 0
    connection_fee_micros: int = 0
    initial_seconds: int = 60
    increment_seconds: int = 60


NO_PRICE = Terms()


class Grant(NamedTuple):
    """The answer of an Authorize or an Extend: talk time, what pays for it in the order of use, the
    credits it holds, and the money right after. `limit` says whose limit refused it, and which, as
    "payer day".
    """

    granted_seconds: int
    held_micros: int
    lease_seconds: int
    final: bool
    money: Money
    decided_ms: int
    refusal: Reason | None = None
    sequence: int = 0
    reacquired: bool = False
    stretches: tuple[Stretch, ...] = ()
    limit: str = ""

    def __eq__(self, other: object) -> bool:
        """The limit is a word for who asks why, no part of the answer."""
        return isinstance(other, Grant) and self[:-1] == other[:-1]

    def __hash__(self) -> int:
        return hash(self[:-1])


class Ending(NamedTuple):
    """How a hold ended: talk time in seconds, money in micros. `charged_micros` is what credits
    paid, `invoiced_micros` what went to the invoice; nothing paid for `uncovered_seconds`.
    """

    duration_seconds: int
    billed_seconds: int
    charged_micros: int
    uncollected_micros: int
    late: bool
    overrun: bool
    unreserved: bool
    money: Money
    ended_ms: int
    released_micros: int = 0
    uncovered_seconds: int = 0
    invoiced_micros: int = 0
    stretches: tuple[Stretch, ...] = ()


class Slice(NamedTuple):
    """Minutes of a pool that a call holds and was charged, in seconds."""

    pool_id: str
    held_seconds: int
    used_seconds: int


class Call(NamedTuple):
    """A call as stored. `first` is the answer of its Authorize, `last` of its last Extend, `ending`
    the receipt of its end. `free` is what it was if nothing pays for it (INCLUDED, EMERGENCY).
    """

    state: CallState
    facts: Facts
    free: SourceKind | None
    held_micros: int
    granted_seconds: int
    lease_ms: int
    terms: Terms
    first: Grant | None
    last: Grant | None
    ending: Ending | None
    invoice_held_micros: int = 0
    slices: tuple[Slice, ...] = ()

    @property
    def priced(self) -> bool:
        """Whether a rate was frozen on it."""
        return bool(self.facts.destination)

    @classmethod
    def read(cls, row: Sequence[Any]) -> Self:
        """From what the scripts keep of it (row.lua)."""
        state, source, facts, rate, fee, initial, increment, granted, first, done = row[:10]
        more, held, lease, _ = rest_of(row)
        kinds = SOURCES[source - 1]
        return cls(
            STATES[state - 1],
            Facts.unpack(facts.decode()),
            _FREE.get(kinds),
            held,
            granted,
            lease,
            Terms(rate, fee, initial, increment),
            _first(first, more, kinds) if first else None,
            _last(more[b"last"], more, kinds) if b"last" in more else None,
            _ending(done, more, kinds) if done else None,
            more.get(b"owed", 0),
            tuple([Slice(s[0].decode(), int(s[1]), int(s[2])) for s in more.get(b"slices", ())]),
        )


# In the order of row.lua.
STATES = (
    CallState.OPEN,
    CallState.SETTLED,
    CallState.RELEASED,
    CallState.EXPIRED,
    CallState.REFUSED,
)
SOURCES = (b"", b"INCLUDED", b"EMERGENCY", b"CREDITS", b"POSTPAID", b"CREDITS+POSTPAID")

# By the words of the store: looking them up costs less than asking the enum.
_REASONS = {b"": None} | {reason.value.encode(): reason for reason in Reason}
_KINDS = {kind.value.encode(): kind for kind in SourceKind}
_FREE = {kind.value.encode(): kind for kind in (SourceKind.INCLUDED, SourceKind.EMERGENCY)}
_MONEY = {b"CREDITS": SourceKind.CREDITS, b"POSTPAID": SourceKind.POSTPAID}


def rest_of(row: Sequence[Any]) -> tuple[Mapping[bytes, Any], int, int, int | None]:
    """What not every call's row has: what few calls have, by its name; held, lease and epoch of those that may go on."""
    more, held, lease, epoch = (*row[10:], None, None, None, None)[:4]
    return more or {}, held or 0, lease or 0, epoch


def _stretches(split: list[Any], source: bytes, seconds: int, micros: int) -> tuple[Stretch, ...]:
    """What paid which part; a call with one source is kept without saying it."""
    if split:
        return tuple(_stretch(*part) for part in split)
    if not (seconds and source):
        return ()
    return (Stretch(_KINDS[source.partition(b"+")[0]], seconds, micros),)


def _stretch(name: bytes, seconds: int, micros: int) -> Stretch:
    kind = _MONEY.get(name)
    if kind:
        return Stretch(kind, int(seconds), int(micros))
    return Stretch(SourceKind.POOL, int(seconds), 0, name.decode())


def _first(row: Sequence[int], kept: Mapping[bytes, Any], source: bytes) -> Grant:
    granted, held, lease, final, settled, all_held, at = row
    return Grant(
        granted,
        held,
        lease,
        bool(final),
        Money(settled, all_held),
        at,
        _REASONS[kept.get(b"why", b"")],
        stretches=_stretches(kept.get(b"first_split", []), source, granted, held),
        limit=kept.get(b"limit", b"").decode(),
    )


def _last(row: Sequence[int], kept: Mapping[bytes, Any], source: bytes) -> Grant:
    sequence, _, granted, lease, final, settled, all_held, at, reacquired, held = row
    why = kept.get(b"last_why", b"")
    split = kept.get(b"last_split", [])
    return Grant(
        granted,
        held,
        lease,
        bool(final),
        Money(settled, all_held),
        at,
        _REASONS[why],
        sequence,
        bool(reacquired),
        () if why else _stretches(split, source, granted, held),
    )


def _ending(row: Sequence[int], kept: Mapping[bytes, Any], source: bytes) -> Ending:
    numbers = [*row, *[0] * (ENDING_NUMBERS - len(row))]  # older receipts have fewer
    duration, billed, charged, uncollected, late, overrun, unreserved = numbers[:7]
    settled, held, at, released, uncovered, invoiced = numbers[7:]
    return Ending(
        duration,
        billed,
        charged,
        uncollected,
        bool(late),
        bool(overrun),
        bool(unreserved),
        Money(settled, held),
        at,
        released,
        uncovered,
        invoiced,
        _stretches(kept.get(b"done_split", []), source, duration, charged),
    )
