"""The text in which the scripts keep a tenant's lots, as much of it as a rebuilt store needs (lots.lua): "pin cut generation;" and
"id|left|expiry_ms|amount|at_ms" of each lot.
"""

from collections.abc import Sequence
from typing import Any

from talktime_server.ledger.packed import Fields

_EXPIRY = 2


def lot_fields(text: str, calls: Sequence[Fields]) -> dict[str, Any]:
    """The fields of a tenant's hash about lots. What open calls of earlier generations hold lies on money whose time is over;
    what such calls gave back since the text was written is in no line, so it is added up anew.
    """
    head, _, rows = text.partition(";")
    _, cut, generation = map(int, (head or "0 0 0").split(" "))
    generation = max([generation, *(_generation(call) for call in calls)])
    pin = sum(int(call[b"held"]) for call in calls if _generation(call) < generation)
    next_expiry = min((int(lot.split("|")[_EXPIRY]) for lot in rows.split(";") if lot), default=0)
    if not text and not generation:
        return {"lot": next_expiry}
    return {"lot": next_expiry, "lots": f"{pin} {cut} {generation};{rows}", "gen": generation}


def _generation(call: Fields) -> int:
    return int(call.get(b"gen", 0))
