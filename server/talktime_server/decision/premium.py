"""Premium and shared-cost numbers: only the payer's own country's, and only where its rules allow
them (domain.md 8).
"""

from functools import cache

from talktime_server.decision import catalog
from talktime_server.decision.catalog import PremiumRule
from talktime_server.decision.numbering import Number
from talktime_server.words import NumberClass

SPECIAL = frozenset((NumberClass.PREMIUM, NumberClass.SHARED_COST))


def prefix_of(country: str, number: Number) -> str:
    """The prefix of the payer's country's rules that a number is under, empty when under none: it
    speaks before the number's class (domain.md 4).
    """
    prefixes = _prefixes(country)
    if not prefixes or not number.text.startswith(prefixes, 1):
        return ""
    return next(prefix for prefix in prefixes if number.text.startswith(prefix, 1))


def rule_for(
    country: str, prefix: str, number_country: str, number_class: NumberClass
) -> PremiumRule | None:
    """The rule for a payer licensed in `country`, None for numbers that need none; `prefix` is what
    `prefix_of` found. Numbers of another country fall under everywhere's rule.
    """
    rules = catalog.premium_rules(country)
    if prefix:
        return next(rule for rule in rules if rule.prefix == prefix)
    if number_class not in SPECIAL:
        return None
    abroad = number_country != country
    for rule in rules:
        applies = rule.number_class is number_class and not rule.prefix
        if applies and not (abroad and rule.country == country):
            return rule
    raise AssertionError("everywhere has a rule for each class")


@cache
def _prefixes(country: str) -> tuple[str, ...]:
    found = {rule.prefix for rule in catalog.premium_rules(country) if rule.prefix}
    return tuple(sorted(found, key=len, reverse=True))
