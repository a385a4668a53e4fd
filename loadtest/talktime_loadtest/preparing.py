"""Tenants, payers, money and rates for a load, made through the client as an operator would make them.

All of it may be there already from an earlier run, and is then used again: what a run changes is told
by the difference between the service's books before and after it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_exponential

from talktime import (
    AsyncClient,
    DeadlineExceeded,
    Payer,
    RateRow,
    Tenant,
    TooMuch,
    Unavailable,
)
from talktime_loadtest.asking import Terms

TIMEOUT_S = 2.0
PATIENCE_S = 30.0
AT_ONCE = 16

COUNTRY = "US"
COMMON_TERMS = Terms("+442079460018")
# May call anywhere, and credits pay.
LICENSES = ("MCOPSTN1", "MCOPSTNC")
BARRED = "barred"
MOST_PAYERS_TOGETHER = 1_000
# The most that can be added at once, and enough for ten million calls.
PLENTY_MICROS = 10**12
ROWS = (
    RateRow("44", "United Kingdom", 6_900),
    RateRow("447", "United Kingdom - Mobile", 12_000),
    RateRow("49", "Germany", 7_100),
    RateRow("33", "France", 8_000),
    RateRow("1", "United States", 4_000),
)


T = TypeVar("T")

# Everything that is made and read here is safe to repeat, and a service may be about to come back.
patiently = retry(
    stop=stop_after_delay(PATIENCE_S),
    wait=wait_exponential(0.1, max=1.0),
    retry=retry_if_exception_type((Unavailable, DeadlineExceeded, TooMuch)),
    reraise=True,
)


@dataclass(frozen=True, slots=True)
class Service:
    """Where the service is, and who may prepare and ask."""

    target: str
    operator_token: str
    router_token: str = ""

    @property
    def host(self) -> str:
        """Without the port."""
        return self.target.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port alone."""
        return int(self.target.rpartition(":")[2])

    @property
    def token(self) -> str:
        """Who asks: a router, where one is known."""
        return self.router_token or self.operator_token

    def operator(self) -> AsyncClient:
        """A client that may prepare."""
        return AsyncClient(self.target, self.operator_token, timeout_s=TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class Stage:
    """Whose calls a load is made of."""

    tenants: tuple[str, ...]
    payers: tuple[str, ...]
    currency_code: str
    terms: Terms
    barred_payer: str = BARRED


@dataclass(frozen=True, slots=True)
class Scene:
    """How much of everything to make: `tenants` of them, each with `payers` and `funds_micros`."""

    prefix: str = "loadtest"
    tenants: int = 100
    payers: int = 10
    currency_code: str = "XTS"
    terms: Terms = COMMON_TERMS
    funds_micros: int = PLENTY_MICROS
    tenant_ids: tuple[str, ...] = ()
    payer_ids: tuple[str, ...] = ()

    def stage(self) -> Stage:
        """The names of all."""
        tenants = self.tenant_ids or numbered(self.prefix, self.tenants)
        payers = self.payer_ids or numbered("payer", self.payers)
        return Stage(tenants, payers, self.currency_code, self.terms)


async def prepare(service: Service, scene: Scene, run: str) -> Stage:
    """Makes whatever is missing; nothing of tenants that were named."""
    stage = scene.stage()
    async with service.operator() as operator:
        if not scene.tenant_ids:
            await put_rates(operator, stage, ROWS)
            await each(stage.tenants, lambda name: _tenant(operator, stage, name, scene, run))
    return stage


@patiently
async def put_rates(operator: AsyncClient, stage: Stage, rows: Iterable[RateRow]) -> None:
    """A deck of the loads' own, unless one prices the number already."""
    known = await operator.get_rate_decks(stage.terms.to_number)
    if any(deck.active and deck.currency_code == stage.currency_code for deck in known.decks):
        return
    version = f"loadtest-{stage.currency_code.lower()}"
    stored = await operator.put_rate_deck(version, stage.currency_code, rows)
    await operator.activate_rate_deck(version, stored)


async def each(
    names: Iterable[T], make: Callable[[T], Awaitable[None]], *, at_once: int = AT_ONCE
) -> None:
    """Does it for all names, a few at a time."""
    room = asyncio.Semaphore(at_once)

    @patiently
    async def one(name: T) -> None:
        async with room:
            await make(name)

    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(one(name))


async def _tenant(operator: AsyncClient, stage: Stage, name: str, scene: Scene, run: str) -> None:
    await operator.put_tenant(Tenant(name, stage.currency_code, COUNTRY))
    payers = [Payer(payer, COUNTRY, LICENSES) for payer in stage.payers]
    payers.append(Payer(stage.barred_payer, COUNTRY))
    for at in range(0, len(payers), MOST_PAYERS_TOGETHER):
        await operator.put_payers(payers[at : at + MOST_PAYERS_TOGETHER], tenant_id=name)
    balance = (await operator.get_balance(tenant_id=name)).balance
    if balance is None or balance.available_micros < scene.funds_micros // 2:
        await operator.add_funds(f"loadtest-{run}", scene.funds_micros, tenant_id=name)


def numbered(prefix: str, count: int) -> tuple[str, ...]:
    """Names with numbers, from 1 on."""
    return tuple(f"{prefix}-{number:04}" for number in range(1, count + 1))
