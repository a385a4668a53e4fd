"""Rows about growth: processor time per decision when there is little, and again when there is much.

It is the time of everything that serves: the serving process, Envoy included, and the store.
"""

import dataclasses
from collections.abc import Sequence
from itertools import islice

from talktime import AsyncClient, Payer, RateRow
from talktime_loadtest.loading import new_run
from talktime_loadtest.preparing import (
    COUNTRY,
    LICENSES,
    ROWS,
    Scene,
    Stage,
    each,
    numbered,
    patiently,
    prepare,
)
from talktime_loadtest.processor import processor_s
from talktime_loadtest.running import measure
from talktime_loadtest.services import Running, Wanted, started
from talktime_loadtest.store import StoreFacts
from talktime_loadtest.targets.bench import (
    STREAMS,
    Bench,
    Finding,
    Findings,
    counted_calls,
    pass_over,
    sound,
)

FEW_TENANTS, FEW_PAYERS = 10, 10
# Who calls when there are many payers: a busy hour's, spread over all.
CALLING = 1_000
REWRITE_LIMIT_S = 120.0
# Far from what one request may take, in payers and in time.
PAYERS_TOGETHER = 500
BULK_AT_ONCE = 2
PREFIX_DIGITS = 6


async def payers(bench: Bench) -> Findings:
    """100 payers, then a million; those who call are then spread over all of them."""
    async with started(Wanted(fsync=bench.fsync)) as service:
        stage = await _stage(service)
        before = await _decision_us(bench, service, stage)
        each_tenant = bench.scale.payers // FEW_TENANTS
        await put_payers(service, stage, each_tenant)
        names = numbered("payer", each_tenant)
        calling = names[:: max(1, each_tenant // CALLING)]
        many = dataclasses.replace(stage, payers=calling)
        after = await _decision_us(bench, service, many)
    told = f"{bench.scale.payers:,} payers, {len(calling) * FEW_TENANTS:,} of them calling"
    return {"growth-payers": _grown(before, after, told)}


async def open_calls(bench: Bench) -> Findings:
    """No open calls, then a million."""
    async with started(Wanted(fsync=bench.fsync)) as service:
        stage = await _stage(service)
        before = await _decision_us(bench, service, stage)
        load = counted_calls(bench.scale.open_calls)
        sound(await measure(service.service, stage, load))
        after = await _decision_us(bench, service, stage)
    return {"growth-calls": _grown(before, after, f"{bench.scale.open_calls:,} open calls")}


async def prefixes(bench: Bench) -> Findings:
    """A deck of the usual size, then the largest."""
    few, many = bench.scale.prefixes, bench.scale.more_prefixes
    async with started(Wanted(fsync=bench.fsync)) as service:
        stage = await _stage(service)
        await put_deck(service, stage, few)
        before = await _decision_us(bench, service, stage)
        await put_deck(service, stage, many)
        after = await _decision_us(bench, service, stage)
    return {"growth-prefixes": _grown(before, after, f"{few:,} and {many:,} prefixes")}


async def put_payers(service: Running, stage: Stage, count: int) -> None:
    """So many payers for every tenant."""
    names = numbered("payer", count)
    parts = [
        (tenant, names[at : at + PAYERS_TOGETHER])
        for at in range(0, count, PAYERS_TOGETHER)
        for tenant in stage.tenants
    ]
    async with service.service.operator() as operator:

        async def put(part: tuple[str, tuple[str, ...]]) -> None:
            tenant, named = part
            people = [Payer(name, COUNTRY, LICENSES) for name in named]
            await operator.put_payers(people, tenant_id=tenant)

        await each(parts, put, at_once=BULK_AT_ONCE)


async def put_deck(service: Running, stage: Stage, rows: int) -> str:
    """A deck of so many rows in force; returns its version."""
    version = f"rows-{rows}-{new_run()}"
    async with service.service.operator() as operator:
        await put_and_activate(operator, version, stage.currency_code, deck_rows(rows))
    return version


@patiently
async def put_and_activate(
    operator: AsyncClient, version: str, currency_code: str, rows: Sequence[RateRow]
) -> None:
    """Uploads a deck and puts it in force."""
    stored = await operator.put_rate_deck(version, currency_code, rows)
    await operator.activate_rate_deck(version, stored)


def deck_rows(count: int) -> list[RateRow]:
    """Rows as in real decks: those of the load's own deck, and prefixes of six digits, spread evenly."""
    first, last = 10 ** (PREFIX_DIGITS - 1), 10**PREFIX_DIGITS
    step = max(1, (last - first) // count)
    spread = (
        RateRow(str(prefix), f"Place {prefix % 997}", 5_000 + prefix % 9_000)
        for prefix in range(first, last, step)
    )
    return [*ROWS, *islice(spread, count - len(ROWS))]


async def _stage(service: Running) -> Stage:
    scene = Scene(tenants=FEW_TENANTS, payers=FEW_PAYERS)
    return await prepare(service.service, scene, new_run())


async def _decision_us(bench: Bench, service: Running, stage: Stage) -> float:
    """Processor time per decision, the load's own part not counted; after a first pass, so that caches are warm, and when
    the store has rewritten what it had to: that is no part of a decision.
    """
    await pass_over(service, stage)
    async with StoreFacts(service.store_url) as store:
        await store.rested(REWRITE_LIMIT_S)
    before_s = processor_s(service.family())
    figures = sound(await measure(service.service, stage, bench.timed(STREAMS)))
    used_s = processor_s(service.family()) - before_s
    return used_s / (figures.total("granted") + figures.total("settled")) * 1e6


def _grown(before_us: float, after_us: float, told: str) -> Finding:
    return Finding(after_us / before_us, f"{before_us:.1f} to {after_us:.1f} µs; {told}")
