"""A recharge as the store keeps it: the rule, and one flat row that says where it is and what was promised to the provider.

Everything a charge is made of stands in the row before the provider is asked (semantics 52, 56): whoever
takes over asks for the same sum from the same payment method under the same id.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from talktime_server.ledger.records import Money
from talktime_server.words import RechargeState

NONCE_BYTES = 6


@dataclass(frozen=True, slots=True)
class Method:
    """What may pay, by the provider's references; never a card number."""

    gateway: str
    customer: str
    token: str


@dataclass(frozen=True, slots=True)
class Rule:
    """When credits are recharged, and by how much (domain.md 5); a limit of 0 is none. `version` counts its changes."""

    enabled: bool = False
    trigger_micros: int = 0
    amount_micros: int = 0
    on_settled: bool = False
    fill_gap: bool = False
    max_per_day: int = 0
    max_per_month: int = 0
    max_amount_per_day_micros: int = 0
    max_amount_per_month_micros: int = 0
    methods: tuple[Method, ...] = ()
    cooling_seconds: int = 0
    expire_days: int = 0
    version: int = 0

    @property
    def trigger(self) -> str:
        """What the scripts watch: micros, with "s" in front when the settled balance is meant (semantics 48)."""
        return f"{'s' if self.on_settled else ''}{self.trigger_micros}"

    def balance_micros(self, money: Money) -> int:
        """The balance that the trigger is compared with."""
        return money.settled_micros if self.on_settled else money.available_micros

    def text(self) -> str:
        """As it is stored; the version has a place of its own."""
        body = asdict(self)
        body.pop("version")
        return json.dumps(body, separators=(",", ":"), sort_keys=True)

    @classmethod
    def read(cls, text: str, version: int) -> Self:
        """What `text` gave; fields of a newer talktime are passed over."""
        known = {each.name for each in fields(cls)}
        body = {name: value for name, value in json.loads(text).items() if name in known}
        body["methods"] = tuple(Method(**method) for method in body.get("methods", ()))
        return cls(**body, version=version)


@dataclass(frozen=True, slots=True)
class Recharge:
    """Where a recharge is. Numbers are 0 and texts empty where there is nothing.

    `epoch` is the claim that was taken up last, `attempt` the charge within it, `method` the place of the payment method
    to be asked next. `charge_id` to `begun_ms` are the charge under way or the last one, frozen. `rounds` counts how
    often it was asked for without an answer, `waits` how often no provider could be reached. `counted_ms` is when the
    charge was counted against the caps, 0 when it is not; `asked_version` is the rule's version then. `again` is 1 once
    somebody wants another charge instead of one that waits for the customer. `decided` is what an operator decided last.
    """

    rule: Rule = Rule()
    nonce: str = ""
    state: RechargeState = RechargeState.OFF
    since_ms: int = 0
    next_ms: int = 0
    epoch: int = 0
    attempt: int = 0
    method: int = 0
    charge_id: str = ""
    amount_micros: int = 0
    currency: str = ""
    gateway: str = ""
    customer: str = ""
    token: str = ""
    expire_days: int = 0
    begun_ms: int = 0
    asked_version: int = 0
    counted_ms: int = 0
    provider_id: str = ""
    rounds: int = 0
    again: int = 0
    owner: str = ""
    declines: int = 0
    declined_now: int = 0
    waits: int = 0
    code: str = ""
    url: str = ""
    day: int = 0
    day_count: int = 0
    day_micros: int = 0
    month: int = 0
    month_count: int = 0
    month_micros: int = 0
    decided: str = ""
    steps: int = 0

    @classmethod
    def first(cls) -> Self:
        """That of a tenant who never had a rule. The nonce keeps its charges apart from those of any other store."""
        return cls(nonce=secrets.token_hex(NONCE_BYTES))

    @property
    def watched(self) -> str:
        """The trigger to be watched in this state; empty when none is."""
        return self.rule.trigger if self.state is RechargeState.ARMED else ""

    def names_and_values(self) -> list[str]:
        """The row as the script takes it; the script counts the steps."""
        row = {each.name: getattr(self, each.name) for each in fields(self)}
        row.pop("steps")
        row |= {"rule": self.rule.text(), "rule_version": self.rule.version}
        return [str(part) for pair in row.items() for part in pair]

    @classmethod
    def read(cls, row: Mapping[str, str]) -> Self:
        """What `names_and_values` gave, with the steps beside it."""
        known: dict[str, Any] = {}
        for each in fields(cls):
            if each.name in row:
                known[each.name] = int(row[each.name]) if each.type is int else row[each.name]
        known["rule"] = Rule.read(row["rule"], int(row["rule_version"]))
        known["state"] = RechargeState(row["state"])
        return cls(**known)


@dataclass(frozen=True, slots=True)
class View:
    """A recharge at one moment of the tenant's clock: `claims` counts the dips below the trigger that were ever seen."""

    tenant_id: str
    now_ms: int
    money: Money
    claims: int
    recharge: Recharge

    @property
    def rule(self) -> Rule:
        """The rule as it is now."""
        return self.recharge.rule

    @property
    def ruled(self) -> bool:
        """Whether there ever was a rule."""
        return self.recharge.steps > 0

    @property
    def claimed(self) -> bool:
        """Whether the balance fell below the trigger, and nobody has taken that up yet."""
        return self.recharge.state is RechargeState.ARMED and self.claims > self.recharge.epoch

    @property
    def state(self) -> RechargeState:
        """Where the recharge is, as everybody is told."""
        return RechargeState.CLAIMED if self.claimed else self.recharge.state

    @property
    def gap_micros(self) -> int:
        """How far the balance is below the trigger; 0 or less when it is not."""
        return self.rule.trigger_micros - self.rule.balance_micros(self.money)


@dataclass(frozen=True, slots=True)
class Line:
    """What a step is written down as: where the recharge came to, and with which charge, if any."""

    state: RechargeState
    charge_id: str = ""
    amount_micros: int = 0
    gateway: str = ""
    provider_id: str = ""
    code: str = ""
    url: str = ""

    def text(self) -> str:
        """As the script takes it."""
        return json.dumps(
            {
                "state": self.state,
                "charge": self.charge_id,
                "amount": self.amount_micros,
                "gateway": self.gateway,
                "provider": self.provider_id,
                "code": self.code,
                "url": self.url,
            }
        )


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of a recharge, and the line that tells of it; without one the journal has nothing to tell."""

    recharge: Recharge
    line: Line | None = None


def pairs_of(flat: Sequence[bytes]) -> dict[str, str]:
    """Names and values as the store gives them."""
    texts = [each.decode() for each in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
