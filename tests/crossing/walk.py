"""The walk: which calls are asked about, under which settings of the tenant, out of which state of its pools and money.

The full product has tens of millions of cases. The walk visits every pair and triple of what may matter together, and draws the
rest by a fixed seed, so that it is the same walk each time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from random import Random
from typing import TypeVar

from crossing import tables
from crossing.cases import Case, Lists, Tenant
from crossing.dialled import CALLERS, NUMBERS
from crossing.staff import (
    COUNTRIES,
    EVERYTHING,
    KINDS,
    LICENSE_SETS,
    STAFF,
    UNKNOWN,
    everybody,
    sizes_s,
)

Option = TypeVar("Option")

USUAL = 0  # asks for the tenant's default
USUAL_S = 600
SEED = 20260803
OUTBOUND = "USER_OUT USER_OUT_CONF USER_OUT_TRANSFER USER_OUT_FORWARDING CONF_OUT UCAP_OUT"
CALL_TYPES = [*OUTBOUND.split(), "USER_IN", "CONF_IN", "UCAP_IN", "UNASSIGNED_IN"]
FAMILIES = ["USER_OUT", "CONF_OUT", "UCAP_OUT"]  # whose policies differ
LICENSED = [EVERYTHING, "MCOMEETADV MCOPSTN2 MCOPSTNC", "own ceiling"]  # for most that may be asked
LITTLE_LEFT_S = 180
LITTLE_MICROS = 250_007
PLENTY_MICROS = 500_000_000_000
BALANCES = [0, LITTLE_MICROS, PLENTY_MICROS]  # in the order in which a tenant comes by them
ASKED_S = [600, 600, USUAL, 3600, 90]

# Licences bought, by the tenant whose pools are in this state: below those assigned they change nothing, and they never size
# calling plans or dialling to USA and Canada.
BOUGHT: dict[str, dict[str, int]] = {
    "fresh": {},
    "little": {"MCOMEETADV": 5, "MCOMEETADD_DIALOUT_US": 100_000},
    "used up": {"MCOMEETADV": 500, "MCOPSTN1": 100_000, "MCOPSTN5": 100_000},
    "domestic used up": {},
    "international used up": {},
    "conferences used up": {"MCOMEETADV": 300},
}


@dataclass(frozen=True)
class Pools:
    """A state of the tenant's pools, and its word on how they go together."""

    state: str
    independent: bool = False
    plans_after_conferencing: bool = False


POOLS = [
    Pools("fresh"),
    Pools("fresh", plans_after_conferencing=True),
    Pools("little"),
    Pools("little", independent=True, plans_after_conferencing=True),
    Pools("used up", plans_after_conferencing=True),
    Pools("domestic used up"),
    Pools("domestic used up", independent=True),
    Pools("international used up"),
    Pools("international used up", independent=True),
    Pools("conferences used up"),
    Pools("conferences used up", plans_after_conferencing=True),
]
RULES = {
    "suspended": Tenant(suspended=True),
    "grace": Tenant(grace_micros=150_000),
    "ceiling": Tenant(ceiling_micros=100_000),
    "default rate": Tenant(default_rate_micros=123_000),
    "default rate above the ceiling": Tenant(default_rate_micros=123_000, ceiling_micros=122_999),
    "blocked prefixes": Tenant(lists=Lists(("44", "1416", "53", "33810"))),
    "allowed prefixes": Tenant(lists=Lists((), ("1", "44", "33", "49301"))),
    "both": Tenant(lists=Lists(("44", "1787", "338", "1800"), ("4484", "1", "33892", "26"))),
}


@dataclass(frozen=True)
class Step:
    """One case of the walk: where the tenant is then, and what is asked. `kind` is who asks, of the payers of a country."""

    pools: Pools
    balance_micros: int
    tenant: Tenant
    call_type: str
    country: str
    kind: str
    number: str
    caller_country: str
    asked_s: int

    def case(self, left_s: Mapping[str, int]) -> Case:
        """As the second reading takes it."""
        payer = None if self.kind == UNKNOWN else STAFF[self.country][self.kind]
        return Case(
            self.call_type,
            payer,
            NUMBERS[self.number],
            self.tenant,
            self.caller_country,
            self.asked_s or USUAL_S,
            self.balance_micros,
            left_s,
        )


class Chance:
    """Draws what a step leaves open."""

    def __init__(self) -> None:
        self._random = Random(SEED)

    def draw(self, options: Sequence[Option]) -> Option:
        """One of them."""
        return self._random.choice(options)

    def step(
        self,
        *,
        pools: Pools | None = None,
        micros: int | None = None,
        tenant: Tenant | None = None,
        call_type: str | None = None,
        country: str | None = None,
        kind: str | None = None,
        number: str | None = None,
        caller: str | None = None,
    ) -> Step:
        """A step with what is given, and the rest by chance."""
        pools = pools or self.draw(POOLS)
        country = country or self._country(number)
        return Step(
            pools,
            self.draw(BALANCES) if micros is None else micros,
            replace(
                tenant or self._tenant(),
                independent_pools=pools.independent,
                plans_after_conferencing=pools.plans_after_conferencing,
            ),
            call_type or self.draw(CALL_TYPES),
            country,
            self.draw(KINDS) if kind is None else kind,
            number or self._number(country),
            self.draw(list(CALLERS)) if caller is None else caller,
            self.draw(ASKED_S),
        )

    def _tenant(self) -> Tenant:
        """Mostly without a policy, as a policy hides what is looked at after it."""
        policy = self.draw(list(tables.POLICIES)) if self.draw(range(5)) == 0 else ""
        return Tenant(postpaid=self.draw([False, True]), policy=policy)

    def _country(self, number: str | None) -> str:
        """Every other call to a number that is given is from its own country, where somebody is there to call it."""
        home = NUMBERS[number].country if number else ""
        return self.draw(
            [home if home in COUNTRIES else self.draw(COUNTRIES), self.draw(COUNTRIES)]
        )

    def _number(self, country: str) -> str:
        """Every other call is to the payer's own country."""
        return self.draw([country.lower(), self.draw(list(NUMBERS))])


def walk() -> list[Step]:
    """The whole walk, in the order in which a tenant can go it: its balance only grows, and its settings change seldom."""
    chance = Chance()
    parts = (calls, places, sources, policies, persons, rules, arrivals)
    steps = {step for part in parts for step in part(chance)}
    return sorted(steps, key=lambda step: (step.pools.state, step.balance_micros, repr(step)))


def calls(chance: Chance) -> Iterator[Step]:
    """Every call type with every kind of payer and every number."""
    for call_type, kind, number in product(CALL_TYPES, KINDS, NUMBERS):
        yield chance.step(call_type=call_type, kind=kind, number=number)


def places(chance: Chance) -> Iterator[Step]:
    """Every call type from every country to every number."""
    for call_type, country, number in product(CALL_TYPES, COUNTRIES, NUMBERS):
        yield chance.step(call_type=call_type, country=country, number=number)


def sources(chance: Chance) -> Iterator[Step]:
    """Every state of pools and money, with every kind of payer."""
    for pools, micros, postpaid, kind in product(POOLS, BALANCES, (False, True), KINDS):
        for call_type in FAMILIES:
            yield chance.step(
                pools=pools,
                micros=micros,
                tenant=Tenant(postpaid=postpaid),
                kind=kind,
                call_type=call_type,
            )


def policies(chance: Chance) -> Iterator[Step]:
    """Every policy of a tenant with every number, from its own country and from anywhere."""
    for policy, call_type, number in product(tables.POLICIES, FAMILIES, NUMBERS):
        home = NUMBERS[number].country
        for country in sorted({home, chance.draw(COUNTRIES)} & set(COUNTRIES)):
            yield chance.step(
                tenant=Tenant(policy=policy),
                call_type=call_type,
                number=number,
                country=country,
                kind=chance.draw(LICENSED),
            )


def persons(chance: Chance) -> Iterator[Step]:
    """Every payer with a word of its own, in every country, with the numbers that its word is about."""
    own_words = [kind for kind in STAFF["US"] if kind not in LICENSE_SETS]
    about = ["us", "ca", "pr", "us 800", "fr 800", "gb 843", "gb 844", "fr 892", "kz", "cu"]
    for country, kind, number in product(COUNTRIES, own_words, [*about, ""]):
        for call_type in ("USER_OUT", "CONF_OUT", "CONF_IN"):
            yield chance.step(
                country=country, kind=kind, call_type=call_type, number=number or country.lower()
            )


def rules(chance: Chance) -> Iterator[Step]:
    """Every rule of a tenant with every call type and every number."""
    for tenant, call_type, number in product(RULES.values(), CALL_TYPES, NUMBERS):
        # Who is sent an invoice needs no grace: nothing says how the two would go together.
        postpaid = chance.draw([False, True]) and not tenant.grace_micros
        yield chance.step(
            tenant=replace(tenant, postpaid=postpaid), call_type=call_type, number=number
        )


def arrivals(chance: Chance) -> Iterator[Step]:
    """Every call that comes in, from every caller."""
    inbound = [call_type for call_type in CALL_TYPES if call_type.endswith("_IN")]
    for call_type, caller, number in product(inbound, CALLERS, NUMBERS):
        yield chance.step(call_type=call_type, caller=caller, number=number, micros=PLENTY_MICROS)


def left_s(state: str) -> dict[str, int]:
    """What is left of each pool of the tenant whose pools are in this state."""
    return {
        pool: target_s(state, pool, size)
        for pool, size in sizes_s(everybody(), BOUGHT[state]).items()
    }


def target_s(state: str, pool: str, size: int) -> int:
    """What is left of a pool of this size."""
    if state == "little":
        return LITTLE_LEFT_S
    spent: dict[str, tuple[str, ...]] = {
        "fresh": (),
        "used up": (pool,),
        "domestic used up": ("/domestic",),
        "international used up": ("/international",),
        "conferences used up": ("zone-a/MCOMEETADV", "us-ca/MCOMEETADD_DIALOUT_US"),
    }
    return 0 if pool.endswith(spent[state]) else size
