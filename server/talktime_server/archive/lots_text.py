"""The text in which the scripts keep a tenant's lots, as much of it as a rebuilt store needs (lots.lua): "pin cut generation;" and
"id|left|expiry_ms|amount|at_ms" of each lot.
"""

from collections.abc import Sequence
from typing import NamedTuple

from talktime_server.ledger.packed import Fields

_EXPIRY = 2


class Lots(NamedTuple):
    """What a tenant's keys say of its lots; `text` is empty where there never were any."""

    text: str
    generation: int
    next_expiry_ms: int


def lot_fields(text: str, calls: Sequence[Fields]) -> Lots:
    """The lots as the store keeps them. What open calls of earlier generations hold lies on money whose time is over;
    what such calls gave back since the text was written is in no line, so it is added up anew.
    """
    head, _, rows = text.partition(";")
    _, cut, generation = map(int, (head or "0 0 0").split(" "))
    generation = max([generation, *(_generation(call) for call in calls)])
    pin = sum(int(call[b"held"]) for call in calls if _generation(call) < generation)
    next_expiry = min((int(lot.split("|")[_EXPIRY]) for lot in rows.split(";") if lot), default=0)
    if not text and not generation:
        return Lots("", 0, next_expiry)
    return Lots(f"{pin} {cut} {generation};{rows}", generation, next_expiry)


def _generation(call: Fields) -> int:
    return int(call.get(b"gen", 0))
