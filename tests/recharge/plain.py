"""A recharge in plain Python, without a store, a provider or a race: what the real one must come to. Money is in units."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from talktime_server.payments.sandbox import Token

HOUR, DAY = 3600, 86_400
PAUSES = {1: HOUR, 2: 6 * HOUR}


@dataclass(frozen=True, slots=True)
class PlainRule:
    """The rule in short: money in units, a method by its token."""

    tokens: tuple[Token, ...] = (Token.APPROVED,)
    enabled: bool = True
    trigger: int = 100
    amount: int = 200
    fill_gap: bool = False
    per_day: int = 5
    cooling: int = 0


@dataclass(slots=True)
class PlainCharge:
    """One charge, as the provider and the ledger should see it."""

    token: Token
    amount: int
    at: int
    counted: bool = True
    paid: bool = False
    credited: bool = False
    refunded: int = 0


@dataclass(slots=True)
class PlainRecharge:
    """`now` is in seconds."""

    now: int
    balance: int
    rule: PlainRule | None = None
    state: str = "OFF"
    next: int = 0
    claims: int = 0
    declines: int = 0
    again: bool = False
    away: bool = False
    method: int = 0
    charges: list[PlainCharge] = field(default_factory=list)

    @property
    def last(self) -> PlainCharge:
        return self.charges[-1]

    def counted(self, *, by_month: bool = False) -> int:
        """Charges of this day or this month."""
        form = "%Y%m" if by_month else "%Y%m%d"
        today = _form(self.now, form)
        return sum(each.counted and _form(each.at, form) == today for each in self.charges)

    def move(self, units: int) -> None:
        self.balance += units
        self._look()

    def _look(self) -> None:
        if self.state == "ARMED" and self.rule and self.balance < self.rule.trigger:
            self.state, self.claims = "CLAIMED", self.claims + 1

    def _arm(self) -> None:
        assert self.rule
        self.state, self.again = "ARMED" if self.rule.enabled else "OFF", False
        self._look()

    def set_rule(self, new: PlainRule) -> None:
        old, self.rule = self.rule, new
        another = bool(set(new.tokens) - set(old.tokens if old else ()))
        if self.state in ("CHARGING", "UNKNOWN", "NEEDS_REVIEW") or old == new:
            return
        if not new.enabled:
            if self.state == "ACTION_REQUIRED":
                self.last.counted = False
            self._arm()
        elif self.state == "ACTION_REQUIRED":
            self.again = self.again or another
        elif self.state in ("STOPPED", "DECLINED"):
            if another:
                self.declines = 0
                self._arm()
        elif self.state not in ("COOLING", "CLAIMED"):
            self._arm()

    def resume(self) -> bool:
        """Whether that may be asked."""
        if self.state in ("OFF", "NEEDS_REVIEW"):
            return False
        if self.state == "ACTION_REQUIRED":
            self.again = True
        elif self.state in ("DECLINED", "STOPPED", "CAPPED"):
            self.declines = 0
            self._arm()
        return True

    def serve(self) -> None:
        while self._turn():
            pass

    def _turn(self) -> bool:
        if self.state == "CLAIMED":
            self._begin()
            return True
        if self.state == "UNKNOWN" and not self.away:
            self._answer()
            return True
        if self.state in ("COOLING", "DECLINED", "CAPPED") and self.now >= self.next:
            self._arm()
            return True
        if self.state == "CHARGING" and self.now >= self.last.at + DAY:
            self.state = "NEEDS_REVIEW"
        return not self.away and self._given_up()

    def _given_up(self) -> bool:
        """Once armed again, a charge that the customer has still not confirmed is waited for no more."""
        if not (self.state == "ACTION_REQUIRED" and self.again):
            return False
        self.last.counted = False
        self._arm()
        return True

    def _begin(self) -> None:
        assert self.rule
        if self.counted() >= self.rule.per_day:
            self.state, self.next = "CAPPED", (self.now // DAY + 1) * DAY
        else:
            self._ask(0)

    def _ask(self, method: int) -> None:
        assert self.rule
        token = self.rule.tokens[method]
        self.charges.append(PlainCharge(token, self._amount(), self.now))
        self.state, self.method, self.again = "UNKNOWN", method, False
        if not self.away:
            self._answer()

    def _answer(self) -> None:
        assert self.rule
        if self.last.token is Token.APPROVED:
            self.last.paid = True
            self._succeeded()
        elif self.last.token is Token.ACTION_REQUIRED:
            self.state = "ACTION_REQUIRED"
        elif self.last.token is Token.PENDING:
            self.state = "CHARGING"
        elif self.method + 1 < len(self.rule.tokens):
            self.last.counted = False
            self._ask(self.method + 1)
        else:
            self._all_declined()

    def _all_declined(self) -> None:
        self.last.counted = False
        self.declines += 1
        self.state = "STOPPED" if self.declines == 3 else "DECLINED"
        self.next = self.now + PAUSES.get(self.declines, 0)

    def _amount(self) -> int:
        assert self.rule
        gap = self.rule.trigger - self.balance
        times = max(1, -(-gap // self.rule.amount)) if self.rule.fill_gap else 1
        return self.rule.amount * times

    def _succeeded(self) -> None:
        assert self.rule
        self._credit(self.last)
        self.state, self.next, self.declines = "COOLING", self.now + self.rule.cooling, 0

    def _credit(self, charge: PlainCharge) -> None:
        charge.credited = True
        self.move(charge.amount)

    def paid(self, charge: PlainCharge) -> None:
        """The provider calls back that a charge succeeded, for the first time or once more."""
        charge.paid = True
        if charge.credited:
            return
        if charge is self.last and self.state in ("CHARGING", "NEEDS_REVIEW", "ACTION_REQUIRED"):
            self._succeeded()
            return
        # Counted like a charge of the day on which the money came.
        if charge is not self.last or not charge.counted:
            self.charges.insert(0, PlainCharge(charge.token, 0, self.now, credited=True))
        self._credit(charge)

    def still_waits(self, charge: PlainCharge) -> None:
        """The provider calls back that the customer has not confirmed yet."""
        if charge is self.last:
            self._given_up()

    def not_charged(self) -> None:
        """An operator says so of the charge that waits."""
        self.last.counted, self.declines = False, 0
        self._arm()


def _form(at: int, form: str) -> str:
    return datetime.fromtimestamp(at, UTC).strftime(form)
