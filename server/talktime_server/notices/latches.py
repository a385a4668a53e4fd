"""When a level is crossed: once, and again only after it was well away from it (semantics 65).

A latch is there from when something was told until it is armed again, which for money is above the
level and five percent of it, one unit of the currency at least, and for a pool five points below.
"""

from collections.abc import Mapping
from dataclasses import dataclass

UNIT_MICROS = 1_000_000
HYSTERESIS_PERCENT = 5
ZERO = "zero"
# The least that is not nothing: below it the balance is used up.
ZERO_LEVEL_MICROS = 1


@dataclass(frozen=True, slots=True)
class Fill:
    """A pool's use in a month, in seconds of talk time; a size of 0 is one that nobody knows."""

    used_seconds: int
    size_seconds: int


class Latches:
    """A tenant's latches, by name, with what each was told at; they follow one movement after another."""

    def __init__(self, told: Mapping[str, int]) -> None:
        self._stored = dict(told)
        self._told = dict(told)

    def fell(self, name: str, level_micros: int, before_micros: int, after_micros: int) -> bool:
        """Whether a movement takes the money below a level, and that is to be told."""
        if after_micros > level_micros + hysteresis(level_micros):
            self._told.pop(name, None)
        return after_micros < level_micros <= before_micros and self._tell(name, after_micros)

    def filled(self, name: str, percent: int, fill: Fill) -> bool:
        """Whether a pool is used up to so many percent, and that is to be told."""
        if fill.size_seconds <= 0:
            return False
        used = fill.used_seconds * 100
        if used < (percent - HYSTERESIS_PERCENT) * fill.size_seconds:
            self._told.pop(name, None)
        return used >= percent * fill.size_seconds and self._tell(name, fill.used_seconds)

    @property
    def closed(self) -> dict[str, int]:
        """Latches to write: those that are new, or were told at something else."""
        items = self._told.items()
        return {name: value for name, value in items if self._stored.get(name) != value}

    @property
    def opened(self) -> frozenset[str]:
        """Latches to take away."""
        return frozenset(self._stored) - frozenset(self._told)

    def _tell(self, name: str, value: int) -> bool:
        if name in self._told:
            return False
        self._told[name] = value
        return True


def hysteresis(level_micros: int) -> int:
    """How far above a level the money must come before the level tells again."""
    return max(level_micros * HYSTERESIS_PERCENT // 100, UNIT_MICROS)


def low_name(level_micros: int | str) -> str:
    """The latch of a level."""
    return f"low:{level_micros}"


def pool_name(percent: int, pool_id: str, month: int) -> str:
    """The latch of a pool's percentage in a month."""
    return f"pool{percent}:{pool_id}@{month}"


def lot_name(lot_id: str) -> str:
    """The latch of a lot that is lost soon."""
    return f"expiring:{lot_id}"
