"""The composition root of the back office: the one process that archives, charges and notifies, beside the serving ones.

Calls never wait for it. It may be killed at any line and started again: what it does is written down first, and is safe to
do twice. Of several back offices on one store, one works and the others stand by; that spares work and nothing else.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import structlog

from talktime_server.archive.archiver import Archiver
from talktime_server.archive.clock import wall_clock_ms
from talktime_server.archive.database import Database
from talktime_server.archive.stretches import Catalogue, Licence
from talktime_server.archive.usage import UsageFollower
from talktime_server.config import Settings
from talktime_server.config_kinds import secret
from talktime_server.decision import catalog
from talktime_server.decision.geography import domestic_for_minutes
from talktime_server.decision.pools import pools_of
from talktime_server.failure import Failure, Unsafe
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.funds import Funds
from talktime_server.ledger.lease import Lease
from talktime_server.ledger.recharges import Recharges
from talktime_server.ledger.store import Store
from talktime_server.notices.crossings import Crossings
from talktime_server.notices.expiring import tell_expiring
from talktime_server.notices.mail import Mailer, mail_server
from talktime_server.notices.outbox import Outbox
from talktime_server.notices.pool_sizes import PoolSizes
from talktime_server.notices.webhooks import Poster
from talktime_server.payments.gateway import Gateway
from talktime_server.payments.payments import Payments
from talktime_server.payments.providers import Later, callers_back, gateways
from talktime_server.words import NumberClass
from talktime_server.work.beside import Work, ended, kept_running
from talktime_server.work.charging import Charging
from talktime_server.work.events import Events
from talktime_server.work.opening import until_open
from talktime_server.work.recharge import RechargeWorker

# Nobody waits for the answers here, so a store may take its time.
STORE_TIMEOUT_S = 2.0
PORT_PAUSE_S = 5.0
EXPIRING_PERIOD_S = 600.0
REFUSED_PAUSE_S = 30.0
FINISH_LIMIT_S = 4.0

_log = structlog.get_logger("talktime.back_office")


@dataclass(frozen=True, slots=True)
class BackOffice:
    """Everything that the process works with."""

    database: Database
    lease: Lease
    last_lines: Archiver
    """Takes what is left when the process ends."""
    closing: AsyncExitStack
    """Lets go of everything, the last opened first."""
    works: tuple[Work, ...]
    """What only one of several need do, with the store alone."""
    archiving: tuple[Work, ...]
    """The same, with the archive too."""
    doors: tuple[Work, ...]
    """What each of them does."""

    async def run(self) -> None:
        """Works until cancelled. Raises Unsafe when the archive is not one that this version may write."""
        opening = asyncio.create_task(until_open(self.database))
        tasks = _beside(self.lease.run, partial(self._work, opening), *self.doors)
        try:
            await opening
            await asyncio.Event().wait()
        finally:
            await ended((opening, *tasks))

    async def finish(self) -> None:
        """What must not wait for the next start: the last lines go to the archive, within a few seconds.
        What cannot be brought there now stays in the store.
        """
        try:
            async with asyncio.timeout(FINISH_LIMIT_S):
                while self.lease.held.is_set() and await self.last_lines.step():
                    pass
        except (Failure, Unsafe, TimeoutError) as error:
            _log.warning("archive_behind", why=str(error) or f"more than {FINISH_LIMIT_S:g} s")
        try:
            await self.lease.give_up()
        except Failure as failure:
            _log.warning("lease_not_given_up", reason=failure.reason)

    async def close(self) -> None:
        """Lets go of everything."""
        await self.closing.aclose()

    async def _work(self, opening: asyncio.Task[None]) -> None:
        """Does what the lease is for while it is ours, and stops when it is lost."""
        while True:
            await self.lease.held.wait()
            tasks = _beside(
                *self.works, *(partial(_after, opening, each) for each in self.archiving)
            )
            try:
                await self.lease.lost.wait()
            finally:
                await ended(tasks)


async def _after(opening: asyncio.Task[None], work: Work) -> None:
    """Does a work once the database is open; one that never will be ends the process."""
    await asyncio.wait([opening])
    await work()


async def open_back_office(settings: Settings, name: str) -> BackOffice:
    """Builds the process; `name` is the one of those that follow each other under one supervisor. Raises
    Unsafe for secrets that no provider gave, and for a mail server that cannot be one.
    """
    closing = AsyncExitStack()
    store = Store(settings.store_url, timeout_s=STORE_TIMEOUT_S)
    closing.push_async_callback(store.close)
    database = Database(settings.archive)
    closing.push_async_callback(database.close)
    try:
        worker, doors = _recharging(settings, store, closing)
        outbox = _outbox(settings, database, closing)
    except ValueError as error:
        await closing.aclose()
        raise Unsafe(str(error)) from None
    archiver, last_lines = _archiver(store, database), _archiver(store, database)
    archiving = (partial(_archive, archiver), outbox.run, partial(_tell_expiring, database))
    lease = Lease(store, name)
    return BackOffice(database, lease, last_lines, closing, (worker.run,), archiving, doors)


def _archiver(store: Store, database: Database) -> Archiver:
    followers = (UsageFollower(_catalogue()), Crossings(PoolSizes(pools_of)))
    return Archiver(store, database, followers=followers)


def _catalogue() -> Catalogue:
    """The built-in facts as the rows of usage take them."""
    plan = catalog.number_plan()
    return Catalogue(
        tuple(
            Licence(each.sku, each.kind.value, each.usage_capability)
            for each in catalog.licenses().values()
        ),
        catalog.countries(),
        domestic_for_minutes,
        lambda number: plan.classify(number).number_class is NumberClass.TOLL_FREE,
    )


async def _archive(archiver: Archiver) -> None:
    """Archives. A store that belongs to another archive needs a person; what needs no archive goes on."""
    try:
        await archiver.run()
    except Unsafe as unsafe:
        _log.error("archive_refused", why=str(unsafe))
        await asyncio.sleep(REFUSED_PAUSE_S)


def _recharging(
    settings: Settings, store: Store, closing: AsyncExitStack
) -> tuple[RechargeWorker, tuple[Work, ...]]:
    """The worker, and where providers call back. Raises ValueError for what no provider gave."""
    providers = gateways(settings, secret)
    payments, recharges, funds = Payments(providers), Recharges(store), Funds(store)
    closing.push_async_callback(payments.close)
    for name, provider in providers.items():
        _refuse_unusable(name, provider)
    directory = Directory(store, catalog.counted_licenses)
    charging = Charging(recharges, funds=funds, directory=directory, payments=payments)
    events = Events(recharges, charging=charging, funds=funds)
    called = {name: providers[name] for name in callers_back(settings)}
    doors = (partial(_take_calls, settings, called, events),) if settings.webhook_port else ()
    return RechargeWorker(recharges, charging), doors


def _outbox(settings: Settings, database: Database, closing: AsyncExitStack) -> Outbox:
    """What delivers notices; without a mail server mails wait. Raises ValueError."""
    poster, mailer = Poster(private=settings.private_webhooks), None
    closing.push_async_callback(poster.close)
    if settings.smtp_url:
        authority = str(settings.smtp_ca) if settings.smtp_ca else None
        server = mail_server(settings.smtp_url)
        mailer = Mailer(server, settings.mail_from, authority=authority)
        closing.callback(mailer.close)
    return Outbox(database, mailer=mailer, poster=poster)


async def _tell_expiring(database: Database) -> None:
    """Tells of credits that expire soon; nobody notices whether ten minutes earlier or later."""
    while True:
        try:
            await tell_expiring(database, wall_clock_ms())
        except Failure as failure:
            _log.warning("expiring_not_told", reason=failure.reason)
        await asyncio.sleep(EXPIRING_PERIOD_S)


async def _take_calls(settings: Settings, called: Mapping[str, Gateway], events: Events) -> None:
    """Serves the webhooks of the payment providers, for as long as the process lives."""
    # Where nobody calls, no web server is loaded.
    from starlette.applications import Starlette

    from talktime_server.payments.incoming import Incoming
    from talktime_server.payments.listening import listening

    incoming = Starlette(routes=Incoming(called, events.take).routes())
    try:
        async with listening(incoming, host=settings.webhook_host, port=settings.webhook_port):
            _log.info("webhooks_taken", port=settings.webhook_port, providers=sorted(called))
            await asyncio.Event().wait()
    except OSError as error:
        _log.error("webhooks_not_taken", port=settings.webhook_port, why=error.strerror)
        await asyncio.sleep(PORT_PAUSE_S)


def _refuse_unusable(name: str, provider: Later) -> None:
    try:
        provider.made()
    except ValueError as error:
        raise ValueError(f"the settings of {name}: {error}") from None


def _beside(*works: Work) -> tuple[asyncio.Task[None], ...]:
    return tuple(asyncio.create_task(kept_running(work)) for work in works)
