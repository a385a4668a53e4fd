"""When operations leave: as soon as others are answered, or at random moments that wait for nobody.

A closed loop tells peak throughput, and hides stalls: when the service stops, nobody sends. An open
loop shows them, because each latency counts from the moment an operation was meant to leave.
"""

import asyncio
import random
import time

from talktime_loadtest.lanes import Lane
from talktime_loadtest.work import Work


class ClosedLoop:
    """Keeps every lane full, in batches of `per_message`."""

    def __init__(self, lanes: list[Lane], work: Work, per_message: int) -> None:
        self._lanes = lanes
        self._work = work
        self._per_message = per_message
        self.over = False

    def start(self) -> None:
        """Fills every lane, now and whenever it has room."""
        for lane in self._lanes:
            lane.refill = lambda lane=lane: self._fill(lane)  # type: ignore[misc]  # bound now, not later
            self._fill(lane)

    def stop(self) -> None:
        """Sends nothing more."""
        self.over = True

    def _fill(self, lane: Lane) -> None:
        while not self.over and lane.ready and lane.free >= self._per_message:
            asked = self._work.take(self._per_message, time.perf_counter())
            if not asked:
                return
            lane.send(asked)


class OpenLoop:
    """Sends at random moments, so many a second on average, whatever the service does (Poisson arrivals).

    What is due together leaves together. Operations that find no lane with room are counted as errors: an
    honest load drops, it does not wait.
    """

    def __init__(
        self,
        lanes: list[Lane],
        work: Work,
        rate_per_s: float,
        *,
        per_message: int = 1,
        seed: int = 0,
    ) -> None:
        self.over = False
        self.latest_s = 0.0
        self._lanes = lanes
        self._work = work
        self._per_message = per_message
        self._arrivals = Arrivals(rate_per_s, seed)
        self._turn = 0
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Begins now."""
        self._arrivals.begin(time.perf_counter())
        self._tick()

    def stop(self) -> None:
        """Sends nothing more."""
        self.over = True

    def _tick(self) -> None:
        if self.over:
            return
        now = time.perf_counter()
        due = self._arrivals.until(now)
        if due:
            self.latest_s = max(self.latest_s, now - due[0])
            self._send(due)
        wait_s = max(0.0, self._arrivals.next_s - time.perf_counter())
        self._loop.call_later(wait_s, self._tick)

    def _send(self, due: list[float]) -> None:
        for at in range(0, len(due), self._per_message):
            moments = due[at : at + self._per_message]
            asked = self._work.take(len(moments), 0.0)
            for each, moment in zip(asked, moments, strict=False):
                each.begun_s = each.begun_s or moment
            lane = self._lane(len(asked))
            if lane is not None:
                lane.send(asked)
                continue
            for each in asked:
                self._work.dropped(each)

    def _lane(self, wanted: int) -> Lane | None:
        for _ in self._lanes:
            lane = self._lanes[self._turn]
            self._turn = (self._turn + 1) % len(self._lanes)
            if lane.ready and lane.free >= wanted:
                return lane
        return None


class Arrivals:
    """Moments of a Poisson process: the pauses between them are random, and know nothing of each other."""

    def __init__(self, rate_per_s: float, seed: int) -> None:
        self._rate_per_s = rate_per_s
        self._random = random.Random(seed)
        self.next_s = 0.0

    def begin(self, now: float) -> None:
        """The first arrival comes after `now`."""
        self.next_s = now + self._random.expovariate(self._rate_per_s)

    def until(self, now: float) -> list[float]:
        """The moments that have come, oldest first."""
        found = []
        moment, pause = self.next_s, self._random.expovariate
        while moment <= now:
            found.append(moment)
            moment += pause(self._rate_per_s)
        self.next_s = moment
        return found
