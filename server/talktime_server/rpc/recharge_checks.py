"""What a recharge rule may look like: every rule of account_service.proto, checked before anything is written."""

from collections.abc import Collection
from dataclasses import dataclass

from talktime.v1 import account_service_pb2 as pb
from talktime_server.ledger.recharge_rows import Method, Rule
from talktime_server.payments.card import looks_like_card
from talktime_server.payments.gateway import reference_fits
from talktime_server.payments.minor_units import payable
from talktime_server.rpc.decoding import Checks
from talktime_server.rpc.recharge_messages import RULE_FIELDS, with_defaults

MAX_MICROS = 10**12
MAX_CAP = 10**15
MAX_VERSION = 2**53
MAX_METHODS = 5
UNIT_MICROS = 1_000_000
# Field, least and most; 0 is always taken and asks for the default or for no limit.
_RANGES = (
    ("max_per_day", 1, 100),
    ("max_per_month", 1, 1000),
    ("max_amount_per_day_micros", 1, MAX_CAP),
    ("max_amount_per_month_micros", 1, MAX_CAP),
    ("cooling_seconds", 0, 86_400),
    ("expire_days", 1, 3650),
    ("rule_version", 0, MAX_VERSION),
)


@dataclass(frozen=True, slots=True)
class RuleBounds:
    """What the operator set: the smallest trigger and the smallest funding, and the providers there are (domain.md 5)."""

    min_trigger_micros: int
    min_funding_micros: int
    gateways: Collection[str]


def check_rule(checks: Checks, asked: pb.RechargeRule, currency: str, bounds: RuleBounds) -> Rule:
    """The rule that a message describes, defaults filled in; it is good once the checks are done.

    One that is turned off may leave out what it would recharge by.
    """
    for name, least, most in _RANGES:
        if value := getattr(asked, name):
            checks.within(f"rule.{name}", value, least, most)
    if asked.enabled or asked.trigger_micros:
        _check_trigger(checks, asked.trigger_micros, bounds.min_trigger_micros)
    if asked.enabled or asked.amount_micros:
        _check_amount(checks, asked.amount_micros, currency, bounds.min_funding_micros)
    _check_methods(checks, asked, bounds.gateways)
    fields = {name: getattr(asked, name) for name in RULE_FIELDS} | with_defaults(asked)
    methods = tuple(
        Method(each.gateway, each.customer, each.token) for each in asked.payment_methods
    )
    return Rule(**fields, methods=methods, version=asked.rule_version)


def _check_trigger(checks: Checks, micros: int, least: int) -> None:
    field = "rule.trigger_micros"
    checks.micros(field, micros, max(least, UNIT_MICROS), MAX_MICROS)
    if micros % UNIT_MICROS:
        checks.blame(field, "NOT_WHOLE", "is not a whole number of the currency's units")


def _check_amount(checks: Checks, micros: int, currency: str, least: int) -> None:
    field = "rule.amount_micros"
    checks.micros(field, micros, max(least, 1), MAX_MICROS)
    if micros > 0 and not payable(micros, currency):
        checks.blame(field, "NOT_WHOLE", "is not a whole number of the currency's smallest coins")


def _check_methods(checks: Checks, asked: pb.RechargeRule, gateways: Collection[str]) -> None:
    field, methods = "rule.payment_methods", asked.payment_methods
    checks.items(field, methods, MAX_METHODS, least=1 if asked.enabled else 0)
    for number, each in enumerate(methods[:MAX_METHODS]):
        place = f"{field}[{number}]"
        if each.gateway not in gateways:
            checks.blame(
                f"{place}.gateway", "UNKNOWN_GATEWAY", "names a provider that is not set up here"
            )
        _check_reference(checks, f"{place}.customer", each.customer)
        _check_reference(checks, f"{place}.token", each.token)
        if each in methods[:number]:
            checks.blame(place, "DUPLICATE", "is there twice")


def _check_reference(checks: Checks, field: str, text: str) -> None:
    """A provider's own reference; a card number has no business here (reliability.md B82)."""
    if looks_like_card(text):
        checks.blame(
            field, "CARD_DATA_REFUSED", "is not a provider's reference but like a card number"
        )
    elif not text:
        checks.blame(field, "MISSING_FIELD", "is required")
    elif not reference_fits(text):
        checks.blame(field, "BAD_CHARSET", "is not 1 to 128 of A-Z a-z 0-9 _ . : -")
