"""The bad-input matrix for money that comes in and goes back: each field out of its range, one at a time."""

from collections.abc import Iterable
from typing import Any

from google.protobuf.message import Message

from service.bad_rows import INVALID, Row, Scene
from service.raw import Reply
from talktime.v1 import account_service_pb2 as pb

CARD = "4111 1111 1111 1111"
MOST = 10**12
FUND: dict[str, Any] = {"funding_id": "inv-9", "amount_micros": 1}
ADJUST: dict[str, Any] = {"adjustment_id": "adj-9", "amount_micros": 1, "reason": "counted wrong"}
REFUND: dict[str, Any] = {
    "refund_id": "ref-9",
    "funding_id": "inv-9",
    "amount_micros": 1,
    "reason": "asked for",
}


def rows() -> Iterable[Row]:
    """Every row about money."""
    for kind, body, name in (
        (pb.AddFundsRequest, FUND, "funding_id"),
        (pb.AdjustFundsRequest, ADJUST, "adjustment_id"),
        (pb.RefundFundsRequest, REFUND, "refund_id"),
    ):
        yield _row("B41 no id", kind, body, "BAD_REQUEST_ID", **{name: ""})
        yield _row("B52 a brace", kind, body, "BAD_CHARSET", **{name: "a{b}"})
        yield _row("B82 a card", kind, body, "CARD_DATA_REFUSED", **{name: CARD.replace(" ", "")})
        for amount in (0, MOST + 1, 2**53, 2**63 - 1, -(2**63)):
            yield _row(f"B34 {amount}", kind, body, "OUT_OF_RANGE", amount_micros=amount)
    for kind, body in ((pb.AdjustFundsRequest, ADJUST), (pb.RefundFundsRequest, REFUND)):
        yield _row("B4 no reason", kind, body, "MISSING_FIELD", reason="")
        yield _row("B82 a card in words", kind, body, "CARD_DATA_REFUSED", reason=f"from {CARD}")
    yield _row("B33 below nothing", pb.RefundFundsRequest, REFUND, "OUT_OF_RANGE", amount_micros=-1)
    yield _row(
        "B82 a card in an order", pb.AddFundsRequest, FUND, "CARD_DATA_REFUSED", purchase_order=CARD
    )
    yield Row("B46 a refund of nothing", _refund_nothing, "NOT_FOUND", "UNKNOWN_FUNDING")
    yield Row(
        "B35 a refund of too much",
        _refund_much,
        "FAILED_PRECONDITION",
        "REFUND_LIMIT",
        moves=("FUND",),
    )


def _row(id: str, kind: type[Message], body: dict[str, Any], rule: str, **changed: Any) -> Row:
    (field,) = changed

    def ask(scene: Scene) -> Reply:
        reply = scene.operate(kind(tenant_id=scene.site.tenant_id, **(body | changed)))
        assert list(reply.fields) == [field]
        return reply

    hidden = tuple(value for value in changed.values() if isinstance(value, str) and len(value) > 3)
    return Row(f"{id} in {kind.__name__}", ask, INVALID, rule, hidden=hidden)


def _refund_nothing(scene: Scene) -> Reply:
    return scene.operate(pb.RefundFundsRequest(tenant_id=scene.site.tenant_id, **REFUND))


def _refund_much(scene: Scene) -> Reply:
    tenant_id = scene.site.tenant_id
    assert scene.operate(pb.AddFundsRequest(tenant_id=tenant_id, **FUND)).code.name == "OK"
    return scene.operate(
        pb.RefundFundsRequest(tenant_id=tenant_id, **(REFUND | {"amount_micros": 2}))
    )
