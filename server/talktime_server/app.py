"""The composition root of one serving process: builds everything, hands it over, and stops it in
reverse.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, Self

import structlog

from talktime_server.archive.advice import Adviser, Smallest
from talktime_server.archive.database import Database
from talktime_server.archive.history import History
from talktime_server.archive.late_calls import LateCalls
from talktime_server.archive.reports import UsageReports
from talktime_server.config import Settings
from talktime_server.config_kinds import secret
from talktime_server.decision import catalog
from talktime_server.decision.calls import Calls
from talktime_server.decision.emergency import Emergencies
from talktime_server.decision.price_list import PriceList
from talktime_server.decision.receipts import Receipts
from talktime_server.decision.shadow import ShadowCounts
from talktime_server.decision.verdict import Verdicts
from talktime_server.failure import Failure, Unsafe
from talktime_server.ledger import safety
from talktime_server.ledger.decks import Decks
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.journal import Journal
from talktime_server.ledger.ledger import Ledger
from talktime_server.ledger.recharges import Recharges
from talktime_server.ledger.shadows import Shadows
from talktime_server.ledger.store import Store
from talktime_server.ledger.sweeper import Sweeper
from talktime_server.ledger.upgrade import Upgrade
from talktime_server.ledger.versions import Versions
from talktime_server.payments.payments import Payments
from talktime_server.payments.providers import gateways
from talktime_server.rpc.account_methods import foretold
from talktime_server.rpc.accounts import Accounts
from talktime_server.rpc.archives import Archives
from talktime_server.rpc.authorization import Authorization
from talktime_server.rpc.decks import RateDecks
from talktime_server.rpc.edge import Edge
from talktime_server.rpc.exchange import Exchange
from talktime_server.rpc.funds import Funds
from talktime_server.rpc.health import SERVICES, Health
from talktime_server.rpc.limiter import Limits
from talktime_server.rpc.notices import Notices
from talktime_server.rpc.recharge_checks import RuleBounds
from talktime_server.rpc.recharges import Recharges as RechargeRules
from talktime_server.rpc.reflection import Reflection
from talktime_server.rpc.reports import Reports
from talktime_server.rpc.shapes import Method, Stream
from talktime_server.rpc.tokens import Tokens
from talktime_server.rpc.watching import Watching
from talktime_server.work.beside import Work, ended, kept_running
from talktime_server.work.charging import Charging

PROBE_PERIOD_S = 0.5
UNIT_MICROS = 1_000_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class App:
    """Everything one process serves with."""

    edge: Edge
    health: Health
    emergencies: Emergencies
    counts: ShadowCounts
    tasks: tuple[asyncio.Task[None], ...]
    ground: "_Ground"

    async def drain(self) -> None:
        """Health says that we stop, and open streams are asked to end."""
        self.health.drain()
        self.edge.drain()
        self.emergencies.drain(self.ground.settings.drain_seconds)

    async def close(self) -> None:
        """Writes what waits to be recorded and lets go of the store; no call is open any more."""
        await ended(self.tasks)
        # Only now: the task that writes these records takes them off the same list.
        if not await self.emergencies.finish():
            log.error("emergency_records_lost")
        if not await self.counts.flush():
            log.error("shadow_counts_lost")
        await self.ground.close()


@dataclass(frozen=True, slots=True)
class _Ground:
    """What every room stands on. Archive and payment providers may be away; calls do not need them."""

    settings: Settings
    store: Store
    ledger: Ledger
    directory: Directory
    database: Database
    recharges: Recharges
    payments: Payments

    @classmethod
    def of(cls, settings: Settings) -> Self:
        store = Store(settings.store_url, timeout_s=settings.store_timeout_ms / 1000)
        ledger = Ledger(
            store,
            receipt_ttl_s=settings.receipt_ttl_seconds,
            refusal_ttl_s=settings.refusal_ttl_seconds,
        )
        directory = Directory(store, catalog.counted_licenses)
        return cls(
            settings,
            store,
            ledger,
            directory,
            Database(settings.archive, opens_itself=True),
            Recharges(store),
            Payments(gateways(settings, secret)),
        )

    @property
    def history(self) -> History:
        """What the store may have forgotten."""
        return History(self.database)

    @property
    def late_calls(self) -> LateCalls:
        """Calls whose receipts the store keeps no more."""
        life_ms = self.settings.receipt_ttl_seconds * 1000
        return LateCalls(self.database, self.store, receipt_life_ms=life_ms)

    async def close(self) -> None:
        """Lets go of everything outside this process."""
        await self.payments.close()
        await self.database.close()
        await self.store.close()


class _Room(Protocol):
    """Handlers of AccountService."""

    def methods(self) -> list[Method]:
        """The rows for the edge's table."""


async def open_app(settings: Settings) -> App:
    """Builds a process, and brings an older store up to date. Raises Unsafe when the store's settings
    would lose money or a newer talktime wrote it, StoreAway when there is none.
    """
    ground = _Ground.of(settings)
    store = ground.store
    await store.reach()
    await _refuse_unsafe(store)
    await Upgrade(store, catalog.counted_licenses).run()
    decks, plan = Decks(store), catalog.number_plan()
    counts = ShadowCounts(Shadows(store))
    prices = PriceList(decks, counts)
    await prices.refresh()
    calls = Calls(
        directory=ground.directory,
        verdicts=Verdicts(plan, prices),
        prices=prices,
        ledger=ground.ledger,
        receipts=Receipts(ground.late_calls),
    )
    emergencies = Emergencies(directory=ground.directory, plan=plan, ledger=ground.ledger)
    reports, watching = _reports(ground), _watching(ground)
    rate_decks = RateDecks(directory=ground.directory, decks=decks, prices=prices, counts=counts)
    rooms = (
        _accounts(ground),
        _funds(ground),
        reports,
        _recharging(ground),
        _notices(ground),
        Archives(ground.database, ground.store),
    )
    health = Health()
    edge = _edge(
        settings,
        Authorization(calls, emergencies),
        [*rate_decks.methods(), *_foretold(ground.database, rooms)],
        [*reports.streams(), watching.stream()],
        health,
    )
    sweeper = Sweeper(store, ground.ledger, ground.directory)
    probe = partial(_probe, store, health)
    tasks = _beside(probe, prices.run, counts.run, emergencies.run, sweeper.run, watching.run)
    return App(edge, health, emergencies, counts, tasks, ground)


def _foretold(database: Database, rooms: Sequence[_Room]) -> list[Method]:
    """Whoever administers tenants will soon ask the archive: it is opened beside the first of these calls, so that none waits
    for it. A process that only routers ask spares its memory.
    """
    methods = [method for room in rooms for method in room.methods()]
    return [foretold(method, database.expect) for method in methods]


def _accounts(ground: _Ground) -> _Room:
    return Accounts(
        directory=ground.directory,
        ledger=ground.ledger,
        journal=Journal(ground.store, ground.ledger, ground.history),
    )


def _funds(ground: _Ground) -> Funds:
    return Funds(
        directory=ground.directory,
        ledger=ground.ledger,
        recharges=ground.recharges,
        adviser=_adviser(ground),
        min_funding_micros=ground.settings.min_funding * UNIT_MICROS,
    )


def _reports(ground: _Ground) -> Reports:
    return Reports(
        directory=ground.directory,
        reports=UsageReports(ground.database),
        advice=_adviser(ground),
        ledger=ground.ledger,
    )


def _adviser(ground: _Ground) -> Adviser:
    settings = ground.settings
    smallest = Smallest(
        funding_micros=settings.min_funding * UNIT_MICROS,
        trigger_micros=settings.min_trigger * UNIT_MICROS,
    )
    return Adviser(ground.database, smallest)


def _recharging(ground: _Ground) -> _Room:
    settings = ground.settings
    charging = Charging(
        ground.recharges,
        funds=ground.ledger.funds,
        directory=ground.directory,
        payments=ground.payments,
    )
    bounds = RuleBounds(
        min_trigger_micros=settings.min_trigger * UNIT_MICROS,
        min_funding_micros=settings.min_funding * UNIT_MICROS,
        gateways=gateways(settings, secret).keys(),
    )
    return RechargeRules(
        ground.recharges,
        charging=charging,
        directory=ground.directory,
        history=ground.history,
        bounds=bounds,
    )


def _notices(ground: _Ground) -> Notices:
    private = ground.settings.private_webhooks
    return Notices(ground.database, ground.directory, private=private)


def _watching(ground: _Ground) -> Watching:
    return Watching(
        directory=ground.directory,
        ledger=ground.ledger,
        versions=Versions(ground.store),
        recharges=ground.recharges,
    )


def _edge(
    settings: Settings,
    authorization: Authorization,
    account_methods: Sequence[Method],
    account_streams: Sequence[Stream],
    health: Health,
) -> Edge:
    limits = Limits(
        in_flight=settings.in_flight,
        in_flight_per_tenant=settings.in_flight_per_tenant,
        exchange_in_flight=settings.exchange_in_flight,
        exchange_in_flight_per_tenant=settings.exchange_in_flight_per_tenant,
        streams=settings.streams,
    )
    exchange = Exchange(authorization.operations, authorization.emergency, limits=limits)
    streams = [exchange.stream(), health.stream(), *account_streams]
    if settings.reflection:
        streams += Reflection(SERVICES).streams()
    return Edge(
        [*authorization.methods(), *account_methods, health.method()],
        streams,
        tokens=Tokens(settings.tokens_path),
        limits=limits,
    )


def _beside(*works: Work) -> tuple[asyncio.Task[None], ...]:
    return tuple(asyncio.create_task(kept_running(work)) for work in works)


async def _refuse_unsafe(store: Store) -> None:
    findings = await safety.inspect(store)
    for finding in findings:
        log.warning("store_setting", setting=finding.setting, text=finding.text)
    fatal = [finding.text for finding in findings if finding.fatal]
    if fatal:
        raise Unsafe("the store is not safe for money: " + "; ".join(fatal))


async def _probe(store: Store, health: Health) -> None:
    """Tells health, for as long as the process lives, whether the store takes writes."""
    while True:
        try:
            await store.probe()
            health.set_store_writable(True)
        except Failure:
            health.set_store_writable(False)
        await asyncio.sleep(PROBE_PERIOD_S)
