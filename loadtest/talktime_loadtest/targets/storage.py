"""Rows about the store: its processor and its memory for each operation."""

import dataclasses

from talktime_loadtest.figures import Figures
from talktime_loadtest.preparing import Stage
from talktime_loadtest.running import Load, measure
from talktime_loadtest.services import Running, Wanted, started
from talktime_loadtest.store import StoreFacts
from talktime_loadtest.targets.bench import (
    ONLY_AUTHORIZE,
    STREAMS,
    Bench,
    Finding,
    Findings,
    counted_calls,
    sound,
)


async def processor(bench: Bench) -> Findings:
    """The main thread's time for an authorize, and by difference for a settle, in batches of 64."""
    service = await bench.service()
    stage = await bench.stage(service)
    authorize = dataclasses.replace(STREAMS, mix=ONLY_AUTHORIZE, settle_all=False)
    alone_s, alone = await _processor_of(bench, service, stage, authorize)
    pairs_s, pairs = await _processor_of(bench, service, stage, STREAMS)
    each_us = alone_s / alone.total("granted") * 1e6
    rest_us = pairs_s * 1e6 - each_us * pairs.total("granted")
    settle_us = rest_us / max(1, pairs.total("settled"))
    note = f"main thread; {alone.total('granted'):,} and {pairs.operations:,} operations"
    return {"store-authorize": Finding(each_us, note), "store-settle": Finding(settle_us, note)}


async def memory(bench: Bench) -> Findings:
    """Bytes that an open call takes, and those of a receipt; journal lines apart, which the archive takes away."""
    async with started(Wanted(fsync=bench.fsync)) as service:
        stage = await bench.stage(service)
        calls = bench.scale.counted_calls
        counted = counted_calls(calls)
        async with StoreFacts(service.store_url) as store:
            kept = [await _kept(store)]
            for settle in (False, True):
                load = dataclasses.replace(counted, settle_all=settle)
                sound(await measure(service.service, stage, load))
                kept.append(await _kept(store))
    found = {}
    for name, before, after in zip(("bytes-open", "bytes-receipt"), kept, kept[1:], strict=False):
        journal = after[1] / calls
        note = f"after {calls:,}; their journal lines {journal:.0f} bytes besides"
        found[name] = Finding((after[0] - before[0]) / calls, note)
    return found


async def _processor_of(
    bench: Bench, service: Running, stage: Stage, load: Load
) -> tuple[float, Figures]:
    async with StoreFacts(service.store_url) as store:
        before_s = await store.cpu_s()
        figures = sound(await measure(service.service, stage, bench.timed(load)))
        return await store.cpu_s() - before_s, figures


async def _kept(store: StoreFacts) -> tuple[int, int]:
    """Bytes in use without what is in the streams, which are emptied, and what that was."""
    before = await store.memory_bytes()
    cursor = "0"
    while True:
        cursor, names = await store.ask("SCAN", cursor, "COUNT", "5000", "TYPE", "stream")
        for name in names:
            await store.ask("XTRIM", name, "MAXLEN", "0")
        if cursor == "0":
            after = await store.memory_bytes()
            return after, before - after
