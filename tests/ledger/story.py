"""Stories: what is asked of the ledger, line by line, and after the arrow what it answers.

    fund f1 5000            -> 5000/0
    authorize a 600         -> granted 600 s, holds 600; 5000/600
    settle a 61             -> charged 120; 4880/0

`5000/600` is the tenant's money, settled and held. Words with "=" are options. "again:" is an answer given before.
A line without an arrow only has to succeed.
"""

from datetime import UTC, datetime, timedelta
from difflib import ndiff
from typing import TYPE_CHECKING, Any

from talktime_server.failure import Conflict, Failure, Mismatch, NotFound
from talktime_server.ledger import keys
from talktime_server.ledger.operations import Judge, Outcome, Stale
from talktime_server.ledger.records import (
    CREDITS,
    EMERGENCY,
    INCLUDED,
    NOTHING,
    Call,
    Ending,
    Grant,
    Money,
    Pool,
    Sources,
    Stretch,
    Terms,
)
from talktime_server.words import CallState, Reason

if TYPE_CHECKING:
    from ledger.world import World

# What may pay, by name. Pools of stories have ten minutes for each licence, and HOME is closed when ABROAD is used up.
PLAN = Pool("plan", "", 600, bought=1)
HOME = Pool("home", "", 600, 1, closed_with="abroad", closed_with_seconds=300)
ABROAD = Pool("abroad", "", 300, 1, closed_with="home", closed_with_seconds=600)
COUNTED = Pool("counted", "MCOPSTN1:US", 600)
HUNDRED = Pool("hundred", "", 6000, bought=1)
BIG = Pool("big", "", 24_000, bought=1)
SOURCES = {
    "NOTHING": NOTHING,
    "INCLUDED": INCLUDED,
    "EMERGENCY": EMERGENCY,
    "CREDITS": CREDITS,
    "POSTPAID": Sources(credits=True, postpaid=True),
    "PLAN": Sources(pools=(PLAN,)),
    "PLAN+CREDITS": Sources(pools=(PLAN,), credits=True),
    "PLAN+POSTPAID": Sources(pools=(PLAN,), credits=True, postpaid=True),
    "HOME": Sources(pools=(HOME,)),
    "ABROAD": Sources(pools=(ABROAD,)),
    "TWO": Sources(pools=(ABROAD, PLAN), credits=True),
    "TWO+POSTPAID": Sources(pools=(ABROAD, PLAN), credits=True, postpaid=True),
    "COUNTED": Sources(pools=(COUNTED,)),
    "HUNDRED": Sources(pools=(HUNDRED,)),
    "HUNDRED+CREDITS": Sources(pools=(HUNDRED,), credits=True),
    "BIG": Sources(pools=(BIG,)),
    "INVOICE": Sources(postpaid=True),
    "PLAN+INVOICE": Sources(pools=(PLAN,), postpaid=True),
}
PRICES = ("rate", "fee", "initial", "increment")


async def play(world: "World", text: str) -> None:
    """Plays all lines, then compares, so that a difference shows the whole story."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    told = [await _told(world, line) for line in lines]
    assert told == lines, "\n" + "\n".join(ndiff(lines, told))


async def _told(world: "World", line: str) -> str:
    step, arrow, _ = line.partition(" -> ")
    verb, *words = step.split()
    places = [word for word in words if "=" not in word]
    options = dict(word.split("=", 1) for word in words if "=" in word)
    if not arrow:
        await VERBS[verb](world, places, options)
        return step
    try:
        return f"{step} -> {await VERBS[verb](world, places, options)}"
    except (Failure, Stale) as failure:
        return f"{step} -> {_failed(failure)}"


def _failed(failure: Failure | Stale) -> str:
    match failure:
        case Stale():
            return "stale"
        case Mismatch():
            return f"another {failure.facts['field']} than before"
        case Conflict() | NotFound():
            return failure.reason
        case _:
            return f"{failure.reason} {failure.applied}"


async def _fund(world: "World", places: list[str], options: dict[str, str]) -> str:
    funding, amount = places
    days = int(options.get("days", "365"))
    given = await world.ledger.funds.add(world.tenant.tenant_id, funding, int(amount), days)
    return _again(_purse(given.money), given.replayed)


async def _authorize(world: "World", places: list[str], options: dict[str, str]) -> str:
    call_id, seconds = places
    dry = options.pop("dry", "") == "yes"
    terms = _terms(options)
    outcome = await world.authorize(call_id, int(seconds), terms=terms, dry=dry, **_typed(options))
    grant = outcome.call.first
    return _again(_granted(grant, "") if grant else _ended(outcome.call), outcome.replayed)


async def _extend(world: "World", places: list[str], options: dict[str, str]) -> str:
    call_id, sequence, added = places
    judged = _typed(options)
    if judged:
        judged["epoch"] = await world.epoch()
    outcome = await world.extend(call_id, int(sequence), int(added), **judged)
    if isinstance(outcome, Judge):
        return "judge"
    assert outcome.call.last is not None
    kept = f", has {outcome.call.last.granted_seconds} s" if outcome.call.last.refusal else ""
    return _again(_granted(outcome.call.last, kept), outcome.replayed)


async def _settle(world: "World", places: list[str], options: dict[str, str]) -> str:
    call_id, duration, *fields = places
    unreserved = world.unreserved(_terms(options), **_typed(options)) if fields else None
    return _outcome(await world.settle(call_id, int(duration), unreserved))


async def _release(world: "World", places: list[str], _: dict[str, str]) -> str:
    return _outcome(await world.release(places[0]))


async def _expire(world: "World", places: list[str], _: dict[str, str]) -> str:
    await world.ledger.expire(world.tenant, places)
    return await _show(world, places, {})


async def _show(world: "World", places: list[str], _: dict[str, str]) -> str:
    call = await world.ledger.show(world.tenant.tenant_id, places[0])
    if call.state is CallState.OPEN:
        return f"open, {call.granted_seconds} s, holds {call.held_micros}"
    return _ended(call)


async def _balance(world: "World", _: list[str], __: dict[str, str]) -> str:
    balance = await world.ledger.balance(world.tenant)
    others = {
        "expired": balance.expired_micros,
        "uncollected": balance.uncollected_micros,
        "abandoned": balance.abandoned_calls,
        "open": balance.open_calls,
    }
    shown = "".join(f", {name} {amount}" for name, amount in others.items() if amount)
    return f"{_purse(balance.money)}, spent {balance.spent_micros}{shown}"


async def _paid(world: "World", places: list[str], _: dict[str, str]) -> str:
    """What pays for a call, by its last answer."""
    call = await world.ledger.show(world.tenant.tenant_id, places[0])
    told = call.ending if call.state is not CallState.OPEN else call.last or call.first
    return ", ".join(map(_stretch, told.stretches)) if told and told.stretches else "nothing"


def _stretch(stretch: Stretch) -> str:
    amount = f" for {stretch.amount_micros}" if stretch.amount_micros else ""
    return f"{stretch.pool_id or stretch.kind} {stretch.seconds} s{amount}"


async def _pools(world: "World", places: list[str], _: dict[str, str]) -> str:
    """What is used and held of each pool, this month or in one that is named by how many have begun since."""
    rows = await world.ledger.pool_rows(world.tenant.tenant_id)
    months = sorted({name.rpartition("@")[2] for name in rows})
    month = months[-1 - int(places[0] if places else 0)] if months else ""
    shown = sorted((n.rpartition("@")[0], row) for n, row in rows.items() if n.endswith(month))
    return ", ".join(f"{name} {used}+{held}" for name, (used, held) in shown)


async def _invoice(world: "World", _: list[str], __: dict[str, str]) -> str:
    balance = await world.ledger.balance(world.tenant)
    return f"{balance.postpaid_micros}+{balance.postpaid_held_micros}"


async def _assign(world: "World", places: list[str], _: dict[str, str]) -> str:
    name, count = places
    meters = keys.meters(world.tenant.tenant_id)
    await world.store.command("HSET", meters, f"n:{name}", count)
    return ""


async def _month(world: "World", _: list[str], __: dict[str, str]) -> str:
    """Goes on to the first moment of the next month."""
    now = datetime.fromtimestamp(await world.now_ms() // 1000, UTC)
    turn = (now.replace(day=1) + timedelta(days=31)).replace(day=1, hour=0, minute=0, second=0)
    await world.stop_clock_at(int(turn.timestamp()) * 1000)
    return ""


async def _batch(world: "World", places: list[str], options: dict[str, str]) -> str:
    """Legs with one wish, all or any of them, by their names and a comma between them."""
    mode, names, seconds = places
    typed = {"terms": _terms(options), **_typed(options)}
    asks = [world.asking(name, int(seconds), **typed) for name in names.split(",")]
    outcomes = await world.ledger.authorize_batch(world.tenant, asks, all_or_none=mode == "all")
    return ", ".join(map(_leg, outcomes))


def _leg(outcome: Outcome) -> str:
    first = outcome.call.first
    assert first is not None
    return _again(str(first.refusal or f"{first.granted_seconds} s"), outcome.replayed)


async def _wait(world: "World", places: list[str], _: dict[str, str]) -> str:
    await world.advance(float(places[0]))
    return ""


async def _set(world: "World", _: list[str], options: dict[str, str]) -> str:
    await world.set(**{name: int(value) for name, value in options.items()})
    return ""


VERBS = {
    "fund": _fund,
    "authorize": _authorize,
    "extend": _extend,
    "settle": _settle,
    "release": _release,
    "expire": _expire,
    "show": _show,
    "balance": _balance,
    "paid": _paid,
    "pools": _pools,
    "invoice": _invoice,
    "assign": _assign,
    "month": _month,
    "batch": _batch,
    "wait": _wait,
    "set": _set,
}


def _terms(options: dict[str, str]) -> Terms:
    """The price among the options, taken out of them."""
    usual = (60, 0, 60, 60)
    return Terms(*(int(options.pop(n, u)) for n, u in zip(PRICES, usual, strict=True)))


def _typed(options: dict[str, str]) -> dict[str, Any]:
    kinds: dict[str, Any] = {"sources": SOURCES.__getitem__, "refusal": Reason, "costly": bool}
    kinds |= dict.fromkeys(("line", "asked", "budget"), int)
    return {name: kinds.get(name, str)(value) for name, value in options.items()}


def _purse(money: Money) -> str:
    return f"{money.settled_micros}/{money.held_micros}"


def _again(text: str, replayed: bool) -> str:
    return f"again: {text}" if replayed else text


def _granted(grant: Grant, kept: str) -> str:
    if grant.refusal:
        return f"refused {grant.refusal}{kept}; {_purse(grant.money)}"
    word = "final" if grant.final else "granted"
    anew = "taken anew: " if grant.reacquired else ""
    return (
        f"{anew}{word} {grant.granted_seconds} s, holds {grant.held_micros}; {_purse(grant.money)}"
    )


def _outcome(outcome: Outcome) -> str:
    return _again(_ended(outcome.call), outcome.replayed)


def _ended(call: Call) -> str:
    ending = call.ending
    if ending is None:
        return f"{call.state.lower()}"
    return f"{_end_of(call.state, ending)}; {_purse(ending.money)}"


def _end_of(state: CallState, ending: Ending) -> str:
    if state is not CallState.SETTLED:
        charged = f", charged {ending.charged_micros}" if ending.charged_micros else ""
        return f"{state.lower()} {ending.released_micros}{charged}"
    marks = [name for name in ("late", "overrun", "unreserved") if getattr(ending, name)]
    if ending.uncollected_micros:
        marks.append(f"uncollected {ending.uncollected_micros}")
    if ending.invoiced_micros:
        marks.append(f"invoiced {ending.invoiced_micros}")
    if ending.uncovered_seconds:
        marks.append(f"uncovered {ending.uncovered_seconds} s")
    return " ".join([f"charged {ending.charged_micros}", *marks])
