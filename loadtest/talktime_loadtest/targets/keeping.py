"""Rows about a service's life: how soon it answers, how much it needs, how fast a deck takes force."""

import asyncio
import time
from contextlib import AsyncExitStack

from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_fixed

from talktime import AsyncClient, CallType, Unavailable
from talktime_loadtest.checking import Account
from talktime_loadtest.loading import new_run
from talktime_loadtest.preparing import Scene, Stage, prepare
from talktime_loadtest.processor import resident_bytes
from talktime_loadtest.running import books_of, measure
from talktime_loadtest.services import Running, Wanted, started
from talktime_loadtest.store import StoreFacts
from talktime_loadtest.targets.bench import Bench, Finding, Findings, counted_calls, sound
from talktime_loadtest.targets.growth import deck_rows, put_and_activate, put_deck, put_payers

TENANTS = 10
# So many that every process has some of them.
CONNECTIONS = 16
DECK_LIMIT_S = 60.0
LOOK_EVERY_S = 0.01
QUIET_LIMIT_S = 900.0  # by then the lease of every call that a row left open is over
MEGABYTE = 1024 * 1024


async def start(bench: Bench) -> Findings:
    """From the command to the first answer."""
    async with started(Wanted(fsync=bench.fsync)) as service:
        began = time.monotonic()
        async with service.service.operator() as operator:
            await operator.get_rate_decks()
        took_s = service.start_seconds + time.monotonic() - began
    return {"start": Finding(took_s, f"{service.engine}, embedded store, one process")}


async def memory(bench: Bench) -> Findings:
    """A serving process with a deck of the usual size and many profiles that it keeps."""
    each_tenant = bench.scale.cached_payers // TENANTS
    async with started(Wanted(fsync=bench.fsync)) as service:
        stage = await _stage(service)
        await put_deck(service, stage, bench.scale.prefixes)
        await put_payers(service, stage, each_tenant)
        everybody = Scene(tenants=TENANTS, payers=each_tenant).stage()
        load = counted_calls(bench.scale.cached_payers)
        sound(await measure(service.service, everybody, load))
        used = max(map(resident_bytes, await _serving(service)))
    note = f"{bench.scale.prefixes:,} prefixes, {bench.scale.cached_payers:,} profiles; {service.engine}"
    return {"memory": Finding(used / MEGABYTE, note)}


async def deck(bench: Bench) -> Findings:
    """From the first row sent to the moment when every process prices by the new deck."""
    async with started(Wanted(fsync=bench.fsync, workers=2)) as service, AsyncExitStack() as stack:
        stage = await _stage(service)
        crowd = [
            await stack.enter_async_context(service.service.operator()) for _ in range(CONNECTIONS)
        ]
        for operator in crowd:
            await _priced_by(operator, stage)
        rows, version = deck_rows(bench.scale.prefixes), f"new-{new_run()}"
        began = time.monotonic()
        await put_and_activate(crowd[0], version, stage.currency_code, rows)
        uploaded_s = time.monotonic() - began
        async with asyncio.timeout(DECK_LIMIT_S):
            for operator in crowd:
                while await _priced_by(operator, stage) != version:
                    await asyncio.sleep(LOOK_EVERY_S)
        took_s = time.monotonic() - began
    return {"deck": Finding(took_s, f"{len(rows):,} rows, 2 processes; upload {uploaded_s:.2f} s")}


async def conserved(bench: Bench) -> Findings:
    """After all rows: the proof for every tenant that they loaded, and nothing held where no call is open.

    Holds that were left open may just be ending by themselves; then the proof is asked for again.
    """
    wrong = looked_at = 0
    patiently = AsyncRetrying(
        retry=retry_if_exception(_moving),
        stop=stop_after_delay(QUIET_LIMIT_S),
        wait=wait_fixed(1.0),
        reraise=True,
    )
    for service, stage in bench.loaded():
        books: dict[str, Account] = await patiently(books_of, service.service, stage)
        for account in books.values():
            looked_at += 1
            held_for_nothing = account.held_micros and not account.open_calls
            wrong += bool(held_for_nothing or not account.conserved)
    return {"conserved": Finding(wrong, f"of {looked_at:,} that the rows loaded")}


def _moving(error: BaseException) -> bool:
    return isinstance(error, Unavailable) and error.reason == "CONTENDED"


async def _stage(service: Running) -> Stage:
    return await prepare(service.service, Scene(tenants=TENANTS), new_run())


async def _priced_by(operator: AsyncClient, stage: Stage) -> str:
    quote = await operator.quote(
        stage.payers[0],
        CallType.USER_OUT,
        stage.terms.to_number,
        requested_seconds=stage.terms.requested_seconds,
        tenant_id=stage.tenants[0],
    )
    return quote.rate.deck_version if quote.rate else ""


async def _serving(service: Running) -> set[int]:
    """The pids that serve: neither the command nor the store."""
    async with StoreFacts(service.store_url) as store:
        told = await store.told("server")
    return service.family() - {service.pid, int(told["process_id"])}
