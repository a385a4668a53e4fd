"""What the second reading reads and what it says: plain records of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Price:
    """Micros for a minute and for being answered, and the seconds charged at a time."""

    rate_micros: int
    fee_micros: int = 0
    initial_s: int = 60
    increment_s: int = 60


@dataclass(frozen=True)
class Number:
    """A called number with its facts, as domain.md 4 states them: `country` "001" is none, `kind` is ordinary, toll_free,
    premium or shared_cost. `price` is for calls to it, `arriving` for calls that come in on it, by the caller's country.
    """

    text: str
    country: str
    kind: str = "ordinary"
    price: Price | None = None
    arriving: tuple[tuple[str, Price], ...] = ()


@dataclass(frozen=True)
class Lists:
    """Prefixes that may not be called, and those that alone may."""

    blocked: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Payer:
    """Whose licences and policy count."""

    payer_id: str
    country: str
    licenses: tuple[str, ...] = ()
    blocked: bool = False
    policy: str = ""
    toll_free_off: bool = False
    ceiling_micros: int = 0
    lists: Lists = Lists()


@dataclass(frozen=True)
class Tenant:
    """What the tenant decides: its billing, its policy, its limits."""

    postpaid: bool = False
    policy: str = ""
    independent_pools: bool = False
    plans_after_conferencing: bool = False
    suspended: bool = False
    ceiling_micros: int = 0
    default_rate_micros: int = 0
    grace_micros: int = 0
    lists: Lists = Lists()


@dataclass(frozen=True)
class Case:
    """One call somebody wants to place. `left_s` is what is left of each pool that there is, in seconds."""

    call_type: str
    payer: Payer | None
    number: Number
    tenant: Tenant = Tenant()
    caller_country: str = ""
    asked_s: int = 600
    credits_micros: int = 0
    left_s: Mapping[str, int] = field(default_factory=dict)

    @property
    def who(self) -> Payer:
        """The payer of a call that has one."""
        assert self.payer is not None
        return self.payer

    @property
    def outbound(self) -> bool:
        """Whether the call goes to the public network."""
        return "_OUT" in self.call_type


@dataclass(frozen=True)
class Source:
    """What pays a stretch of a call."""

    kind: str
    seconds: int
    micros: int = 0
    pool: str = ""


@dataclass(frozen=True)
class Verdict:
    """What comes of a case: a refusal's reason, or the sources of a grant. `rows` of the funding table speak of it."""

    reason: str = ""
    sources: tuple[Source, ...] = ()
    rows: tuple[str, ...] = ()
