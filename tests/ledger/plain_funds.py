"""What the plain ledger does with money that comes in and goes back: once by its id, whatever its kind."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ledger.plain_call import DAY_MS, Answer
from ledger.plain_lots import PlainLot
from talktime_server.ledger.operations import Funding, Taking

if TYPE_CHECKING:
    from ledger.plain import PlainLedger

REASON = "because"


@dataclass(frozen=True, slots=True)
class Movement:
    """What was asked for by an id, and what was answered."""

    kind: str
    body: dict[str, Any]
    answer: Funding | Taking


def fund(ledger: "PlainLedger", funding_id: str, amount: int, days: int) -> Answer:
    return _add(ledger, funding_id, "FUND", amount, days, "")


def adjust(ledger: "PlainLedger", adjustment_id: str, amount: int, days: int) -> Answer:
    if amount > 0:
        return _add(ledger, adjustment_id, "ADJUST", amount, days, REASON)
    body = {"amount_micros": amount, "funding_id": "", "reason": REASON}
    known = _known(ledger, adjustment_id, "ADJUST", body)
    return known or _take(ledger, adjustment_id, "ADJUST", body, -amount, 0)


def refund(ledger: "PlainLedger", refund_id: str, amount: int, funding_id: str) -> Answer:
    body = {"amount_micros": amount, "funding_id": funding_id, "reason": REASON}
    known = _known(ledger, refund_id, "REFUND", body)
    if known:
        return known
    bought = ledger.fundings.get(funding_id)
    if bought is None or bought.kind == "REFUND" or bought.body["amount_micros"] < 0:
        return Answer(failure="UNKNOWN_FUNDING")
    total = amount + _refunded_of(ledger, funding_id)
    if total > bought.body["amount_micros"]:
        return Answer(failure="REFUND_LIMIT")
    return _take(ledger, refund_id, "REFUND", body, amount, total)


def _add(
    ledger: "PlainLedger", funding_id: str, kind: str, amount: int, days: int, note: str
) -> Answer:
    body = {"amount_micros": amount, "expire_days": days, "note": note}
    known = _known(ledger, funding_id, kind, body)
    if known:
        return known
    ledger.lapse()
    ledger.lots.look(ledger.settled, ledger.now_ms)
    expires_ms = ledger.now_ms + days * DAY_MS
    ledger.lots.add(PlainLot(funding_id, amount, expires_ms, amount, ledger.now_ms))
    ledger.loaded += amount
    answer = Funding(ledger.money, expires_ms, replayed=False)
    return _moved(ledger, funding_id, Movement(kind, body, answer))


def _take(
    ledger: "PlainLedger", key: str, kind: str, body: dict[str, Any], amount: int, total: int
) -> Answer:
    ledger.lapse()
    ledger.lots.look(ledger.settled, ledger.now_ms)
    ledger.lots.take_from(body["funding_id"], amount)
    if kind == "ADJUST":
        ledger.loaded -= amount
    else:
        ledger.refunded += amount
    answer = Taking(ledger.money, total, replayed=False)
    return _moved(ledger, key, Movement(kind, body, answer))


def _refunded_of(ledger: "PlainLedger", funding_id: str) -> int:
    taken = [each.body for each in ledger.fundings.values() if each.kind == "REFUND"]
    return sum(body["amount_micros"] for body in taken if body["funding_id"] == funding_id)


def _known(ledger: "PlainLedger", key: str, kind: str, body: dict[str, Any]) -> Answer | None:
    was = ledger.fundings.get(key)
    if was is None:
        return None
    if was.kind != kind:
        return Answer(failure="kind")
    for name, value in body.items():
        if was.body.get(name) != value:
            return Answer(failure=name)
    return Answer(replace(was.answer, replayed=True), replayed=True)


def _moved(ledger: "PlainLedger", key: str, movement: Movement) -> Answer:
    ledger.entries += 1
    ledger.lots.look(ledger.settled, ledger.now_ms)
    ledger.lots.keep()
    ledger.fundings[key] = movement
    return Answer(movement.answer)
