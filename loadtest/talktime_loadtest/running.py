"""A whole run: prepare, load, load the floor with the same messages, and compare the books."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from talktime import CallType
from talktime_loadtest.asking import Kind
from talktime_loadtest.checking import Account, accounts, differences, seen_by_clients
from talktime_loadtest.figures import Figures, figures_of
from talktime_loadtest.loading import Moment, load, new_run, shared
from talktime_loadtest.orders import Orders, Protocol, Shape
from talktime_loadtest.preparing import PLENTY_MICROS, Scene, Service, Stage, prepare
from talktime_loadtest.store import StoreFacts, StoreSaid

LAST_CALLERS = 1_000
LAST_CALLS_PAID = 100
NOT_TOLD = "not told (give --store-url)"
PAIRS = {Kind.AUTHORIZE: 1, Kind.SETTLE: 1}


@dataclass(frozen=True, slots=True)
class Load:
    """What to send, and how; the words are those of Orders."""

    protocol: Protocol = Protocol.EXCHANGE
    shape: Shape = Shape.EVEN
    mix: tuple[tuple[Kind, int], ...] = tuple(PAIRS.items())
    clients: int = 4
    per_message: int = 64
    in_flight: int = 256
    rate_per_s: float = 0.0
    seconds: float = 5.0
    repeats: int = 3
    warm_up_seconds: float = 1.0
    processes: int = 1
    count: int = 0
    duplicate_every: int = 0
    attempts: int = 1
    settle_all: bool = True
    granted: int | None = None
    """How many calls must be granted, exactly, where that is known before."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What is asked."""
        return tuple(kind for kind, weight in self.mix if weight)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run: what was sent to whom, what came of it, and what does not agree."""

    load: Load
    figures: Figures
    persistence: str
    differences: tuple[str, ...] = ()
    floor: Figures | None = None
    unwanted: tuple[str, ...] = ()

    @property
    def fine(self) -> bool:
        """Whether every answer was right, and both books agree."""
        return not (self.differences or self.unwanted)

    @property
    def ratio(self) -> float | None:
        """The rate against the floor's."""
        return self.figures.per_s / self.floor.per_s if self.floor and self.floor.per_s else None


Seen = Callable[[Moment], None]


async def run(
    service: Service,
    scene: Scene,
    wanted: Load,
    *,
    floor: Service | None = None,
    store_url: str = "",
    seen: Seen = lambda _: None,
    begun: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Runs a load against a service, and says whether its books agree; with `floor`, the bare echo first. `begun` hears
    what is loaded next."""
    name = new_run()
    floor_figures = None
    if floor:
        begun("bare echo")
        floor_figures = await measure(floor, scene.stage(), on_floor(wanted), name=name, seen=seen)
    stage = await prepare(service, scene, name)
    before = await books_of(service, stage)
    begun(str(wanted.protocol))
    figures = await measure(service, stage, wanted, name=name, seen=seen)
    after = await books_of(service, stage)
    clients = seen_by_clients(stage.tenants, figures.books)
    return Outcome(
        wanted,
        figures,
        await persistence_of(store_url),
        tuple(differences(before, after, clients)),
        floor_figures,
        tuple(_unwanted(figures, wanted) + _unwanted_of_floor(floor_figures)),
    )


async def measure(
    service: Service, stage: Stage, wanted: Load, *, name: str = "", seen: Seen = lambda _: None
) -> Figures:
    """The load alone, on a stage that is prepared."""
    orders = shared(_orders(service, stage, wanted, name or new_run()), wanted.processes)
    return figures_of(await load(orders, seen), wanted.processes)


async def books_of(service: Service, stage: Stage) -> dict[str, Account]:
    """The service's own books now."""
    async with service.operator() as operator:
        return await accounts(operator, stage.tenants)


async def persistence_of(store_url: str) -> str:
    """How the store keeps its writes, in words."""
    if not store_url:
        return NOT_TOLD
    try:
        async with StoreFacts(store_url) as store:
            return await store.persistence()
    except (OSError, StoreSaid) as error:
        return f"not told: {error}"


def _orders(service: Service, stage: Stage, wanted: Load, name: str) -> Orders:
    together = wanted.per_message if wanted.protocol is Protocol.EXCHANGE else 1
    return Orders(
        host=service.host,
        port=service.port,
        token=service.token,
        tenants=stage.tenants,
        payers=stage.payers,
        barred_payer=stage.barred_payer,
        terms=stage.terms,
        mix=dict(wanted.mix),
        run=name,
        protocol=wanted.protocol,
        shape=wanted.shape,
        lanes=wanted.clients,
        per_message=together,
        in_flight=wanted.in_flight,
        rate_per_s=wanted.rate_per_s,
        seconds=wanted.seconds,
        repeats=wanted.repeats,
        warm_up_seconds=wanted.warm_up_seconds,
        count=wanted.count,
        duplicate_every=wanted.duplicate_every,
        attempts=wanted.attempts,
        settle_all=wanted.settle_all,
    )


def _unwanted(figures: Figures, wanted: Load) -> list[str]:
    """What a sound run has none of."""
    found = [f"{count} errors: {name}" for name, count in sorted(figures.errors.items())]
    if wanted.attempts > 1 and not figures.sum_of("unknown"):
        # Errors are wanted where every operation was asked again until it was answered.
        found = []
    if figures.refused_unasked and wanted.granted is None:
        found.append(f"{figures.refused_unasked:,} operations refused that should not be")
    if not figures.total("granted") and Kind.AUTHORIZE in wanted.kinds:
        found.append("no call was authorized")
    granted = figures.total("granted")
    if wanted.granted is not None and granted != wanted.granted:
        found.append(f"{granted:,} calls were authorized; it must be exactly {wanted.granted:,}")
    return found


def _unwanted_of_floor(floor: Figures | None) -> list[str]:
    errors = floor.errors if floor else {}
    return [f"the bare echo: {count} errors: {name}" for name, count in sorted(errors.items())]


def on_floor(wanted: Load) -> Load:
    """The same load for the bare echo, which refuses nothing."""
    mix = dict(wanted.mix)
    refused = mix.pop(Kind.REFUSE, 0)
    mix[Kind.AUTHORIZE] = mix.get(Kind.AUTHORIZE, 0) + refused
    return dataclasses.replace(wanted, mix=tuple(mix.items()), duplicate_every=0, granted=None)


def last_cent(wanted: Load) -> Load:
    """The shape of the last cent: many callers at once, each asks once, and most must be refused."""
    return dataclasses.replace(
        wanted,
        mix=((Kind.AUTHORIZE, 1),),
        count=LAST_CALLERS,
        per_message=min(wanted.per_message, LAST_CALLERS // wanted.clients),
        repeats=1,
        warm_up_seconds=0.0,
        rate_per_s=0.0,
        settle_all=False,
        granted=LAST_CALLS_PAID,
    )


async def price_of(service: Service, scene: Scene) -> int:
    """What one call of the scene sets aside, in micros: asked of the service, for a tenant that can pay."""
    one = dataclasses.replace(scene, tenants=1, payers=1, funds_micros=PLENTY_MICROS)
    stage = await prepare(service, one, new_run())
    terms = stage.terms
    async with service.operator() as operator:
        quote = await operator.quote(
            stage.payers[0],
            CallType.USER_OUT,
            terms.to_number,
            requested_seconds=terms.requested_seconds,
            tenant_id=stage.tenants[0],
        )
    return sum(source.amount_micros for source in quote.sources)
