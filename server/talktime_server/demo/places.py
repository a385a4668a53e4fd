"""Where the demo's calls go, and what they cost: worked out here from the deck, not taken from the answers."""

from functools import cache

from talktime_server.decision import catalog
from talktime_server.decision.rating import Deck
from talktime_server.ledger.rate_table import RateTable

# Numbers that telephone authorities keep for stories, where there are such.
MOBILE_IN_LONDON = "+447700900123"
BERLIN = "+493023125123"
WASHINGTON = "+12025550147"
LAGOS = "+2348031234567"
PREMIUM = "+19005550100"
HELPLINE = "+448081570192"


@cache
def _deck() -> Deck:
    file = catalog.demo_deck()
    return Deck("demo", file.currency, RateTable(file.rows))


def price(number: str, seconds: int) -> int:
    """What so much talk costs, in micros, by the deck alone."""
    rate = _deck().rate_for(number)
    assert rate is not None, "the demo deck prices every number of the demo"
    return rate.price_micros(seconds)
