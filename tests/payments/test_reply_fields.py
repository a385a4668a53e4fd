"""What a provider writes is read field by field: any field may be anything, and is then refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talktime_server.payments import billing, errors, stripe_replies
from talktime_server.payments.exchange import read_json
from talktime_server.payments.gateway import Outcome

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
INTENT = {
    "id": "pi_1",
    "status": "succeeded",
    "amount": 5000,
    "amount_received": 5000,
    "currency": "usd",
    "metadata": {"charge_id": "acme:1", "tenant_id": "acme"},
}
CHARGE = {
    "billing_id": "b1",
    "charge_id": "acme:1",
    "tenant_id": "acme",
    "status": "succeeded",
    "amount_micros": 50_000_000,
    "currency_code": "USD",
}


@given(st.sampled_from(list(INTENT)), ANYTHING)
def test_any_field_of_a_payment_intent_may_be_anything(name: str, value: object) -> None:
    try:
        standing = stripe_replies.read_standing({**INTENT, name: value})
    except errors.UnreadableReply:
        return
    assert standing.result.amount_micros >= 0


@given(st.sampled_from(list(CHARGE)), ANYTHING)
def test_any_field_of_a_charge_may_be_anything(name: str, value: object) -> None:
    try:
        standing = billing.read_standing({**CHARGE, name: value})
    except errors.UnreadableReply:
        return
    assert standing.result.amount_micros >= 0


def test_json_with_more_than_json_in_it_is_refused() -> None:
    for body in (b"{} {}", b"nul", b"", b"\x00"):
        with pytest.raises(errors.UnreadableReply):
            read_json(body)


@pytest.mark.parametrize(
    ("status", "error", "wanted"),
    [
        ("succeeded", {}, (Outcome.SUCCEEDED, "")),
        ("processing", {}, (Outcome.PENDING, "")),
        ("requires_action", {}, (Outcome.ACTION_REQUIRED, "")),
        ("canceled", {}, (Outcome.DECLINED, "canceled")),
        ("requires_payment_method", {}, (Outcome.PENDING, "")),
        (
            "requires_payment_method",
            {"code": "card_declined", "decline_code": "lost_card"},
            (Outcome.DECLINED, "lost_card"),
        ),
        ("requires_payment_method", {"code": "expired_card"}, (Outcome.DECLINED, "expired_card")),
        (
            "requires_payment_method",
            {"code": "authentication_required"},
            (Outcome.ACTION_REQUIRED, "authentication_required"),
        ),
        (
            "requires_payment_method",
            {"code": "Your card 4111 was declined"},
            (Outcome.DECLINED, "other"),
        ),
    ],
)
def test_a_payment_intents_status(
    status: str, error: dict[str, str], wanted: tuple[Outcome, str]
) -> None:
    """Nothing but a word gets into a record: no sentence, and no number of a card."""
    content = {**INTENT, "status": status, "last_payment_error": error}
    result = stripe_replies.read_standing(content).result
    assert (result.outcome, result.code) == wanted


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost/x",
        "javascript:alert(1)",
        "https://localhost/a b",
        "",
        5,
        "https://" + "x" * 2048,
    ],
)
def test_a_page_that_is_no_https_address_is_none(address: object) -> None:
    content = {**CHARGE, "status": "action_required", "action_url": address}
    assert billing.read_standing(content).result.action_url == ""
