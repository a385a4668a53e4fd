"""One tenant's life in two ledgers, the real one and the plain one: what may happen, and what must be the same after it."""

import asyncio
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import permutations
from random import Random
from typing import Any, Self

from ledger import plain_funds
from ledger.happenings import (
    DAY_MS,
    LICENSES,
    MONTHS_TURNED,
    Operation,
    next_month_ms,
    some_moment,
    some_operation,
    some_seconds,
    some_settings,
)
from ledger.plain import PlainLedger
from ledger.plain_batch import authorize_batch
from ledger.plain_call import Answer
from ledger.rows import kept_rows, old, plain_rows
from ledger.world import World
from talktime_server.failure import Conflict, Mismatch, NotFound
from talktime_server.ledger import keys
from talktime_server.ledger.operations import (
    Asking,
    Extension,
    Funding,
    Judge,
    Outcome,
    Taking,
)
from talktime_server.ledger.profiles import limits_of

TEN_YEARS_MS = 10 * 365 * DAY_MS


def plainly(model: PlainLedger, op: Operation) -> Answer:
    """The plain ledger's answer."""
    match op.verb:
        case "authorize":
            return model.authorize(op.wanted())
        case "quote":
            return model.quote(op.wanted())
        case "batch":
            return authorize_batch(
                model, [leg.wanted() for leg in op.legs], all_or_none=op.all_or_none
            )
        case "extend":
            return model.extend(op.call_id, *op.numbers, sources=op.sources, refusal=op.refusal)
        case "settle":
            fields = replace(op, refusal=None).wanted() if op.fields else None
            return model.settle(op.call_id, op.numbers[0], fields)
        case "release":
            return model.release(op.call_id)
        case "adjust":
            return plain_funds.adjust(model, op.call_id, *op.numbers)
        case "refund":
            return plain_funds.refund(model, op.call_id, op.numbers[0], op.to)
        case _:
            return plain_funds.fund(model, op.call_id, *op.numbers)


async def really(world: World, op: Operation) -> Answer:
    """The ledger's answer."""
    try:
        if op.verb == "batch":
            return await _together(world, op)
        if op.verb in ("fund", "adjust", "refund"):
            moved = await _moved(world, op)
            return Answer(moved, moved.replayed)
        return _answered(await _asked(world, op))
    except Mismatch as failure:
        return Answer(failure=failure.facts["field"])
    except (Conflict, NotFound) as failure:
        return Answer(failure=failure.reason)


async def _moved(world: World, op: Operation) -> Funding | Taking:
    funds, owner = world.ledger.funds, world.tenant.tenant_id
    if op.verb == "fund":
        amount, days = op.numbers
        return await funds.add(owner, op.call_id, amount, days)
    if op.verb == "adjust":
        amount, days = op.numbers
        return await funds.adjust(owner, op.call_id, amount, "because", days)
    return await funds.refund(owner, op.call_id, op.to, op.numbers[0], "because", chargeback=False)


def _answered(outcome: Outcome) -> Answer:
    return Answer(outcome.call, outcome.replayed)


async def _together(world: World, op: Operation) -> Answer:
    asks = [asking(world, leg) for leg in op.legs]
    outcomes = await world.ledger.authorize_batch(world.tenant, asks, all_or_none=op.all_or_none)
    return Answer(legs=tuple(map(_answered, outcomes)))


def asking(world: World, op: Operation) -> Asking:
    wanted, known = op.wanted(), world.payers.get(op.payer)
    return Asking(
        op.call_id,
        wanted.facts,
        known.version if known else 0,
        wanted.asked,
        wanted.sources,
        wanted.refusal,
        wanted.terms,
        wanted.line,
        limits_of(world.tenant, known),
        wanted.costly,
        dry=op.verb == "quote",
    )


async def _asked(world: World, op: Operation) -> Outcome:
    match op.verb:
        case "authorize" | "quote":
            return await world.ledger.authorize(world.tenant, asking(world, op))
        case "extend":
            return await _extended(world, op)
        case "settle":
            wanted = replace(op, refusal=None).wanted()
            fields = {"payer": op.payer, "to": op.to, "asked": wanted.asked}
            unreserved = world.unreserved(op.terms, sources=op.sources, **fields)._replace(
                facts=wanted.facts
            )
            return await world.settle(op.call_id, op.numbers[0], unreserved if op.fields else None)
        case _:
            return await world.release(op.call_id)


async def _extended(world: World, op: Operation) -> Outcome:
    """Asks, and once more by a judgement where the profiles changed since."""
    sequence, added = op.numbers
    wish = Extension(op.call_id, sequence, added)
    outcome = await world.ledger.extend(world.tenant, wish)
    if isinstance(outcome, Judge):
        known = world.payers.get(outcome.call.facts.payer_id)
        judged = wish._replace(
            epoch=outcome.epoch,
            refusal=op.refusal,
            sources=op.sources,
            limits=limits_of(world.tenant, known),
        )
        outcome = await world.ledger.extend(world.tenant, judged)
    assert isinstance(outcome, Outcome)
    return outcome


@dataclass(slots=True)
class Life:
    """A tenant in both ledgers. Every method is something that may happen; `check` says whether they still agree."""

    world: World
    model: PlainLedger
    asked: list[Operation]
    months_turned: int = 0

    @classmethod
    async def begin(cls, world: World, chance: Random) -> Self:
        """Stops the tenant's clock far ahead and close to a month's end, so that every answer can be foretold
        to the millisecond.
        """
        await world.set(
            **some_settings(chance),
            charge_orphans=chance.choice([False, True]),
            max_unassigned_calls_per_minute=chance.choice([2, 60]),
        )
        month_end_ms = next_month_ms(await world.now_ms() + TEN_YEARS_MS)
        now_ms = month_end_ms - chance.choice([1, 30_000, 600_000, 3_600_000, 15 * DAY_MS])
        await world.stop_clock_at(now_ms)
        model = PlainLedger(world.tenant, now_ms, await world.epoch())
        model.entries = (await world.account()).version
        life = cls(world, model, [])
        await life.ask(Operation("fund", "first", (chance.randint(1, 3000), 1)))
        for name in LICENSES:
            await life.assign(name, chance.choice([0, 1, 1, 2]))
        return life

    async def assign(self, name: str, more: int) -> None:
        """Gives licences, or takes them away."""
        count = max(0, self.model.meters.licenses.get(name, 0) + more)
        self.model.meters.licenses[name] = count
        await self.world.store.command(
            "HSET", keys.meters(self.world.tenant.tenant_id), f"n:{name}", count
        )

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
        if op.verb == "batch":
            legs = list(op.legs)
            n = chance.randrange(len(legs))
            legs[n] = replace(legs[n], to="+49301234567")
            await self.ask(replace(op, legs=tuple(legs)))
        elif chance.random() < 0.5 or not op.numbers:
            await self.ask(replace(op, to="+49301234567"))
        else:
            await self.ask(replace(op, numbers=(*op.numbers[:-1], some_seconds(chance))))

    async def pause(self, chance: Random) -> None:
        await self._stop_clock_at(some_moment(chance, self.model))

    async def turn_of_month(self, chance: Random) -> None:
        """Stops just before a new month, or in its first moment."""
        turn_ms = next_month_ms(self.model.now_ms)
        if turn_ms - self.model.now_ms > DAY_MS:
            self.months_turned += 1
        if self.months_turned <= MONTHS_TURNED:
            await self._stop_clock_at(turn_ms + chance.choice([-60_000, -1, 0, 0]))

    async def _stop_clock_at(self, now_ms: int) -> None:
        """And drops what is old enough to be dropped at any time, so that both forget it at once."""
        self.model.now_ms = max(self.model.now_ms, now_ms)
        await self.world.stop_clock_at(self.model.now_ms)
        for name in [name for name in self.model.meters.rows if old(name, self.model)]:
            self.model.meters.forget(name.removeprefix("c:"))
            meters = keys.meters(self.world.tenant.tenant_id)
            await self.world.store.command("HDEL", meters, name)

    async def licenses_change(self, chance: Random) -> None:
        await self.assign(chance.choice(LICENSES), chance.choice([-1, 1]))

    async def profiles_change(self, chance: Random) -> None:
        """Open calls are judged anew when they are extended."""
        await self.world.set(**some_settings(chance), display_name=f"{chance.random()}")
        self.model.settings, self.model.epoch = self.world.tenant, await self.world.epoch()
        self.model.entries += 1  # the line of the profile

    async def forget_scripts(self, _: Random) -> None:
        await self.world.store.command("SCRIPT", "FLUSH")

    async def read_balance(self, _: Random) -> None:
        self.model.sweep()
        balance = await self.world.ledger.balance(self.world.tenant)
        model = self.model
        today, month = (model.meters.spent(model.now_ms, by_month=m) for m in (False, True))
        calls, looked = model.calls.values(), deepcopy(model.lots)
        looked.look(model.settled, model.now_ms)
        expected = replace(
            balance,
            money=model.money,
            open_calls=len(model.open_calls()),
            expires_ms=model.lots.next_ms,
            refunded_micros=model.refunded,
            lots=tuple(lot.shown() for lot in looked.lots if lot.left),
            read_ms=model.now_ms,
            version=model.entries,
            postpaid_micros=sum(call.invoiced for call in calls),
            postpaid_held_micros=sum(call.owed for call in calls),
            spent_today_micros=today,
            spent_this_month_micros=month,
        )
        assert balance == expected, f"{balance}\nnot\n{expected}"

    async def several_at_once(self, chance: Random) -> None:
        """In any order, but in one: some sequence of them explains every answer and what is left."""
        await self.read_balance(chance)
        ops = [some_operation(chance, self.model) for _ in range(chance.randint(2, 4))]
        answers = await asyncio.gather(*(really(self.world, op) for op in ops))
        self.asked += ops
        kept, differences = await kept_rows(self.world), []
        for order in permutations(range(len(ops))):
            model = deepcopy(self.model)
            difference = _difference(model, [ops[n] for n in order], [answers[n] for n in order])
            difference = difference or difference_of(kept, plain_rows(model))
            if not difference:
                self.model = model
                return
            differences.append(f"{order}: {difference}")
        raise AssertionError("\n".join([f"no order explains {ops}", *differences]))

    async def check(self) -> None:
        """Sums, rows of payers and pools, holds and receipts agree, and nothing is lost."""
        kept, plain = await kept_rows(self.world), plain_rows(self.model)
        difference = difference_of(kept, plain)
        assert not difference, f"{difference} after {self.asked[-1:]}"
        shown = {call_id: call.shown() for call_id, call in self.model.calls.items()}
        for call_id, call in (await self._calls()).items():
            assert call == shown[call_id], f"{call_id}: {call}\nnot\n{shown[call_id]}"
        if not self.model.due():  # or the proof would end holds that the next operation shall find
            await self.prove()

    async def prove(self) -> None:
        self.model.sweep()
        proof = await self.world.prove()
        assert proof.conserved, proof

    async def _calls(self) -> dict[str, Any]:
        ids, owner = list(self.model.calls), self.world.tenant.tenant_id
        calls = await asyncio.gather(*(self.world.ledger.show(owner, i) for i in ids))
        return dict(zip(ids, calls, strict=True))


def difference_of(kept: dict[str, Any], plain: dict[str, Any]) -> str:
    """The rows that are not the same, empty when all are."""
    names = [name for name in kept | plain if kept.get(name) != plain.get(name)]
    return ", ".join(f"{name}: {kept.get(name)} not {plain.get(name)}" for name in names)


def _difference(model: PlainLedger, ops: list[Operation], answers: list[Answer]) -> str:
    """The first answer that the plain ledger would not give when asked in this order."""
    for op, answer in zip(ops, answers, strict=True):
        expected = plainly(model, op)
        if answer != expected:
            return f"{op.verb} {op.call_id}: {answer}\nnot\n{expected}"
    return ""
