"""The deck that prices the walk's numbers: a row for each number that has a price, and for each caller's country that has one."""

from collections.abc import Iterator

from crossing.cases import Price
from crossing.dialled import NUMBERS
from talktime_server.decision.price_list import PriceList
from talktime_server.ledger.decks import Decks, Scope
from talktime_server.ledger.rate_table import Row

VERSION = "crossing"
ENDING = 4  # digits of a number beyond the prefix that prices it


def rows() -> Iterator[Row]:
    """The deck's rows."""
    for name, number in NUMBERS.items():
        prefix = number.text[1:-ENDING]
        if number.price:
            yield _row(prefix, name, number.price, "OUT", "")
        for origin, price in number.arriving:
            yield _row(prefix, f"{name} from {origin or 'anywhere'}", price, "IN", origin)


def _row(prefix: str, name: str, price: Price, direction: str, origin: str) -> Row:
    return (
        prefix,
        name,
        price.rate_micros,
        price.fee_micros,
        price.initial_s,
        price.increment_s,
        direction,
        origin,
    )


async def put_in_force(decks: Decks, prices: PriceList, currency: str) -> None:
    """Puts the deck in force for the tenants of a currency."""
    count = await decks.put(VERSION, currency, 0, list(rows()))
    await prices.adopt(await decks.activate(VERSION, count, Scope(currency)))
