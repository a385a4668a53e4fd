"""What a generator is told to do: plain values that travel to its process as one line of JSON."""

import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from talktime_loadtest.asking import Kind, Terms


class Protocol(StrEnum):
    """How operations travel."""

    UNARY = "unary"
    EXCHANGE = "exchange"
    JSON = "json"
    CLIENT = "client"
    """talktime's own AsyncClient, as a bridge uses it."""
    CLIENT_UNARY = "client-unary"
    """The same, kept to one call per RPC."""


class Shape(StrEnum):
    """Whose calls they are."""

    EVEN = "even"
    ONE_BIG = "one-big"
    """One tenant has 90 % of the calls."""


@dataclass(frozen=True, slots=True)
class Orders:
    """One generator's part of a load.

    `lanes` is how many connections it opens, `per_message` how many operations leave together, and
    `in_flight` how many wait for their answers, over all lanes. With `rate_per_s` arrivals are
    random and wait for nobody; 0 is a closed loop. `count` ends it after so many operations; 0 is never.
    """

    host: str
    port: int
    token: str
    tenants: tuple[str, ...]
    payers: tuple[str, ...]
    barred_payer: str
    terms: Terms
    mix: dict[Kind, int]
    run: str
    protocol: Protocol = Protocol.EXCHANGE
    shape: Shape = Shape.EVEN
    lanes: int = 4
    per_message: int = 64
    in_flight: int = 256
    rate_per_s: float = 0.0
    seconds: float = 5.0
    repeats: int = 1
    warm_up_seconds: float = 1.0
    count: int = 0
    duplicate_every: int = 0
    attempts: int = 1
    seed: int = 0
    settle_all: bool = True
    """Whether calls that are open at the end are settled then."""

    def to_line(self) -> str:
        """One line, for the generator's standard input."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_line(cls, line: str) -> Self:
        """What was told."""
        told: dict[str, Any] = json.loads(line)
        told["tenants"], told["payers"] = tuple(told["tenants"]), tuple(told["payers"])
        told["terms"] = Terms(**told["terms"])
        told["mix"] = {Kind(kind): weight for kind, weight in told["mix"].items()}
        told["protocol"], told["shape"] = Protocol(told["protocol"]), Shape(told["shape"])
        return cls(**told)
