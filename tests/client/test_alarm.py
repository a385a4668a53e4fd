"""One timer rings for the earliest of many deadlines, and for none when nothing waits."""

import asyncio
import time

from talktime.alarm import Alarm


class Deadlines:
    """Ends what is late, as whoever owns an alarm does; `rings` counts."""

    def __init__(self) -> None:
        self.waiting: set[float] = set()
        self.met: list[float] = []
        self.rings = 0
        self.alarm = Alarm(self._ring)

    def add(self, in_s: float) -> None:
        until_s = time.monotonic() + in_s
        self.waiting.add(until_s)
        self.alarm.at(until_s)

    def _ring(self) -> float | None:
        self.rings += 1
        late = {until_s for until_s in self.waiting if until_s <= time.monotonic()}
        self.waiting -= late
        self.met += sorted(late)
        return min(self.waiting, default=None)


async def test_each_deadline_is_met_in_its_order_whatever_order_they_came_in() -> None:
    deadlines = Deadlines()
    for in_s in (0.2, 0.05, 0.1, 0.15, 0.0):
        deadlines.add(in_s)
    end_s = time.monotonic() + 5
    while deadlines.waiting:
        assert time.monotonic() < end_s
        await asyncio.sleep(0.005)
    assert len(deadlines.met) == 5
    assert deadlines.met == sorted(deadlines.met)


async def test_a_crowd_of_deadlines_shares_its_rings() -> None:
    deadlines = Deadlines()
    for n in range(2_000):
        deadlines.add(0.02 + n / 1_000_000)
    end_s = time.monotonic() + 5
    while deadlines.waiting:
        assert time.monotonic() < end_s
        await asyncio.sleep(0.005)
    assert deadlines.rings <= 20


async def test_what_ended_in_time_rings_once_in_vain_and_then_no_more() -> None:
    deadlines = Deadlines()
    for _ in range(100):
        deadlines.add(0.02)
        deadlines.waiting.clear()
    await asyncio.sleep(0.1)
    assert (deadlines.rings, deadlines.met) == (1, [])


async def test_a_stopped_alarm_is_silent() -> None:
    deadlines = Deadlines()
    deadlines.add(0.01)
    deadlines.alarm.stop()
    await asyncio.sleep(0.05)
    assert deadlines.rings == 0
