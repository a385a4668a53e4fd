"""Random operations on a stream against a ledger of a few lines: every answer is foretold, and so is all the money.

A stream keeps the order within a tenant, so that whole bursts may be foretold before the first one is answered.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.site import LONDON, MINUTE, Site
from talktime import AsyncClient, Exchange, TalktimeError

MakeSite = Callable[..., Site]
Told = tuple[object, ...]
BURSTS = 12
MOST_AT_ONCE = 120
FUNDED_MINUTES = 40


@dataclass
class Call:
    """A call as the plain ledger knows it; `first` is what its authorize was told."""

    asked: int
    granted: int
    first: Told
    state: str = "OPEN"
    sequence: int = 0
    settled: int = 0


@dataclass
class PlainLedger:
    """One tenant's free minutes and calls. Each method foretells an answer: its words, and whether it is a replay."""

    free: int = FUNDED_MINUTES
    spent: int = 0
    calls: dict[str, Call] = field(default_factory=dict)

    def authorize(self, call_id: str, minutes: int) -> Told:
        if known := self.calls.get(call_id):
            return (*known.first, True) if known.asked == minutes else ("IDEMPOTENCY_MISMATCH",)
        granted = min(minutes, self.free)
        self.free -= granted
        first = ("AUTHORIZED" if granted else "REFUSED", granted)
        state = "OPEN" if granted else "REFUSED"
        self.calls[call_id] = Call(minutes, granted, first, state)
        return (*first, False)

    def extend(self, call_id: str, sequence: int, minutes: int) -> Told:
        call = self.calls[call_id]
        if call.state != "OPEN":
            return (f"ALREADY_{call.state}",)
        more = min(minutes, self.free)
        self.free -= more
        call.granted += more
        call.sequence = sequence
        return ("AUTHORIZED" if more else "REFUSED", call.granted, False)

    def settle(self, call_id: str, minutes: int) -> Told:
        call = self.calls[call_id]
        if call.state == "SETTLED" and call.settled == minutes:
            return (minutes, True)
        if call.state != "OPEN":
            return (f"ALREADY_{call.state}",)
        call.state, call.settled = "SETTLED", minutes
        self.free += call.granted - minutes
        self.spent += minutes
        return (minutes, False)

    def release(self, call_id: str) -> Told:
        call = self.calls[call_id]
        if call.state == "SETTLED":
            return ("ALREADY_SETTLED",)
        released = call.state == "OPEN"
        call.state = "RELEASED"
        if released:
            self.free += call.granted
        return (call.granted, not released)


@dataclass
class Story:
    """One tenant's operations, chosen by chance, and what was foretold of each."""

    site: Site
    stream: Exchange
    chance: random.Random
    plain: PlainLedger = field(default_factory=PlainLedger)

    def next(self) -> tuple[Told, Coroutine[Any, Any, Told]]:
        """Any operation, on a new call or on one that there is."""
        known = [i for i, call in self.plain.calls.items() if call.state != "REFUSED"]
        kind = self.chance.choice(("authorize", "authorize", "extend", "settle", "release"))
        if kind == "authorize" or not known:
            return self._authorize()
        call_id = self.chance.choice(known)
        call = self.plain.calls[call_id]
        if kind == "extend":
            sequence, minutes = call.sequence + 1, self.chance.randint(1, 4)
            told = self.plain.extend(call_id, sequence, minutes)
            return told, granted(
                self.stream.extend(call_id, sequence, 60 * minutes, tenant_id=self.site.tenant_id)
            )
        if kind == "settle":
            minutes = self.chance.randint(1, call.granted)
            asked = self.stream.settle(call_id, 60 * minutes, tenant_id=self.site.tenant_id)
            return self.plain.settle(call_id, minutes), charged(asked)
        released_micros = self.stream.release(call_id, tenant_id=self.site.tenant_id)
        return self.plain.release(call_id), released(released_micros)

    def _authorize(self) -> tuple[Told, Coroutine[Any, Any, Told]]:
        call_id, minutes = f"leg-{self.chance.randint(1, 300)}", self.chance.randint(1, 6)
        if (call := self.plain.calls.get(call_id)) and self.chance.random() < 0.7:
            minutes = call.asked
        asked = self.stream.authorize(
            "alice",
            "USER_OUT",
            LONDON,
            call_id=call_id,
            requested_seconds=60 * minutes,
            tenant_id=self.site.tenant_id,
        )
        return self.plain.authorize(call_id, minutes), granted(asked)


async def granted(asked: Coroutine[Any, Any, Any]) -> Told:
    return await words_of(asked, lambda a: (a.outcome.value, a.granted_seconds // 60, a.replayed))


async def charged(asked: Coroutine[Any, Any, Any]) -> Told:
    return await words_of(asked, lambda a: (a.charged_micros // MINUTE, a.replayed))


async def released(asked: Coroutine[Any, Any, Any]) -> Told:
    return await words_of(asked, lambda a: (a.released_micros // MINUTE, a.replayed))


async def words_of(asked: Coroutine[Any, Any, Any], words: Callable[[Any], Told]) -> Told:
    try:
        return words(await asked)
    except TalktimeError as error:
        return (error.reason,) if error.outcome == "NOT_APPLIED" else (error.reason, error.outcome)


@pytest.mark.parametrize("seed", range(3))
async def test_a_stream_answers_as_a_plain_ledger_foretells(make_site: MakeSite, seed: int) -> None:
    chance = random.Random(seed)
    sites = [make_site() for _ in range(2)]
    for site in sites:
        site.fund(FUNDED_MINUTES * MINUTE)
    service = sites[0].service
    async with (
        AsyncClient(service.address, service.router, timeout_s=2.0) as client,
        client.exchange() as stream,
    ):
        stories = [Story(site, stream, chance) for site in sites]
        for _ in range(BURSTS):
            burst = [chance.choice(stories).next() for _ in range(chance.randint(1, MOST_AT_ONCE))]
            answers = await asyncio.gather(*(asked for _, asked in burst))
            assert list(answers) == [told for told, _ in burst]
            for story in stories:
                left = (FUNDED_MINUTES - story.plain.spent) * MINUTE
                held = left - story.plain.free * MINUTE
                assert story.site.sums() == (left, held)
