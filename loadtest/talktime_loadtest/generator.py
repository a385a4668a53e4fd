"""One generator: a process that loads the service as it was told, and tells what it sees, a few times a second.

Started by running.py: its orders come as a line of JSON, then a line that says go; slices and the
books leave as lines of JSON.
"""

import asyncio
import dataclasses
import gc
import json
import selectors
import sys
import time
from collections.abc import Callable
from typing import Any

from talktime_loadtest.client_lane import ClientLane
from talktime_loadtest.lanes import ExchangeLane, Lane, UnaryLane
from talktime_loadtest.orders import Orders, Protocol
from talktime_loadtest.pacing import ClosedLoop, OpenLoop
from talktime_loadtest.work import Work

SLICES_PER_S = 4
ANSWERS_LIMIT_S = 5.0
LOOK_EVERY_S = 0.01
CRUMB_S = 0.02
SETTLED_TOGETHER = 64
COLLECT_AFTER = 50_000
LANES: dict[Protocol, type[Lane]] = {
    Protocol.EXCHANGE: ExchangeLane,
    Protocol.UNARY: UnaryLane,
    Protocol.JSON: UnaryLane,
    Protocol.CLIENT: ClientLane,
    Protocol.CLIENT_UNARY: ClientLane,
}


def main() -> None:
    """Loads, as standard input says."""
    orders = Orders.from_line(sys.stdin.readline())
    with asyncio.Runner(loop_factory=loop_factory(orders)) as runner:
        runner.run(Generator(orders, _tell, _told_to_go).run())


def loop_factory(orders: Orders) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """An open loop needs timers finer than a millisecond, which select alone offers; else the faster loop is taken, where there is one."""
    if orders.rate_per_s:
        return lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class Generator:
    """Runs a load from its lanes' opening to the last answer."""

    def __init__(
        self, orders: Orders, tell: Callable[[dict[str, Any]], None], go: Callable[[], None]
    ) -> None:
        self._orders = orders
        self._tell = tell
        self._go = go
        self._work = Work(orders)
        self._lanes: list[Lane] = []
        self._phase = 0
        self._cut_s = 0.0

    async def run(self) -> None:
        """Loads; tells `ready`, then slices, then `books`."""
        orders = self._orders
        kind = LANES[orders.protocol]
        room = max(1, orders.in_flight // orders.lanes)
        self._lanes = [kind(orders, self._work, room) for _ in range(orders.lanes)]
        await asyncio.gather(*(lane.open() for lane in self._lanes))
        self._tell({"ready": True})
        self._go()
        cpu_s = time.process_time()
        pace = self._pace()
        pace.start()
        await self._cut_slices()
        pace.stop()
        cpu_s = time.process_time() - cpu_s
        await self._until_answered()
        await self._settle_what_is_open()
        for lane in self._lanes:
            await lane.give_up()
        self._tell({"books": self._books(cpu_s, getattr(pace, "latest_s", 0.0))})

    def _pace(self) -> ClosedLoop | OpenLoop:
        orders = self._orders
        if not orders.rate_per_s:
            return ClosedLoop(self._lanes, self._work, orders.per_message)
        return OpenLoop(
            self._lanes,
            self._work,
            orders.rate_per_s,
            per_message=orders.per_message,
            seed=orders.seed,
        )

    async def _cut_slices(self) -> None:
        orders = self._orders
        self._cut_s = time.perf_counter()
        ends = [orders.warm_up_seconds]
        ends += [ends[0] + orders.seconds * turn for turn in range(1, orders.repeats + 1)]
        began = self._cut_s
        for self._phase, end in enumerate(ends):
            # A timer may ring a little early.
            while (left_s := began + end - time.perf_counter()) > CRUMB_S:
                # The last slice of a stretch takes what is left, rather than leave a crumb.
                slice_s = 1 / SLICES_PER_S
                await asyncio.sleep(left_s if left_s < 1.5 * slice_s else slice_s)
                self._cut()
                if self._orders.count and self._all_answered():
                    return

    def _cut(self) -> None:
        now = time.perf_counter()
        took_s, self._cut_s = now - self._cut_s, now
        last = self._work.next_slice()
        latencies = {str(kind): counts for kind, counts in last.latencies.items() if counts}
        told = {"phase": self._phase, "took_s": took_s, "refused": last.refused}
        self._tell({"slice": {**told, "errors": last.errors, "latencies": latencies}})

    def _all_answered(self) -> bool:
        done = self._work.asked >= self._orders.count
        return done and not self._waiting()

    def _waiting(self) -> bool:
        """Whether an answer is still to come, or an operation waits to be asked again."""
        return bool(self._work.resting) or any(lane.in_flight for lane in self._lanes)

    async def _until_answered(self) -> None:
        """Until nothing is under way, or nothing was answered for a while."""
        ended, deadline = self._work.ended, time.monotonic() + ANSWERS_LIMIT_S
        while self._waiting() and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._work.ended != ended:
                ended, deadline = self._work.ended, time.monotonic() + ANSWERS_LIMIT_S

    async def _settle_what_is_open(self) -> None:
        """Ends the calls that the load left open, and what waits to be asked again."""
        self._work.finishing = True
        together = min(SETTLED_TOGETHER, self._lanes[0].free)
        pace = ClosedLoop(self._lanes, self._work, together)
        pace.start()
        await self._until_answered()
        pace.stop()

    def _books(self, cpu_s: float, latest_s: float) -> dict[str, Any]:
        books = dataclasses.asdict(self._work.books)
        operations = self._work.asked
        return {**books, "asked": operations, "cpu_s": cpu_s, "latest_s": latest_s}


def _collect_seldom() -> None:
    """A collection of all that was prepared would look like a stall of the service."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 50, 1_000)


def _tell(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _told_to_go() -> None:
    _collect_seldom()
    sys.stdin.readline()


if __name__ == "__main__":
    main()
