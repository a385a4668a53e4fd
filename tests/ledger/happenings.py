"""What may be asked in a tenant's life: operations, settings and moments, chosen by chance but close to the edges."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

from ledger.plain import PlainLedger
from ledger.plain_call import PlainCall, Wanted
from ledger.world import A_MICRO_A_SECOND, PAYERS, facts_of
from talktime_server.ledger.records import (
    CREDITS,
    EMERGENCY,
    INCLUDED,
    NOTHING,
    Pool,
    Sources,
    Terms,
)
from talktime_server.words import Reason

DAY_MS = 86_400_000
TERMS = (
    Terms(60, 0, 60, 60),
    Terms(60, 0, 1, 1),
    Terms(1, 0, 1, 1),
    Terms(7, 3, 7, 3),
    Terms(90, 50, 30, 6),
    Terms(0, 0, 60, 60),
    Terms(0, 40, 60, 60),
)
PAUSES_MS = (1, 1_000, 59_999, 120_000, 300_000, 720_000, 1_500_000)
MONTHS_TURNED = 2  # at most in a life, so that no row of a pool grows old enough to be dropped
VERBS = {
    "authorize": 6,
    "extend": 5,
    "settle": 3,
    "release": 2,
    "fund": 2,
    "take": 1,
    "batch": 2,
    "quote": 1,
}

COUNTED = Pool("US/MCOPSTN1", "MCOPSTN1:US", 300)
HOME = Pool("US/MCOPSTN2/domestic", "MCOPSTN2:US", 600, 0, "US/MCOPSTN2/international", 240)
ABROAD = Pool("US/MCOPSTN2/international", "MCOPSTN2:US", 240, 0, "US/MCOPSTN2/domestic", 600)
BOUGHT = Pool("zone-a/MCOMEETADV", "MCOMEETADV:", 180, bought=2)
OWN = Pool("US/MCOPSTN8/ann@contoso.com", "", 120, bought=1)
LICENSES = ("MCOPSTN1:US", "MCOPSTN2:US", "MCOMEETADV:")
SOURCES = (
    CREDITS,
    CREDITS,
    CREDITS,
    Sources(credits=True, postpaid=True),
    Sources(postpaid=True),
    Sources(pools=(COUNTED,)),
    Sources(pools=(COUNTED,), credits=True),
    Sources(pools=(OWN, COUNTED), credits=True, postpaid=True),
    Sources(pools=(HOME,), credits=True),
    Sources(pools=(HOME,), postpaid=True),
    Sources(pools=(OWN, HOME)),
    Sources(pools=(ABROAD,), credits=True, postpaid=True),
    Sources(pools=(BOUGHT, COUNTED), credits=True),
    Sources(pools=(BOUGHT, ABROAD), short=Reason.NO_CREDITS_LICENSE),
    NOTHING,
    INCLUDED,
    EMERGENCY,
)


@dataclass(frozen=True, slots=True)
class Operation:
    """Something to ask both ledgers."""

    verb: str
    call_id: str
    numbers: tuple[int, ...] = ()
    payer: str = "ann"
    to: str = "+442071838750"
    sources: Sources = CREDITS
    terms: Terms = A_MICRO_A_SECOND
    line: int = 0
    refusal: Reason | None = None
    fields: bool = False
    costly: bool = False
    conference: str = ""
    budget: int = 0
    legs: tuple["Operation", ...] = ()
    all_or_none: bool = False

    def wanted(self) -> Wanted:
        """As the plain ledger takes it."""
        asked = self.numbers[0]
        facts = facts_of(self.payer, self.to, asked)._replace(
            conference_id=self.conference,
            conference_budget_micros=str(self.budget),
        )
        sources = NOTHING if self.refusal else self.sources
        return Wanted(
            self.call_id, facts, asked, sources, self.refusal, self.terms, self.line, self.costly
        )


def some_settings(chance: Random) -> dict[str, Any]:
    """Mostly few limits, so that each is met alone as well as with others."""
    return {
        "floor_micros": chance.choice([0, -200]),
        "min_grant_seconds": chance.choice([0, 0, 90]),
        "max_open_calls": chance.choice([0, 0, 0, 4]),
        "max_open_calls_per_payer": chance.choice([0, 0, 0, 2]),
        "max_payer_hold_percent": chance.choice([0, 0, 0, 33, 100]),
        "max_calls_per_second": chance.choice([0, 0, 0, 0, 3]),
        "max_calls_per_second_per_payer": chance.choice([0, 0, 0, 0, 2]),
        "max_spend_per_day_micros": chance.choice([0, 0, 0, 700]),
        "max_spend_per_month_micros": chance.choice([0, 0, 0, 1500]),
        "max_spend_per_day_per_payer_micros": chance.choice([0, 0, 0, 400]),
        "max_spend_per_month_per_payer_micros": chance.choice([0, 0, 0, 900]),
        "max_costly_calls_per_day": chance.choice([0, 0, 0, 3]),
        "max_costly_calls_per_day_per_payer": chance.choice([0, 0, 0, 2]),
        "cut_running_calls": chance.choice([False, True]),
    }


def some_operation(chance: Random, model: PlainLedger) -> Operation:
    """Mostly what a router would ask next: new calls begin, living ones go on and end; now and then anything."""
    verb = chance.choices(list(VERBS), list(VERBS.values()))[0]
    if verb == "fund":
        amount, days = chance.randint(1, 900), chance.choice([1, 1, 1, 2, 365])
        return Operation("fund", f"f{chance.randrange(20)}", (amount, days))
    if verb == "take":
        return some_taking(chance)
    if verb == "batch":
        return some_batch(chance, model)
    return some_call(chance, model, verb)


def some_taking(chance: Random) -> Operation:
    """A refund of some funding, or a correction, up or down."""
    key = f"t{chance.randrange(40)}" if chance.random() < 0.95 else f"f{chance.randrange(20)}"
    if chance.random() < 0.5:
        amount = chance.choice([-1, 1]) * chance.randint(1, 300)
        return Operation("adjust", key, (amount, chance.choice([1, 2, 365])))
    of = f"f{chance.randrange(20)}" if chance.random() < 0.8 else f"t{chance.randrange(40)}"
    return Operation("refund", key, (chance.randint(1, 300),), to=of)


def some_batch(chance: Random, model: PlainLedger) -> Operation:
    """A few legs, mostly of one conference and sometimes with one id twice."""
    legs = [some_call(chance, model, "authorize", n) for n in range(chance.randint(1, 4))]
    if chance.random() < 0.5:
        legs = [replace(leg, conference="party", budget=legs[0].budget or 200) for leg in legs]
    if chance.random() < 0.15:
        legs.append(chance.choice(legs))
    return Operation("batch", "", legs=tuple(legs), all_or_none=chance.random() < 0.5)


def some_call(chance: Random, model: PlainLedger, verb: str, ahead: int = 0) -> Operation:
    fresh = f"c{len(model.calls) + ahead}"
    likely = [fresh] if verb in ("authorize", "quote") else model.live()
    anyhow = [*model.calls, fresh]
    call_id = chance.choice(likely if likely and chance.random() < 0.88 else anyhow)
    # Whoever judges a call by the same profiles comes to the same.
    judged = Random(f"{call_id} {model.epoch}") if verb == "extend" else chance
    in_conference = verb == "authorize" and chance.random() < 0.2
    return Operation(
        verb,
        call_id,
        _numbers(chance, verb, model.calls.get(call_id)),
        payer=chance.choice([*PAYERS, *PAYERS, ""]),
        sources=judged.choice(SOURCES[:-1] if verb == "extend" else SOURCES),
        terms=chance.choice(TERMS),
        line=chance.choice([0, 0, 0, 150]),
        refusal=Reason.POLICY if judged.random() < 0.04 else None,
        fields=chance.random() < 0.4,
        costly=chance.random() < 0.2,
        conference=chance.choice(["party", "board"]) if in_conference else "",
        budget=chance.choice([0, 100, 300, 900]) if in_conference else 0,
    )


def some_moment(chance: Random, model: PlainLedger) -> int:
    """Often the last one of a lease, of the credits, of a day, or the first one after it."""
    midnight = (model.now_ms // DAY_MS + 1) * DAY_MS
    edges = [call.lease_ms for call in model.open_calls()] + [model.lots.next_ms] * 2 + [midnight]
    ahead = [edge for edge in edges if 0 < edge - model.now_ms < 3 * DAY_MS]
    if chance.random() < 0.6:
        return max(model.now_ms, chance.choice(ahead) + chance.choice([-60_000, 0, 1]))
    return model.now_ms + chance.choice(PAUSES_MS)


def next_month_ms(now_ms: int) -> int:
    """The first moment of the next calendar month (UTC)."""
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000


def some_seconds(chance: Random) -> int:
    return chance.choice([1, 60, 61, 120, 600, chance.randint(1, 1500)])


def _numbers(chance: Random, verb: str, call: PlainCall | None) -> tuple[int, ...]:
    if verb == "release":
        return (60,)
    if verb == "extend":
        counted = call.last.sequence if call and call.last else 0
        return max(1, counted + chance.choice([-1, 0, 1, 1, 1, 1, 1, 2])), some_seconds(chance)
    if verb == "settle" and chance.random() < 0.1:
        return (0,)
    if verb == "settle" and call and chance.random() < 0.5:
        return (chance.randint(1, call.granted + 1),)
    return (some_seconds(chance),)
