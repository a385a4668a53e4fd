"""Which country a number counts as, and the two tests of "domestic" (domain.md 1).

Minutes and policies disagree: for minutes the United States and Canada are one country, for dial-out
policies they are two. Puerto Rico counts as the United States in both.
"""

from talktime_server.decision import catalog

_SHARED = dict(catalog.pool_countries())
_ONE_FOR_MINUTES = frozenset(("US", "CA"))


def home(country: str) -> str:
    """The country that a country counts as: for Puerto Rico the United States, else itself."""
    return _SHARED.get(country, country)


def domestic_for_minutes(payer_country: str, number_country: str) -> bool:
    """Whether a plan's domestic minutes reach a number, by its payer's licence country."""
    ours, theirs = home(payer_country), home(number_country)
    return ours == theirs or {ours, theirs} == _ONE_FOR_MINUTES


def domestic_for_policy(payer_country: str, number_country: str) -> bool:
    """Whether a "domestic only" policy lets a payer call a number."""
    return home(payer_country) == home(number_country)
