"""The sandbox's money: what each token does, and the ledger of what was really charged."""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count

from talktime_server.payments.gateway import Outcome
from talktime_server.payments.minor_units import smallest_micros


class Token(StrEnum):
    """What a payment method's token makes the sandbox do; any other token is a card that pays."""

    APPROVED = "tok_approved"
    DECLINED = "tok_declined"
    EXPIRED_CARD = "tok_expired_card"
    ACTION_REQUIRED = "tok_action_required"
    PENDING = "tok_pending"
    # It charges, once, and something goes wrong on the way.
    SLOW = "tok_slow"
    TIMEOUT_AFTER_CHARGING = "tok_timeout_after_charging"
    ERROR_AFTER_CHARGING = "tok_error_after_charging"
    RESET_MID_REPLY = "tok_reset_mid_reply"
    DUPLICATE_WEBHOOK = "tok_duplicate_webhook"
    WEBHOOK_BEFORE_REPLY = "tok_webhook_before_reply"
    # The first try is turned away before anything was charged.
    UNAVAILABLE = "tok_unavailable"
    RATE_LIMITED = "tok_rate_limited"
    CONFLICT = "tok_conflict"
    # A provider that has been taken over, or is none: every answer to a charge.
    WRONG_AMOUNT = "tok_wrong_amount"
    OTHER_CURRENCY = "tok_other_currency"
    OTHER_CHARGE = "tok_other_charge"
    HTML = "tok_html"
    ENDLESS = "tok_endless"
    DRIP = "tok_drip"
    REDIRECT = "tok_redirect"


_OUTCOMES = {
    Token.DECLINED: (Outcome.DECLINED, "insufficient_funds"),
    Token.EXPIRED_CARD: (Outcome.DECLINED, "expired_card"),
    Token.ACTION_REQUIRED: (Outcome.ACTION_REQUIRED, "authentication_required"),
    Token.PENDING: (Outcome.PENDING, ""),
}
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Order:
    """A charge that somebody asked for, whichever API it came through."""

    side: str
    key: str
    charge_id: str
    tenant_id: str
    amount_micros: int
    currency: str
    customer: str
    token: str
    body: bytes

    @property
    def fingerprint(self) -> str:
        """The same for the same request."""
        return hashlib.sha256(self.body).hexdigest()


@dataclass(slots=True)
class Charged:
    """What became of a charge id: how it stands, and how often money was really taken for it."""

    provider_id: str
    order: Order
    outcome: Outcome
    code: str
    amount_micros: int
    currency: str
    times: int = 0
    reversals: list[tuple[str, int]] = field(default_factory=list)

    def pay(self) -> None:
        """Takes the money."""
        self.outcome, self.code = Outcome.SUCCEEDED, ""
        self.times += 1


class Bank:
    """Charges by charge id, and the keys that came with each, in order and with repeats."""

    def __init__(self) -> None:
        self.charges: dict[str, Charged] = {}
        self.keys: dict[str, list[str]] = {}

    def asked(self, order: Order) -> bool:
        """Notes a request; whether it is the first for its charge."""
        keys = self.keys.setdefault(order.charge_id, [])
        keys.append(order.key)
        return len(keys) == 1

    def charge(self, order: Order) -> Charged:
        """Carries an order out. A second time takes the money a second time: what prevents it is the key."""
        outcome, code = _OUTCOMES.get(_token(order), (Outcome.SUCCEEDED, ""))
        charged = self.charges.get(order.charge_id) or _opened(order)
        charged.outcome, charged.code = outcome, code
        if outcome is Outcome.SUCCEEDED:
            charged.pay()
        self.charges[order.charge_id] = charged
        return charged

    def by_provider_id(self, provider_id: str) -> Charged | None:
        """The charge that the provider knows by this id."""
        found = (each for each in self.charges.values() if each.provider_id == provider_id)
        return next(found, None)


def number(prefix: str) -> str:
    """A new id of the provider's."""
    return f"{prefix}_sandbox{next(_numbers)}"


def _token(order: Order) -> Token:
    return Token(order.token) if order.token in set(Token) else Token.APPROVED


def _opened(order: Order) -> Charged:
    amount_micros, currency = order.amount_micros, order.currency
    if order.token == Token.WRONG_AMOUNT:
        amount_micros += smallest_micros(currency)
    if order.token == Token.OTHER_CURRENCY:
        currency = "USD" if currency == "EUR" else "EUR"
    prefix = "pi" if order.side == "stripe" else "bill"
    return Charged(number(prefix), order, Outcome.PENDING, "", amount_micros, currency)
