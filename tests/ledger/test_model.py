"""The ledger and a plain one are asked the same at random, and must never differ: not in an answer, a balance, a hold, a receipt.

Two tests, for each finds what the other does not: one searches, and makes a failure short; one lives long lives, each from one
number that a failure names. TALKTIME_MODEL_EXAMPLES and TALKTIME_MODEL_LIVES ask for more than the usual.
"""

import asyncio
import os
import secrets
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from itertools import count
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from ledger.life import Life
from ledger.world import World, open_world
from stores import StoreProcess

EXAMPLES = int(os.environ.get("TALKTIME_MODEL_EXAMPLES", "30"))
LIVES = int(os.environ.get("TALKTIME_MODEL_LIVES", "20"))
STEPS_SEARCHED = 40
STEPS_LIVED = 100
HAPPENINGS = {
    Life.something: 12,
    Life.repeat: 2,
    Life.altered_repeat: 2,
    Life.pause: 3,
    Life.turn_of_month: 1,
    Life.licenses_change: 1,
    Life.profiles_change: 1,
    Life.read_balance: 1,
    Life.forget_scripts: 1,
    Life.several_at_once: 2,
}
CHANCES = st.integers(0, 2**24 - 1)
Result = TypeVar("Result")


class Stage:
    """Where the machine plays: an event loop and a store; every life is a new tenant's."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._runner = asyncio.Runner()
        self._numbers = count(1)

    def run(self, asking: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(asking)

    def open(self, stack: AsyncExitStack) -> World:
        name = f"model{os.getpid()}-{next(self._numbers)}"
        return self.run(stack.enter_async_context(open_world(self._url, name)))

    def close(self) -> None:
        self._runner.close()


class TwoLedgers(RuleBasedStateMachine):
    """A life whose every step is searched for."""

    stage: Stage
    life: Life | None = None

    @initialize(chance=CHANCES)
    def begin(self, chance: int) -> None:
        self.stack = AsyncExitStack()
        self.steps = 0
        self.life = self.stage.run(Life.begin(self.stage.open(self.stack), Random(chance)))

    def happens(self, what: Any, chance: int) -> None:
        """The search repeats its numbers, life does not: so each stands for something else at each step."""
        self.steps += 1
        self.stage.run(what(self.life, Random(f"{chance} {self.steps}")))

    @rule(chance=CHANCES)
    def something(self, chance: int) -> None:
        self.happens(Life.something, chance)

    @rule(chance=CHANCES)
    def something_else(self, chance: int) -> None:
        """So that there is more to repeat, to wait for and to read."""
        self.happens(Life.something, chance)

    @rule(chance=CHANCES)
    def repeat(self, chance: int) -> None:
        self.happens(Life.repeat, chance)

    @rule(chance=CHANCES)
    def altered_repeat(self, chance: int) -> None:
        self.happens(Life.altered_repeat, chance)

    @rule(chance=CHANCES)
    def pause(self, chance: int) -> None:
        self.happens(Life.pause, chance)

    @rule(chance=CHANCES)
    def turn_of_month(self, chance: int) -> None:
        self.happens(Life.turn_of_month, chance)

    @rule(chance=CHANCES, licenses=st.booleans())
    def something_changes(self, chance: int, licenses: bool) -> None:
        self.happens(Life.licenses_change if licenses else Life.profiles_change, chance)

    @rule(forget=st.booleans())
    def something_aside(self, forget: bool) -> None:
        self.happens(Life.forget_scripts if forget else Life.read_balance, 0)

    @rule(chance=CHANCES)
    def several_at_once(self, chance: int) -> None:
        self.happens(Life.several_at_once, chance)

    @invariant()
    def both_agree(self) -> None:
        if self.life:
            self.stage.run(self.life.check())

    def teardown(self) -> None:
        if self.life:
            self.stage.run(self.life.prove())
            self.stage.run(self.stack.aclose())


@pytest.fixture
def stage(store_process: StoreProcess) -> Iterator[Stage]:
    stage = Stage(store_process.url)
    yield stage
    stage.close()


@pytest.mark.timeout(3600)
def test_no_search_finds_a_difference_between_the_ledger_and_a_plain_one(stage: Stage) -> None:
    machine = type("TwoLedgersOnStage", (TwoLedgers,), {"stage": stage})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS_SEARCHED,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )


@pytest.mark.timeout(3600)
async def test_the_ledger_and_a_plain_one_live_the_same_lives(store_process: StoreProcess) -> None:
    for n in range(LIVES):
        seed = secrets.randbits(64)
        async with open_world(store_process.url, f"life{os.getpid()}-{n}") as world:
            await live(world, seed)


async def live(world: World, seed: int) -> None:
    """One life; the same number is the same life."""
    chance = Random(seed)
    try:
        life = await Life.begin(world, chance)
        for what in chance.choices(list(HAPPENINGS), list(HAPPENINGS.values()), k=STEPS_LIVED):
            await what(life, chance)
            await life.check()
        await life.prove()
    except AssertionError as difference:
        raise AssertionError(f"life {seed} differs") from difference
