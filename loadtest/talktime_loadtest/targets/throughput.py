"""Rows of rates and latencies: unary, JSON, streams, the client, and more than one process."""

import dataclasses
import os
import statistics

from talktime_loadtest.figures import Figures
from talktime_loadtest.orders import Protocol
from talktime_loadtest.running import Load
from talktime_loadtest.targets.bench import STREAMS, Bench, Finding, Findings, rate, ratios, unary
from talktime_loadtest.targets.replay import store_rate

ENVOY, GRPCIO = "envoy", "grpcio"
CALLERS = 256
# A generator, a store, and two serving processes that are to be twice as fast.
CORES_FOR_TWO = 4


async def unary_on_envoy(bench: Bench) -> Findings:
    """Unary Authorize against both bare echoes."""
    service, echo = await bench.service(ENVOY), await bench.floor(ENVOY)
    aio = await bench.floor(GRPCIO)
    ours, floor, aio_floor = await bench.rates((service, unary()), (echo, unary()), (aio, unary()))
    return {"unary": ratios(ours, floor), "unary-aio": ratios(ours, aio_floor)}


async def unary_on_grpcio(bench: Bench) -> Findings:
    """The reference engine against its own echo."""
    service, echo = await bench.service(GRPCIO), await bench.floor(GRPCIO)
    ours, floor = await bench.rates((service, unary()), (echo, unary()))
    return {"grpcio": ratios(ours, floor)}


async def alone(bench: Bench) -> Findings:
    """The median latency of one call at a time against the echo's."""
    service, echo = await bench.service(ENVOY), await bench.floor(ENVOY)
    one = unary(in_flight=1, clients=1)
    ours, floor = await bench.rates((service, one), (echo, one))
    each = [a.latency.p50_us / b.latency.p50_us for a, b in zip(ours, floor, strict=True)]
    p50s = [statistics.median(f.latency.p50_us for f in side) / 1e3 for side in (ours, floor)]
    note = f"p50 {p50s[0]:.2f} ms against {p50s[1]:.2f} ms"
    return {"alone": Finding(statistics.median(each), note)}


async def json_over_http(bench: Bench) -> Findings:
    """The same calls as JSON against gRPC."""
    service = await bench.service(ENVOY)
    as_json = dataclasses.replace(unary(), protocol=Protocol.JSON)
    ours, grpc = await bench.rates((service, as_json), (service, unary()))
    return {"json": ratios(ours, grpc)}


async def exchange(bench: Bench) -> Findings:
    """Streams of pairs, and the store's own rate for the very same scripts."""
    service = await bench.service(ENVOY)
    (ours,) = await bench.rates((service, STREAMS))
    found = rate(ours)
    stage = await bench.stage(service)
    store = await store_rate(service, stage, bench.timed(STREAMS))
    if store.judged:
        store = dataclasses.replace(store, figure=found.figure / store.figure)
    return {"exchange": found, "exchange-store": store}


async def exchange_always(bench: Bench) -> Findings:
    """Streams of pairs on a store that makes each write durable before it answers."""
    service = await bench.service(ENVOY, fsync="always")
    (ours,) = await bench.rates((service, STREAMS))
    return {"exchange-always": rate(ours)}


async def client(bench: Bench) -> Findings:
    """What AsyncClient gains by putting concurrent calls on a stream by itself."""
    service = await bench.service(ENVOY)
    callers = Load(Protocol.CLIENT, clients=1, in_flight=CALLERS)
    single = dataclasses.replace(callers, protocol=Protocol.CLIENT_UNARY)
    ours, alone_each = await bench.rates((service, callers), (service, single))
    return {"client": ratios(ours, alone_each)}


async def open_loop(bench: Bench) -> Findings:
    """What callers feel at half of the highest rate."""
    service = await bench.service(ENVOY)
    (peak,) = await bench.rates((service, unary()))
    half = rate(peak).figure / 2
    (ours,) = await bench.rates((service, _open(half)))
    late_ms = max(each.latest_s for each in ours) * 1e3
    note = f"at {half:,.0f}/s; the generator was up to {late_ms:.1f} ms late"
    return {
        name: Finding(statistics.median(_ms(each, name) for each in ours), note)
        for name in ("open-p50", "open-p99", "open-p99.9")
    }


async def processes(bench: Bench) -> Findings:
    """Two serving processes against one."""
    one = await bench.service(ENVOY)
    two = await bench.service(ENVOY, workers=2)
    load = unary(clients=16)
    ours, single = await bench.rates((two, load), (one, load))
    found = ratios(ours, single)
    cores = os.cpu_count() or 1
    if cores >= CORES_FOR_TWO:
        return {"processes": found}
    note = f"{cores} cores, which one process, its store and the load share already; {found.note}"
    return {"processes": dataclasses.replace(found, note=note, judged=False)}


def _open(per_s: float) -> Load:
    return dataclasses.replace(unary(in_flight=1_000), rate_per_s=per_s)


def _ms(figures: Figures, name: str) -> float:
    latency = figures.latency
    us = {
        "open-p50": latency.p50_us,
        "open-p99": latency.p99_us,
        "open-p99.9": latency.p999_us,
    }
    return us[name] / 1e3
