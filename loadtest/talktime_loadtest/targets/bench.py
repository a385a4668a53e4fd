"""What the rows share: services that are started once, how much is measured, and figures that more than one row needs."""

import dataclasses
import os
import statistics
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from talktime_loadtest.asking import Kind
from talktime_loadtest.figures import Figures
from talktime_loadtest.loading import new_run
from talktime_loadtest.orders import Protocol
from talktime_loadtest.preparing import Scene, Stage, prepare
from talktime_loadtest.running import Load, measure
from talktime_loadtest.services import Running, Wanted, started

FLOOR_STAGE = Scene(tenants=100).stage()
ONLY_AUTHORIZE = ((Kind.AUTHORIZE, 1),)
STREAMS = Load(Protocol.EXCHANGE, clients=4, per_message=64, in_flight=256)
LONG_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured."""

    seconds: float = 3.0
    warm_up_seconds: float = 1.0
    repeats: int = 3
    tenants: int = 1_000
    payers: int = 1_000_000
    cached_payers: int = 100_000
    open_calls: int = 1_000_000
    counted_calls: int = 100_000
    prefixes: int = 36_000
    more_prefixes: int = 300_000


FULL = Scale()
QUICK = Scale(0.5, 0.25, 1, 5, 2_000, 1_000, 2_000, 1_000, 1_000, 4_000)


@dataclass(frozen=True, slots=True)
class Finding:
    """A figure of a row, and what there is to say about it. `judged` is False where this machine cannot tell."""

    figure: float
    note: str = ""
    judged: bool = True


Findings = Mapping[str, Finding]
Row = Callable[["Bench"], Awaitable[Findings]]


class RowFailed(Exception):
    """A row that could not be measured as it must be."""


@dataclass(slots=True)
class Bench:
    """Services by what they are, each started when a row first asks for it."""

    scale: Scale
    fsync: str
    stack: AsyncExitStack
    _services: dict[Wanted, Running] = field(default_factory=dict)
    _stages: dict[str, Stage] = field(default_factory=dict)

    async def service(self, engine: str = "auto", **more: object) -> Running:
        """A service on that engine, shared by the rows that ask for the same."""
        wanted = dataclasses.replace(Wanted(engine, fsync=self.fsync), **more)  # type: ignore[arg-type]  # fields of Wanted
        if wanted not in self._services:
            self._services[wanted] = await self.stack.enter_async_context(started(wanted))
        return self._services[wanted]

    async def floor(self, engine: str = "auto") -> Running:
        """The bare echo on that engine."""
        return await self.service(engine, floor=True)

    async def stage(self, running: Running) -> Stage:
        """Tenants and payers there, made once, and known to the service: what is measured is how it decides,
        not how it meets its payers.
        """
        address = running.service.target
        if address not in self._stages:
            scene = Scene(tenants=self.scale.tenants)
            self._stages[address] = await prepare(running.service, scene, new_run())
            await pass_over(running, self._stages[address])
        return self._stages[address]

    def loaded(self) -> list[tuple[Running, Stage]]:
        """The shared services that still run, with the stages on them."""
        running = {each.service.target: each for each in self._services.values()}
        found = self._stages.items()
        return [(running[target], stage) for target, stage in found if target in running]

    async def rates(self, *runs: tuple[Running, Load]) -> list[list[Figures]]:
        """Each load once per repeat, turn by turn, so that a busy moment of the machine falls on all."""
        found: list[list[Figures]] = [[] for _ in runs]
        for _ in range(self.scale.repeats):
            for place, (running, load) in enumerate(runs):
                found[place].append(await self.figures(running, load))
        return found

    async def figures(self, running: Running, load: Load) -> Figures:
        """One load, sound or RowFailed."""
        stage = FLOOR_STAGE if running.floor else await self.stage(running)
        return sound(await measure(running.service, stage, self.timed(load)))

    def timed(self, load: Load) -> Load:
        """The load for as long as this bench measures."""
        scale = self.scale
        return dataclasses.replace(
            load, seconds=scale.seconds, warm_up_seconds=scale.warm_up_seconds, repeats=1
        )


async def pass_over(running: Running, stage: Stage) -> None:
    """Calls by every payer, so that caches are warm."""
    load = counted_calls(2 * len(stage.tenants) * len(stage.payers))
    sound(await measure(running.service, stage, dataclasses.replace(load, settle_all=True)))


def counted_calls(count: int) -> Load:
    """So many calls, left open."""
    return dataclasses.replace(
        STREAMS,
        mix=ONLY_AUTHORIZE,
        count=count,
        seconds=LONG_S,
        repeats=1,
        warm_up_seconds=0.0,
        settle_all=False,
    )


def sound(figures: Figures) -> Figures:
    """The figures, when they have no errors."""
    if figures.errors:
        told = ", ".join(f"{count} {name}" for name, count in figures.errors.items())
        raise RowFailed(f"the load had errors: {told}")
    if figures.refused_unasked:
        raise RowFailed(f"calls were refused: {figures.reasons}")
    return figures


def ratios(over: list[Figures], under: list[Figures]) -> Finding:
    """One rate against another, turn by turn: the median, and both rates in the note."""
    each = [a.per_s / b.per_s for a, b in zip(over, under, strict=True)]
    rates = [statistics.median(f.per_s for f in side) for side in (over, under)]
    note = f"{rates[0]:,.0f}/s against {rates[1]:,.0f}/s{_spread(each)}"
    return Finding(statistics.median(each), note)


def rate(figures: list[Figures]) -> Finding:
    """A rate: the median."""
    each = [one.per_s for one in figures]
    generator = statistics.median(one.generator_us for one in figures)
    spread = f"{min(each):,.0f} to {max(each):,.0f}; " if len(each) > 1 else ""
    note = f"{spread}generator {generator:.1f} µs each"
    return Finding(statistics.median(each), note)


def unary(in_flight: int = 64, clients: int = 4) -> Load:
    """Authorize, one per call, in a closed loop."""
    return Load(
        Protocol.UNARY,
        mix=ONLY_AUTHORIZE,
        clients=clients,
        in_flight=in_flight,
        settle_all=False,
    )


def busy() -> str:
    """What else the machine was doing, where that is enough to spoil a figure."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    return f"the machine was busy (load {load:.1f})" if load > cores else ""


def _spread(each: list[float]) -> str:
    return f", {min(each):.2f} to {max(each):.2f}" if len(each) > 1 else ""
