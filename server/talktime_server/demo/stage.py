"""Where the demo plays: a service of its own in a temporary folder, its clients, and steps that check what they did."""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TextIO, TypeVar

import structlog

from talktime import (
    AsyncClient,
    Conservation,
    NotFound,
    Payer,
    Quote,
    RateRow,
    TalktimeError,
    Tenant,
    Unavailable,
)
from talktime_server.commands.output import minutes
from talktime_server.config import Settings
from talktime_server.decision import catalog
from talktime_server.decision.rating import RateRow as StoredRow
from talktime_server.demo.neighbours import Neighbours, neighbours
from talktime_server.demo.telling import Step, worded
from talktime_server.embedded import EmbeddedStore
from talktime_server.ledger import keys
from talktime_server.ledger.account import Account
from talktime_server.ledger.store import Store
from talktime_server.rpc import token_file
from talktime_server.rpc.shapes import Role
from talktime_server.supervisor import Supervisor

T = TypeVar("T")
TIMEOUT_S = 2.0
# An emergency call is recorded behind its answer, and tried again each second while the store is away.
RECORD_LIMIT_S = 5.0
LOOK_EVERY_S = 0.02
# What is done beside the calls is done within a second or two, on a machine that has time.
BESIDE_LIMIT_S = 20.0


class SceneEnded(Exception):
    """A step failed where an answer was due, so the steps after it have nothing to stand on."""


class Stage:
    """The running service, and who acts on it."""

    def __init__(
        self,
        supervisor: Supervisor,
        tokens: Mapping[Role, str],
        around: Neighbours,
        exits: AsyncExitStack,
    ) -> None:
        self.supervisor = supervisor
        self.around = around
        self._tokens = tokens
        self._exits = exits
        self._acts: dict[str, Act] = {}

    async def prepare(self, tenants: Iterable[Tenant]) -> None:
        """Puts the demo deck in force, and gives each tenant its act."""
        deck = catalog.demo_deck()
        operator = await self._client(Role.OPERATOR)
        await operator.put_rate_deck("demo", deck.currency, map(_rate_row, deck.rows))
        await operator.activate_rate_deck("demo", len(deck.rows))
        for tenant in tenants:
            await operator.put_tenant(tenant)
            self._acts[tenant.tenant_id] = Act(
                self,
                tenant.tenant_id,
                calls=await self._client(Role.ROUTER, tenant.tenant_id),
                accounts=await self._client(Role.OPERATOR, tenant.tenant_id),
            )

    def act(self, tenant_id: str) -> "Act":
        """Where this tenant's scenes are played."""
        return self._acts[tenant_id]

    async def proofs(self) -> dict[str, Conservation]:
        """The proof of every tenant's money."""
        return {each: await act.accounts.check_conservation() for each, act in self._acts.items()}

    async def _client(self, role: Role, tenant_id: str = "") -> AsyncClient:
        client = AsyncClient(
            self.supervisor.address, self._tokens[role], tenant_id=tenant_id, timeout_s=TIMEOUT_S
        )
        return await self._exits.enter_async_context(client)


class Act:
    """One tenant's part of the stage: its router's client and its operator's, and the steps taken so far."""

    def __init__(
        self, stage: Stage, tenant_id: str, *, calls: AsyncClient, accounts: AsyncClient
    ) -> None:
        self.calls = calls
        self.accounts = accounts
        self._stage = stage
        self._tenant_id = tenant_id
        self._steps: list[Step] = []
        self._quotes: list[Quote] = []

    async def step(
        self, what: str, doing: Awaitable[T], *, answers: str, moves: int | None = 0
    ) -> T:
        """Does something that must be answered so and must move the free money so, None meaning that it is not
        looked at; notes how it came out."""
        before = await self._free(moves)
        try:
            answer = await doing
        except TalktimeError as error:
            await self._note(what, f"error {error.reason}", answers, before, moves)
            raise SceneEnded from error
        await self._note(what, worded(answer), answers, before, moves)
        return answer

    async def until(self, what: str, look: Callable[[], Awaitable[str]], *, answers: str) -> None:
        """Waits for something that is done beside the calls; the money it moves is the next step's to look at."""
        await self.step(what, self.seen(look, answers), answers=answers, moves=None)

    async def fails(
        self, what: str, doing: Awaitable[object], *, answers: str, moves: int | None = 0
    ) -> None:
        """Does something that must fail so."""
        before = await self._free(moves)
        try:
            answer = worded(await doing)
        except TalktimeError as error:
            answer = f"error {error.reason}"
        await self._note(what, answer, answers, before, moves)

    async def license(self, payer_id: str, country: str, *skus: str, what: str) -> None:
        """Makes a payer with these licences."""
        doing = self.accounts.put_payer(Payer(payer_id, country, skus))
        await self.step(f"{payer_id.capitalize()}: {what}", doing, answers="known")

    async def pool_left(self, pool_id: str) -> str:
        """What a pool has left this month, in whole minutes."""
        pools = {pool.pool_id: pool for pool in (await self.accounts.get_balance()).pools}
        if pool_id not in pools:
            return "no such pool"
        pool = pools[pool_id]
        return f"{minutes(pool.available_seconds)} of {minutes(pool.size_seconds)} min left"

    def explain(self, quote: Quote) -> None:
        """Lets the teller say what a quote explains, below the scene's steps."""
        self._quotes.append(quote)

    async def until_recorded(self, call_id: str, what: str = "It is on record") -> None:
        """Waits for the record of an emergency call, which is written behind its answer."""
        await self.step(what, self._recorded(call_id), answers="recorded", moves=None)

    async def move_clock(self, by_s: int) -> str:
        """Turns the tenant's clock on: it is the store's, and never goes below the highest instant it has seen."""
        store = Store(self._store.url, timeout_s=TIMEOUT_S)
        try:
            seconds, _ = await store.command("TIME")
            instant_ms = (int(seconds) + by_s) * 1000
            key = keys.account(self._tenant_id)
            await store.command("SETRANGE", key, *Account.place("mark_ms", instant_ms))
        finally:
            await store.close()
        return "done"

    async def stop_store(self) -> str:
        """Stops the store, as a power cut would."""
        await self._store.stop()
        return "stopped"

    async def start_store(self) -> str:
        """Starts it again, over the same files."""
        await self._store.start()
        return "started"

    @property
    def desk_url(self) -> str:
        """Where notices can be posted to."""
        return self._stage.around.desk_url

    @property
    def posted(self) -> Sequence[str]:
        """The kinds of the notices that were."""
        return self._stage.around.posted

    def steps_taken(self) -> list[Step]:
        """The steps since the last time this was asked."""
        taken, self._steps = self._steps, []
        return taken

    def quotes_made(self) -> list[Quote]:
        """The quotes to explain since the last time this was asked."""
        made, self._quotes = self._quotes, []
        return made

    @property
    def _store(self) -> EmbeddedStore:
        assert self._stage.supervisor.store is not None, "the demo's store is embedded"
        return self._stage.supervisor.store

    async def _free(self, moves: int | None) -> int | None:
        if moves is None:
            return None
        balance = (await self.accounts.get_balance()).balance
        return balance.available_micros if balance else None

    async def _note(
        self, what: str, answer: str, expected: str, before: int | None, moves: int | None
    ) -> None:
        after = await self._free(moves)
        moved = None if before is None or after is None else after - before
        self._steps.append(Step(what, answer, expected, before, after, moved == moves))

    @staticmethod
    async def seen(look: Callable[[], Awaitable[str]], wanted: str) -> str:
        """What there is to see, once it is what is wanted or as long as a step may wait."""
        found = await look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BESIDE_LIMIT_S):
                while found != wanted:
                    await asyncio.sleep(LOOK_EVERY_S)
                    found = await look()
        return found

    async def _recorded(self, call_id: str) -> str:
        async with asyncio.timeout(RECORD_LIMIT_S):
            while True:
                with contextlib.suppress(NotFound, Unavailable):
                    await self.calls.get_call(call_id)
                    return "recorded"
                await asyncio.sleep(LOOK_EVERY_S)


@asynccontextmanager
async def raised(engine: str | None) -> AsyncIterator[Stage]:
    """The stage: a service with a store of its own on a free port, gone without a trace at the end."""
    # SIGTERM ends the demo as Ctrl-C does: everything that was started is stopped first.
    playing = asyncio.current_task()
    assert playing is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, playing.cancel)
    async with AsyncExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="talktime-demo-")))
        log_path = folder / "log"
        _log_to(exits.enter_context(log_path.open("a")))
        wanted = engine or os.environ.get("TALKTIME_ENGINE")
        around = await exits.enter_async_context(neighbours(folder))
        settings = Settings.read(
            {},
            engine=wanted,
            port=0,
            # A second process would price by the demo's deck only when it next looks for one.
            workers=1,
            state_dir=folder,
            # On a busy machine a store may be late without being away.
            store_timeout_ms=1_000,
            min_funding=0,
            billing_url=around.provider_url,
            billing_token_file=around.token_file,
            private_webhooks="yes",
        )
        tokens = {role: _token(settings, role) for role in (Role.ROUTER, Role.OPERATOR)}
        supervisor = await exits.enter_async_context(Supervisor(settings, log_path))
        yield Stage(supervisor, tokens, around, exits)


def _token(settings: Settings, role: Role) -> str:
    everyone = (token_file.ALL_TENANTS,)
    return token_file.create(settings.tokens_path, role=role, tenants=everyone, name="demo")


def _log_to(file: TextIO) -> None:
    """The service's log is not the demo's to show."""
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file))


def _rate_row(row: StoredRow) -> RateRow:
    return RateRow(*row)
