"""Ways to die: a worker that ends just before or just after one of the things that it does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from talktime_server.ledger.recharge_rows import Step, View
from talktime_server.ledger.recharges import Recharges
from talktime_server.ledger.store import Store

# What a step is written as, where it has a name of its own; any other line tells of an outcome.
_WRITES = {"CHARGING": "freeze", "ARMED": "arm", "": "renew"}


class Killed(BaseException):
    """The worker is no more; nothing of it runs on."""


@dataclass(slots=True)
class Fate:
    """Ends a worker at the moment `at`, as "after add 1": whatever is counted here counts from 1.

    `at` may also be a number: the so manieth moment, of whichever kind.
    """

    at: str | int
    die: Callable[[], None]
    moments: int = 0
    calls: dict[str, int] = field(default_factory=dict)

    async def watch(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """Makes a call, unless this is the moment."""
        self.calls[name] = self.calls.get(name, 0) + 1
        number = self.calls[name]
        self._pass(f"before {name} {number}")
        answer = await call()
        self._pass(f"after {name} {number}")
        return answer

    def _pass(self, moment: str) -> None:
        self.moments += 1
        if self.at in (moment, self.moments):
            self.die()


class Mortal:
    """Something whose named calls may be the last."""

    def __init__(self, inner: Any, fate: Fate, *names: str) -> None:
        self._inner = inner
        self._fate = fate
        self._names = names

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._names:
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            return await self._fate.watch(name, lambda: found(*arguments, **named))

        return call


class MortalRows(Recharges):
    """Recharges of a store, each of whose writes may be the last: "freeze", "outcome", "arm" or "renew"."""

    def __init__(self, store: Store, fate: Fate) -> None:
        super().__init__(store)
        self._fate = fate

    async def write(self, view: View, step: Step) -> bool:
        state = step.line.state.value if step.line else ""
        write = super().write
        written = await self._fate.watch(_WRITES.get(state, "outcome"), lambda: write(view, step))
        return bool(written)


def die_by_exception() -> None:
    """As near to a kill as one gets without another process."""
    raise Killed
