"""One tenant's life in two ledgers, the real one and the plain one: what may happen, and what must be the same after it."""

import asyncio
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import permutations
from random import Random
from typing import Any, Self

from ledger.plain import Answer, PlainCall, PlainLedger
from ledger.world import A_MICRO_A_SECOND, PAYERS, World, facts_of
from talktime_server.failure import Conflict, Mismatch, NotFound
from talktime_server.ledger import keys
from talktime_server.ledger.operations import Judge
from talktime_server.ledger.records import Terms
from talktime_server.words import Reason, SourceKind

TEN_YEARS_MS = 10 * 365 * 86_400_000
TERMS = (
    Terms(60, 0, 60, 60),
    Terms(60, 0, 1, 1),
    Terms(1, 0, 1, 1),
    Terms(7, 3, 7, 3),
    Terms(90, 50, 30, 6),
    Terms(0, 0, 60, 60),
    Terms(0, 40, 60, 60),
)
PAUSES_MS = (1, 59_999, 120_000, 300_000, 720_000, 1_500_000)
VERBS = {"authorize": 5, "extend": 5, "settle": 3, "release": 2, "fund": 2}


@dataclass(frozen=True, slots=True)
class Operation:
    """Something to ask both ledgers."""

    verb: str
    call_id: str
    numbers: tuple[int, ...] = ()
    payer: str = "ann"
    to: str = "+442071838750"
    source: SourceKind = SourceKind.CREDITS
    terms: Terms = A_MICRO_A_SECOND
    line: int = 0
    refusal: Reason | None = None
    fields: bool = False


def some_settings(chance: Random) -> dict[str, Any]:
    return {
        "floor_micros": chance.choice([0, -200]),
        "min_grant_seconds": chance.choice([0, 0, 90]),
        "max_open_calls": chance.choice([0, 0, 0, 4]),
        "max_open_calls_per_payer": chance.choice([0, 0, 0, 2]),
        "max_payer_hold_percent": chance.choice([0, 0, 33, 100]),
        "charge_orphans": chance.choice([False, True]),
    }


def some_operation(chance: Random, model: PlainLedger) -> Operation:
    """Mostly what a router would ask next: new calls begin, living ones go on and end; now and then anything."""
    verb = chance.choices(list(VERBS), list(VERBS.values()))[0]
    if verb == "fund":
        amount, days = chance.randint(1, 900), chance.choice([1, 1, 1, 2, 365])
        return Operation("fund", f"f{chance.randrange(20)}", (amount, days))
    likely = [f"c{len(model.calls)}"] if verb == "authorize" else model.live()
    anyhow = [*model.calls, f"c{len(model.calls)}"]
    call_id = chance.choice(likely if likely and chance.random() < 0.85 else anyhow)
    return Operation(
        verb,
        call_id,
        _numbers(chance, verb, model.calls.get(call_id)),
        payer=chance.choice(PAYERS),
        source=chance.choice([SourceKind.CREDITS] * 6 + [SourceKind.INCLUDED]),
        terms=chance.choice(TERMS),
        line=chance.choice([0, 0, 0, 150]),
        refusal=Reason.POLICY if chance.random() < 0.04 else None,
        fields=chance.random() < 0.4,
    )


def some_moment(chance: Random, model: PlainLedger) -> int:
    """Often the last one of a lease or of the credits, or the first one after it."""
    edges = [call.lease_ms for call in model.open_calls()] + [model.lot_ms] * 2
    ahead = [edge for edge in edges if edge > model.now_ms]
    if ahead and chance.random() < 0.6:
        return max(model.now_ms, chance.choice(ahead) + chance.choice([-60_000, 0, 1]))
    return model.now_ms + chance.choice(PAUSES_MS)


def some_seconds(chance: Random) -> int:
    return chance.choice([1, 60, 61, 600, chance.randint(1, 1500)])


def _numbers(chance: Random, verb: str, call: PlainCall | None) -> tuple[int, ...]:
    if verb == "release":
        return ()
    if verb == "extend":
        counted = call.last.sequence if call and call.last else 0
        return max(1, counted + chance.choice([-1, 0, 1, 1, 1, 1, 1, 2])), some_seconds(chance)
    if verb == "settle" and chance.random() < 0.1:
        return (0,)
    if verb == "settle" and call and chance.random() < 0.5:
        return (chance.randint(1, call.granted + 1),)
    return (some_seconds(chance),)


def plainly(model: PlainLedger, op: Operation) -> Answer:
    """The plain ledger's answer."""
    asked = op.numbers[0] if op.numbers else 0
    facts = facts_of(op.payer, op.to, asked)
    match op.verb:
        case "authorize":
            return model.authorize(
                op.call_id,
                facts,
                asked,
                source=None if op.refusal else op.source,
                refusal=op.refusal,
                terms=op.terms,
                line=op.line,
            )
        case "extend":
            return model.extend(op.call_id, *op.numbers)
        case "settle":
            fields = (facts, op.source, op.terms) if op.fields else None
            return model.settle(op.call_id, asked, fields)
        case "release":
            return model.release(op.call_id)
        case _:
            return model.fund(op.call_id, *op.numbers)


async def really(world: World, op: Operation) -> Answer:
    """The ledger's answer."""
    try:
        return await _asked(world, op)
    except Mismatch as failure:
        return Answer(failure=failure.facts["field"])
    except (Conflict, NotFound) as failure:
        return Answer(failure=failure.reason)


async def _asked(world: World, op: Operation) -> Answer:
    match op.verb:
        case "fund":
            amount, days = op.numbers
            owner = world.tenant.tenant_id
            funding = await world.ledger.add_funds(owner, op.call_id, amount, days)
            return Answer(funding, funding.replayed)
        case "authorize":
            outcome = await world.authorize(
                op.call_id,
                op.numbers[0],
                payer=op.payer,
                to=op.to,
                source=op.source,
                refusal=op.refusal,
                terms=op.terms,
                line=op.line,
            )
        case "extend":
            extended = await world.extend(op.call_id, *op.numbers)
            assert not isinstance(extended, Judge)
            outcome = extended
        case "settle":
            asked = {"payer": op.payer, "to": op.to, "asked": op.numbers[0]}
            unreserved = world.unreserved(op.terms, source=op.source, **asked)
            outcome = await world.settle(
                op.call_id, op.numbers[0], unreserved if op.fields else None
            )
        case _:
            outcome = await world.release(op.call_id)
    return Answer(outcome.call, outcome.replayed)


@dataclass(slots=True)
class Life:
    """A tenant in both ledgers. Every method is something that may happen; `check` says whether they still agree."""

    world: World
    model: PlainLedger
    asked: list[Operation]

    @classmethod
    async def begin(cls, world: World, chance: Random) -> Self:
        """Stops the tenant's clock far ahead, so that every answer can be foretold to the millisecond."""
        await world.set(**some_settings(chance))
        now_ms = await world.now_ms() + TEN_YEARS_MS
        await world.stop_clock_at(now_ms)
        life = cls(world, PlainLedger(world.tenant, now_ms), [])
        await life.ask(Operation("fund", "first", (chance.randint(1, 3000), 1)))
        return life

    async def ask(self, op: Operation) -> None:
        expected = plainly(self.model, op)
        self.asked.append(op)
        answer = await really(self.world, op)
        assert answer == expected, f"{op}:\n{answer}\nnot\n{expected}"

    async def something(self, chance: Random) -> None:
        await self.ask(some_operation(chance, self.model))

    async def repeat(self, chance: Random) -> None:
        await self.ask(chance.choice(self.asked[-8:]))

    async def altered_repeat(self, chance: Random) -> None:
        op = chance.choice(self.asked[-8:])
        if chance.random() < 0.5 or not op.numbers:
            await self.ask(replace(op, to="+49301234567"))
        else:
            await self.ask(replace(op, numbers=(*op.numbers[:-1], some_seconds(chance))))

    async def pause(self, chance: Random) -> None:
        self.model.now_ms = some_moment(chance, self.model)
        await self.world.stop_clock_at(self.model.now_ms)

    async def forget_scripts(self, _: Random) -> None:
        await self.world.store.command("SCRIPT", "FLUSH")

    async def read_balance(self, _: Random) -> None:
        self.model.sweep()
        balance = await self.world.ledger.balance(self.world.tenant)
        assert balance.money == self.model.money
        assert balance.open_calls == len(self.model.open_calls())
        assert balance.expires_ms == self.model.lot_ms

    async def several_at_once(self, chance: Random) -> None:
        """In any order, but in one: some sequence of them explains every answer and what is left."""
        await self.read_balance(chance)
        ops = [some_operation(chance, self.model) for _ in range(chance.randint(2, 4))]
        answers = await asyncio.gather(*(really(self.world, op) for op in ops))
        self.asked += ops
        kept = await self._kept()
        for order in permutations(range(len(ops))):
            model = deepcopy(self.model)
            if all(plainly(model, ops[n]) == answers[n] for n in order) and kept == sums(model):
                self.model = model
                return
        raise AssertionError(f"no order of {ops} explains {answers}")

    async def check(self) -> None:
        """Balances, holds, receipts and counters agree, and money is conserved."""
        assert await self._kept() == sums(self.model)
        shown = {call_id: call.shown() for call_id, call in self.model.calls.items()}
        assert await self._calls() == shown
        assert await self._busy() == busy(self.model)
        if not self.model.due():  # or the proof would end holds that the next operation shall find
            await self.prove()

    async def prove(self) -> None:
        self.model.sweep()
        proof = await self.world.prove()
        assert proof.conserved, proof

    async def _kept(self) -> dict[str, int]:
        """The tenant's sums as they stand in the store, without the moving that a reading does."""
        names = list(sums(self.model))
        stored = await self.world.store.command("HMGET", self.world.key, *names)
        return {name: int(amount or 0) for name, amount in zip(names, stored, strict=True)}

    async def _calls(self) -> dict[str, Any]:
        ids, owner = list(self.model.calls), self.world.tenant.tenant_id
        calls = await asyncio.gather(*(self.world.ledger.show(owner, i) for i in ids))
        return dict(zip(ids, calls, strict=True))

    async def _busy(self) -> dict[str, bytes]:
        name = keys.busy(self.world.tenant.tenant_id)
        stored = await self.world.store.command("HMGET", name, *PAYERS)
        return {payer: row for payer, row in zip(PAYERS, stored, strict=True) if row}


def sums(model: PlainLedger) -> dict[str, int]:
    money = model.money
    return {
        "settled": money.settled_micros,
        "held": money.held_micros,
        "loaded": model.loaded,
        "spent": model.spent,
        "expired": model.expired,
        "uncollected": model.uncollected,
        "abandoned": model.abandoned,
    }


def busy(model: PlainLedger) -> dict[str, bytes]:
    """What is counted for the payers that have open calls."""
    calls_of = {payer: model.open_calls(payer) for payer in PAYERS}
    return {
        payer: f"{len(calls)} {sum(call.hold for call in calls)}".encode()
        for payer, calls in calls_of.items()
        if calls
    }
